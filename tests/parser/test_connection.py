"""Both directions from the request line on: heads, order of arrival, positions, memory."""

import random

import pytest
from conversation import ACCEPT, CLIENT, EARLIER, REFUSAL, REQUEST, RESPONSE, SERVER, Conversation
from wire import BINARY, CLOSE, KEY, TEXT, Deflater, frame

from sockwarden.parser import ConnectionDecoder, Handshake

BOTH = [("c2s", b"from the client"), ("s2c", b"from the server")]


def test_a_handshake_and_a_message_each_way():
    talk = Conversation().say("c2s", REQUEST).say("s2c", RESPONSE)
    talk.say("c2s", CLIENT).say("s2c", SERVER).end()
    [handshake] = talk.handshakes()
    assert (handshake.request, handshake.response) == (REQUEST, RESPONSE)
    assert handshake.upgraded
    assert talk.messages() == BOTH
    assert talk.kinds() == []
    assert [event.offset for event in talk.events[1:]] == [0, 0]


def test_octet_by_octet():
    talk = Conversation()
    for direction, octets in (("c2s", REQUEST + CLIENT), ("s2c", RESPONSE + SERVER)):
        for octet in octets:
            talk.say(direction, bytes([octet]))
    assert talk.messages() == BOTH
    assert talk.handshakes() == [Handshake(REQUEST, RESPONSE)]


def test_the_response_first():
    talk = Conversation().say("s2c", RESPONSE + SERVER)
    assert talk.events == []
    talk.say("c2s", REQUEST + CLIENT)
    assert sorted(talk.messages()) == BOTH
    assert talk.handshakes() == [Handshake(REQUEST, RESPONSE)]


def test_client_frames_before_the_response():
    talk = Conversation().say("c2s", REQUEST, CLIENT[:5], CLIENT[5:])
    assert talk.events == []
    talk.say("s2c", RESPONSE)
    assert talk.messages() == BOTH[:1]


def test_client_frames_before_the_response_are_bounded():
    talk = Conversation(head_bytes=512)
    talk.say("c2s", REQUEST, frame(BINARY, bytes(2000), key=KEY), CLIENT).say("s2c", RESPONSE)
    talk.say("c2s", CLIENT)
    # 512 octets of the frame were kept, the rest and one more frame is a gap over a header.
    assert talk.kinds() == [("c2s", "gap", 512), ("c2s", "truncated", 512)]
    assert talk.messages() == []
    lost = len(frame(BINARY, bytes(2000), key=KEY)) + len(CLIENT) - 512
    assert talk.decoder.losses["c2s"] == (lost + len(CLIENT), 0)


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"]
)
def test_interim_responses_are_passed_over(interim):
    talk = Conversation().say("c2s", REQUEST).say("s2c", interim + interim + RESPONSE + SERVER)
    assert talk.handshakes()[0].response == RESPONSE
    assert talk.messages() == BOTH[1:]


@pytest.mark.parametrize(("request_", "response"), EARLIER)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pipelined_requests_before_it(request_, response, size):
    talk = Conversation()
    for direction, octets in (
        ("c2s", request_ * 2 + REQUEST + CLIENT),
        ("s2c", response * 2 + RESPONSE + SERVER),
    ):
        talk.say(direction, *(octets[at : at + size] for at in range(0, len(octets), size)))
    assert talk.handshakes() == [Handshake(REQUEST, RESPONSE)]
    assert talk.messages() == BOTH


PROXY_V2 = bytes.fromhex("0d0a0d0a000d0a515549540a2111") + b"\x01\x02" + bytes(258)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 10.0.0.1 10.0.0.2 40000 80\r\n",
        b"PROXY UNKNOWN\r\n",
        PROXY_V2,
        bytes.fromhex("0d0a0d0a000d0a515549540a20000000"),  # LOCAL, no addresses
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_proxy_header_before_it(header, size):
    octets = header + REQUEST + CLIENT
    talk = Conversation()
    talk.say("c2s", *(octets[at : at + size] for at in range(0, len(octets), size)))
    talk.say("s2c", RESPONSE, SERVER)
    assert talk.handshakes() == [Handshake(REQUEST, RESPONSE)]
    assert talk.messages() == BOTH


