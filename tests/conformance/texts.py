"""Text is UTF-8, judged as its octets come; what is not is a message all the same (section 8.1)."""

from case import BINARY, CONTINUATION, PING, TEXT, from_both

GOOD = (
    "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\x00", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff",
    "\ue000", "\ufeff", "\ufffd", "\uffff", "\U00010000", "\U0010ffff", "\U0001fffe", "日本語",
)  # fmt: skip
# The octets, and which of them cannot be: behind it nothing makes a text of it again.
BAD = (
    (b"\x80", 0), (b"\xbf", 0), (b"\xc0\x80", 0), (b"\xc1\xbf", 0), (b"\xfe", 0), (b"\xff", 0),
    (b"\xf5\x80\x80\x80", 0), (b"\xe0\x80\x80", 1), (b"\xe0\x9f\xbf", 1), (b"\xf0\x80\x80\x80", 1),
    (b"\xf0\x8f\xbf\xbf", 1), (b"\xed\xa0\x80", 1), (b"\xed\xbf\xbf", 1), (b"\xf4\x90\x80\x80", 1),
    (b"\xc3a", 1), (b"\xe2\x82a", 2), (b"\xf0\x9f\x98a", 3), (b"\xce\xba\xcf\x83\xed\xa0\x80", 5),
)  # fmt: skip
CUT = (b"\xc3", b"\xe2", b"\xe2\x82", b"\xf0", b"\xf0\x9f", b"\xf0\x9f\x98")


def good():
    for at, text in enumerate(GOOD):
        octets = text.encode("utf-8", "surrogatepass")
        yield from from_both(
            f"good text {at}",
            lambda p, octets=octets: ([p.frame(TEXT, octets)], [p.message(TEXT, octets)]),
        )
        yield from from_both(
            f"good text {at} in octets",
            lambda p, octets=octets: (
                [
                    p.frame(CONTINUATION if n else TEXT, octets[n : n + 1], fin=False)
                    for n in range(len(octets))
                ]
                + [p.frame(CONTINUATION)],
                [p.message(TEXT, octets, len(octets) + 1)],
            ),
        )


def bad():
    for at, (octets, wrong) in enumerate(BAD):
        text = b"ok " + octets + b" more"
        yield from from_both(
            f"bad text {at}",
            lambda p, text=text, wrong=wrong: (
                [p.frame(TEXT, text), p.frame(TEXT, b"next")],
                [
                    p.anomaly("invalid_utf8", p.head + 3 + wrong),
                    p.message(TEXT, text),
                    p.message(TEXT, b"next"),
                ],
            ),
        )
        # The anomaly comes with its octet, before the frame is whole
        yield from from_both(
            f"bad text {at} in fragments",
            lambda p, text=text: (
                [
                    p.frame(TEXT, text[:4], fin=False),
                    p.frame(CONTINUATION, text[4:], fin=False),
                    p.frame(PING),
                    p.frame(CONTINUATION, b"\xff\xff"),
                ],
                [
                    p.anomaly("invalid_utf8"),
                    p.control(PING),
                    p.message(TEXT, text + b"\xff\xff", 3),
                ],
            ),
        )
        yield from from_both(
            f"bad octets {at} in binary",
            lambda p, text=text: ([p.frame(BINARY, text)], [p.message(BINARY, text)]),
        )


def cut():
    for at, octets in enumerate(CUT):
        yield from from_both(
            f"text ends in a character {at}",
            lambda p, octets=octets: (
                [p.frame(TEXT, b"a" + octets)],
                [p.anomaly("invalid_utf8"), p.message(TEXT, b"a" + octets)],
            ),
        )


def never_whole():
    yield from from_both(
        "a bad octet in a frame that never completes",
        lambda p: (
            [p.frame(TEXT, b"\xff" + bytes(50))[:-10]],
            [p.anomaly("invalid_utf8"), p.anomaly("truncated")],
        ),
    )


CASES = [*good(), *bad(), *cut(), *never_whole()]
