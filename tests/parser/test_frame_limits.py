"""What is kept of long messages, and what FrameDecoder refuses."""

import hashlib

import pytest
from wire import BINARY, CONTINUATION, KEY, TEXT, frame

from sockwarden.parser import FrameDecoder

CHUNK = 1000


def decode(stream, **limits):
    decoder = FrameDecoder("client", **limits)
    events = []
    for at in range(0, len(stream), CHUNK):
        events += decoder.feed(stream[at : at + CHUNK])
    return events


@pytest.mark.parametrize("size", [99, 100, 101, 5000, 200_000])
def test_the_first_part_is_kept_and_all_of_it_is_hashed(size):
    payload = bytes(at % 251 for at in range(size))
    [message] = decode(frame(BINARY, payload, key=KEY), message_bytes=100)
    assert message.payload == payload[:100]
    assert message.length == size
    assert message.sha256 == hashlib.sha256(payload).hexdigest()


def test_nothing_is_kept_at_a_limit_of_none():
    [message] = decode(frame(TEXT, b"hello", key=KEY), message_bytes=0)
    assert (message.payload, message.length) == (b"", 5)
    assert message.sha256 == hashlib.sha256(b"hello").hexdigest()


def test_text_is_judged_beyond_the_limit():
    stream = frame(TEXT, b"a" * 3000 + b"\xff" + b"a" * 3000, key=KEY)
    anomaly, message = decode(stream, message_bytes=100)
    assert (anomaly.kind, anomaly.offset) == ("invalid_utf8", 8 + 3000)
    assert message.length == 6001


def test_the_limit_is_that_of_all_fragments():
    stream = frame(TEXT, b"a" * 80, fin=False, key=KEY) + frame(CONTINUATION, b"b" * 80, key=KEY)
    [message] = decode(stream, message_bytes=100)
    assert message.payload == b"a" * 80 + b"b" * 20
    assert message.fragments == 2


def test_who_sends_must_be_said():
    with pytest.raises(ValueError, match="'client' or 'server', not 'proxy'"):
        FrameDecoder("proxy")


def test_any_buffer_will_do():
    stream = frame(TEXT, b"hello", key=KEY)
    for data in (bytearray(stream), memoryview(stream)):
        assert [event.payload for event in FrameDecoder("client").feed(data)] == [b"hello"]
    with pytest.raises(TypeError):
        FrameDecoder("client").feed(None)
