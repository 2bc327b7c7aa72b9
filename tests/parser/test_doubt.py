"""With the context of a compressed stream lost, only messages are told that do not need it."""

import random

import pytest
import traffic
from conversation import ACCEPT, REQUEST, Conversation
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import BINARY, TEXT, Deflater, frame

from sockwarden.parser import DeflateParameters, FrameDecoder, Message

DEFLATED = ACCEPT + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
WORDS = b"words that are said again and again"


def payloads(events):
    return [event.payload for event in events if isinstance(event, Message)]


def behind_a_loss(deflater, *said, bits=15, lost=WORDS):
    """What is told of `said` where a message before it has lost its last octet."""
    decoder = FrameDecoder("server", DeflateParameters(bits))
    first = frame(TEXT, deflater(lost), rsv=4)
    events = decoder.feed(first[:-1]) + decoder.gap(1)
    for payload in said:
        events += decoder.feed(frame(BINARY, deflater(payload), rsv=4))
    return payloads(events), decoder.losses[1]


def test_what_refers_to_the_lost_is_withheld_and_what_does_not_is_told():
    told, withheld = behind_a_loss(Deflater(), b"something new", WORDS, b"another")
    assert told == [b"something new", b"another"]
    assert withheld == 2  # with the one that was hurt


def test_what_refers_to_what_came_behind_the_loss_is_told():
    told, withheld = behind_a_loss(Deflater(), b"0123456789" * 9, b"0123456789" * 9)
    assert told == 2 * [b"0123456789" * 9]
    assert withheld == 1


def test_what_refers_to_a_withheld_message_is_withheld_as_far_as_that_was():
    said = [WORDS + b"0123456789", WORDS[5:25], b"0123456789"]
    assert behind_a_loss(Deflater(), *said)[0] == said[2:]


@pytest.mark.parametrize("bits", [9, 12, 15])
def test_a_whole_window_later_all_is_known_again(bits):
    rng = random.Random(bits)
    noise = [rng.randbytes(1000) for _ in range((1 << bits) // 1000 + 1)]
    said = [WORDS, *noise, WORDS, noise[-1], WORDS]
    deflater = Deflater(bits)
    decoder = Conversation().say("c2s", REQUEST)
    extension = b"permessage-deflate; server_max_window_bits=%d\r\n\r\n" % bits
    decoder.say("s2c", ACCEPT + b"Sec-WebSocket-Extensions: " + extension)
    idle = decoder.decoder.memory
    decoder.say("s2c", frame(TEXT, deflater(WORDS), rsv=4)[:-1], 1)
    for payload in said:
        decoder.say("s2c", frame(BINARY, deflater(payload), rsv=4))
    assert [payload for _, payload in decoder.messages()] == said[1:]
    assert decoder.decoder.memory <= idle + (1 << bits) + 1024


def test_what_it_costs_meanwhile():
    deflater = Deflater()
    talk = Conversation().say("c2s", REQUEST).say("s2c", DEFLATED)
    talk.say("s2c", frame(TEXT, deflater(WORDS), rsv=4)[:-1], 1)
    for _ in range(5):
        talk.say("s2c", frame(TEXT, deflater(WORDS), rsv=4))
        assert talk.decoder.memory < 90_000


@given(st.data(), st.integers(9, 15), st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_nothing_wrong_is_told_and_all_cuts_tell_the_same(data, bits, seed):
    rng = random.Random(seed)
    talk = traffic.Talk("client", rng, DeflateParameters(bits))
    traffic.chat(talk, 30)
    for _ in range(20):
        talk.say(TEXT, rng.choice([b"ok", "да".encode(), WORDS, rng.randbytes(400), b"\xff"]))
    records = talk.cut()
    lost = data.draw(st.sets(st.sampled_from(range(len(records))), min_size=1, max_size=3))
    events = traffic.play(talk, records, lost)
    truth = {said.spans[0][0]: said for said in talk.said}
    for event in events:
        if isinstance(event, Message):
            assert event.payload == truth[event.offset].payload
    stream, size = bytes(talk.stream), data.draw(st.sampled_from([1, 3, 50]))
    decoder = FrameDecoder("client", talk.deflate)
    again = []
    for at, (start, end) in enumerate(records):
        if at in lost:
            again += decoder.gap(end - start)
        else:
            for some in range(start, end, size):
                again += decoder.feed(stream[some : min(some + size, end)])
    assert again + decoder.end() == events


def test_a_stream_from_the_middle_begins_in_doubt():
    rng = random.Random(8)
    talk = traffic.Talk("server", rng, DeflateParameters())
    traffic.chat(talk, 50)
    for _ in range(40):
        talk.say(BINARY, rng.randbytes(900))
    traffic.chat(talk, 50)
    start = talk.said[25].spans[0][0]
    decoder = FrameDecoder("server", talk.deflate, synchronised=False)
    told = payloads(decoder.feed(bytes(talk.stream[start:])) + decoder.end())
    assert told[-50:] == [said.payload for said in talk.said[-50:]]
    assert set(told) <= {said.payload for said in talk.said}
