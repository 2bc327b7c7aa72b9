"""Second looks at matches."""

import pytest

from sockwarden.agent.rules.verify import verify


def luhn_holds(digits):
    values = [int(digit) for digit in reversed(digits)]
    return (sum(values[::2]) + sum(sum(divmod(2 * value, 10)) for value in values[1::2])) % 10 == 0


def test_luhn_agrees_with_the_definition():
    for number in range(4111_1111_1111_1000, 4111_1111_1111_1300):
        text = str(number)
        accepted = verify("luhn", text.encode(), 0, len(text)) is not None
        assert accepted is luhn_holds(text), text


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("card 4111 1111 1111 1111.", (5, 24)),
        ("4111-1111-1111-1111", (0, 19)),
        ("2 cards: 378282246310005", (9, 24)),
        ("6011111111111117", (0, 16)),
        ("3530111333300000", (0, 16)),
        ("30569309025904", (0, 14)),
        ("4111  1111  1111  1111", None),  # two spaces part numbers
        ("0000000000000000", None),  # right check digit, no such network
        ("41111111111111111111111111111111", None),  # too long for a card
        ("9411111111111111", None),
        ("no digits", None),
    ],
)
def test_cards(text, span):
    assert verify("luhn", text.encode(), 0, len(text)) == span


def test_luhn_reads_a_number_that_begins_in_the_span_to_its_end():
    assert verify("luhn", b"card 4111111111111111", 0, 8) == (5, 21)
    assert verify("luhn", b"card 4111111111111111", 0, 4) is None


@pytest.mark.parametrize(
    ("text", "bits", "accepted"),
    [
        ("key=aaaaaaaaaaaaaaaa", 0.5, False),
        ("key=abababababababab", 1.0, True),
        ("key=abababababababab", 1.1, False),
        ("key=0123456789abcdef", 4.0, True),
        ("key=", 0.1, False),
    ],
)
def test_entropy_is_of_the_last_token(text, bits, accepted):
    assert (verify("entropy", text.encode(), 0, len(text), bits) is not None) is accepted


def test_entropy_takes_the_token_beyond_the_span():
    assert verify("entropy", b"key=0123456789abcdef;", 0, 8, 4.0) == (0, 20)


RANDOM = bytes(range(0x80, 0x90)) * 4  # 64 bytes that are no text


@pytest.mark.parametrize(
    ("before", "match", "behind", "accepted"),
    [
        (b"", b";id;", b"", True),
        (b"host=", b";id;", b"", True),
        (RANDOM, b";id;", RANDOM, False),
        (RANDOM + b"abc", b";id;", b"d" + RANDOM, False),
        (RANDOM + b"abc", b";id;", b"de" + RANDOM, False),
        (RANDOM + b"abcd", b";id;", b"efgh" + RANDOM, True),  # 12 bytes in a run, 4 of them twice
        (RANDOM + b"abcd\0", b";id;", b"efgh" + RANDOM, False),
        (RANDOM, b"$(whoami", RANDOM, True),
        (RANDOM + b"12345678", b"/etc/passwd\0", RANDOM, True),  # the run ends within the match
        (b"\x82\xa4host\xa4", b";id;", b"\xa4name\xa3ann", True),  # strings among lengths
        ("\u4f60\u597d".encode() * 9, b";id;", "\u043f\u0440".encode() * 9, True),
        (RANDOM, b"\xc0\xae\xc0\xae\xc0\xafetc\xc0\xafpasswd", RANDOM, True),  # overlong UTF-8
        (RANDOM, b";id;", b"\xf0", False),  # a character that the payload's end cuts
    ],
)
def test_text_is_a_run_or_what_is_around(before, match, behind, accepted):
    text = before + match + behind
    start, end = len(before), len(before + match)
    assert verify("text", text, start, end, 16) == ((start, end) if accepted else None)


def test_text_looks_at_the_end_of_a_match_that_begins_in_another_string():
    text = b"select a seat" + RANDOM * 4 + b"name of sysobjects, all of them" + RANDOM
    end = text.index(b"sysobjects") + 10
    assert verify("text", text, 0, end, 16) == (0, end)


def test_unknown_names_and_spans_are_refused():
    with pytest.raises(ValueError, match="no verifier 'iban'; there are: luhn, entropy, text"):
        verify("iban", b"", 0, 0)
    with pytest.raises(ValueError, match="not within the 3 bytes"):
        verify("luhn", b"123", 0, 4)
