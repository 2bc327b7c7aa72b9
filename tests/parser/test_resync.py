"""Behind a lost header the next frame is found again, and nothing wrong is ever told."""

import random

import pytest
import traffic
import wire
from conversation import REQUEST, RESPONSE, Conversation
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame

from sockwarden.parser import Control, DeflateParameters, FrameDecoder, Message

SENDERS = pytest.mark.parametrize("sender", ["client", "server"])
FRESH = DeflateParameters(no_context_takeover=True)
LOST_AT_MOST = 8  # messages that a proof may take


def talked(make, sender="server", count=40, seed=1, deflate=None):
    talk = traffic.Talk(sender, random.Random(seed), deflate)
    make(talk, count)
    return talk


def with_gap(decoder, stream, start, end):
    events = decoder.feed(bytes(stream[:start])) + decoder.gap(end - start)
    return events + decoder.feed(bytes(stream[end:])) + decoder.end()


def messages(events):
    return [event for event in events if isinstance(event, Message)]


def kinds(events):
    return [event.kind for event in events if hasattr(event, "kind")]


# --- realistic traffic ---


@pytest.mark.parametrize("make", traffic.KINDS.values())
@pytest.mark.parametrize("size", [None, 1448])
@pytest.mark.parametrize("deflate", [None, FRESH])
@SENDERS
def test_one_record_in_a_hundred_is_lost(make, size, deflate, sender):
    undamaged = decoded = 0
    for seed in range(2):
        talk = talked(make, sender, 300, seed, deflate)
        records = talk.cut(size)
        lost = {at for at in range(len(records)) if talk.rng.random() < 0.01}
        events = traffic.play(talk, records, lost)
        outcome = traffic.outcome(talk, records, lost, events)
        assert outcome.wrong == []
        undamaged += outcome.undamaged
        decoded += outcome.decoded
    # Over many seeds it is 95 % of each kind and more; these are few.
    assert decoded >= 0.85 * undamaged


@pytest.mark.parametrize("make", [traffic.chat, traffic.binary, traffic.fragmented])
@SENDERS
def test_a_stream_may_begin_anywhere(make, sender):
    talk = talked(make, sender)
    stream = bytes(talk.stream)
    middle = talk.said[20].spans[0][0]
    for start in range(middle, middle + 80):
        decoder = FrameDecoder(sender, synchronised=False)
        events = decoder.feed(stream[start:]) + decoder.end()
        missed = {said.spans[0][0] - start: said for said in talk.said}
        for event in messages(events):
            said = missed.pop(event.offset)
            assert (event.payload, event.opcode) == (said.payload, said.opcode)
        later = [offset for offset in missed if offset >= 0]
        assert len(later) <= LOST_AT_MOST
        assert kinds(events) == []


@SENDERS
def test_a_gap_over_each_octet_of_a_header(sender):
    talk = talked(traffic.chat, sender)
    start = talk.said[20].spans[0][0]
    for first in range(start, start + 14):
        for size in (1, 2, 7):
            events = with_gap(FrameDecoder(sender), talk.stream, first, first + size)
            records = [(0, first), (first, first + size), (first + size, len(talk.stream))]
            outcome = traffic.outcome(talk, records, {1}, events)
            assert outcome.wrong == []
            assert outcome.undamaged - outcome.decoded <= LOST_AT_MOST


# --- what is not known is not told ---


@SENDERS
def test_what_continues_a_lost_message_is_not_told(sender):
    rng = random.Random(3)

    def piece(opcode, payload, **parts):
        key = rng.randbytes(4) if sender == "client" else None
        return frame(opcode, payload, key=key, **parts)

    lost = piece(TEXT, b"the start is lost", fin=False)
    stream = lost + b"".join(piece(CONTINUATION, rng.randbytes(50), fin=False) for _ in range(9))
    stream += piece(PING, b"still here") + piece(CONTINUATION, b"its end")
    offset = len(stream)
    stream += piece(TEXT, b"the next one") + piece(CLOSE, b"\x03\xe8")
    ping, told, close = with_gap(FrameDecoder(sender), stream, 0, len(lost))[1:]
    assert (ping.opcode, ping.payload) == (PING, b"still here")
    assert (told.payload, told.offset) == (b"the next one", offset)
    assert (close.opcode, close.code) == (CLOSE, 1000)


def test_an_unexpected_continuation_behind_the_next_message_is_told():
    talk = talked(traffic.chat)
    stream = bytes(talk.stream) + frame(CONTINUATION, b"of nothing")
    events = with_gap(FrameDecoder("server"), stream, 0, 5)
    assert kinds(events) == ["gap", "unexpected_continuation"]


