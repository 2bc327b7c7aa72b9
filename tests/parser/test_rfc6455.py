"""RFC 6455 by section: bytes on the wire, and what is told of them."""

import pytest
from wire import BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, cuts, frame

from sockwarden.parser import Anomaly, Control, FrameDecoder, Message


def decode(stream, sender="server", *, end=True):
    decoder = FrameDecoder(sender)
    return decoder.feed(stream) + (decoder.end() if end else [])


def kinds(events):
    return [(event.kind, event.offset) for event in events if isinstance(event, Anomaly)]


def payloads(events):
    return [event.payload for event in events if isinstance(event, Message)]


def controls(events):
    return [event for event in events if isinstance(event, Control)]


# --- section 5.7: the examples ---


@pytest.mark.parametrize(
    ("sender", "wire", "opcode", "payload"),
    [
        ("server", "81 05 48 65 6c 6c 6f", 1, b"Hello"),
        ("client", "81 85 37 fa 21 3d 7f 9f 4d 51 58", 1, b"Hello"),
        ("server", "01 03 48 65 6c 80 02 6c 6f", 1, b"Hello"),
        ("server", "82 7e 01 00" + 256 * "ab", 2, 256 * b"\xab"),
        ("server", "82 7f 00 00 00 00 00 01 00 00" + 65536 * "cd", 2, 65536 * b"\xcd"),
    ],
)
def test_examples(sender, wire, opcode, payload):
    [message] = decode(bytes.fromhex(wire), sender)
    assert (message.opcode, message.payload, message.length) == (opcode, payload, len(payload))


def test_examples_of_control_frames():
    [ping] = decode(bytes.fromhex("89 05 48 65 6c 6c 6f"))
    [pong] = decode(bytes.fromhex("8a 85 37 fa 21 3d 7f 9f 4d 51 58"), "client")
    assert (ping.opcode, ping.payload, ping.code) == (PING, b"Hello", None)
    assert (pong.opcode, pong.payload, pong.dir) == (PONG, b"Hello", "c2s")


def test_what_a_message_says():
    [_, message] = decode(frame(BINARY, b"") + frame(TEXT, b"hello"))
    assert message.dir == "s2c"
    assert message.sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert not message.compressed
    assert message.fragments == 1
    assert not message.after_close
    assert (message.offset, message.wire_length, message.complete) == (2, 5, True)
    with pytest.raises(AttributeError):
        message.length = 6


# --- section 5.1: masking by the sender's role ---


def test_unmasked_client():
    events = decode(frame(TEXT, b"ab") + frame(TEXT, b"cd", key=KEY), "client")
    assert kinds(events) == [("unmasked_client", 1)]
    assert payloads(events) == [b"ab", b"cd"]


def test_masked_server():
    events = decode(frame(TEXT, b"ab", key=KEY) + frame(TEXT, b"cd"))
    assert kinds(events) == [("masked_server", 1)]
    assert payloads(events) == [b"ab", b"cd"]


# --- section 5.2: the header ---


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_reserved_bits(rsv, opcode):
    events = decode(frame(PONG) + frame(opcode, b"", rsv=rsv))
    assert kinds(events) == [("rsv_bits", 2)]
    assert len(events) == 3


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes_are_skipped(opcode):
    events = decode(frame(opcode, b"skipped") + frame(TEXT, b"read"))
    assert kinds(events) == [("reserved_opcode", 0)]
    assert payloads(events) == [b"read"]


def test_a_reserved_opcode_inside_a_fragmented_message():
    events = decode(frame(TEXT, b"a", fin=False) + frame(5, b"x") + frame(CONTINUATION, b"b"))
    assert kinds(events) == [("reserved_opcode", 3)]
    assert payloads(events) == [b"ab"]


@pytest.mark.parametrize(
    ("payload", "form", "offset"), [(b"a" * 125, 2, 3), (b"", 8, 7), (b"a" * 65535, 8, 7)]
)
def test_lengths_that_are_not_minimal(payload, form, offset):
    events = decode(frame(BINARY, payload, form=form) + frame(TEXT, b"next"))
    assert kinds(events) == [("length_not_minimal", offset)]
    assert payloads(events) == [payload, b"next"]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 65537])
@pytest.mark.parametrize("sender", ["client", "server"])
def test_lengths(size, sender):
    key = KEY if sender == "client" else None
    stream = 2 * frame(BINARY, bytes(size), key=key)
    assert [len(payload) for payload in payloads(decode(stream, sender))] == [size, size]


def test_a_length_with_its_top_bit_set_stops_the_direction():
    decoder = FrameDecoder("server")
    events = decoder.feed(bytes.fromhex("82 7f 80"))
    assert kinds(events) == [("length_overflow", 2)]
    assert decoder.feed(frame(TEXT, b"not read")) + decoder.end() == []


