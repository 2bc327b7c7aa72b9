"""permessage-deflate (RFC 7692): windows, contexts, fragments, and what is no deflate data."""

import random
import zlib

from case import BINARY, CLIENT, CLOSE, CONTINUATION, PING, SERVER, TEXT, Case, from_both
from wire import Deflater

NAME = "permessage-deflate"
WORDS = b"the quick brown fox jumps over the lazy dog; "
HELLO = bytes.fromhex("f2 48 cd c9 c9 07 00")  # section 7.2.3.1
NOISE = random.Random(7692).randbytes(2_000)
PAYLOADS = (b"", b"Hello", WORDS * 3, NOISE, WORDS * 200, NOISE + WORDS, b"Hello")


def windows():
    """Section 7.1: each direction has its own window and takeover."""
    for bits in range(8, 16):
        for keeps in (True, False):
            extensions = f"{NAME}; client_max_window_bits={bits}; server_max_window_bits={bits}"
            if not keeps:
                extensions += "; client_no_context_takeover; server_no_context_takeover"
            yield from from_both(
                f"window {bits} takeover {keeps}",
                lambda p, bits=bits, keeps=keeps: (
                    packed_frames(p, Deflater(bits, not keeps)),
                    [p.message(BINARY, payload, packed=True) for payload in PAYLOADS],
                ),
                extensions=extensions,
                takeover=(keeps, keeps),
            )


def packed_frames(peer, deflater):
    return [peer.frame(BINARY, deflater(payload), rsv=4) for payload in PAYLOADS]


def one_sided():
    """What is agreed for one direction says nothing of the other."""
    for name, takeover in (("client", (False, True)), ("server", (True, False))):
        for bits in (9, 15):
            extensions = f"{NAME}; {name}_no_context_takeover; {name}_max_window_bits={bits}"
            steps, lines = [], []
            deflaters = [Deflater(15 if keeps else bits, not keeps) for keeps in takeover]
            for payload in PAYLOADS:
                for peer in (CLIENT, SERVER):
                    packed = deflaters[peer.direction](payload)
                    steps.append(peer.send(peer.frame(BINARY, packed, rsv=4)))
                    lines.append(peer.message(BINARY, payload, packed=True))
            yield Case(f"only the {name} {bits}", steps, lines, extensions, takeover)


def fragments():
    packed = Deflater()(WORDS * 4)
    for size in (1, 7, len(packed)):
        parts = [packed[at : at + size] for at in range(0, len(packed), size)]
        yield from from_both(
            f"packed in {len(parts)} fragments",
            lambda p, parts=parts: (
                [
                    p.frame(CONTINUATION if n else TEXT, part, fin=False, rsv=0 if n else 4)
                    for n, part in enumerate(parts)
                ]
                + [p.frame(PING), p.frame(CONTINUATION)],
                [p.control(PING), p.message(TEXT, WORDS * 4, len(parts) + 1, packed=True)],
            ),
            extensions=NAME,
        )
    # Section 6.1: RSV1 stands in the first frame only
    yield from from_both(
        "RSV1 on a continuation",
        lambda p: (
            [
                p.frame(TEXT, packed[:9], fin=False, rsv=4),
                p.frame(CONTINUATION, packed[9:], rsv=4),
                p.frame(TEXT, b"plain"),
            ],
            [
                p.anomaly("rsv_bits"),
                p.message(TEXT, WORDS * 4, 2, packed=True),
                p.message(TEXT, b"plain"),
            ],
        ),
        extensions=NAME,
    )
    yield from from_both(
        "RSV1 on a continuation of a plain message",
        lambda p: (
            [p.frame(TEXT, b"a", fin=False), p.frame(CONTINUATION, b"b", rsv=4)],
            [p.anomaly("rsv_bits"), p.message(TEXT, b"ab", 2)],
        ),
        extensions=NAME,
    )
    # RSV2 and RSV3 are nobody's
    for rsv in (2, 5, 6, 7):
        yield from from_both(
            f"bits {rsv} with the extension",
            lambda p, rsv=rsv: (
                [p.frame(BINARY, packed if rsv & 4 else b"raw", rsv=rsv), p.frame(PING)],
                [
                    p.anomaly("rsv_bits", 0),
                    p.message(BINARY, WORDS * 4 if rsv & 4 else b"raw", packed=bool(rsv & 4)),
                    p.control(PING),
                ],
            ),
            extensions=NAME,
        )
    for opcode, payload, code in ((PING, b"", None), (CLOSE, b"\x03\xe8", 1000)):
        yield from from_both(
            f"RSV1 on control {opcode}",
            lambda p, opcode=opcode, payload=payload, code=code: (
                [p.frame(opcode, payload, rsv=4)],
                [p.anomaly("rsv_bits", 0), p.control(opcode, len(payload), code)],
            ),
            extensions=NAME,
        )


