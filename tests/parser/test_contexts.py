"""What compressed connections keep between messages, all together under one bound."""

import gc
import zlib

import pytest
from allocated import allocated_bytes
from conversation import ACCEPT, REQUEST, Conversation
from wire import KEY, TAIL, TEXT, frame

from sockwarden.parser import ConnectionDecoder, DeflateParameters, FrameDecoder, contexts

WINDOW_BYTES = 1 << 15
STATE_BYTES = 90_000  # of an inflater, about
LONG = b"".join(b"%d " % number for number in range(10_000))


class Sender:
    """One direction, with context takeover."""

    def __init__(self) -> None:
        self.packer = zlib.compressobj(wbits=-15)
        self.decoder = FrameDecoder("server", DeflateParameters())

    def frame(self, payload: bytes) -> bytes:
        packed = self.packer.compress(payload) + self.packer.flush(zlib.Z_SYNC_FLUSH)
        return frame(TEXT, packed.removesuffix(TAIL), rsv=4)

    def says(self, payload: bytes = LONG) -> bool:
        """Whether the message is told; then it is told right."""
        events = self.decoder.feed(self.frame(payload))
        assert [event.payload for event in events] in ([], [payload])
        return bool(events)


@pytest.fixture
def bound():
    yield contexts.limit
    contexts.limit(contexts.DEFAULT_LIMIT_BYTES)


def test_each_window_counts_and_is_given_back():
    before = contexts.usage()["held_bytes"]
    senders = [Sender() for _ in range(4)]
    for sender in senders:
        sender.says(b"few")
    assert 0 < contexts.usage()["held_bytes"] - before <= 4 * 2048
    for sender in senders:
        sender.says()
    assert 0 <= contexts.usage()["held_bytes"] - before - 4 * WINDOW_BYTES <= 4 * 2048
    del sender, senders
    assert contexts.usage()["held_bytes"] == before


def test_the_silent_make_way_for_the_new(bound):
    before = contexts.usage()
    bound(before["held_bytes"] + 10 * (WINDOW_BYTES + 100))
    silent, busy = [Sender() for _ in range(8)], Sender()
    assert all(sender.says() for sender in silent)
    assert busy.says()
    new = [Sender() for _ in range(30)]
    for sender in new:
        assert sender.says()
        assert busy.says(), "one that is used all the time is lost"
    now = contexts.usage()
    assert now["held_bytes"] <= now["limit_bytes"] + 39 * 100
    assert now["evicted"] - before["evicted"] >= 38 - 10
    still = [sender.says() for sender in silent]
    assert not any(still)
    assert all(not sender.says() for sender in silent)  # and for good


def test_without_any_room_each_first_message_is_told(bound):
    evicted = contexts.usage()["evicted"]
    bound(0)
    sender = Sender()
    assert [sender.says() for _ in range(3)] == [True, False, False]
    assert contexts.usage()["evicted"] == evicted + 1


def test_open_messages_are_bounded_too(bound):
    """Each holds an inflater; who is lost is withheld, not told wrongly."""
    before = contexts.usage()["held_bytes"]
    bound(before + 5 * STATE_BYTES)
    senders = [Sender() for _ in range(20)]
    frames = [sender.frame(LONG) for sender in senders]
    for sender, octets in zip(senders, frames, strict=True):
        assert sender.decoder.feed(octets[:-9]) == []
        assert contexts.usage()["held_bytes"] - before <= 5 * STATE_BYTES + 20 * 100
    told = [
        [event.payload for event in sender.decoder.feed(octets[-9:])]
        for sender, octets in zip(senders, frames, strict=True)
    ]
    assert told.count([LONG]) >= 3
    assert told.count([]) >= 15
    assert len(told) == told.count([LONG]) + told.count([])


def test_a_lost_context_is_a_withheld_message(bound):
    bound(0)
    response = ACCEPT + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    talk = Conversation().say("c2s", REQUEST).say("s2c", response)
    sender = Sender()
    talk.say("s2c", *(sender.frame(LONG) for _ in range(3)))
    assert talk.messages() == [("s2c", LONG)]
    assert talk.kinds() == []  # the peers did nothing wrong
    assert talk.decoder.losses["s2c"] == (0, 2)


# --- what a connection says of its memory ---


def connections(count: int, response: bytes, c2s: bytes, s2c: bytes) -> list[ConnectionDecoder]:
    made = []
    for _ in range(count):
        decoder = ConnectionDecoder()
        decoder.feed("c2s", 0, REQUEST)
        decoder.feed("s2c", 0, response)
        decoder.feed("c2s", len(REQUEST), c2s)
        decoder.feed("s2c", len(response), s2c)
        made.append(decoder)
    return made


@pytest.mark.parametrize("cut", [0, 5])
@pytest.mark.parametrize(
    ("parameters", "windows"),
    [
        (b"", 2 * WINDOW_BYTES),
        (b"; server_no_context_takeover; client_no_context_takeover", 0),
        (b"; server_max_window_bits=10; client_max_window_bits=10", 2 << 10),
    ],
)
def test_memory_is_what_malloc_gave(parameters, windows, cut):
    """`cut`: octets of the last message that are still to come."""
    response = ACCEPT + b"Sec-WebSocket-Extensions: permessage-deflate" + parameters + b"\r\n\r\n"
    packed = zlib.compressobj(wbits=-9)
    packed = (packed.compress(LONG) + packed.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
    c2s, s2c = (frame(TEXT, packed, rsv=4, key=key) for key in (KEY, None))
    connections(2, response, c2s, s2c)  # warms up
    gc.collect()  # what other tests left must not go away meanwhile
    before, count = allocated_bytes(), 200
    made = connections(count, response, c2s[: len(c2s) - cut], s2c[: len(s2c) - cut])
    said = sum(decoder.memory for decoder in made)
    spare = 400_000 if cut else 8192  # the thread's buffers, and malloc's
    assert 0.98 * said - spare <= allocated_bytes() - before <= said + count * 128
    if not cut:
        assert said <= count * (1024 + windows)
    del made
    assert allocated_bytes() - before < 4096
