"""What every decoder promises, whatever the text."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sockwarden.agent.decode import decoders
from sockwarden.agent.decode.marks import marks, runs, variants

DECODERS = {decoder.name: decoder for decoder in decoders()}
# Pieces that lead decoders astray: the heads of what they look for, whole and cut.
PIECES = [
    b'"', b"\\", b"\\u00", b"\\u{41", b"\\x4", b"%", b"%u00", b"&#x", b"&lt", b";", b"/*", b"*/",
    b"/*!50000", b"\xff\xfe", b"A\0", b"\0A", b"\xc0", b"\xef\xbc", b"\xe0\x80", b"=", b"==",
    b"QUFBQUFBQUFBQUFBQUFB", b"0x414141414141", b"\x81\xa3", b"\xdf\xff\xff\xff\xff", b"\xbf",
    b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff", b"\x30\xff\x7f", b"\x0a\x7f", b"\x9f", b"SEND\n",
]  # fmt: skip
TEXTS = st.one_of(
    st.binary(max_size=300),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)), max_size=40).map(b"".join),
)


def test_registry_finds_every_decoder_in_order():
    assert list(DECODERS) == [
        "utf16", "msgpack", "cbor", "mqtt", "protobuf", "stomp", "json_strings",
        "script_escapes", "percent", "html_entities", "lookalikes", "hexadecimal", "base64",
        "sql_comments",
    ]  # fmt: skip


@given(text=TEXTS, rest=st.binary(min_size=1, max_size=20))
@example(text=b"", rest=b"x")
def test_what_is_made_is_bounded_and_of_the_text_alone(text, rest):
    behind = text + rest
    for name, decoder in DECODERS.items():
        made = decoder(text)
        assert made is None or len(made) <= len(text) * 3 // 2 + 64, name
        assert decoder(behind[: len(text)]) == made, name


@pytest.mark.parametrize("text", [b"", b"plain", b"C:\\Users\\Ann", b'{"a":"b & c","d":[1,2]}'])
def test_ordinary_text_is_left_alone(text):
    assert {name: DECODERS[name](text) for name in DECODERS} == dict.fromkeys(DECODERS)


def seen(text: bytes) -> set[str]:
    """The marks but `run`, by their definitions."""
    single = {"backslash": b"\\", "percent": b"%", "ampersand": b"&", "star": b"*"}
    found = {name for name, byte in single.items() if byte in text}
    if any(byte >= 0x80 for byte in text):
        found.add("high")
    if any(byte < 9 for byte in text) or (text and not 0x20 <= text[0] <= 0x7E):
        found.add("binary")
    return found


@pytest.mark.parametrize("variant", variants())
@given(text=TEXTS)
def test_marks_are_those_of_the_bytes(variant, text):
    assert marks(text, variant) - {"run"} == seen(text)


RUNS = st.sampled_from([b'"', b" ", b"=", b"a", b"aB3/", b"A" * 7, b"b" * 12, b"c" * 30, b"\x00"])


@given(text=st.lists(RUNS, max_size=60).map(b"".join))
def test_all_variants_find_the_same_runs(text):
    places = {variant: runs(text, variant) for variant in variants()}
    assert len({tuple(found) for found in places.values()}) == 1
    for variant, found in places.items():
        assert ("run" in marks(text, variant)) is bool(found)


@pytest.mark.parametrize("variant", variants())
@pytest.mark.parametrize("before", [0, 1, 15, 30, 31, 32, 33, 63, 64])
@pytest.mark.parametrize(
    ("run", "place"),
    [
        (b"A" * 16, 0),
        (b"A" * 15, None),
        (b'"' + b"A" * 8 + b'"', 1),
        (b'"' + b"A" * 12 + b'"', 1),
        (b'"' + b"A" * 9 + b'"', None),
        (b'"' + b"A" * 8 + b" ", None),
        (b'"O2lkOw=="', 1),
        (b'"fHxpZCA="', 1),
        (b'fHxpZCA="', 0),
        (b"fHxpZCA= ", None),
    ],
)
def test_a_run_is_found_wherever_it_lies(variant, before, run, place):
    text = b" " * before + run + b" " * 40
    assert runs(text, variant) == ([] if place is None else [before + place])