def test_frames_in_the_payload_of_a_frame_wait_for_its_end():
    inner = b"".join(frame(TEXT, traffic.words(random.Random(at), 50).encode()) for at in range(99))
    before, after = talked(traffic.chat).stream, talked(traffic.chat, seed=2).stream
    outer = frame(BINARY, inner + b"odd")
    stream = bytes(before + outer + after)
    # A frame is lost: the outer header is the first thing behind the gap.
    start = len(before) - 20
    events = with_gap(FrameDecoder("server"), stream, start, len(before))
    inside = range(len(before) + 4, len(before) + len(outer))
    assert not any(event.offset in inside for event in messages(events))
    assert len([e for e in messages(events) if e.offset >= inside.stop]) >= 40 - LOST_AT_MOST


REPEATED = [b"\x00", b"\x01", b"\x02", b"*", b"\x80", b"\x81", b"\x82\x00", b"\x8a\x00"]
REPEATED += [b"\x82\x02", b"\x81\x01j", b"\x81\x01\x03\x81\x01\x07", b"\x00\x00\x00\x01\x82"]


@pytest.mark.parametrize("unit", REPEATED)
@pytest.mark.parametrize("key", [None, b"\0\0\0\0", b"\x81\x82\x00\x80"])
def test_payloads_that_look_like_runs_of_frames(unit, key):
    sender = "client" if key else "server"
    before = bytes(talked(traffic.chat, sender, 5).stream)
    after = bytes(talked(traffic.chat, sender, 20, seed=2).stream)
    for size in (99, 126, 1000, 65536, 300_000):
        big = frame(BINARY, (unit * size)[:size], key=key)
        for cut in range(7):
            stream = before + big + after
            gap = len(before), len(before) + len(big) - size + cut
            events = with_gap(FrameDecoder(sender), stream, *gap)
            truth = {e.offset: e for e in messages(FrameDecoder(sender).feed(stream))}
            assert all(event == truth[event.offset] for event in messages(events))
            assert len(messages(events)) >= 25 - LOST_AT_MOST
            assert not any(isinstance(event, Control) for event in events)


@given(st.binary(max_size=3000), st.booleans(), st.sampled_from(["client", "server"]))
@settings(max_examples=200, deadline=None)
def test_any_octets_prove_nothing(octets, synchronised, sender):
    decoder = FrameDecoder(sender, DeflateParameters(), synchronised=synchronised)
    events = (decoder.gap(1) if synchronised else []) + decoder.feed(octets) + decoder.end()
    assert kinds(events) == ["gap"] * synchronised == kinds(events + messages(events))
    assert decoder.losses[0] == len(octets)


# --- bounds, and no chance ---


@given(st.data(), st.sampled_from(list(traffic.KINDS.values())), st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_all_cuts_tell_the_same(data, make, seed):
    talk = talked(make, data.draw(st.sampled_from(["client", "server"])), 30, seed)
    stream = bytes(talk.stream[:20_000])
    start = data.draw(st.integers(0, len(stream) // 2))
    size = data.draw(st.integers(1, 300))
    expected = with_gap(FrameDecoder(talk.sender), stream, start, start + size)
    decoder = FrameDecoder(talk.sender)
    events = decoder.feed(stream[:start]) + decoder.gap(size)
    at = start + size
    while at < len(stream):
        some = data.draw(st.sampled_from([1, 2, 13, 700]))
        for _ in range(20):
            events += decoder.feed(stream[at : at + some])
            at += some
    assert events + decoder.end() == expected


def test_a_search_is_bounded_and_long_frames_are_passed():
    rng = random.Random(4)
    talk = traffic.Talk("server", rng)
    for _ in range(9):
        talk.say(BINARY, rng.randbytes(200_000))
    traffic.chat(talk, 20)
    conversation = Conversation().say("c2s", REQUEST).say("s2c", RESPONSE)
    stream = bytes(talk.stream)
    conversation.say("s2c", stream[:5], 5)
    for at in range(10, len(stream), 30_000):
        conversation.say("s2c", stream[at : at + 30_000])
        assert conversation.decoder.memory < 1 << 20
    told = [payload for _, payload in conversation.messages()]
    assert told[-10:] == [said.payload for said in talk.said[-10:]]
    assert set(told) <= {said.payload for said in talk.said}


def test_the_stream_ends_before_anything_is_proven():
    decoder = FrameDecoder("server", synchronised=False)
    assert decoder.feed(frame(TEXT, b"alone")) + decoder.end() == []
    assert decoder.losses == (7, 0)
    assert decoder.feed(frame(TEXT, b"late")) == []


def test_a_second_gap_settles_what_the_first_one_left_open():
    talk = talked(traffic.binary, count=8)
    stream = bytes(talk.stream)
    decoder = FrameDecoder("server", synchronised=False)
    events = decoder.feed(stream) + decoder.gap(7) + decoder.feed(wire.frame(TEXT, b"?"))
    events += decoder.end()
    assert kinds(events) == ["gap"]
    assert messages(events)
    assert all(event.offset < len(stream) for event in messages(events))