@pytest.mark.parametrize("method", [b"P", b"PROPFIND", b"PROXY"])
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_method_like_a_proxy_header(method, size):
    octets = REQUEST.replace(b"GET /", method + b"\t/") + CLIENT
    talk = Conversation()
    talk.say("c2s", *(octets[at : at + size] for at in range(0, len(octets), size)))
    talk.say("s2c", RESPONSE)
    assert talk.handshakes()[0].request.startswith(method + b"\t/chat")
    assert talk.messages() == BOTH[:1]


def test_a_proxy_line_without_end_is_bounded():
    talk = Conversation().say("c2s", b"PROXY " + b"x" * 101, REQUEST).say("s2c", RESPONSE)
    assert talk.handshakes() == [Handshake(REQUEST, RESPONSE)]


def test_agreed_to_a_request_that_was_not_seen():
    talk = Conversation().say("s2c", RESPONSE, SERVER).say("c2s", CLIENT, CLIENT)
    assert talk.handshakes() == [Handshake(b"", RESPONSE)]
    assert sorted(talk.messages()) == [BOTH[0], *BOTH]
    assert talk.kinds() == []


def test_a_response_to_head_has_no_body():
    talk = Conversation().say("c2s", b"HEAD / HTTP/1.1\r\n\r\n", EARLIER[0][0], REQUEST)
    talk.say("s2c", b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", EARLIER[0][1])
    talk.say("s2c", RESPONSE, SERVER)
    assert talk.messages() == BOTH[1:]


def test_a_request_hidden_in_a_body_does_not_hide_the_server():
    talk = Conversation(head_bytes=512)
    talk.say("c2s", b"GET / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", REQUEST, CLIENT)
    talk.say("s2c", RESPONSE, *[SERVER] * 60).end()
    assert talk.handshakes()[0].status == 101
    assert talk.kinds()[0] == ("c2s", "gap", 0)
    assert talk.messages() == 60 * BOTH[1:]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("pipelined", [True, False])
@pytest.mark.parametrize(("request_", "response"), [(b"", b""), *EARLIER])
def test_another_request_after_a_refusal(size, pipelined, request_, response):
    client = (2 * REQUEST, request_ + REQUEST + CLIENT)
    server = (REFUSAL + REFUSAL, response + RESPONSE + SERVER)
    talk = Conversation()
    turns = [("c2s", client[0]), ("s2c", server[0]), ("c2s", client[1]), ("s2c", server[1])]
    if pipelined:
        turns = [("c2s", b"".join(client)), ("s2c", b"".join(server))]
    for direction, octets in turns:
        talk.say(direction, *(octets[at : at + size] for at in range(0, len(octets), size)))
    talk.end()
    assert [handshake.status for handshake in talk.handshakes()] == [426, 426, 101]
    assert talk.handshakes()[-1] == Handshake(REQUEST, RESPONSE)
    assert sorted(talk.messages()) == BOTH
    assert talk.kinds() == []
    assert talk.decoder.memory <= 1024


BODIES = [
    (b"Content-Length: 18\r\n", b"GET / HTTP/1.1\r\n\r\n"),
    (b"Transfer-Encoding: chunked\r\n", b"2\r\n\x81\x80\r\n0\r\n\r\n"),
]


@pytest.mark.parametrize(("field", "body"), BODIES)
@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("answer_first", [True, False])
def test_a_body_of_the_request_that_asks(field, body, size, answer_first):
    request_ = REQUEST[:-2] + field + b"\r\n"
    client = request_ + body + REQUEST + CLIENT
    talk = Conversation()
    talk.say("c2s", *(client[at : at + size] for at in range(0, len(request_) + 3, size)))
    rest = client[talk.position["c2s"] - 1000 :]
    turns = [("s2c", REFUSAL + RESPONSE), ("c2s", rest)]
    for direction, octets in turns if answer_first else turns[::-1]:
        talk.say(direction, octets)
    assert [seen.status for seen in talk.handshakes()] == [426, 101]
    assert "request_body" in talk.handshakes()[0].faults
    assert talk.messages() == BOTH[:1]
    talk = Conversation().say("c2s", request_).say("s2c", RESPONSE)
    talk.say("c2s", body + CLIENT)
    assert talk.messages() == BOTH[:1]


def test_a_body_that_is_declared_and_does_not_come():
    # Servers that read no body of such a request take what follows for frames.
    request_ = REQUEST[:-2] + b"Content-Length: 100000\r\n\r\n"
    talk = (
        Conversation().say("c2s", request_).say("s2c", RESPONSE).say("c2s", CLIENT[:1], CLIENT[1:])
    )
    assert talk.messages() == BOTH[:1]
    assert talk.kinds() == []


def test_responses_before_their_requests_with_a_refusal():
    talk = Conversation().say("s2c", REFUSAL + RESPONSE + SERVER)
    talk.say("c2s", REQUEST + REQUEST + CLIENT)
    assert [handshake.status for handshake in talk.handshakes()] == [426, 101]
    assert sorted(talk.messages()) == BOTH


@pytest.mark.parametrize(
    "refusal",
    [
        b"HTTP/1.1 403 Forbidden\r\n\r\n",  # its body ends with the connection
        b"SSH-2.0 x\r\n\r\n",
        b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\nX: " + b"y" * 20_000 + b"\r\n\r\nno",
    ],
)
def test_a_refusal_behind_which_no_head_can_be_found(refusal):
    talk = Conversation().say("c2s", REQUEST).say("s2c", refusal)
    talk.say("c2s", REQUEST, CLIENT).say("s2c", RESPONSE, SERVER).end()
    [handshake] = talk.events
    assert not handshake.upgraded


def test_other_requests_after_a_refusal_are_no_handshake():
    talk = Conversation().say("c2s", REQUEST).say("s2c", REFUSAL)
    for request_, response in EARLIER:
        talk.say("c2s", request_).say("s2c", response)
    talk.say("c2s", REQUEST[:40]).end()
    assert [handshake.status for handshake in talk.handshakes()] == [426]


@pytest.mark.parametrize(
    "upgrade",
    [b"Upgrade : websocket", b"UPGRADE:\r\n WebSocket", b"Upgrade: h2c, websocket/13, x"],
)
def test_a_request_that_lenient_servers_take(upgrade):
    request_ = REQUEST.replace(b"Upgrade: websocket", upgrade, 1)
    talk = Conversation().say("c2s", request_).say("s2c", RESPONSE).say("c2s", CLIENT)
    [handshake] = talk.handshakes()
    assert handshake.request == request_
    assert "bad_upgrade" in handshake.faults
    assert talk.messages() == BOTH[:1]


OFFERED = REQUEST  # permessage-deflate
PLAIN = REQUEST.replace(b"Sec-WebSocket-Extensions", b"X-Other")


@pytest.mark.parametrize("at", [0, 5, 40, len(RESPONSE) - 30])
def test_a_response_that_is_lost_or_cut(at):
    deflater = Deflater(10, no_context_takeover=True)
    texts = [b"some words, the same words " * n for n in (1, 2, 3)]
    frames = [frame(TEXT, deflater(text), key=KEY, rsv=4) for text in texts]
    talk = Conversation().say("c2s", OFFERED).say("s2c", RESPONSE[:at], len(RESPONSE) - at)
    talk.say("s2c", SERVER).say("c2s", *frames).end()
    assert talk.messages() == [("c2s", text) for text in texts]
    assert len(talk.handshakes()) == 1
    # Not offered, it is not presumed
    talk = Conversation().say("c2s", PLAIN).say("s2c", RESPONSE[:at], len(RESPONSE) - at)
    talk.say("s2c", SERVER).say("c2s", frame(TEXT, b"raw", key=KEY, rsv=4), CLIENT)
    assert ("c2s", "rsv_bits", 0) in talk.kinds()
    assert talk.messages()[-1:] == BOTH[:1]


def test_a_lost_response_that_was_a_refusal():
    talk = Conversation().say("c2s", REQUEST).say("s2c", 200, b"the body of a page")
    talk.say("c2s", EARLIER[0][0]).end()
    [handshake] = talk.events
    assert handshake.status is None
    assert not handshake.upgraded


def test_an_early_refusal_before_the_request_is_whole():
    talk = Conversation().say("c2s", REQUEST[:50]).say("s2c", b"HTTP/1.1 400 Bad\r\n\r\n")
    [handshake] = talk.events
    assert (handshake.request, handshake.status) == (REQUEST[:50], 400)


def test_no_response_at_all():
    talk = Conversation().say("c2s", REQUEST).end("c2s")
    assert talk.events == []
    talk.end("s2c")
    assert talk.events == [Handshake(REQUEST, b"")]


def test_no_http_at_all():
    talk = Conversation().say("c2s", b"\x16\x03\x01" * 40).say("s2c", b"SSH-2.0\r\n").end()
    [handshake] = talk.events
    assert handshake.status is None


@pytest.mark.parametrize("limit", [100, 200])
def test_long_heads_are_cut_and_read_to_their_end(limit):
    talk = Conversation(head_bytes=limit)
    long = RESPONSE[:-2] + b"X: " + b"y" * 5000 + b"\r\n\r\n"
    talk.say("c2s", REQUEST, CLIENT).say("s2c", long, SERVER)
    [handshake] = talk.handshakes()
    assert (handshake.request, handshake.response) == (REQUEST[:limit], long[:limit])
    assert talk.messages() == BOTH


def test_a_connection_from_the_middle():
    rng, deflater = random.Random(6), Deflater()
    said = [rng.randbytes(40) for _ in range(30)]
    streams = {
        "c2s": b"a" * 9 + b"".join(frame(BINARY, some, key=rng.randbytes(4)) for some in said),
        "s2c": b"b" * 9 + b"".join(frame(BINARY, deflater(some), rsv=4) for some in said),
    }
    decoder = ConnectionDecoder(synchronised=False)
    for direction, stream in streams.items():
        events = decoder.feed(direction, 1 << 33, stream) + decoder.end(direction)
        told = [event.payload for event in events]
        assert len(told) >= 22
        assert told == said[-len(told) :]


def test_octets_seen_already_are_ignored():
    talk = Conversation().say("c2s", REQUEST).say("s2c", RESPONSE)
    talk.say("c2s", CLIENT)
    talk.position["c2s"] -= len(CLIENT) + 100
    talk.say("c2s", (REQUEST + CLIENT)[-len(CLIENT) - 100 :] + CLIENT)
    assert talk.messages() == 2 * BOTH[:1]
    assert talk.kinds() == []


def test_a_gap_inside_a_payload():
    talk = Conversation().say("c2s", REQUEST).say("s2c", RESPONSE)
    talk.say("s2c", SERVER[:7], 4, SERVER[11:] + SERVER)
    assert talk.messages() == [("s2c", b"from \0\0\0\0server"), BOTH[1]]
    assert talk.kinds() == [("s2c", "gap", 7), ("s2c", "truncated", 7)]


def test_a_gap_in_a_head_loses_that_direction_only():
    talk = Conversation().say("c2s", REQUEST[:40], 10, REQUEST[50:], CLIENT)
    talk.say("s2c", RESPONSE, SERVER)
    assert talk.handshakes() == [Handshake(REQUEST[:40], RESPONSE)]
    assert talk.messages() == BOTH[1:]
    assert talk.kinds() == [("c2s", "gap", 0)]


def test_a_loss_at_the_end_shows():
    talk = Conversation().say("c2s", REQUEST).say("s2c", RESPONSE + SERVER, 30).end()
    assert talk.messages() == BOTH[1:]
    assert talk.kinds() == [("s2c", "gap", len(SERVER))]


@pytest.mark.parametrize(
    ("extension", "client", "server"),
    [
        (b"permessage-deflate", Deflater(), Deflater()),
        (b"permessage-deflate; server_no_context_takeover", Deflater(), Deflater(15, True)),
        (b"permessage-deflate; client_no_context_takeover", Deflater(15, True), Deflater()),
        (
            b'Permessage-Deflate ; server_max_window_bits = "10";client_max_window_bits=9',
            Deflater(9),
            Deflater(10),
        ),
        (b"x-other, permessage-deflate;client_max_window_bits=99", Deflater(), Deflater()),
    ],
)
def test_extensions_of_each_direction(extension, client, server):
    response = ACCEPT + b"Sec-WebSocket-Extensions: " + extension + b"\r\n\r\n"
    talk = Conversation().say("c2s", REQUEST).say("s2c", response)
    text = b"some words, the same words, " * 40
    for _ in range(2):
        talk.say("c2s", frame(TEXT, client(text), key=KEY, rsv=4))
        talk.say("s2c", frame(TEXT, server(text), rsv=4))
    assert talk.messages() == 2 * [("c2s", text), ("s2c", text)]


def test_without_the_extension_rsv1_is_an_anomaly():
    talk = Conversation().say("c2s", REQUEST).say("s2c", RESPONSE)
    talk.say("s2c", frame(TEXT, b"raw", rsv=4))
    assert talk.kinds() == [("s2c", "rsv_bits", 0)]
    assert talk.messages() == [("s2c", b"raw")]


# --- memory ---


def opened(extension=b""):
    response = ACCEPT + extension + b"\r\n"
    return Conversation().say("c2s", REQUEST).say("s2c", response)


def test_an_idle_connection_costs_a_kibibyte():
    talk = opened()
    idle = talk.decoder.memory
    assert idle <= 1024
    talk.say("c2s", frame(TEXT, b"x" * 100_000, key=KEY)[:-1])
    assert talk.decoder.memory > 100_000
    talk.say("c2s", frame(TEXT, b"x" * 100_000, key=KEY)[-1:])
    assert talk.decoder.memory == idle


SMALL = 16 << 10  # a buffer that any open message may hold


def test_a_declared_length_takes_no_memory():
    talk = opened().say("s2c", frame(BINARY, b"few", length=1 << 20))
    assert talk.decoder.memory < SMALL + 2048


def test_a_small_open_message_holds_no_large_buffer():
    talk = opened()
    for octets in (frame(BINARY, bytes(100_000)), frame(BINARY, b"few")):
        talk.say("s2c", octets[:-1])
        assert talk.decoder.memory < 4 * len(octets) + SMALL + 2048
        talk.say("s2c", octets[-1:])


def test_contexts_cost_their_windows_from_the_first_message_on():
    talk = opened(b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n")
    idle = talk.decoder.memory
    talk.say("s2c", frame(TEXT, Deflater(10)(b"x" * 5000), rsv=4))
    assert idle < talk.decoder.memory < idle + (1 << 10) + 8192


def test_without_takeover_no_context_stays():
    talk = opened(b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n")
    idle = talk.decoder.memory
    talk.say("s2c", frame(TEXT, Deflater(15, True)(b"x" * 5000), rsv=4))
    assert talk.decoder.memory == idle


def test_heads_take_no_more_than_their_bound():
    talk = Conversation(head_bytes=4096)
    talk.say("c2s", REQUEST[:-2], *(b"X: yyyyyyyyyyyyyyyyy\r\n" for _ in range(5000)))
    talk.say("s2c", b"HTTP/1.1 101 X", b"z" * 100_000)
    assert talk.decoder.memory < 1024 + 2 * 8192


def test_a_withheld_message_is_counted():
    talk = opened(b"Sec-WebSocket-Extensions: permessage-deflate\r\n")
    talk.say("s2c", frame(TEXT, b"\xff\xff\xff\xff", rsv=4), frame(CLOSE))
    assert talk.kinds() == [("s2c", "inflate_error", 0)]
    assert talk.decoder.losses == {"c2s": (0, 0), "s2c": (0, 1)}
