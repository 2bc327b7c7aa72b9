"""Lengths, masks, pings, reserved bits and opcodes (RFC 6455 sections 5.1, 5.2, 5.5)."""

import wire
from case import BINARY, CLIENT, CLOSE, CONTINUATION, PING, PONG, SERVER, TEXT, Case, from_both

LENGTHS = (0, 1, 125, 126, 127, 128, 65535, 65536)
RESERVED = (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)


def lengths(opcode):
    for size in LENGTHS:
        payload = b"*" * size if opcode == TEXT else b"\xfe" * size
        yield from from_both(
            f"length {opcode} {size}",
            lambda p, payload=payload: ([p.frame(opcode, payload)], [p.message(opcode, payload)]),
        )


def long_forms():
    """Section 5.2: the minimal number of octets MUST be used."""
    for form, size in ((2, 0), (2, 5), (2, 125), (8, 0), (8, 125), (8, 126), (8, 65535)):
        yield from from_both(
            f"length {size} in {form} octets",
            lambda p, form=form, size=size: (
                [p.frame(BINARY, bytes(size), form=form), p.frame(TEXT, b"next")],
                [
                    p.anomaly("length_not_minimal", 1 + (2 if form == 2 else 6)),
                    p.message(BINARY, bytes(size)),
                    p.message(TEXT, b"next"),
                ],
            ),
        )
    yield from from_both(
        "a ping's length in 2 octets",
        lambda p: (
            [p.frame(PING, b"ping", form=2)],
            [p.anomaly("length_not_minimal", 3), p.control(PING, 4)],
        ),
    )


def impossible_lengths():
    """Section 5.2: the most significant bit MUST be 0; nothing can follow such a frame."""
    yield from from_both(
        "the top bit of a length",
        lambda p: (
            [p.frame(TEXT, b"before"), p.frame(BINARY, b"x", form=8, length=1 << 63)],
            [p.message(TEXT, b"before"), p.anomaly("length_overflow", p.head + 6 + 2)],
        ),
    )
    yield from from_both(
        "a length that never comes",
        lambda p: ([p.frame(BINARY, b"x", form=8, length=(1 << 53) - 1)], [p.anomaly("truncated")]),
    )
    for length, at in ((1 << 53, 3), ((1 << 63) - 1, 2)):
        yield from from_both(
            f"a length that no peer takes {at}",
            lambda p, length=length, at=at: (
                [p.frame(BINARY, b"x", form=8, length=length)],
                [p.anomaly("length_overflow", at)],
            ),
        )


def masks():
    """Section 5.1: a client masks, a server does not."""
    for opcode in (TEXT, BINARY):
        yield Case(
            f"a client without mask {opcode}",
            [CLIENT.send(CLIENT.frame(opcode, b"clear", key=None), CLIENT.frame(TEXT, b"next"))],
            [
                CLIENT.anomaly("unmasked_client", 1),
                CLIENT.message(opcode, b"clear"),
                CLIENT.message(TEXT, b"next"),
            ],
        )
        yield Case(
            f"a server with mask {opcode}",
            [SERVER.send(SERVER.frame(opcode, b"hidden", key=wire.KEY), SERVER.frame(TEXT, b"n"))],
            [
                SERVER.anomaly("masked_server", 1),
                SERVER.message(opcode, b"hidden"),
                SERVER.message(TEXT, b"n"),
            ],
        )
    yield Case(
        "a mask of zeros",
        [CLIENT.send(CLIENT.frame(TEXT, b"clear", key=bytes(4)))],
        [CLIENT.message(TEXT, b"clear")],
    )
    yield Case(
        "an unmasked close",
        [CLIENT.send(CLIENT.frame(CLOSE, b"\x03\xe8", key=None))],
        [CLIENT.anomaly("unmasked_client", 1), CLIENT.control(CLOSE, 2, 1000)],
    )


def cut_frames():
    """A TCP end inside a frame, wherever that is."""
    for kept in range(1, 10):
        yield from from_both(
            f"{kept} octets of a frame",
            lambda p, kept=kept: (
                [p.frame(TEXT, b"ok"), p.frame(BINARY, bytes(20))[:kept]],
                [p.message(TEXT, b"ok"), p.anomaly("truncated", p.head + 2 + kept)],
            ),
        )
    yield from from_both(
        "an end without close", lambda p: ([p.frame(TEXT, b"ok")], [p.message(TEXT, b"ok")])
    )
    for end in ("reset", "none"):
        yield from from_both(
            f"half a frame and {end}",
            lambda p: ([p.frame(TEXT, b"half of it")[:-5]], [p.anomaly("truncated")]),
            end=end,
        )


