"""Messages above every limit of the product, and the opening handshake's edges."""

import random

from case import BINARY, CLIENT, CONTINUATION, PING, SERVER, TEXT, Case, from_both
from wire import Deflater

LONG = 5_000_000  # the pipeline keeps 1 MiB of a message
PATTERN = random.Random(6455).randbytes(61_003)


def plain(size):
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


def text(size):
    return ("Δelta µ€ 😀 " * (size // 18 + 1)).encode()[: size - size % 18]  # whole characters


def long_messages():
    payload, words = plain(LONG), b"abcd" * (LONG // 4)
    zeros = bytes(12 * LONG)
    yield Case(
        "long, one frame",
        [
            SERVER.send(SERVER.frame(BINARY, payload)),
            SERVER.send(SERVER.frame(TEXT, words), SERVER.frame(TEXT, b"next")),
        ],
        [
            SERVER.message(BINARY, payload),
            SERVER.message(TEXT, words),
            SERVER.message(TEXT, b"next"),
        ],
    )
    parts = [payload[at : at + 65_536] for at in range(0, 2_000_000, 65_536)]
    yield Case(
        "long, in fragments, masked",
        [
            CLIENT.send(
                *(
                    CLIENT.frame(CONTINUATION if at else BINARY, part, fin=False, key=bytes(4))
                    for at, part in enumerate(parts)
                ),
                CLIENT.frame(CONTINUATION),
            ),
        ],
        [CLIENT.message(BINARY, b"".join(parts), len(parts) + 1)],
    )
    wrong = words[:-1] + b"\xff"
    yield Case(
        "bad text behind the limit",
        [SERVER.send(SERVER.frame(TEXT, wrong))],
        [SERVER.anomaly("invalid_utf8", 10 + len(words) - 1), SERVER.message(TEXT, wrong)],
    )
    deflater = Deflater()
    yield Case(
        "long, packed, the window right behind it",
        [SERVER.send(*(SERVER.frame(BINARY, deflater(p), rsv=4) for p in (zeros, PATTERN, zeros)))],
        [SERVER.message(BINARY, payload, packed=True) for payload in (zeros, PATTERN, zeros)],
        "permessage-deflate",
    )


def chopped():
    """A message in frames of many sizes, each with a ping behind it."""
    payload = text(30_000)
    for size in (64, 256, 1024, 4096):
        parts = [payload[at : at + size] for at in range(0, len(payload), size)]
        yield from from_both(
            f"chopped by {size}",
            lambda p, parts=parts: (
                [
                    b"".join(
                        p.frame(CONTINUATION if at else TEXT, part, fin=False) + p.frame(PING)
                        for at, part in enumerate(parts)
                    )
                    + p.frame(CONTINUATION)
                ],
                [p.control(PING)] * len(parts) + [p.message(TEXT, payload, len(parts) + 1)],
            ),
        )


def openings():
    hello = SERVER.frame(TEXT, b"hello")
    both = CLIENT.frame(TEXT, b"eager"), hello
    yield Case(
        "frames in the segment of the 101", [], [SERVER.message(TEXT, b"hello")], early=(b"", hello)
    )
    yield Case(
        "half a frame in the segment of the 101",
        [SERVER.raw(hello[3:])],
        [SERVER.message(TEXT, b"hello")],
        early=(b"", hello[:3]),
    )
    yield Case(
        "client frames before the 101",
        [CLIENT.send(CLIENT.frame(BINARY, b"then"))],
        [CLIENT.message(TEXT, b"eager"), CLIENT.message(BINARY, b"then")],
        early=(both[0], b""),
    )
    yield Case(
        "both at once",
        [CLIENT.send(CLIENT.frame(BINARY, b"then"))],
        [
            CLIENT.message(TEXT, b"eager"),
            SERVER.message(TEXT, b"hello"),
            CLIENT.message(BINARY, b"then"),
        ],
        early=both,
    )
    lots = CLIENT.frame(BINARY, bytes(40_000))
    yield Case(
        "much before the 101", [], [CLIENT.message(BINARY, bytes(40_000))], early=(lots, b"")
    )
    for at, value in enumerate(
        (
            'permessage-deflate;client_max_window_bits="10" ; SERVER_NO_CONTEXT_TAKEOVER',
            "x-unknown; a=1, permessage-deflate; server_max_window_bits=12",
        )
    ):
        yield Case(
            f"extensions spelt otherwise {at}",
            [CLIENT.send(CLIENT.frame(TEXT, Deflater(10)(b"Hello"), rsv=4))] * 1,
            [CLIENT.message(TEXT, b"Hello", packed=True)],
            value,
            (True, at == 1),
        )
    yield Case("nothing at all", [], [])


CASES = [*chopped(), *openings()]
LONG_CASES = [*long_messages()]
