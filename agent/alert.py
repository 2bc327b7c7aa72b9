"""What the agent says: alerts, and the lines of `watch` and `analyze`.

The attributes are the JSON keys that DESIGN names; `msgspec.json.encode` of a report is
one line of output.  Times are integers of nanoseconds since the Unix epoch inside, RFC 3339
outside.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

import msgspec

DirectionName = Literal["c2s", "s2c"]


NS_PER_SECOND = 1_000_000_000


def rfc3339(time_ns: int) -> str:
    """Nanoseconds since the epoch as "2026-11-24T22:00:00.000000001Z"."""
    seconds, fraction = divmod(time_ns, NS_PER_SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


class Level(StrEnum):
    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Category(StrEnum):
    INJECTION = "injection"
    HIJACK = "hijack"
    LEAK = "leak"
    DOS = "dos"
    PROTOCOL = "protocol"
    POSTURE = "posture"


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """The observed process, as the privileged helper resolved it."""

    pid: int
    exe: str | None = None
    uid: int | None = None
    unit: str | None = None
    container: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """One line of output; `conn` counts connections in the order seen, from 1."""


class Connection(Report, frozen=True, kw_only=True, tag="connection"):
    conn: int
    client: str | None
    server: str | None
    role: Literal["server", "client"] | None
    path: str | None
    origin: str | None
    subprotocol: str | None
    extensions: str | None
    tls: str | None
    pid: int | None
    exe: str | None


class Message(Report, frozen=True, kw_only=True, tag="message", omit_defaults=True):
    """`after_close` is absent where it is false."""

    conn: int
    dir: DirectionName
    opcode: int
    length: int
    sha256: str | None
    compressed: bool | None
    fragments: int | None
    after_close: bool = False


class Control(Report, frozen=True, kw_only=True, tag="control"):
    """`code` is null where there is none: an empty Close, a ping, a pong."""

    conn: int
    dir: DirectionName
    opcode: int
    length: int
    code: int | None = None


class Anomaly(Report, frozen=True, kw_only=True, tag="anomaly"):
    conn: int
    dir: DirectionName
    kind: str
    offset: int


class Alert(Report, frozen=True, kw_only=True, tag="alert"):
    conn: int
    id: str
    agent: str | None
    sequence: int | None
    time: str
    rule: str
    title: str
    level: Level
    category: Category
    tags: tuple[str, ...]
    dir: DirectionName | None
    opcode: int | None
    evidence: str
    count: int
    client: str | None
    server: str | None
    path: str | None
    origin: str | None
    subprotocol: str | None
    tls: str | None
    proxied: bool
    process: Process | None


class Counters(Report, frozen=True, kw_only=True, tag="counters"):
    captured_bytes: int
    lost: dict[str, int]
    messages: int