def pings():
    for opcode in (PING, PONG):
        for payload in (b"", b"Hello, world!", bytes(range(0xF8, 0x100)), b"\xfe" * 125):
            yield from from_both(
                f"control {opcode} {len(payload)}",
                lambda p, opcode=opcode, payload=payload: (
                    [p.frame(opcode, payload)],
                    [p.control(opcode, len(payload))],
                ),
            )
        # Section 5.5: a payload length of 125 or less
        for size in (126, 255, 256, 65536):
            yield from from_both(
                f"control {opcode} {size}",
                lambda p, opcode=opcode, size=size: (
                    [p.frame(opcode, b"\xfe" * size), p.frame(TEXT, b"next")],
                    [
                        p.anomaly("control_too_long"),
                        p.control(opcode, size),
                        p.message(TEXT, b"next"),
                    ],
                ),
            )
    ends = ((CLIENT, PING), (SERVER, PONG))
    yield Case(
        "ten pings, then their pongs",
        [p.send(*(p.frame(op, b"%d" % n) for n in range(10))) for p, op in ends],
        10 * [CLIENT.control(PING, 1)] + 10 * [SERVER.control(PONG, 1)],
    )


def reserved_bits():
    """Section 5.2: RSV1 to RSV3 MUST be 0 unless an extension is negotiated."""
    for rsv in range(1, 8):
        for opcode, payload in ((TEXT, b"a*b"), (BINARY, b"\xff"), (PING, b"p"), (PONG, b"")):
            yield from from_both(
                f"bits {rsv} opcode {opcode}",
                lambda p, rsv=rsv, opcode=opcode, payload=payload: (
                    [p.frame(TEXT, b"x"), p.frame(opcode, payload, rsv=rsv), p.frame(PING)],
                    [
                        p.message(TEXT, b"x"),
                        p.anomaly("rsv_bits", p.head + 1),
                        p.message(opcode, payload)
                        if opcode < CLOSE
                        else p.control(opcode, len(payload)),
                        p.control(PING),
                    ],
                ),
            )
        yield from from_both(
            f"bits {rsv} close",
            lambda p, rsv=rsv: (
                [p.frame(CLOSE, b"\x03\xe8", rsv=rsv)],
                [p.anomaly("rsv_bits", 0), p.control(CLOSE, 2, 1000)],
            ),
        )
        yield from from_both(
            f"bits {rsv} continuation",
            lambda p, rsv=rsv: (
                [p.frame(TEXT, b"a", fin=False), p.frame(CONTINUATION, b"b", rsv=rsv)],
                [p.anomaly("rsv_bits"), p.message(TEXT, b"ab", 2)],
            ),
        )


def reserved_opcodes():
    """Section 5.2: an unknown opcode fails the connection; its payload means nothing."""
    for opcode in RESERVED:
        for payload in (b"", b"payload", b"\xff" * 125):
            yield from from_both(
                f"opcode {opcode} {len(payload)}",
                lambda p, opcode=opcode, payload=payload: (
                    [p.frame(TEXT, b"x") + p.frame(opcode, payload) + p.frame(PING)],
                    [
                        p.message(TEXT, b"x"),
                        p.anomaly("reserved_opcode", p.head + 1),
                        p.control(PING),
                    ],
                ),
            )
        yield from from_both(
            f"opcode {opcode} between fragments",
            lambda p, opcode=opcode: (
                [
                    p.frame(TEXT, b"a", fin=False),
                    p.frame(opcode, b"?"),
                    p.frame(CONTINUATION, b"b"),
                ],
                [p.anomaly("reserved_opcode"), p.message(TEXT, b"ab", 2)],
            ),
        )


CASES = [
    *lengths(TEXT), *lengths(BINARY), *long_forms(), *impossible_lengths(), *masks(),
    *cut_frames(), *pings(), *reserved_bits(), *reserved_opcodes(),
]  # fmt: skip
