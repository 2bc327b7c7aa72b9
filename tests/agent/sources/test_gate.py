"""Which connections of a capture become records."""

import pytest
from captures import Conversation, capture
from handshakes import REFUSAL, REQUEST, RESPONSE
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder import Result, analyze

GET = b"GET / HTTP/1.1\r\nHost: server.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FRAMES = b"\x81\x02hi"
PROXY_V2 = bytes.fromhex("0d0a0d0a000d0a515549540a2111000c") + bytes(12)


def exchange(*turns: bytes, segment: int = 1448) -> Result:
    """Client and server take turns, the client first."""
    made = Conversation(segment=segment).open()
    for number, data in enumerate(turns):
        made.send(number % 2, data)
    result = analyze(capture(made.close().packets))
    assert result.error is None
    return result


def streams(result: Result) -> list[tuple[bytes, bytes]]:
    return [connection.streams for connection in result.connections]


@pytest.mark.parametrize("segment", [1448, 7, 1])
@pytest.mark.parametrize(
    "before",
    [
        pytest.param([], id="nothing"),
        pytest.param([GET, OK], id="a request"),
        pytest.param([GET + GET, OK + OK], id="pipelined requests"),
        pytest.param([b"\r\n\r\n" + GET, b"HTTP/1.1 204 No Content\r\n\r\n"], id="no content"),
        pytest.param(
            [b"HEAD / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"],
            id="HEAD",
        ),
        pytest.param(
            [
                b"POST / HTTP/1.1\r\nContent-Length: 42\r\n\r\nGET / HTTP/1.1\r\nUpgrade: "
                b"websocket\r\n\r\n4444",
                OK,
            ],
            id="a request in a body",
        ),
        pytest.param(
            [
                b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nGET /\r\n0a\r\n"
                b"0123456789\r\n0\r\nTrailer: 1\r\n\r\n",
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                b"\r\n3\r\n\r\n\r\r\n0\r\n\r\n",
            ],
            id="chunks",
        ),
        pytest.param([b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + GET, OK], id="PROXY v1"),
        pytest.param([b"PROXY UNKNOWN\r\n" + GET, OK], id="PROXY v1, short"),
        pytest.param([PROXY_V2 + GET, OK], id="PROXY v2"),
        pytest.param(
            [
                b"CONNECT server.example:80 HTTP/1.1\r\n\r\n",
                b"HTTP/1.1 200 Connection established\r\n\r\n",
            ],
            id="CONNECT",
        ),
    ],
)
def test_what_is_skipped_before_the_request(before: list[bytes], segment: int) -> None:
    result = exchange(*before, REQUEST, RESPONSE + FRAMES, FRAMES, segment=segment)
    assert streams(result) == [(REQUEST + FRAMES, RESPONSE + FRAMES)]
    assert result.lost == {}


@pytest.mark.parametrize("preface", [b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", PROXY_V2])
def test_the_request_in_the_segment_of_the_proxy_header(preface: bytes) -> None:
    assert streams(exchange(preface + REQUEST, RESPONSE)) == [(REQUEST, RESPONSE)]


def test_an_upgrade_behind_a_pipelined_request_has_its_own_response() -> None:
    result = exchange(GET + REQUEST, OK + RESPONSE + FRAMES, FRAMES)
    assert streams(result) == [(REQUEST + FRAMES, RESPONSE + FRAMES)]


def test_frames_before_the_response_wait_for_it() -> None:
    result = exchange(REQUEST + FRAMES, RESPONSE, FRAMES)
    assert streams(result) == [(REQUEST + FRAMES + FRAMES, RESPONSE)]


@pytest.mark.parametrize("segment", [1448, 1])
def test_a_second_upgrade_after_a_refusal_is_a_new_connection(segment: int) -> None:
    result = exchange(REQUEST, REFUSAL, GET, OK, REQUEST, RESPONSE, FRAMES, segment=segment)
    assert streams(result) == [(REQUEST + GET, REFUSAL + OK), (REQUEST + FRAMES, RESPONSE)]
    assert [connection.generation for connection in result.connections] == [1, 2]


def test_a_pipelined_second_upgrade_after_a_refusal() -> None:
    result = exchange(REQUEST + REQUEST, REFUSAL + RESPONSE + FRAMES)
    head = REFUSAL.removesuffix(b"sorry")  # the next request ends the first connection
    assert streams(result) == [(REQUEST, head), (REQUEST, RESPONSE + FRAMES)]


def test_4_kib_are_passed_on_after_a_refusal() -> None:
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9000\r\n\r\n"
    result = exchange(REQUEST, head + b"b" * 9000, GET, OK)
    assert streams(result) == [(REQUEST, head + b"b" * 4096)]
    assert result.only.end == (len(REQUEST), len(head) + 4096)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\nUpgrade: websocket\n\n",
        b"GET / HTTP/1.1\r\nUPGRADE:h2c,\tWebSocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade : websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade:\r\n websocket\r\n\r\n",
        b"GET / HTTP/1.0\r\nA: b\r\nUpgrade: websocket\r\n\r\n",
        b"POST / HTTP/1.1\r\nA: b\r\nUpgrade: websocket\r\n\r\n",
    ],
)
def test_requests_that_lenient_servers_take(head: bytes) -> None:
    assert streams(exchange(head, RESPONSE)) == [(head, RESPONSE)]


