"""Bytes on the wire, right ones and wrong ones."""

import zlib

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x37\xfa\x21\x3d"  # RFC 6455 section 5.7
TAIL = b"\x00\x00\xff\xff"


def mask(payload, key):
    return bytes(octet ^ key[at % 4] for at, octet in enumerate(payload))


def frame(opcode, payload=b"", *, key=None, fin=True, rsv=0, form=None, length=None):
    """One frame.  `form`: octets of the extended length (0, 2, 8); `length`: what it claims."""
    size = len(payload) if length is None else length
    if form is None:
        form = 0 if size < 126 else 2 if size < 1 << 16 else 8
    second = {0: size, 2: 126, 8: 127}[form]
    head = bytes([fin << 7 | rsv << 4 | opcode, (key is not None) << 7 | second])
    head += size.to_bytes(form, "big") if form else b""
    return head + (payload if key is None else key + mask(payload, key))


class Deflater:
    """The sending side of permessage-deflate (RFC 7692 section 7.2.1)."""

    def __init__(self, window_bits=15, no_context_takeover=False):
        self.window_bits = window_bits
        self.no_context_takeover = no_context_takeover
        self.zlib = None

    def __call__(self, payload):
        if self.zlib is None or self.no_context_takeover:
            self.zlib = zlib.compressobj(wbits=-max(self.window_bits, 9))
        packed = self.zlib.compress(payload) + self.zlib.flush(zlib.Z_SYNC_FLUSH)
        return packed.removesuffix(TAIL)


def octets(stream):
    return [stream[at : at + 1] for at in range(len(stream))]


def cuts(stream):
    """Every way to cut a stream in two, and octet by octet."""
    for at in range(len(stream) + 1):
        yield [stream[:at], stream[at:]]
    yield octets(stream)
