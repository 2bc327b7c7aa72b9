"""What a case is: octets that both peers send in turn, and the lines that shall be told of them.

The expected lines are written by hand, from the RFC and from the names of DESIGN; the digests
come from the payloads that are written there.  `conn` is left out: it is the file's.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import wire
from websocket_bytes import request, response
from wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

__all__ = [
    "BINARY", "CLIENT", "CLOSE", "CONTINUATION", "PING", "PONG", "SERVER", "TEXT", "Case", "Peer",
    "from_both", "request", "response",
]  # fmt: skip

Line = dict[str, Any]
Step = tuple[int, bytes]
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # one for all: section 1.3's, as careless clients send it


@dataclass(frozen=True)
class Peer:
    """One end: the octets that it sends, and the lines about them."""

    direction: int
    name: str
    key: bytes | None

    @property
    def head(self) -> int:
        """Octets of a short frame's header."""
        return 2 if self.key is None else 2 + len(self.key)

    def raw(self, octets: bytes) -> Step:
        return self.direction, octets

    def send(self, *frames: bytes) -> Step:
        return self.direction, b"".join(frames)

    def frame(self, opcode: int, payload: bytes = b"", **how: Any) -> bytes:
        return wire.frame(opcode, payload, **{"key": self.key} | how)

    def message(
        self, opcode: int, payload: bytes, fragments: int = 1, *, packed: bool = False,
        late: bool = False,
    ) -> Line:  # fmt: skip
        return {
            "type": "message",
            "dir": self.name,
            "opcode": opcode,
            "length": len(payload),
            "sha256": hashlib.sha256(payload).hexdigest(),
            "compressed": packed,
            "fragments": fragments,
        } | ({"after_close": True} if late else {})

    def control(self, opcode: int, length: int = 0, code: int | None = None) -> Line:
        return {
            "type": "control", "dir": self.name, "opcode": opcode, "length": length, "code": code,
        }  # fmt: skip

    def anomaly(self, kind: str, offset: int | None = None) -> Line:
        """`offset`: None leaves it to the oracle."""
        line = {"type": "anomaly", "dir": self.name, "kind": kind}
        return line if offset is None else line | {"offset": offset}


CLIENT = Peer(0, "c2s", wire.KEY)
SERVER = Peer(1, "s2c", None)


@dataclass(frozen=True)
class Case:
    name: str
    steps: list[Step]
    lines: list[Line]
    extensions: str | None = None
    # Of permessage-deflate by direction: whether the sender keeps its context.
    takeover: tuple[bool, bool] = (True, True)
    # Frames behind the request before its answer came, and in the answer's own segment
    early: tuple[bytes, bytes] = (b"", b"")
    end: str = "fin"  # fin, reset, or none: the capture ends
    stream: tuple[bytes, bytes] = field(init=False)

    def __post_init__(self) -> None:
        streams = [
            self.early[way] + b"".join(octets for at, octets in self.steps if at == way)
            for way in range(2)
        ]
        object.__setattr__(self, "stream", tuple(streams))

    def handshake(self) -> tuple[bytes, bytes]:
        headers = {"Sec_WebSocket_Extensions": self.extensions} if self.extensions else {}
        path = "/" + self.name.replace(" ", "-")
        return request(path, key=KEY, **headers), response(KEY, **headers)

    @property
    def packed(self) -> bool:
        return "permessage-deflate" in (self.extensions or "")

    @property
    def size(self) -> int:
        return sum(map(len, self.stream))


def from_both(
    name: str, make: Callable[[Peer], tuple[Iterable[bytes], list[Line]]], **more: Any
) -> list[Case]:
    """The same from either peer, the frames one step each."""
    cases = []
    for peer in (CLIENT, SERVER):
        frames, lines = make(peer)
        cases.append(Case(f"{name} {peer.name}", [peer.raw(f) for f in frames], lines, **more))
    return cases