@pytest.mark.parametrize("cut", [10, len(REQUEST)])
def test_a_101_whose_request_was_not_captured(cut: int) -> None:
    made = Conversation(segment=cut).open().send(0, REQUEST)
    made.segment = 1448
    made.send(1, RESPONSE).send(0, FRAMES).send(1, FRAMES).close()
    result = analyze(capture(made.without(3)))
    assert streams(result) == [(FRAMES, RESPONSE + FRAMES)]


@pytest.mark.parametrize(
    "turns",
    [
        [GET, OK],
        [b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n", REQUEST],
        [b"GET /?Upgrade:websocket HTTP/1.1\r\nX-Upgrade: websocket\r\n\r\n", OK],
        [b"", b"220 mail.example ESMTP\r\n", b"EHLO me\r\n" + REQUEST],
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + REQUEST],
        [b"HELLO there\r\n" + REQUEST],
        [b"\0\1\2\3" + REQUEST],
        [b"GET " + b"/" * 9000 + b" HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"],
    ],
)
def test_other_traffic_makes_no_record(turns: list[bytes]) -> None:
    assert exchange(*turns).connections == []


@pytest.mark.parametrize("segment", [1448, 1])
def test_tls_is_counted(segment: int) -> None:
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(200)
    assert exchange(hello, hello, segment=segment).lost == {"tls_connections": 1}
    tunnel = b"CONNECT a:443 HTTP/1.1\r\n\r\n"
    assert exchange(tunnel, b"HTTP/1.1 200 OK\r\n\r\n", hello).lost == {"tls_connections": 1}


def test_a_request_head_beyond_16_kib() -> None:
    filler = b"X-Filler: " + b"f" * 20_000 + b"\r\n\r\n"
    early = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n" + filler
    assert streams(exchange(early, RESPONSE, FRAMES)) == [(early + FRAMES, RESPONSE)]
    late = b"GET / HTTP/1.1\r\n" + filler[:-2] + b"Upgrade: websocket\r\n\r\n"
    result = exchange(late, OK, REQUEST, RESPONSE)
    assert streams(result) == [(REQUEST, RESPONSE)]
    assert result.lost == {"request_heads_too_long": 1}


def test_the_gate_finds_its_place_again_behind_a_hole() -> None:
    made = Conversation(segment=100).open()
    made.send(0, b"GET / HTTP/1.1\r\nX: " + b"x" * 300 + b"\r\n\r\n").send(1, OK)
    made.send(0, REQUEST).send(1, RESPONSE).send(0, FRAMES).close()
    result = analyze(capture(made.without(4)))
    assert streams(result) == [(REQUEST + FRAMES, RESPONSE)]


def test_a_response_of_which_a_part_is_missing() -> None:
    made = Conversation(segment=50).open().send(0, REQUEST).send(1, RESPONSE).send(1, FRAMES)
    first = 3 + -(-len(REQUEST) // 50) + 1
    parts = [(0, RESPONSE[:50]), (100, RESPONSE[100:] + FRAMES)]
    assert analyze(capture(made.without(first + 1))).only.runs[1] == parts
    parts = [(0, b""), (50, RESPONSE[50:] + FRAMES)]
    assert analyze(capture(made.without(first))).only.runs[1] == parts


@given(
    st.lists(st.sampled_from([GET, OK, REQUEST, RESPONSE, REFUSAL, FRAMES, b"\r\n", b"junk"])),
    st.integers(1, 60),
    st.sets(st.integers(0, 80), max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_any_conversation_gives_records_in_order(
    turns: list[bytes], segment: int, missing: set[int]
) -> None:
    made = Conversation(segment=segment).open()
    for number, data in enumerate(turns):
        made.send(number % 2, data)
    packets = [packet for index, packet in enumerate(made.packets) if index not in missing]
    result = analyze(capture(packets))
    assert result.error is None
    assert all(connection.end is not None for connection in result.connections)
