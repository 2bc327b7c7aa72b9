from typing import Literal

from typing_extensions import Buffer

from sockwarden.parser.handshake import Handshake

Dir = Literal["c2s", "s2c"]

class Message:
    """A whole data message: unmasked, joined, inflated."""

    dir: Dir
    opcode: int
    """1: text, 2: binary."""
    length: int
    """True length, inflated."""
    sha256: str | None
    """Of the whole payload; None if octets of it are missing."""
    compressed: bool
    fragments: int
    """Data frames; 1: not fragmented."""
    after_close: bool
    payload: bytes
    """The first `message_bytes` of it; octets that are missing are 0."""
    wire_length: int
    """Payload octets in its frames, compressed."""
    offset: int
    """Of its first frame, in octets of its direction since the handshake."""
    complete: bool
    """No octet of it is missing."""
    valid_utf8: bool
    """True for binary."""

class Control:
    """A control frame."""

    dir: Dir
    opcode: int
    """8: Close, 9: Ping, 10: Pong."""
    length: int
    code: int | None
    """Of a Close that has one."""
    after_close: bool
    payload: bytes
    """At most 125 octets of it."""
    offset: int

class Anomaly:
    """A rule that was broken, told when the octet at `offset` came."""

    dir: Dir
    kind: str
    """One of events.ANOMALY_KINDS."""
    offset: int

class DeflateParameters:
    """permessage-deflate of one direction, as negotiated (RFC 7692 section 7.1)."""

    window_bits: int
    no_context_takeover: bool
    def __init__(self, window_bits: int = 15, no_context_takeover: bool = False) -> None:
        """Raises ValueError for window bits other than 8 to 15."""

class FrameDecoder:
    """Frames of one direction, from the first octet behind the handshake.

    Behind a gap over a header nothing is told before the next frame is found and proven to
    be one (resync.pyx); then all from there on is.  Memory is bounded by `message_bytes`, which
    is what is kept of one message's payload (lengths and digests are those of the whole), and
    270 KiB while a frame is searched for.  No bytes make it raise.
    A compressed message is inflated as far as `inflated_bytes`; there it is told as one with
    octets missing.
    """

    def __init__(
        self,
        sender: Literal["client", "server"],
        deflate: DeflateParameters | None = None,
        *,
        message_bytes: int = 16 << 20,
        inflated_bytes: int = 1 << 30,
        synchronised: bool = True,
    ) -> None:
        """`synchronised` False: the stream begins anywhere, and the first octet need not be a
        frame's."""
    def feed(self, data: Buffer) -> list[Message | Control | Anomaly]: ...
    def gap(self, size: int) -> list[Message | Control | Anomaly]:
        """`size` octets are missing here."""
    def end(self) -> list[Message | Control | Anomaly]:
        """No more octets come."""
    @property
    def losses(self) -> tuple[int, int]:
        """Octets not decoded, or not yet; compressed messages withheld."""

class ConnectionDecoder:
    """Both directions of a connection, from the request line on; see connection.pxd."""

    def __init__(
        self,
        *,
        synchronised: bool = True,
        head_bytes: int = 16_384,
        message_bytes: int = 16 << 20,
        inflated_bytes: int = 1 << 30,
    ) -> None:
        """`synchronised` False: the connection was open before, and bytes begin anywhere."""
    def feed(
        self, direction: Dir, position: int, data: Buffer
    ) -> list[Handshake | Message | Control | Anomaly]:
        """Octets at `position` of the direction's stream."""
    def end(
        self, direction: Dir, position: int = 0
    ) -> list[Handshake | Message | Control | Anomaly]:
        """No more come; `position` is the stream's end, where it is known."""
    @property
    def memory(self) -> int:
        """Bytes held for this connection."""
    @property
    def losses(self) -> dict[Dir, tuple[int, int]]:
        """By direction: octets not decoded, compressed messages withheld."""
