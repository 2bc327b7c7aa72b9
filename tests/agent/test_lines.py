"""The pipeline's own JSON lines are those that the reports of agent/alert.py encode to."""

import io
import zlib

import pytest
from probe_records import CLIENT, Conversation
from websocket_bytes import BINARY, CLOSE, PING, TEXT, frame, key_of, request, response

from sockwarden.agent.pipeline import Pipeline
from sockwarden.agent.report import JsonLines
from sockwarden.agent.rules.load import load_rules

MASK = b"\x01\x02\x03\x04"
CONTINUATION, RSV1 = 0, 0x40
INJECTION = b'{"q":"x\' UNION SELECT username, password FROM users -- "}'


@pytest.fixture(scope="module")
def rules():
    return load_rules(None)


def greet(talk, extensions=""):
    key = key_of(talk.number)
    headers = {"Sec-WebSocket-Extensions": extensions} if extensions else {}
    return talk.open() + talk.c2s(request(key=key, **headers)) + talk.s2c(response(key, **headers))


def deflated(payload):
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def traffic():
    """Records of three connections, in turns, with a line of each kind between messages."""
    first, second = Conversation(1), Conversation(2, role=CLIENT, remote="[2001:db8::1]:443")
    packed = Conversation(3)
    yield greet(first) + greet(second) + greet(packed, "permessage-deflate")
    yield first.c2s(frame(TEXT, b"hello", mask=MASK) + frame(TEXT, b"", mask=MASK))
    yield second.s2c(frame(BINARY, bytes(range(256)) * 400))
    yield first.c2s(frame(TEXT, INJECTION, mask=MASK) + frame(PING, b"?", mask=MASK))
    yield packed.c2s(frame(TEXT, deflated(b"packed " * 99), mask=MASK, rsv=RSV1))
    yield second.c2s(frame(TEXT, b"one ", mask=MASK, fin=False))
    yield second.c2s(frame(CONTINUATION, b"two", mask=MASK))
    yield first.c2s(frame(TEXT, b"\xff", mask=MASK) + frame(CLOSE, b"\x03\xe8bye", mask=MASK))
    yield first.c2s(frame(BINARY, b"late", mask=MASK)) + first.close()
    yield second.s2c(frame(CLOSE, b"")) + second.close() + packed.close()


@pytest.mark.parametrize("only", [None, ["message"], ["control", "alert"], ["anomaly"]])
@pytest.mark.parametrize("together", [True, False])
def test_written_by_the_pipeline_or_by_the_sink(rules, only, together):
    found = []
    for own in (True, False):
        stream = io.BytesIO()
        sink = JsonLines(stream, only)
        way = Pipeline(rules, sink, trace=True, lines=sink.lines if own else None)
        for records in [b"".join(traffic())] if together else traffic():
            way.feed(records)
            way.deliver()
        sink.flush()
        found.append(stream.getvalue().splitlines())
    ours, sinks = found
    assert ours == sinks
    assert len(ours) > (5 if only is None else 0)


def test_what_is_delivered_has_been_flushed(rules):
    stream = io.BytesIO()
    sink = JsonLines(stream)
    way = Pipeline(rules, sink, trace=True, lines=sink.lines)
    talk = Conversation(1)
    way.feed(greet(talk) + talk.c2s(frame(TEXT, b"hello", mask=MASK)))
    way.deliver()
    assert stream.getvalue().count(b"\n") == 2


def test_more_lines_than_the_buffer_holds_stay_in_order(rules):
    stream = io.BytesIO()
    sink = JsonLines(stream, ["message"])
    way = Pipeline(rules, sink, trace=True, lines=sink.lines)
    talk = Conversation(1)
    way.feed(greet(talk))
    for size in range(5000):
        way.feed(talk.s2c(frame(BINARY, bytes(size))))
    way.deliver()
    lengths = [line.split(b'"length":')[1].split(b",")[0] for line in stream.getvalue().split()]
    assert [int(length) for length in lengths] == list(range(5000))


def test_a_stream_that_fails_is_told_by_deliver_once(rules):
    class Broken(io.BytesIO):
        def write(self, data):
            raise BrokenPipeError

    sink = JsonLines(Broken())
    way = Pipeline(rules, sink, trace=True, lines=sink.lines)
    talk = Conversation(1)
    way.feed(greet(talk) + talk.s2c(frame(BINARY, b"x") * 5000))
    with pytest.raises(BrokenPipeError):
        way.deliver()
    way.deliver()


def test_a_message_whose_frames_nobody_kept(rules):
    stream = io.BytesIO()
    sink = JsonLines(stream, ["message"])
    way = Pipeline(rules, sink, trace=True, lines=sink.lines)
    way.feed(greet(Conversation(1)))
    way.message(1, 5, 1, TEXT, b"")
    way.deliver()
    assert stream.getvalue() == (
        b'{"type":"message","conn":1,"dir":"s2c","opcode":1,"length":0,"sha256":'
        b'"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",'
        b'"compressed":null,"fragments":null}\n'
    )
