"""Fragmentation (RFC 6455 sections 5.4 and 5.5)."""

from case import BINARY, CLIENT, CLOSE, CONTINUATION, PING, PONG, SERVER, TEXT, Case, from_both


def whole():
    for opcode in (TEXT, BINARY):
        for parts in (
            [b"fragment1", b"fragment2"],
            [b"", b"", b""],
            [b"a", b"", b"b"],
            [b"*"] * 40,
        ):
            yield from from_both(
                f"{len(parts)} fragments {len(parts[0])} opcode {opcode}",
                lambda p, parts=parts, opcode=opcode: (
                    [
                        p.frame(opcode if at == 0 else CONTINUATION, part, fin=at == len(parts) - 1)
                        for at, part in enumerate(parts)
                    ],
                    [p.message(opcode, b"".join(parts), len(parts))],
                ),
            )  # fmt: skip


def between():
    yield from from_both(
        "controls between fragments",
        lambda p: (
            [
                p.frame(TEXT, b"a", fin=False),
                p.frame(PING, b"1") + p.frame(PONG),
                p.frame(CONTINUATION, b"b", fin=False),
                p.frame(PING, b"22"),
                p.frame(CONTINUATION, b"c"),
            ],
            [p.control(PING, 1), p.control(PONG), p.control(PING, 2), p.message(TEXT, b"abc", 3)],
        ),
    )
    yield Case(
        "both directions interleaved",
        [
            CLIENT.send(CLIENT.frame(TEXT, b"to ", fin=False)),
            SERVER.send(SERVER.frame(BINARY, b"from ", fin=False)),
            CLIENT.send(CLIENT.frame(PING)),
            SERVER.send(SERVER.frame(PONG)),
            SERVER.send(SERVER.frame(CONTINUATION, b"server")),
            CLIENT.send(CLIENT.frame(CONTINUATION, b"server")),
            SERVER.send(SERVER.frame(TEXT, b"bye")),
        ],
        [
            CLIENT.control(PING),
            SERVER.control(PONG),
            SERVER.message(BINARY, b"from server", 2),
            CLIENT.message(TEXT, b"to server", 2),
            SERVER.message(TEXT, b"bye"),
        ],
    )


def controls():
    """Section 5.5: control frames MUST NOT be fragmented."""
    for opcode, payload in ((PING, b"ping"), (PONG, b""), (CLOSE, b"\x03\xe8")):
        code = 1000 if opcode == CLOSE else None
        yield from from_both(
            f"control {opcode} without FIN",
            lambda p, opcode=opcode, payload=payload, code=code: (
                [p.frame(opcode, payload, fin=False)],
                [p.anomaly("control_fragmented", 0), p.control(opcode, len(payload), code)],
            ),
        )
    yield from from_both(
        "a ping in two fragments",
        lambda p: (
            [p.frame(PING, b"a", fin=False), p.frame(CONTINUATION, b"b"), p.frame(TEXT, b"next")],
            [
                p.anomaly("control_fragmented", 0),
                p.control(PING, 1),
                p.anomaly("unexpected_continuation"),
                p.message(TEXT, b"next"),
            ],
        ),
    )


def nothing_to_continue():
    """Section 5.4: each frame that continues nothing is one violation, and no message."""
    for fin in (False, True):
        orphan = {"fin": fin}
        yield from from_both(
            f"a continuation first, FIN {fin}",
            lambda p, orphan=orphan: (
                [p.frame(CONTINUATION, b"orphan", **orphan), p.frame(TEXT, b"whole")],
                [p.anomaly("unexpected_continuation", 0), p.message(TEXT, b"whole")],
            ),
        )
        yield from from_both(
            f"a continuation behind a message, FIN {fin}",
            lambda p, orphan=orphan: (
                [
                    p.frame(TEXT, b"a", fin=False) + p.frame(CONTINUATION, b"b"),
                    p.frame(CONTINUATION, b"\xff", **orphan),
                    p.frame(BINARY, b"whole"),
                ],
                [
                    p.message(TEXT, b"ab", 2),
                    p.anomaly("unexpected_continuation"),
                    p.message(BINARY, b"whole"),
                ],
            ),
        )
        yield from from_both(
            f"twice a continuation before fragments, FIN {fin}",
            lambda p, orphan=orphan: (
                2
                * [
                    p.frame(CONTINUATION, b"orphan", **orphan),
                    p.frame(TEXT, b"a", fin=False),
                    p.frame(CONTINUATION, b"b"),
                ],
                2 * [p.anomaly("unexpected_continuation"), p.message(TEXT, b"ab", 2)],
            ),
        )


def new_message_inside():
    """Section 5.4: fragments of one message MUST NOT be interleaved with another's."""
    yield from from_both(
        "a whole message inside fragments",
        lambda p: (
            [p.frame(TEXT, b"old", fin=False), p.frame(TEXT, b"new")],
            [p.anomaly("expected_continuation"), p.message(TEXT, b"new")],
        ),
    )
    yield from from_both(
        "fragments inside fragments",
        lambda p: (
            [
                p.frame(TEXT, b"old", fin=False),
                p.frame(BINARY, b"new ", fin=False),
                p.frame(CONTINUATION, b"one"),
                p.frame(TEXT, b"third"),
            ],
            [
                p.anomaly("expected_continuation"),
                p.message(BINARY, b"new one", 2),
                p.message(TEXT, b"third"),
            ],
        ),
    )


def unfinished():
    yield from from_both(
        "fragments that do not end",
        lambda p: (
            [p.frame(TEXT, b"a", fin=False), p.frame(PING), p.frame(CONTINUATION, b"b", fin=False)],
            [p.control(PING), p.anomaly("truncated")],
        ),
    )


CASES = [
    *whole(), *between(), *controls(), *nothing_to_continue(), *new_message_inside(), *unfinished(),
]  # fmt: skip
