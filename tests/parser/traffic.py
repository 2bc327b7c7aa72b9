"""Conversations as they are on the wire, what they say, and what is left of them after losses."""

import json
import random
from dataclasses import dataclass, field

import wire

from sockwarden.parser import Anomaly, DeflateParameters, FrameDecoder, Message

SIZES = (0, 1, 125, 126, 127, 128, 1000, 4096, 65535, 65536)
WORDS = ["price", "order", "user", "list", "now", "set", "value", "more", "status", "true", "id"]
CYRILLIC = ["привет", "как", "дела", "сегодня", "хорошо", "спасибо", "да", "нет", "завтра"]


@dataclass
class Said:
    """One message as it was sent, and where its frames lie."""

    opcode: int
    payload: bytes
    compressed: bool
    spans: list[tuple[int, int]]


@dataclass
class Talk:
    """One direction: `say` adds frames, and each frame is a write of its own."""

    sender: str
    rng: random.Random
    deflate: DeflateParameters | None = None
    stream: bytearray = field(default_factory=bytearray)
    said: list[Said] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)

    def __post_init__(self):
        self.deflater = None
        if self.deflate:
            self.deflater = wire.Deflater(
                self.deflate.window_bits, self.deflate.no_context_takeover
            )

    def frame(self, opcode, payload, **parts):
        key = self.rng.randbytes(4) if self.sender == "client" else None
        start = len(self.stream)
        self.stream += wire.frame(opcode, payload, key=key, **parts)
        self.writes.append(len(self.stream))
        return start, len(self.stream)

    def say(self, opcode, payload, fragments=1, compress=None, pings=0):
        compress = bool(self.deflater) if compress is None else compress
        packed = self.deflater(payload) if compress else payload
        ends = sorted(self.rng.randint(0, len(packed)) for _ in range(fragments - 1))
        spans = []
        for at, (start, end) in enumerate(zip([0, *ends], [*ends, len(packed)], strict=True)):
            spans.append(
                self.frame(
                    0 if at else opcode,
                    packed[start:end],
                    fin=at == fragments - 1,
                    rsv=4 if compress and not at else 0,
                )
            )
            if at < fragments - 1 and self.rng.random() < pings:
                self.frame(wire.PING, b"between")
        self.said.append(Said(opcode, payload, compress, spans))

    def cut(self, size=None):
        """Records: each write, or pieces of `size` octets wherever they fall."""
        ends = self.writes if size is None else [*range(size, len(self.stream), size)]
        ends = [*ends, len(self.stream)]
        return [(a, b) for a, b in zip([0, *ends], ends, strict=False) if a < b]


def words(rng, size, of=WORDS):
    text = ""
    while len(text) < size:
        text += rng.choice(of) + " "
    return text[:size]


def record(rng, size):
    """About `size` octets of JSON."""
    body = words(rng, max(size - 60, 3))
    return json.dumps(
        {"id": rng.randint(1, 10**9), "at": rng.random(), "from": rng.choice(WORDS), "body": body}
    ).encode()


def chat(talk, count):
    for _ in range(count):
        talk.say(wire.TEXT, record(talk.rng, int(talk.rng.paretovariate(1) * 70) % 3000))


def cyrillic(talk, count):
    for _ in range(count):
        talk.say(wire.TEXT, words(talk.rng, talk.rng.randint(5, 200), CYRILLIC).encode())


def binary(talk, count):
    for _ in range(count):
        size = talk.rng.choice([3, 12, 40, 200, 900, 5000])
        talk.say(wire.BINARY, talk.rng.randbytes(talk.rng.randint(1, size)))


def tiny(talk, count):
    for at in range(count):
        if talk.rng.random() < 0.3:
            talk.frame(talk.rng.choice([wire.PING, wire.PONG]), b"")
        talk.say(wire.TEXT, b"%d" % (at % 10))


def fragmented(talk, count):
    for _ in range(count):
        size = talk.rng.choice([10, 300, 2000, 30_000])
        payload = talk.rng.choice([talk.rng.randbytes(size), b"*" * size])
        talk.say(wire.BINARY, payload, fragments=talk.rng.randint(1, 9), pings=0.3)


def suite(talk, count):
    """As a conformance suite: runs of one size."""
    while len(talk.said) < count:
        size = talk.rng.choice(SIZES)
        kind = talk.rng.choice(["stars", "random", "json", "mixed"])
        for _ in range(talk.rng.choice([1, 5, 25]) if size > 9999 else 60):
            if kind == "stars":
                talk.say(wire.TEXT, b"*" * size)
            elif kind == "random":
                talk.say(wire.BINARY, talk.rng.randbytes(size))
            elif kind == "json":
                talk.say(wire.TEXT, record(talk.rng, size))
            else:
                talk.say(wire.TEXT, b"*" * size, fragments=talk.rng.randint(1, 8), pings=0.2)


KINDS = {each.__name__: each for each in (chat, cyrillic, binary, tiny, fragmented, suite)}


@dataclass
class Outcome:
    """What was decoded of a talk whose records were lost."""

    undamaged: int
    decoded: int
    wrong: list


def play(talk, records, lost, **options):
    """Feeds the records but those at the places in `lost`."""
    decoder = FrameDecoder(talk.sender, talk.deflate, **options)
    stream = bytes(talk.stream)
    events = []
    for at, (start, end) in enumerate(records):
        events += decoder.gap(end - start) if at in lost else decoder.feed(stream[start:end])
    return events + decoder.end()


def outcome(talk, records, lost, events, dependent=False):
    """`dependent`: compressed messages are counted, though they may refer to what was lost."""
    holes = [records[at] for at in sorted(lost)]
    first_hole = holes[0][0] if holes else len(talk.stream)
    truth = {said.spans[0][0]: said for said in talk.said}
    wrong, seen, undamaged = [], set(), 0
    for event in events:
        if isinstance(event, Message):
            said = truth.get(event.offset)
            seen.add(event.offset)
            if said is None or not agrees(event, said):
                wrong.append(event)
        elif isinstance(event, Anomaly):
            if event.kind not in ("gap", "truncated"):
                wrong.append(event)
        elif event.opcode not in (wire.PING, wire.PONG):
            wrong.append(event)
    hole, decoded = 0, 0
    for said in talk.said:
        start, end = said.spans[0][0], said.spans[-1][1]
        while hole < len(holes) and holes[hole][1] <= start:
            hole += 1
        hurt = any(
            lost_end > a and lost_start < b
            for lost_start, lost_end in holes[hole : hole + 50]
            for a, b in said.spans
        )
        takes_over = said.compressed and not talk.deflate.no_context_takeover
        if hurt or (takes_over and not dependent and end > first_hole):
            continue
        undamaged += 1
        decoded += start in seen
    return Outcome(undamaged, decoded, wrong)


def agrees(event, said):
    if event.complete:
        return event.payload == said.payload and event.opcode == said.opcode
    return (
        event.opcode == said.opcode
        and event.length == len(said.payload)
        and all(
            mine in (0, theirs) for mine, theirs in zip(event.payload, said.payload, strict=True)
        )
    )
