"""What the privileged helper and the agent say to each other.

One msgpack map a packet over a SOCK_SEQPACKET pair; descriptors travel with `Hello`.
Neither side trusts the other's words: an unknown or ill-typed one is refused by `decode`,
and the agent never names a file or an offset.
"""

import msgspec

MAX_PACKET_BYTES = 65_536


class Packet(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="say", forbid_unknown_fields=True
):
    """Base of all."""


class Hello(Packet, frozen=True, kw_only=True, tag="hello"):
    """Helper, first: as many ring descriptors come with it as `rings` says."""

    rings: int
    impairments: tuple[str, ...] = ()


class ProcessRequest(Packet, frozen=True, kw_only=True, tag="process?"):
    """Agent: who is that?  `start_ns` (CLOCK_BOOTTIME, from the record) guards against re-use."""

    pid: int
    start_ns: int


class ProcessReply(Packet, frozen=True, kw_only=True, tag="process"):
    """Helper: None is what could not be learned, for one because the process is gone."""

    pid: int
    start_ns: int
    exe: str | None = None
    command_line: tuple[str, ...] = ()
    uid: int | None = None
    unit: str | None = None
    container: str | None = None


class CountersRequest(Packet, frozen=True, kw_only=True, tag="counters?"):
    """Agent, before each heartbeat."""


class CountersReply(Packet, frozen=True, kw_only=True, tag="counters"):
    """Helper: the probe's counters (parser/records.h) and its own, by name."""

    counters: dict[str, int]
    impairments: tuple[str, ...]


class Progress(Packet, frozen=True, kw_only=True, tag="progress"):
    """Agent, every second: both only grow while it is well.  The helper's watchdog hangs on it."""

    drained: int
    uplink: int


class Ready(Packet, frozen=True, kw_only=True, tag="ready"):
    """Agent: rules are loaded, the spool is open, the ring is mapped."""


class Ignore(Packet, frozen=True, kw_only=True, tag="ignore"):
    """Agent: this connection's bytes need not leave the kernel any more."""

    connection: int


class Stop(Packet, frozen=True, kw_only=True, tag="stop"):
    """Helper: drain what is there, flush, exit 0."""


class Reload(Packet, frozen=True, kw_only=True, tag="reload"):
    """Helper, on SIGHUP: read configuration and rules anew."""


FromHelper = Hello | ProcessReply | CountersReply | Stop | Reload
FromAgent = ProcessRequest | CountersRequest | Progress | Ready | Ignore

encode = msgspec.msgpack.Encoder().encode
decode_from_helper = msgspec.msgpack.Decoder(FromHelper).decode
decode_from_agent = msgspec.msgpack.Decoder(FromAgent).decode
