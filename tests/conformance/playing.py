"""Plays cases as TCP conversations, cut and ordered in many ways, into one capture file.

Whatever a way does to the segments, a reader that puts them together again sees each step whole
before the next one: it is acknowledged first.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from captures import ACK, RST, Conversation, Packet, capture, enhanced, interface, section
from case import Case

Sizes = Callable[[random.Random], int]

Pieces = list[bytes | int]

FIRST_PORT = 20_000
WHOLE_BYTES = 60_000  # as segmentation offload makes segments; an IP packet holds no more
ETHERNET, SLL2 = 1, 276


@dataclass
class Way:
    """How segments are made of a stream.

    Args:
        size: of the next segment.
        disorder: how likely a segment of a flight is captured late, and how likely twice.
        interleave: the connections run at the same time.
        loss: how likely a segment behind the handshake is not captured.
    """

    name: str
    size: Sizes
    most: int = 1 << 40  # cases with more octets are cut at 1,448
    disorder: float = 0
    interleave: bool = False
    loss: float = 0
    hosts: tuple[str, str] = ("10.9.0.1", "10.9.0.2")
    link: int = ETHERNET
    ng: bool = False
    seed: int = 7
    rng: random.Random = field(init=False)
    # By case and direction: what was captured, and how many octets were not
    kept: list[tuple[Pieces, Pieces]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def file(self, cases: Iterable[Case]) -> bytes:
        talks = [self.play(at, case) for at, case in enumerate(cases)]
        packets = [packet for talk in talks for packet in talk]
        if self.interleave:
            packets.sort(key=lambda packet: packet.time_ns)
        if self.ng:
            return (
                section()
                + interface(self.link)
                + b"".join(enhanced(packet.time_ns, packet.frame(self.link)) for packet in packets)
            )
        return capture(packets, self.link)

    def client(self, at: int) -> str:
        """As the lines name the client of the case at this place."""
        host, port = self.hosts[0], FIRST_PORT + at
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def play(self, at: int, case: Case) -> list[Packet]:
        start = 1_700_000_000_000_000_000 + (at if self.interleave else at * 10**9)
        talk = Conversation(
            (self.hosts[0], FIRST_PORT + at),
            (self.hosts[1], 8080),
            [2**32 - 300, 77],  # the numbers wrap
            time_ns=start,
        ).open()
        request, response = case.handshake()
        early = case.early
        # Octet by octet, handshakes would be most of a file: a tenth of them will do.
        whole = at % 10 != 0 and not any(early)
        self._send(talk, case, 0, request + early[0], whole=whole)
        self._send(talk, case, 1, response + early[1], whole=whole)
        self.kept.append(([], []))
        for direction, octets in case.steps:
            first = len(talk.packets)
            self._send(talk, case, direction, octets)
            if self.loss:
                talk.packets[first:] = self._lose(talk.packets[first:], self.kept[-1][direction])
        if case.end == "fin":
            talk.close()
        elif case.end == "reset":
            talk.packet(1, RST | ACK)
        return talk.packets

    def _send(
        self, talk: Conversation, case: Case, direction: int, octets: bytes, *, whole: bool = False
    ) -> None:
        first, at = len(talk.packets), 0
        while at < len(octets):
            size = self.size(self.rng) if case.size <= self.most and not whole else 1448
            talk.packet(direction, ACK, octets[at : at + size])
            at += size
        if self.disorder:
            talk.packets[first:] = self._disorder(talk.packets[first:])
        talk.packet(1 - direction, ACK)

    def _lose(self, flight: list[Packet], pieces: Pieces) -> list[Packet]:
        captured = []
        for packet in flight:
            if packet.payload and self.rng.random() < self.loss:
                if pieces and isinstance(pieces[-1], int):
                    pieces[-1] += len(packet.payload)
                else:
                    pieces.append(len(packet.payload))
                continue
            captured.append(packet)
            if packet.payload:
                pieces.append(packet.payload)
        return captured

    def _disorder(self, flight: list[Packet]) -> list[Packet]:
        """Some are late, some come twice, some again with what came before them."""
        times = [packet.time_ns for packet in flight]
        moved: list[tuple[float, Packet]] = []
        for at, packet in enumerate(flight):
            late = self.rng.random() < self.disorder
            moved.append((at + (self.rng.uniform(0, 5) if late else 0), packet))
            if self.rng.random() < self.disorder:
                again = packet
                if at and self.rng.random() < 0.5:  # RFC 9293 3.10.7.4: trimmed to what is new
                    before = flight[at - 1]
                    again = replace(before, payload=before.payload + packet.payload)
                moved.append((at + self.rng.uniform(0, 5), again))
        moved.sort(key=lambda pair: pair[0])
        times += [times[-1]] * (len(moved) - len(times)) if times else []
        return [
            replace(packet, time_ns=time) for (_, packet), time in zip(moved, times, strict=True)
        ]


WAYS = [
    Way("as large as they come", lambda _: WHOLE_BYTES),
    Way("1448", lambda _: 1448, ng=True),
    Way("octet by octet", lambda _: 1, most=300, hosts=("2001:db8::1", "2001:db8::2")),
    Way("at random", lambda rng: rng.choice((1, 2, 3, 7, 60, 600)), link=SLL2, interleave=True),
    Way(
        "late and twice",
        lambda rng: rng.choice((1, 5, 40, 300, 1448)),
        disorder=0.3,
        ng=True,
        interleave=True,
    ),
]  # fmt: skip
