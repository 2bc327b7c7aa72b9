"""Decoders against the standard library, which decodes the same by other means."""

import json
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwarden.agent.decode import decoders
from sockwarden.agent.decode.json_strings import DECODER as JSON_STRINGS
from sockwarden.agent.decode.percent import DECODER as PERCENT


def test_registry_finds_every_decoder_in_order():
    assert [decoder.name for decoder in decoders()] == ["json_strings", "percent"]


@given(st.text())
def test_json_strings_decodes_what_json_dumps_wrote(text):
    encoded = json.dumps(text)
    expected = f'"{text}"'.encode()
    assert (JSON_STRINGS(encoded.encode()) or encoded.encode()) == expected


@given(st.text(alphabet=st.sampled_from("aé'\"\\<\n\x00\U0001f600")))
def test_json_in_json_is_reached_by_decoding_twice(text):
    encoded = json.dumps({"data": json.dumps(text)}).encode()
    once = JSON_STRINGS(encoded) or encoded
    twice = JSON_STRINGS(once) or once
    assert text.encode() in twice


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (rb"\u0041\u00e9\u20ac", "Aé€".encode()),
        (rb"\ud83d\ude00", "\U0001f600".encode()),
        (rb"\ud83d", "\ufffd".encode()),
        (rb"\ude00\ud83d", "\ufffd\ufffd".encode()),
        (rb"\ud83d\u0041", "\ufffdA".encode()),
        (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600".encode()),
        (rb"\"\\\/\b\f\n\r\t", b'"\\/\b\f\n\r\t'),
        (rb"\u004\u00zz\n", b"\\u004\\u00zz\n"),
        (rb"\x41\n", b"\\x41\n"),
        (b"\\n\\", b"\n\\"),
        (b"\\n\xff\x00", b"\n\xff\x00"),
    ],
)
def test_json_escapes_one_by_one(encoded, expected):
    assert JSON_STRINGS(encoded) == expected


@pytest.mark.parametrize("text", [b"", b"plain", b"\\", b"\\u12", b"C:\\Users\\x"])
def test_json_strings_leaves_what_it_cannot_decode(text):
    assert JSON_STRINGS(text) is None


@given(st.binary())
def test_percent_agrees_with_urllib(text):
    assert (PERCENT(text) or text) == unquote_to_bytes(text)


@given(st.binary())
def test_percent_decodes_what_urllib_quoted(text):
    assert (PERCENT(quote_from_bytes(text, safe="").encode()) or text) == text


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [(b"%2527", b"%27"), (b"%27%", b"'%"), (b"%2g%27", b"%2g'"), (b"a+b%20c", b"a+b c")],
)
def test_percent_one_by_one(encoded, expected):
    assert PERCENT(encoded) == expected


@given(st.binary(max_size=200))
def test_no_decoder_makes_text_longer(text):
    for decoder in decoders():
        decoded = decoder(text)
        assert decoded is None or len(decoded) <= len(text)
