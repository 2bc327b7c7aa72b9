"""Decoders of text against the standard library, which encodes or decodes the same."""

import base64
import html
import json
import unicodedata
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sockwarden.agent.decode.base64 import DECODER as BASE64
from sockwarden.agent.decode.hexadecimal import DECODER as HEXADECIMAL
from sockwarden.agent.decode.html_entities import DECODER as HTML_ENTITIES
from sockwarden.agent.decode.json_strings import DECODER as JSON_STRINGS
from sockwarden.agent.decode.lookalikes import DECODER as LOOKALIKES
from sockwarden.agent.decode.percent import DECODER as PERCENT
from sockwarden.agent.decode.script_escapes import DECODER as SCRIPT_ESCAPES
from sockwarden.agent.decode.sql_comments import DECODER as SQL_COMMENTS
from sockwarden.agent.decode.stomp import DECODER as STOMP
from sockwarden.agent.decode.utf16 import DECODER as UTF16

ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126))


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
        (b"\\", None),
        (b"\\u12", None),
    ],
)
def test_json_escapes_one_by_one(encoded, expected):
    assert JSON_STRINGS(encoded) == expected


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (rb"\x3cscript\x3e", b"<script>"),
        (rb"\u{3c}b\u{1F600}", "<b\U0001f600".encode()),
        (rb"\074\x41", b"<A"),
        (rb"\u{}", None),
        (rb"\u{110000000}", None),
        (rb"\xg1 \9 \12", None),
        (rb"C:\1\x4", None),
    ],
)
def test_script_escapes_one_by_one(encoded, expected):
    assert SCRIPT_ESCAPES(encoded) == expected


@given(st.binary())
def test_percent_agrees_with_urllib(text):
    assume(b"%u" not in text.lower())
    assert (PERCENT(text) or text) == unquote_to_bytes(text)


@given(st.binary())
def test_percent_decodes_what_urllib_quoted(text):
    assert (PERCENT(quote_from_bytes(text, safe="").encode()) or text) == text


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (b"%2527", b"%27"),
        (b"%27%", b"'%"),
        (b"%2g%27", b"%2g'"),
        (b"a+b%20c", b"a+b c"),
        (b"%u003c%u20AC%u12", "<€%u12".encode()),
        (b"100% sure", None),
    ],
)
def test_percent_one_by_one(encoded, expected):
    assert PERCENT(encoded) == expected


@given(ASCII)
def test_html_entities_decodes_what_html_escape_wrote(text):
    assert (HTML_ENTITIES(html.escape(text).encode()) or text.encode()) == text.encode()


@given(st.lists(st.integers(0x21, 0xD7FF), min_size=1), st.booleans())
def test_html_entities_agrees_with_html_on_numbers(points, hexadecimal):
    assume(not any(0x7F <= point < 0xA0 for point in points))
    text = "".join(f"&#x{point:x};" if hexadecimal else f"&#{point};" for point in points)
    assert HTML_ENTITIES(text.encode()) == html.unescape(text).encode()


@pytest.mark.parametrize(
    "name",
    ["lt", "GT", "amp", "quot", "apos", "Tab", "NewLine", "colon", "lpar", "rpar", "sol", "bsol",
     "equals", "lbrace", "rcub", "vert", "grave", "commat", "dollar", "excl", "num"],
)  # fmt: skip
def test_html_names_are_those_of_the_standard(name):
    assert HTML_ENTITIES(f"&{name};".encode()) == html.unescape(f"&{name};").encode()


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (b"&#0000060&#x0003E", b"<>"),
        (b"&#99999999;", "\ufffd".encode()),
        (b"a=1&lt=5&copy=2", None),
        (b"&;&#;&#x;&unknown;&", None),
    ],
)
def test_html_entities_one_by_one(encoded, expected):
    assert HTML_ENTITIES(encoded) == expected


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@given(text=ASCII.filter(lambda text: len(text) >= 12), padded=st.booleans())
def test_base64_shows_the_text_in_its_place(encode, text, padded):
    digits = encode(text.encode()).rstrip(b"=" if not padded else b"")
    assert BASE64(b'{"data":"' + digits + b'"}') == b'{"data":"' + text.encode() + b'"}'


@pytest.mark.parametrize("text", [";id;", "|whoami", "1' or 1", "<b>12", "' or 1=1-"])
def test_base64_of_a_short_string_is_decoded_if_padding_or_quotes_show_it(text):
    digits = base64.b64encode(text.encode())
    assert BASE64(b'["' + digits + b'"]') == b'["' + text.encode() + b'"]'


