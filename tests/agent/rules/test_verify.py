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


def test_unknown_names_and_spans_are_refused():
    with pytest.raises(ValueError, match="no verifier 'iban'; there are: luhn, entropy"):
        verify("iban", b"", 0, 0)
    with pytest.raises(ValueError, match="not within the 3 bytes"):
        verify("luhn", b"123", 0, 4)
