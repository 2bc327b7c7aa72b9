"""However both directions are cut and interleaved, a connection tells the same of each."""

from conversation import ACCEPT, EARLIER, REFUSAL, REQUEST, RESPONSE, Conversation
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import CLOSE, KEY, PING, TEXT, Deflater, frame

from sockwarden.parser import Handshake

DEFLATED = ACCEPT + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
WORDS = b"some words, the same words, some words"


def spoken():
    client, server = Deflater(), Deflater()
    return {
        "c2s": REQUEST
        + frame(TEXT, client(WORDS), key=KEY, rsv=4)
        + frame(PING, b"?", key=KEY)
        + frame(TEXT, client(WORDS), key=KEY, rsv=4)
        + frame(CLOSE, key=KEY),
        "s2c": b"HTTP/1.1 103 Early Hints\r\n\r\n"
        + DEFLATED
        + frame(TEXT, server(WORDS), rsv=4)
        + frame(TEXT, b"\xff")
        + frame(CLOSE, b"\x03\xe8"),
    }


@st.composite
def interleavings(draw, streams):
    """(direction, octets), each direction's in order."""
    left = dict(streams)
    steps = []
    while any(left.values()):
        direction = draw(st.sampled_from(sorted(name for name in left if left[name])))
        size = draw(st.integers(1, 60))
        steps.append((direction, left[direction][:size]))
        left[direction] = left[direction][size:]
    return steps


def told(steps):
    talk = Conversation()
    for direction, octets in steps:
        talk.say(direction, octets)
    talk.end()
    assert isinstance(talk.events[0], Handshake)
    return {
        direction: [event for event in talk.events[1:] if event.dir == direction]
        for direction in ("c2s", "s2c")
    }, talk.events[0]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_interleaving(data):
    streams = spoken()
    expected, handshake = told(list(streams.items()))
    assert [len(events) for events in expected.values()] == [4, 4]
    assert handshake == Handshake(REQUEST, DEFLATED)
    assert told(data.draw(interleavings(streams))) == (expected, handshake)


ANYTHING = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            [REQUEST, RESPONSE, DEFLATED, REFUSAL, *EARLIER[0], *EARLIER[1], *EARLIER[2]]
        ),
        st.builds(frame, st.integers(0, 15), st.binary(max_size=40)),
    ),
    max_size=8,
).map(b"".join)


@given(st.data(), ANYTHING, ANYTHING, st.integers(0, 400))
@settings(max_examples=300, deadline=None)
def test_no_octets_do_harm(data, client, server, head_bytes):
    talk = Conversation(head_bytes=head_bytes, message_bytes=100)
    for direction, octets in data.draw(interleavings({"c2s": client, "s2c": server})):
        if data.draw(st.integers(0, 9)) == 0:
            talk.say(direction, data.draw(st.integers(1, 50)))
        talk.say(direction, octets)
        # Both contexts of 32 KiB, or two of each where they were lost, two heads, what came early,
        # two open messages, two searches.
        assert talk.decoder.memory < 250_000
    talk.end()
    handshakes = talk.handshakes()
    assert handshakes == talk.events[: len(handshakes)]
    assert not any(handshake.upgraded for handshake in handshakes[:-1])
