"""UTF-8 at the earliest octet, by every kernel (RFC 3629 section 4)."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import Text
from wire import mask

from sockwarden.parser import utf8

BAD = [
    b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xff", b"\xc3a", b"\xe2\x82a", b"\xf0\x9f\x98a",
    b"\xc3\xc3", b"\xe2\x82\xe2", b"\xc3\xa9\x80",
]  # fmt: skip
GOOD = ["a", "\u00e9", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff"]
BAD_AT = [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 2, 3, 1, 2, 2]


@pytest.fixture(params=utf8.variants(), autouse=True)
def variant(request):
    utf8.use(request.param)
    yield request.param
    utf8.use(utf8.variants()[0])


def earliest(octets):
    text = Text()
    for at in range(len(octets)):
        try:
            text.decode(octets[at : at + 1])
        except UnicodeError:
            return at, False
    return len(octets), not text.pending


@pytest.mark.parametrize(
    "before", [0, 1, 2, 3, 15, 29, 30, 31, 32, 33, 61, 62, 63, 64, 65, 127, 128]
)
@pytest.mark.parametrize("after", [0, 1, 70])
def test_bad_sequences_in_every_place_of_a_block(before, after):
    for sequence, at in zip(BAD, BAD_AT, strict=True):
        octets = b"a" * before + sequence + b"a" * after
        assert utf8.valid_prefix(octets) == (before + at, False), sequence


@pytest.mark.parametrize("before", range(70))
def test_good_characters_in_every_place(before):
    for character in GOOD:
        octets = b"a" * before + character.encode() * 9
        assert utf8.valid_prefix(octets) == (len(octets), True)
        assert utf8.valid_prefix(octets[:before], octets[before:]) == (len(octets), True)


# The kernel stays the same for all examples of one test.
@given(
    st.text(alphabet="a\u00e9\u20ac\U0001f600", max_size=150),
    st.integers(0, 160),
    st.integers(0, 255),
)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_one_octet_changed_and_cut_anywhere(text, at, octet):
    octets = bytearray(text.encode())
    if octets:
        octets[at % len(octets)] = octet
    expected = earliest(bytes(octets))
    assert utf8.valid_prefix(bytes(octets)) == expected
    assert utf8.valid_prefix(bytes(octets[:at]), bytes(octets[at:])) == expected


def test_all_characters():
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)])).encode()
    assert utf8.valid_prefix(everything) == (len(everything), True)


def test_all_pairs_of_octets_then_more():
    for first in range(256):
        for second in range(256):
            octets = bytes([first, second]) + b"\x80" * 20
            assert utf8.valid_prefix(octets) == earliest(octets)


# Long runs of ASCII between other characters: parts of a text that are looked at together.
@given(
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from([c.encode() for c in GOOD] + BAD))),
    st.integers(0, 300),
    st.binary(min_size=4, max_size=4),
)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_unmasked_in_the_same_pass(parts, rest, key):
    clear = b"".join(b"a" * run + sequence for run, sequence in parts) + b"a" * rest
    for mixed in (False, True):
        found = utf8.unmasked_prefix(mask(clear, key), key, mixed=mixed)
        assert found == (clear, *earliest(clear))


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_character_cut_in_every_place_of_a_block(cut):
    for before in (*range(120, 134), *range(140, 148), *range(188, 196), *range(252, 260)):
        for after in (0, 1, 60, 300):
            clear = b"a" * before + "\U0001f600".encode()[:cut] + b"a" * after
            for mixed in (False, True):
                found = utf8.unmasked_prefix(clear, bytes(4), mixed=mixed)
                assert found == (clear, before + cut, False)


@given(
    st.text(alphabet="a\u00e9\u20ac\U0001f600", min_size=100, max_size=400),
    st.integers(0, 3),
    st.integers(0, 600),
    st.integers(0, 255),
    st.binary(min_size=4, max_size=4),
)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_long_text_that_begins_within_a_character(text, skipped, at, octet, key):
    octets = bytearray(text.encode())
    octets[at % len(octets)] = octet
    before, clear = bytes(octets[:skipped]), bytes(octets[skipped:])
    state = earliest(before + clear)
    if earliest(before)[0] == len(before):
        for mixed in (False, True):
            found = utf8.unmasked_prefix(mask(clear, key), key, before, mixed)
            assert found == (clear, state[0] - len(before), state[1])