@pytest.mark.parametrize(
    ("length", "octets", "offset"),
    [(1 << 63, 3, 2), ((1 << 63) - 1, 3, 2), (1 << 56, 3, 2), (1 << 55, 4, 3), (1 << 53, 4, 3)],
)
@pytest.mark.parametrize("sender", ["client", "server"])
def test_a_length_that_no_peer_takes_is_told_at_its_octet(length, octets, offset, sender):
    key = KEY if sender == "client" else None
    stream = frame(BINARY, b"some", key=key, length=length) + frame(TEXT, b"not read", key=key)
    decoder = FrameDecoder(sender)
    assert decoder.feed(stream[: octets - 1]) == []
    assert kinds(decoder.feed(stream[octets - 1 : octets])) == [("length_overflow", offset)]
    assert decoder.feed(stream[octets:]) + decoder.end() == []
    assert kinds(decode(stream, sender)) == [("length_overflow", offset)]


def test_a_length_beyond_what_ever_comes():
    events = decode(frame(BINARY, b"some", length=(1 << 53) - 1))
    assert kinds(events) == [("truncated", 14)]


# --- section 5.4: fragmentation ---


def test_fragments_with_control_frames_between_them():
    stream = (
        frame(TEXT, b"Hel", fin=False)
        + frame(PING, b"!")
        + frame(CONTINUATION, b"", fin=False)
        + frame(PONG)
        + frame(CONTINUATION, b"lo")
    )
    ping, pong, message = decode(stream)
    assert (ping.payload, pong.payload) == (b"!", b"")
    assert (message.payload, message.fragments, message.offset) == (b"Hello", 3, 0)


def test_a_continuation_of_nothing_is_no_message():
    events = decode(frame(CONTINUATION, b"a", fin=False) + frame(TEXT, b"b") + frame(CONTINUATION))
    assert kinds(events) == [("unexpected_continuation", 0), ("unexpected_continuation", 6)]
    assert payloads(events) == [b"b"]


def test_a_new_message_inside_a_fragmented_one():
    events = decode(frame(TEXT, b"old", fin=False) + frame(TEXT, b"new"))
    assert kinds(events) == [("expected_continuation", 5)]
    assert payloads(events) == [b"new"]


# --- section 5.5: control frames ---


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_fragmented_control_frame(opcode):
    events = decode(frame(opcode, b"", fin=False) + frame(TEXT, b"")[:0])
    assert kinds(events) == [("control_fragmented", 0)]
    assert [event.opcode for event in controls(events)] == [opcode]


@pytest.mark.parametrize(("size", "offset"), [(126, 3), (300, 2), (65536, 7)])
def test_a_long_control_frame_is_skipped_exactly(size, offset):
    events = decode(frame(PING, b"p" * size) + frame(TEXT, b"next"))
    assert kinds(events) == [("control_too_long", offset)]
    [ping] = controls(events)
    assert (ping.length, ping.payload) == (size, b"p" * 125)
    assert payloads(events) == [b"next"]


# --- sections 5.5.1 and 7.4: Close ---


def test_close_without_a_code():
    [close] = decode(frame(CLOSE))
    assert (close.opcode, close.code, close.length, close.payload) == (CLOSE, None, 0, b"")


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999])
def test_codes(code):
    [close] = decode(frame(CLOSE, code.to_bytes(2, "big") + b"bye"))
    assert (close.code, close.payload[2:], close.length) == (code, b"bye", 5)


@pytest.mark.parametrize(
    "code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
)
def test_codes_that_must_not_be_sent(code):
    events = decode(frame(CLOSE, code.to_bytes(2, "big")))
    assert kinds(events) == [("invalid_close_code", 3)]
    assert controls(events)[0].code == code


@pytest.mark.parametrize(
    ("payload", "offset"),
    [(b"\x03", 2), (b"\x03\xe8\xff", 4), (b"\x03\xe8ok\xc3", 6), (b"\x03\xe8\xed\xa0\x80", 5)],
)
def test_close_payloads(payload, offset):
    events = decode(frame(CLOSE, payload))
    assert kinds(events) == [("invalid_close_payload", offset)]


def test_a_close_is_judged_before_it_is_whole():
    events = decode(frame(CLOSE, b"\x03\xe7rest")[:4], end=False)
    assert kinds(events) == [("invalid_close_code", 3)]


def test_after_a_close():
    stream = frame(CLOSE) + frame(TEXT, b"a") + frame(TEXT, b"b") + frame(PING) + frame(CLOSE)
    events = decode(stream)
    assert kinds(events) == [("data_after_close", 2)]
    frames = [event for event in events if not isinstance(event, Anomaly)]
    assert [event.opcode for event in frames] == [CLOSE, TEXT, TEXT, PING, CLOSE]
    assert [event.after_close for event in frames] == [False, True, True, True, True]


def test_a_close_between_fragments():
    events = decode(frame(TEXT, b"a", fin=False) + frame(CLOSE) + frame(CONTINUATION, b"b"))
    assert kinds(events) == [("data_after_close", 5)]
    assert events[-1].payload == b"ab"
    assert events[-1].after_close


# --- section 8.1: UTF-8 ---