def test_base64_goes_on_over_lines():
    text = b"' union select password from users -- " * 8
    for lines in (base64.encodebytes(text), base64.encodebytes(text).replace(b"\n", b"\r\n")):
        assert text in BASE64(lines)


NO_TEXT = st.integers(0x80, 0xBF)  # what begins no character of UTF-8


@given(st.lists(NO_TEXT, min_size=12, max_size=12).map(bytes), st.binary(max_size=50))
def test_what_is_not_text_in_base64_or_hexadecimal_stays(first, rest):
    data = first + rest
    assert BASE64(base64.b64encode(data)) is None
    assert HEXADECIMAL(data.hex().encode()) is None


def test_identifiers_and_words_are_neither_base64_nor_hexadecimal():
    text = (
        b'{"id":"2f1c9a0e-7a3e-4c31-9d8e-0d6f2b7c1e55","username":"annabell","subscriptionId":"x",'
        b'"sha":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",'
        b'"path":"/var/lib/application/data","at":1732500000000000}'
    )
    assert BASE64(text) is None
    assert HEXADECIMAL(text) is None


@given(ASCII.filter(lambda text: len(text) >= 8), st.sampled_from(["", "0x", "0X"]))
def test_hexadecimal_shows_the_text_in_its_place(text, prefix):
    encoded = f"select {prefix}{text.encode().hex()} as x".encode()
    shown = f'select "{text}" as x'.encode()
    assert HEXADECIMAL(encoded) == shown


@given(st.text(st.characters(max_codepoint=0x7E, min_codepoint=9), min_size=3), st.booleans())
def test_utf16_in_both_byte_orders(text, big):
    encoded = text.encode("utf-16-be" if big else "utf-16-le")
    assert UTF16(encoded) == text.encode()
    mark = "\ufeff".encode("utf-16-be" if big else "utf-16-le")
    assert UTF16(mark * (len(text) > 3) + encoded) == text.encode()


def test_utf16_with_characters_beyond_latin():
    text = "select * from заказы where name = 'Ж\U0001f600'"
    assert UTF16(text.encode("utf-16-le")) == text.encode()
    assert UTF16(bytes(range(256))) is None


@pytest.mark.parametrize("point", range(0xFF01, 0xFF5F))
def test_full_width_forms_are_folded_as_unicode_folds_them(point):
    folded = unicodedata.normalize("NFKC", chr(point))
    assert LOOKALIKES(f"a{chr(point)}b".encode()) == f"a{folded}b".encode()


@pytest.mark.parametrize("size", [2, 3, 4])
@given(byte=st.integers(0, 0x7F))
def test_overlong_forms_become_what_a_careless_decoder_reads(size, byte):
    heads = {2: 0xC0, 3: 0xE0, 4: 0xF0}
    rest = [0x80 | (byte >> 6 * i) & 0x3F for i in reversed(range(size - 1))]
    form = bytes([heads[size] | (byte >> 6 if size == 2 else 0), *rest])
    assert LOOKALIKES(b"x" + form + b"y") == b"x" + bytes([byte]) + b"y"


@given(st.text(st.characters(max_codepoint=0x2000, exclude_categories=["Cs"])))
def test_other_text_is_not_folded(text):
    text = text.translate(dict.fromkeys([0x2B9, 0x2BA, 0x2BC]))
    assert (LOOKALIKES(text.encode()) or text.encode()) == text.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1/**/union/* x */select", b"1 union select"),
        (b"1/*!50000union*/ /*!select*/1", b"1 union   select 1"),
        (b"/*a*//*b*/c", b"  c"),
        (b"a /*/ b */ c", b"a   c"),
        (b"a */ b * c", None),
        (b"src/*.js and more", None),
        (b"/*a*/b/*c", b" b/*c"),
        (b"x/*", None),
    ],
)
def test_comments_of_sql(text, expected):
    assert SQL_COMMENTS(text) == expected


def test_a_colon_in_a_header_of_stomp():
    frame = b"SUBSCRIBE\nselector:T(a)\\cb\\\\c\n\n\0"
    assert STOMP(frame) == b"SUBSCRIBE\nselector:T(a):b\\\\c\n\n\0"
    assert STOMP(b"hello\nselector\\c\n") is None
