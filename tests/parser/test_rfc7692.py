"""RFC 7692: permessage-deflate of each direction, with its parameters."""

import hashlib
import os
import zlib

import pytest
from wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    TEXT,
    Deflater,
    cuts,
    frame,
)

from sockwarden.parser import Anomaly, DeflateParameters, FrameDecoder, Message

TAKEOVER = DeflateParameters()
NO_TAKEOVER = DeflateParameters(no_context_takeover=True)
WORDS = b'{"user": "alice", "text": "the same words again and again"}'
BROKEN = b"\xff\xff\xff\xff"  # a block of the reserved type


def decode(stream, deflate=TAKEOVER, **limits):
    decoder = FrameDecoder("server", deflate, **limits)
    return decoder.feed(stream) + decoder.end()


def kinds(events):
    return [(event.kind, event.offset) for event in events if isinstance(event, Anomaly)]


def payloads(events):
    return [event.payload for event in events if isinstance(event, Message)]


# --- section 7.2.3: the examples ---


@pytest.mark.parametrize(
    "wire",
    [
        "c1 07 f2 48 cd c9 c9 07 00",  # 7.2.3.1
        "c1 0b 00 05 00 fa ff 48 65 6c 6c 6f 00",  # 7.2.3.3: a block without compression
        "c1 08 f3 48 cd c9 c9 07 00 00",  # 7.2.3.4: BFINAL
        "c1 0d f2 48 05 00 00 00 ff ff ca c9 c9 07 00",  # 7.2.3.5: two blocks
        "41 03 f2 48 cd 80 04 c9 c9 07 00",  # 7.2.3.1, fragmented
    ],
)
def test_examples(wire):
    [message] = decode(bytes.fromhex(wire))
    assert (message.payload, message.length, message.compressed) == (b"Hello", 5, True)
    assert message.sha256 == hashlib.sha256(b"Hello").hexdigest()


def test_sharing_the_window():  # 7.2.3.2
    stream = bytes.fromhex("c1 07 f2 48 cd c9 c9 07 00 c1 05 f2 00 11 00 00")
    assert payloads(decode(stream)) == [b"Hello", b"Hello"]


def test_an_empty_message():  # 7.2.3.6
    assert payloads(decode(bytes.fromhex("c1 01 00") + frame(TEXT, b"next"))) == [b"", b"next"]


def test_a_compressed_message_without_an_octet():
    deflater = Deflater()
    stream = frame(TEXT, deflater(WORDS), rsv=4) + frame(TEXT, rsv=4)
    stream += frame(TEXT, deflater(WORDS), rsv=4)
    assert payloads(decode(stream)) == [WORDS, b"", WORDS]


@pytest.mark.parametrize("padding", [b"\x00", b""])  # 7.2.3.4 wants it; a sender may forget it
def test_the_window_goes_on_behind_a_final_block(padding):
    ended = zlib.compressobj(wbits=-15)
    first = ended.compress(WORDS) + ended.flush() + padding
    later = zlib.compressobj(wbits=-15, zdict=WORDS)
    second = later.compress(WORDS) + later.flush(zlib.Z_SYNC_FLUSH)
    assert len(second) < len(WORDS) // 2  # it does refer to the first
    assert payloads(decode(frame(TEXT, first, rsv=4) + frame(TEXT, second[:-4], rsv=4))) == [
        WORDS,
        WORDS,
    ]


# --- sections 7.1.1 and 7.1.2: the parameters ---


@pytest.mark.parametrize("bits", range(8, 16))
@pytest.mark.parametrize("no_takeover", [False, True])
def test_parameters(bits, no_takeover):
    deflater = Deflater(bits, no_takeover)
    parameters = DeflateParameters(window_bits=bits, no_context_takeover=no_takeover)
    messages = [WORDS * 20, os.urandom(600), WORDS, b"", WORDS * 700]
    stream = b"".join(frame(BINARY, deflater(message), rsv=4) for message in messages)
    events = decode(stream, parameters)
    assert payloads(events) == messages
    assert [event.length for event in events] == [len(message) for message in messages]


@pytest.mark.parametrize("bits", range(8, 12))
def test_a_repetition_from_beyond_the_window(bits):
    deflater = Deflater()  # of 32 KiB
    noise = os.urandom(3000)
    first, second = (frame(BINARY, deflater(noise), rsv=4) for _ in range(2))
    events = decode(first + second, DeflateParameters(window_bits=bits))
    assert payloads(events) == [noise]
    assert kinds(events) == [("inflate_error", len(first))]


@pytest.mark.parametrize("bits", [7, 16, 0, -1])
def test_window_bits_out_of_range(bits):
    with pytest.raises(ValueError, match="8 to 15"):
        DeflateParameters(window_bits=bits)


# --- section 6: frames ---