def test_bad_text_is_still_a_message():
    events = decode(frame(TEXT, b"caf\xe9!") + frame(BINARY, b"\xe9"))
    assert kinds(events) == [("invalid_utf8", 6)]
    assert payloads(events) == [b"caf\xe9!", b"\xe9"]
    assert [event.valid_utf8 for event in events[1:]] == [False, True]


def test_bad_text_is_told_before_the_message_is_whole():
    decoder = FrameDecoder("client")
    assert decoder.feed(frame(TEXT, b"\xce\xba\xe1\xbd", fin=False, key=KEY)) == []
    events = decoder.feed(frame(CONTINUATION, b"A and more", key=KEY)[:7])
    assert kinds(events) == [("invalid_utf8", 16)]


def test_a_character_over_two_fragments():
    stream = frame(TEXT, b"\xe2\x82", fin=False) + frame(PING) + frame(CONTINUATION, b"\xac")
    assert decode(stream)[-1].payload.decode() == "\u20ac"


def test_a_text_that_ends_inside_a_character():
    events = decode(frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION))
    assert kinds(events) == [("invalid_utf8", 5)]


# --- the end ---


@pytest.mark.parametrize("kept", range(1, 8))
def test_a_frame_that_is_cut(kept):
    assert kinds(decode(frame(TEXT, b"Hello", key=KEY)[:kept], "client")) == [("truncated", kept)]


def test_an_end_without_close_is_no_anomaly():
    assert decode(frame(TEXT, b"a")) == decode(frame(TEXT, b"a"), end=False)


def test_an_unfinished_message():
    assert kinds(decode(frame(TEXT, b"a", fin=False) + frame(PING))) == [("truncated", 5)]


def test_nothing_is_told_after_the_end():
    decoder = FrameDecoder("server")
    assert decoder.end() == []
    assert decoder.feed(frame(TEXT, b"a")) + decoder.gap(3) + decoder.end() == []


# --- all cuts ---


@pytest.mark.parametrize("sender", ["client", "server"])
def test_all_cuts_tell_the_same(sender):
    key = KEY if sender == "client" else None
    stream = b"".join(
        [
            frame(TEXT, "\u20ac\u00e9".encode(), key=key),
            frame(TEXT, b"\xe2\x82", fin=False, key=key),
            frame(PING, b"ping", key=key),
            frame(CONTINUATION, b"\xacx", key=key),
            frame(3, b"reserved", key=key),
            frame(BINARY, b"b", form=8, key=key),
            frame(TEXT, b"ab\xff", key=KEY),
            frame(TEXT, b"unfinished", fin=False),
            frame(CLOSE, b"\x03\xedbad\xc0", key=key),
            frame(TEXT, b"late", rsv=2, key=key),
            frame(PONG, bytes(130), key=key),
        ]
    )
    expected = decode(stream, sender)
    assert len(kinds(expected)) >= 10
    for pieces in cuts(stream):
        decoder = FrameDecoder(sender)
        assert [
            event for piece in pieces for event in decoder.feed(piece)
        ] + decoder.end() == expected


# --- gaps ---


def gapped(stream, start, end, sender="server"):
    decoder = FrameDecoder(sender)
    return decoder.feed(stream[:start]) + decoder.gap(end - start) + decoder.feed(stream[end:])


@pytest.mark.parametrize("sender", ["client", "server"])
def test_a_gap_inside_a_payload(sender):
    key = KEY if sender == "client" else None
    first = frame(TEXT, b"0123456789", key=key)
    end = len(first)
    events = gapped(first + frame(TEXT, b"next", key=key), end - 7, end - 4, sender)
    assert kinds(events) == [("gap", end - 7), ("truncated", end - 7)]
    hurt, whole = events[2:]
    assert (hurt.payload, hurt.length, hurt.complete) == (b"012\0\0\x006789", 10, False)
    assert hurt.sha256 is None
    assert (whole.payload, whole.complete) == (b"next", True)


def test_a_gap_over_a_header_stops_the_direction():
    stream = 3 * frame(TEXT, b"0123456789")
    events = gapped(stream, 10, 14)
    assert kinds(events) == [("gap", 10), ("truncated", 10)]
    assert payloads(events) == []
    events = gapped(stream, 12, 13)
    assert kinds(events) == [("gap", 12)]
    assert payloads(events) == [b"0123456789"]


def test_a_gap_inside_a_control_frame():
    events = gapped(frame(CLOSE, b"\x03\xe8reason") + frame(PING), 5, 8)
    assert kinds(events) == [("gap", 5)]
    assert (controls(events)[0].code, controls(events)[0].length) == (1000, 8)
    assert controls(events)[1].opcode == PING


def test_a_close_code_is_not_pieced_together_over_a_gap():
    events = gapped(frame(CLOSE, b"\x03\xe8\x03\xe8"), 3, 4)
    assert kinds(events) == [("gap", 3)]
    assert controls(events)[0].code is None


def test_a_gap_at_the_end_of_a_frame():
    events = gapped(frame(BINARY, b"0123") + frame(BINARY, b"next"), 4, 6)
    assert payloads(events) == [b"01\0\0", b"next"]