def blocks():
    """Section 7.2.3: the kinds of blocks that a sender may make."""
    stored = zlib.compressobj(0, wbits=-15)
    flat = stored.compress(WORDS) + stored.flush(zlib.Z_SYNC_FLUSH)[:-4]
    several = zlib.compressobj(wbits=-15)
    many = b"".join(several.compress(WORDS) + several.flush(zlib.Z_FULL_FLUSH) for _ in range(3))
    final = zlib.compressobj(wbits=-15)
    ended = final.compress(WORDS) + final.flush()
    kinds = {
        "stored": (flat, WORDS),
        "several": (many[:-4], WORDS * 3),
        "final": (ended + b"\x00", WORDS),
        "final without padding": (ended, WORDS),
        "example of 7.2.3.3": (bytes.fromhex("00 05 00 fa ff 48 65 6c 6c 6f 00"), b"Hello"),
        "example of 7.2.3.4": (bytes.fromhex("f3 48 cd c9 c9 07 00 00"), b"Hello"),
        "example of 7.2.3.5": (bytes.fromhex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00"), b"Hello"),
        "example of 7.2.3.6": (b"\x00", b""),
        "no octet at all": (b"", b""),
    }
    for name, (packed, clear) in kinds.items():
        yield from from_both(
            name,
            lambda p, packed=packed, clear=clear: (
                [p.frame(TEXT, packed, rsv=4), p.frame(TEXT, HELLO, rsv=4)],
                [p.message(TEXT, clear, packed=True), p.message(TEXT, b"Hello", packed=True)],
            ),
            extensions=NAME,
        )


def violations():
    yield from from_both(
        "no deflate data",
        lambda p: (
            [p.frame(TEXT, b"\xff\xff\xff", rsv=4), p.frame(TEXT, b"plain")],
            [p.anomaly("inflate_error", 0), p.message(TEXT, b"plain")],
        ),
        extensions=NAME,
    )
    without = "; client_no_context_takeover; server_no_context_takeover"
    yield from from_both(
        "no deflate data, without takeover",
        lambda p: (
            [p.frame(TEXT, b"\xff\xff\xff", rsv=4), p.frame(TEXT, Deflater()(WORDS), rsv=4)],
            [p.anomaly("inflate_error", 0), p.message(TEXT, WORDS, packed=True)],
        ),
        extensions=NAME + without,
        takeover=(False, False),
    )
    # Section 7.1.1: the sender repeats what the receiver does not keep
    keeps = Deflater()
    repeated = [keeps(NOISE), keeps(NOISE)]
    yield from from_both(
        "a context that was agreed away",
        lambda p: (
            [p.frame(BINARY, packed, rsv=4) for packed in repeated] + [p.frame(TEXT, HELLO, rsv=4)],
            [
                p.message(BINARY, NOISE, packed=True),
                p.anomaly("inflate_error"),
                p.message(TEXT, b"Hello", packed=True),
            ],
        ),
        extensions=NAME + without,
        takeover=(False, False),
    )
    for octets in (b"bad \xff text", b"cut \xe2\x82"):
        yield from from_both(
            f"bad text, packed {len(octets)}",
            lambda p, octets=octets: (
                [p.frame(TEXT, Deflater()(octets), rsv=4)],
                [p.anomaly("invalid_utf8", 0), p.message(TEXT, octets, packed=True)],
            ),
            extensions=NAME,
        )
    yield from from_both(
        "RSV1 although nothing was agreed",
        lambda p: (
            [p.frame(BINARY, Deflater()(WORDS), rsv=4)],
            [p.anomaly("rsv_bits", 0), p.message(BINARY, Deflater()(WORDS))],
        ),
    )
    yield from from_both(
        "packed behind a close",
        lambda p: (
            [p.frame(CLOSE), p.frame(TEXT, Deflater()(WORDS), rsv=4)],
            [
                p.control(CLOSE),
                p.anomaly("data_after_close"),
                p.message(TEXT, WORDS, packed=True, late=True),
            ],
        ),
        extensions=NAME,
    )


CASES = [*windows(), *one_sided(), *fragments(), *blocks(), *violations()]
