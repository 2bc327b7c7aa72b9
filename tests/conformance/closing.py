"""Close frames, and what comes behind them (RFC 6455 sections 5.5.1, 7.1.5, 7.4)."""

from case import BINARY, CLIENT, CLOSE, CONTINUATION, PING, SERVER, TEXT, Case, from_both

GOOD = (
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
)  # fmt: skip
BAD = (
    0, 1, 255, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 10000, 32768, 65535,
)  # fmt: skip
REASONS = (b"", b"Hello World!", "\u20ac".encode(), b"*" * 123)
BAD_REASONS = (b"\xff", b"\xce\xba\xed\xa0\x80edited", b"cut \xe2\x82", b"*" * 122 + b"\xc3")


def close(code, reason=b""):
    return code.to_bytes(2, "big") + reason


def handshakes():
    for code in GOOD:
        yield Case(
            f"close {code} and its echo",
            [
                CLIENT.send(CLIENT.frame(TEXT, b"hello"), CLIENT.frame(CLOSE, close(code))),
                SERVER.send(SERVER.frame(CLOSE, close(code))),
            ],
            [
                CLIENT.message(TEXT, b"hello"),
                CLIENT.control(CLOSE, 2, code),
                SERVER.control(CLOSE, 2, code),
            ],
        )
    yield from from_both(
        "an empty close", lambda p: ([p.frame(CLOSE)], [p.control(CLOSE, 0, None)])
    )
    for reason in REASONS:
        yield from from_both(
            f"a reason of {len(reason)}",
            lambda p, reason=reason: (
                [p.frame(CLOSE, close(1000, reason))],
                [p.control(CLOSE, 2 + len(reason), 1000)],
            ),
        )


def violations():
    for code in BAD:  # section 7.4: codes that are not sent
        for reason in (b"", b"reason"):
            yield from from_both(
                f"close {code} {len(reason)}",
                lambda p, code=code, reason=reason: (
                    [p.frame(CLOSE, close(code, reason))],
                    [
                        p.anomaly("invalid_close_code", p.head + 1),
                        p.control(CLOSE, 2 + len(reason), code),
                    ],
                ),
            )
    for octet in (b"\x03", b"\x00", b"\xff"):  # section 5.5.1: the body MUST have two
        yield from from_both(
            f"close with one octet {octet.hex()}",
            lambda p, octet=octet: (
                [p.frame(CLOSE, octet)],
                [p.anomaly("invalid_close_payload"), p.control(CLOSE, 1, None)],
            ),
        )
    for at, reason in enumerate(BAD_REASONS):
        yield from from_both(
            f"a bad reason {at}",
            lambda p, reason=reason: (
                [p.frame(CLOSE, close(1001, reason))],
                [p.anomaly("invalid_close_payload"), p.control(CLOSE, 2 + len(reason), 1001)],
            ),
        )
    yield from from_both(
        "a close of 126",
        lambda p: (
            [p.frame(CLOSE, close(1000, b"*" * 124))],
            [p.anomaly("control_too_long", 3), p.control(CLOSE, 126, 1000)],
        ),
    )
    yield from from_both(
        "a close that is cut",
        lambda p: ([p.frame(CLOSE, close(1000, b"reason"))[:-3]], [p.anomaly("truncated")]),
    )


def behind():
    yield from from_both(
        "messages behind a close",
        lambda p: (
            [p.frame(CLOSE, close(1000)), p.frame(TEXT, b"one"), p.frame(BINARY, b"two")],
            [
                p.control(CLOSE, 2, 1000),
                p.anomaly("data_after_close"),
                p.message(TEXT, b"one", late=True),
                p.message(BINARY, b"two", late=True),
            ],
        ),
    )
    yield from from_both(
        "a close between fragments",
        lambda p: (
            [
                p.frame(TEXT, b"a", fin=False),
                p.frame(CLOSE, close(1000)),
                p.frame(CONTINUATION, b"b"),
                p.frame(TEXT, b"c"),
            ],
            [
                p.control(CLOSE, 2, 1000),
                p.anomaly("data_after_close"),
                p.message(TEXT, b"ab", 2, late=True),
                p.message(TEXT, b"c", late=True),
            ],
        ),
    )
    yield from from_both(
        "half a message behind a close",
        lambda p: (
            [p.frame(CLOSE), p.frame(TEXT, b"unfinished", fin=False)],
            [p.control(CLOSE), p.anomaly("data_after_close"), p.anomaly("truncated")],
        ),
    )
    # Section 5.5.1 forbids data frames only
    yield from from_both(
        "a ping behind a close",
        lambda p: (
            [p.frame(CLOSE, close(1000)), p.frame(PING, b"?")],
            [p.control(CLOSE, 2, 1000), p.control(PING, 1)],
        ),
    )
    yield from from_both(
        "two closes",
        lambda p: (
            [p.frame(CLOSE, close(1000)), p.frame(CLOSE, close(1001))],
            [p.control(CLOSE, 2, 1000), p.control(CLOSE, 2, 1001)],
        ),
    )
    yield Case(
        "the other side may still send",
        [
            CLIENT.send(CLIENT.frame(CLOSE, close(1000))),
            SERVER.send(SERVER.frame(TEXT, b"last words"), SERVER.frame(CLOSE, close(1000))),
        ],
        [
            CLIENT.control(CLOSE, 2, 1000),
            SERVER.message(TEXT, b"last words"),
            SERVER.control(CLOSE, 2, 1000),
        ],
    )


CASES = [*handshakes(), *violations(), *behind()]
