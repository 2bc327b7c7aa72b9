"""A passive WebSocket decoder without I/O: from captured bytes to messages.

For Python: `FrameDecoder` (one direction's frames), `ConnectionDecoder` (both, from
the request line on) and `handshake.Handshake`.  For Cython: `connection.pxd`,
`frames.pxd` and the callbacks of `events.pxd`, without objects and without the GIL.
"""

from sockwarden.parser.decoder import (
    Anomaly,
    ConnectionDecoder,
    Control,
    DeflateParameters,
    FrameDecoder,
    Message,
)
from sockwarden.parser.handshake import Handshake

__all__ = [
    "Anomaly",
    "ConnectionDecoder",
    "Control",
    "DeflateParameters",
    "FrameDecoder",
    "Handshake",
    "Message",
]
