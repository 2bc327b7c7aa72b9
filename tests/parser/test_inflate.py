"""Inflating: against zlib, over many streams at once, at the edges of window and block."""

import itertools
import zlib

import pytest
from allocated import allocated_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import BINARY, CONTINUATION, PING, TAIL, TEXT, cuts, frame

from sockwarden.parser import DeflateParameters, FrameDecoder, Message

FLUSHES = (zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH, zlib.Z_BLOCK)
STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED)
BLOCK = bytes(range(256)) * 2


def packed_by(packer: "zlib._Compress", payload: bytes, end: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """RFC 7692 section 7.2.1."""
    return (packer.compress(payload) + packer.flush(end)).removesuffix(TAIL)


def raw(payload: bytes, window_bits: int = 15, end: int = zlib.Z_SYNC_FLUSH) -> bytes:
    return packed_by(zlib.compressobj(wbits=-window_bits), payload, end)


def stored(payload: bytes, claimed: int, final: bool = False) -> bytes:
    """A block as it is (RFC 1951 section 3.2.4), which says that it has `claimed` octets."""
    size = claimed.to_bytes(2, "little")
    return bytes([final]) + size + bytes(octet ^ 255 for octet in size) + payload


def told(decoder: FrameDecoder, *packed: bytes) -> list[bytes | str]:
    """Payloads of messages, kinds of anomalies."""
    events = decoder.feed(b"".join(frame(BINARY, some, rsv=4) for some in packed))
    return [event.payload if isinstance(event, Message) else event.kind for event in events]


def decoded(stream: bytes, pieces: list[bytes], deflate: DeflateParameters) -> list[object]:
    decoder = FrameDecoder("server", deflate)
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


# --- against zlib ---


@st.composite
def senders(draw):
    """Parameters, and messages as (payload, packed by zlib)."""
    bits = draw(st.integers(9, 15))
    takeover = draw(st.booleans())
    level, strategy = draw(st.integers(0, 9)), draw(st.sampled_from(STRATEGIES))
    base = draw(st.binary(min_size=1, max_size=300))
    packer, messages = None, []
    for _ in range(draw(st.integers(1, 6))):
        if packer is None or not takeover:
            packer = zlib.compressobj(level, zlib.DEFLATED, -bits, 8, strategy)
        pieces = [
            draw(st.binary(max_size=40)) + base * draw(st.sampled_from((0, 1, 3, 200)))
            for _ in range(draw(st.integers(0, 3)))
        ]
        packed = b"".join(
            packer.compress(piece) + packer.flush(draw(st.sampled_from(FLUSHES)))
            for piece in pieces
        )
        packed += packer.flush(zlib.Z_SYNC_FLUSH)
        messages.append((b"".join(pieces), packed.removesuffix(TAIL)))
    return DeflateParameters(bits, not takeover), messages


@given(senders(), st.data())
@settings(max_examples=150, deadline=None)
def test_what_zlib_packs_comes_out_at_any_cuts(sender, data):
    deflate, messages = sender
    stream = b"".join(frame(BINARY, packed, rsv=4) for _, packed in messages)
    places = st.lists(st.integers(0, len(stream)), max_size=30).map(sorted)
    edges = [0, *data.draw(places), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]
    events = decoded(stream, pieces, deflate)
    assert [event.payload for event in events] == [payload for payload, _ in messages]


@given(st.lists(senders(), min_size=2, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_streams_between_each_other(many, random):
    """The thread's one inflater goes from stream to stream, in the middle of messages too."""
    waiting = []
    for deflate, messages in many:
        stream = b"".join(frame(BINARY, packed, rsv=4) for _, packed in messages)
        size = random.choice((1 + len(stream) // 3, 50, 700))
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        expected = [payload for payload, _ in messages]
        waiting.append((FrameDecoder("server", deflate), pieces, expected, []))
    while open_ := [stream for stream in waiting if stream[1]]:
        decoder, pieces, _, events = random.choice(open_)
        events += decoder.feed(pieces.pop(0))
    for _, _, expected, events in waiting:
        assert [event.payload for event in events] == expected


@given(st.binary(max_size=200), st.integers(9, 15), st.data())
@settings(max_examples=300, deadline=None)
def test_bad_octets_give_a_prefix_of_what_zlib_makes_of_them(payload, bits, data):
    """Whatever the octets are, nothing is told that zlib would not say, and cuts change nothing."""
    packed = bytearray(raw(payload * 3, bits))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    stream = frame(BINARY, bytes(packed), rsv=4)
    deflate = DeflateParameters(bits)
    events = decoded(stream, [stream], deflate)
    octets = [stream[at : at + 1] for at in range(len(stream))]
    assert decoded(stream, octets, deflate) == events
    peer = zlib.decompressobj(wbits=-bits)
    try:
        whole = peer.decompress(bytes(packed) + TAIL)
    except zlib.error:
        return
    for event in events:
        if isinstance(event, Message) and not peer.eof:
            assert whole.startswith(event.payload)


# --- the window ---


@pytest.mark.parametrize("bits", range(8, 16))
def test_a_message_reaches_back_to_the_negotiated_window(bits):
    window = 1 << max(bits, 9)  # zlib packs with 9 where 8 was agreed on
    history = b"".join(at.to_bytes(4, "big") for at in range(1 << 14))[-window:]
    decoder = FrameDecoder("server", DeflateParameters(bits))
    packer = zlib.compressobj(9, wbits=-15)
    packed, again = packed_by(packer, history), packed_by(packer, history[:100])
    assert len(again) < 100 or bits == 15  # it refers to the history's first octets
    other = FrameDecoder("server", DeflateParameters())
    assert told(decoder, packed) == [history]
    told(other, raw(b"something else"))  # takes the inflater
    assert told(decoder, again) == [history[:100]]


@pytest.mark.parametrize("bits", range(8, 15))
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_message_reaches_no_further_back(bits, elsewhere):
    window = 1 << max(bits, 9)
    history = b"".join(at.to_bytes(4, "big") for at in range(1 << 14))[-window - 300 :]
    decoder = FrameDecoder("server", DeflateParameters(bits))
    packer = zlib.compressobj(9, wbits=-15)
    packed, again = packed_by(packer, history), packed_by(packer, history[:100])
    assert told(decoder, packed) == [history]
    if elsewhere:
        told(FrameDecoder("server", DeflateParameters()), raw(b"something else"))
    assert told(decoder, again) == ["inflate_error"]


def test_inside_one_message_zlib_allows_more_and_so_do_all_cuts():
    payload = BLOCK + b"".join(at.to_bytes(2, "big") for at in range(600)) + BLOCK
    packed = raw(payload)  # refers 1,700 octets back
    assert zlib.decompressobj(wbits=-9).decompress(packed + TAIL) == payload
    stream = frame(BINARY, packed, rsv=4)
    deflate = DeflateParameters(9)
    [event] = decoded(stream, [stream], deflate)
    assert event.payload == payload
    for pieces in (*list(cuts(stream))[:: len(stream) // 20], [stream[:9], stream[9:]]):
        assert decoded(stream, pieces, deflate) == [event]


def test_a_window_goes_round():
    """Many messages of many sizes, with another stream between them all the time."""
    decoder, other = (FrameDecoder("server", DeflateParameters(bits)) for bits in (10, 15))
    packers = [zlib.compressobj(9, wbits=-bits) for bits in (10, 15)]
    for size in [*range(1, 300, 7), 1023, 1024, 1025, 5000, 70_000, 3]:
        payload = (b"%d," % size * 9000)[:size]
        for stream, packer in zip((decoder, other), packers, strict=True):
            assert told(stream, packed_by(packer, payload)) == [payload]


# --- blocks ---


def test_final_blocks_inside_a_message():
    """RFC 7692 7.2.3.4; what is behind one refers to what was before it."""
    first, second = b"some words of the first stream", b"of the first stream, some words"
    packer = zlib.compressobj(wbits=-15, zdict=first)
    message = raw(first, end=zlib.Z_FINISH) + packed_by(packer, second)
    stream = frame(BINARY, message, rsv=4) + frame(BINARY, raw(b"next"), rsv=4)
    for pieces in cuts(stream):
        events = decoded(stream, pieces, DeflateParameters())
        assert [event.payload for event in events] == [first + second, b"next"]


def test_empty_final_blocks_only():
    decoder = FrameDecoder("server", DeflateParameters())
    assert told(decoder, b"\x03\x00" * 50, b"\x03\x00", raw(b"then")) == [b"", b"", b"then"]


def test_stored_blocks():
    decoder = FrameDecoder("server", DeflateParameters())
    payload = BLOCK * 100
    packed = stored(payload, len(payload)) + stored(b"", 0) + stored(b"end", 3, final=True)
    assert told(decoder, packed, raw(b"next")) == [payload + b"end", b"next"]


def test_a_message_may_end_inside_a_block():
    """Peers hand the octets to zlib, which waits: the next message goes on there."""
    first, second = stored(b"abc", 12), b"defgh" + raw(b"next")
    peer = zlib.decompressobj(wbits=-15)
    expected = [peer.decompress(some + TAIL) for some in (first, second)]
    assert expected[0] == b"abc" + TAIL
    decoder, other = (FrameDecoder("server", DeflateParameters()) for _ in range(2))
    assert told(decoder, first) == [expected[0]]
    told(other, raw(b"something else"))
    assert told(decoder, second) == [expected[1]]


def test_a_message_without_octets_in_frames():
    decoder = FrameDecoder("server", DeflateParameters())
    stream = frame(TEXT, b"", rsv=4, fin=False) + frame(PING) + frame(CONTINUATION, b"")
    stream += frame(TEXT, raw(b"next"), rsv=4)
    assert [event.payload for event in decoder.feed(stream)] == [b"", b"", b"next"]


def test_the_last_frame_is_empty():
    packed = raw(b"words", end=zlib.Z_FINISH)
    decoder, other = (FrameDecoder("server", DeflateParameters()) for _ in range(2))
    assert decoder.feed(frame(TEXT, packed, rsv=4, fin=False)) == []
    told(other, raw(b"something else"))
    [message] = decoder.feed(frame(CONTINUATION, b""))
    assert (message.payload, message.fragments) == (b"words", 2)


# --- bounds ---


def bomb(mebibytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(mebibytes))
    return packed + packed_by(packer, b"")


@pytest.mark.parametrize("takeover", [True, False])
def test_a_bomb_is_inflated_so_far_and_no_further(takeover):
    stream = frame(PING) + frame(BINARY, bomb(8), rsv=4)
    deflate = DeflateParameters(no_context_takeover=not takeover)
    told_of = []
    for size in (len(stream), 100):
        decoder = FrameDecoder("server", deflate, message_bytes=1000, inflated_bytes=5 << 20)
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        events = [event for piece in pieces for event in decoder.feed(piece)]
        told_of.append(events)
        assert [event.payload for event in decoder.feed(frame(BINARY, raw(b"next"), rsv=4))] == [
            b"next"
        ]
    assert told_of[0] == told_of[1]
    _, anomaly, message = told_of[0]
    assert (anomaly.kind, anomaly.offset) == ("truncated", 2)
    assert (message.length, message.complete, message.sha256) == (5 << 20, False, None)
    assert (message.payload, message.wire_length) == (bytes(1000), len(stream) - 2 - 4)


def test_the_bound_itself_is_no_bomb():
    decoder = FrameDecoder("server", DeflateParameters(), inflated_bytes=1 << 20)
    [message] = decoder.feed(frame(BINARY, bomb(1), rsv=4))
    assert (message.length, message.complete) == (1 << 20, True)


def test_nothing_leaks():
    """Streams that end anywhere: in a message, in a block, after an error, over the bound."""
    packed = raw(BLOCK * 90)
    streams = [
        frame(BINARY, packed, rsv=4) * 3,
        frame(BINARY, packed, rsv=4)[:-20],
        frame(BINARY, stored(b"abc", 10), rsv=4) + frame(PING, b"half")[:-1],
        frame(BINARY, packed[:30] + b"\xff" * 30, rsv=4) + frame(BINARY, packed, rsv=4),
        frame(BINARY, bomb(2), rsv=4) + frame(BINARY, packed, rsv=4),
    ]

    def run() -> None:
        for takeover in (True, False):
            for stream in streams:
                deflate = DeflateParameters(no_context_takeover=not takeover)
                decoder = FrameDecoder("server", deflate, inflated_bytes=1 << 20)
                for at in range(0, len(stream), 40):
                    decoder.feed(stream[at : at + 40])

    run()
    before = allocated_bytes()
    for _ in range(20):
        run()
    assert allocated_bytes() - before < 4096


def test_octets_of_a_refused_match_are_no_payload():
    # ISA-L counts the match whose distance it refuses among what it made: old octets.
    packed = bytes.fromhex("2227d600e87173737373818181818173ffff5f300012b32981303120780de20a5afe00")
    decoder = FrameDecoder("server", DeflateParameters(), inflated_bytes=28)
    assert told(decoder, packed) == ["inflate_error"]