def test_uncompressed_messages_between_compressed_ones():
    deflater = Deflater()
    stream = frame(TEXT, deflater(WORDS), rsv=4) + frame(TEXT, b"plain")
    stream += frame(TEXT, deflater(WORDS), rsv=4)
    events = decode(stream)
    assert payloads(events) == [WORDS, b"plain", WORDS]
    assert [event.compressed for event in events] == [True, False, True]


@pytest.mark.parametrize(("opcode", "fin"), [(CONTINUATION, True), (PING, True), (CLOSE, True)])
def test_rsv1_where_it_must_not_be(opcode, fin):
    stream = frame(TEXT, b"a", fin=False) + frame(opcode, b"", rsv=4, fin=fin)
    assert kinds(decode(stream))[0] == ("rsv_bits", 3)


def test_every_cut():
    deflater = Deflater()
    packed = deflater(WORDS)
    stream = frame(TEXT, packed[:9], fin=False, rsv=4) + frame(PING, b"!")
    stream += frame(CONTINUATION, packed[9:]) + frame(TEXT, deflater(WORDS + b"\xff"), rsv=4)
    expected = decode(stream)
    assert payloads(expected) == [WORDS, WORDS + b"\xff"]
    for pieces in cuts(stream):
        decoder = FrameDecoder("server", TAKEOVER)
        assert [event for piece in pieces for event in decoder.feed(piece)] == expected


def test_bad_text_inside():
    stream = frame(PING) + frame(TEXT, Deflater()(b"caf\xe9"), rsv=4)
    events = decode(stream)
    assert kinds(events) == [("invalid_utf8", 2)]  # the frame's: the octet lies in no place
    assert payloads(events) == [b"caf\xe9"]


# --- errors ---


def test_bad_data_withholds_all_that_needs_the_context():
    deflater = Deflater()
    stream = frame(TEXT, deflater(WORDS), rsv=4) + frame(TEXT, BROKEN, rsv=4)
    offset = len(stream) - len(frame(TEXT, BROKEN, rsv=4))
    stream += frame(TEXT, deflater(WORDS), rsv=4) + frame(TEXT, b"plain")
    events = decode(stream)
    assert kinds(events) == [("inflate_error", offset)]
    assert payloads(events) == [WORDS, b"plain"]


def test_without_takeover_the_next_message_is_right():
    deflater = Deflater(no_context_takeover=True)
    stream = frame(TEXT, BROKEN, rsv=4) + frame(TEXT, deflater(WORDS), rsv=4)
    events = decode(stream, NO_TAKEOVER)
    assert kinds(events) == [("inflate_error", 0)]
    assert payloads(events) == [WORDS]


@pytest.mark.parametrize(("deflate", "later"), [(TAKEOVER, []), (NO_TAKEOVER, [WORDS])])
def test_a_gap_withholds_the_message(deflate, later):
    deflater = Deflater(no_context_takeover=deflate.no_context_takeover)
    first = frame(TEXT, deflater(WORDS), rsv=4)
    decoder = FrameDecoder("server", deflate)
    events = decoder.feed(first[:10]) + decoder.gap(5) + decoder.feed(first[15:])
    events += decoder.feed(frame(TEXT, deflater(WORDS), rsv=4)) + decoder.end()
    assert kinds(events) == [("gap", 10), ("truncated", 10)]
    assert payloads(events) == later


def test_an_unfinished_message_leaves_no_context_to_trust():
    deflater = Deflater()
    stream = frame(TEXT, deflater(WORDS)[:9], fin=False, rsv=4)
    stream += frame(TEXT, deflater(WORDS), rsv=4)
    assert payloads(decode(stream)) == []


# --- limits ---


def test_a_message_over_the_limit_keeps_the_window_right():
    deflater = Deflater()
    long = os.urandom(3000) * 40
    stream = frame(BINARY, deflater(long), rsv=4) + frame(BINARY, deflater(long[-3000:]), rsv=4)
    cut, whole = decode(stream, message_bytes=4000)
    assert (cut.payload, cut.length) == (long[:4000], len(long))
    assert cut.sha256 == hashlib.sha256(long).hexdigest()
    assert whole.payload == long[-3000:]


def test_a_bomb_in_bounded_memory():
    bomb = zlib.compressobj(9, wbits=-15)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(200))
    packed += bomb.flush(zlib.Z_SYNC_FLUSH)[:-4]
    [message] = decode(frame(BINARY, packed, rsv=4), message_bytes=1 << 16)
    assert message.length == 200 << 20
    assert message.payload == bytes(1 << 16)
    assert message.wire_length == len(packed)


def test_masked():
    stream = frame(TEXT, Deflater()(WORDS), rsv=4, key=KEY)
    decoder = FrameDecoder("client", TAKEOVER)
    assert [event.payload for event in decoder.feed(stream)] == [WORDS]
