"""Decoders of binary formats on what encoders of others made."""

import cbor2
import msgpack
import pytest
from envelopes import mqtt, protobuf
from google.protobuf.struct_pb2 import Struct
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockwarden.agent.decode.cbor import DECODER as CBOR
from sockwarden.agent.decode.mqtt import DECODER as MQTT
from sockwarden.agent.decode.msgpack import DECODER as MSGPACK
from sockwarden.agent.decode.protobuf import DECODER as PROTOBUF

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.floats(allow_nan=False)
)
VALUES = st.recursive(
    st.one_of(st.text(max_size=40), SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=20,
)
MESSAGES = st.one_of(st.lists(VALUES, min_size=1), st.dictionaries(st.text(), VALUES, min_size=1))


def strings(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [text for part in value for text in strings(part)]
        case dict():
            return [t for key, part in value.items() for t in [key, *strings(part)]]
    return []


def holds_in_order(shown: bytes, texts: list[str]) -> bool:
    place = 0
    for text in texts:
        quoted = b'"' + text.encode() + b'"'
        place = shown.find(quoted, place)
        if place < 0:
            return False
        place += len(quoted)
    return True


@pytest.mark.parametrize(
    ("decoder", "encode"), [(MSGPACK, msgpack.packb), (CBOR, cbor2.dumps)], ids=["msgpack", "cbor"]
)
class TestMaps:
    @settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
    @given(message=MESSAGES.filter(strings))
    def test_every_string_is_shown_in_quotes(self, decoder, encode, message):
        encoded = encode(message)
        shown = decoder(encoded)
        room = len(encoded) * 3 // 2 + 64
        assert len(shown) == room or holds_in_order(shown, strings(message))

    def test_keys_and_values_are_told_apart(self, decoder, encode):
        message = {
            "user": "ann",
            "n": 5,
            "password": {"$ne": None},
            "list": [1, "a", ["b"]],
            "e": {},
        }
        assert decoder(encode(message)) == (
            b'{"user":"ann","n":"password":{"$ne":},"list":["a",["b"]],"e":{}},'
        )

    def test_cut_or_followed_by_something_else_it_is_another_format(self, decoder, encode):
        encoded = encode({"user": "ann", "text": "x' or 1=1"})
        for size in range(len(encoded)):
            assert decoder(encoded[:size]) is None
        assert decoder(encoded + b"\xc1\xff") is None

    def test_nesting_is_bounded(self, decoder, encode):
        message: object = "deep"
        for _ in range(31):
            message = [message]
        assert b'"deep"' in decoder(encode(message))
        for _ in range(8):  # more than the prefix that MessagePack may be behind
            message = [message]
        assert decoder(encode(message)) is None


def test_msgpack_behind_the_length_of_signalr_and_the_type_of_engine_io():
    message = msgpack.packb([1, {}, None, "Send", ["x" * 200]])
    size = len(message)
    assert b'"Send"' in MSGPACK(bytes([size & 0x7F | 0x80, size >> 7]) + message)
    assert b'"Send"' in MSGPACK(b"\x04" + message)


def test_text_in_byte_strings_is_shown_and_other_bytes_are_not():
    message = {"a": b"x' or 1=1", "b": b"\x00\x01\x02\xff"}
    assert MSGPACK(msgpack.packb(message)) == b'{"a":"x\' or 1=1","b":},'
    assert CBOR(cbor2.dumps(message)) == b'{"a":"x\' or 1=1","b":},'


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        # RFC 8949 appendix A: indefinite lengths, tags.
        ("bf61610161629f0203ffff", b'{"a":"b":[],},'),
        ("9f018202039f6461626364ffff", b'[[],["abcd",],],'),
        ("bf6346756ef563416d7421ff", b'{"Fun":"Amt":},'),
        ("d9d9f7a1616163616263", b'{"a":"abc"},'),
        ("9f6161", None),
        ("ff", None),
        ("bf6161ff", None),
        ("9b7fffffffffffffff6161", None),
    ],
)
def test_cbor_item_by_item(encoded, expected):
    assert CBOR(bytes.fromhex(encoded)) == expected


def test_protobuf_without_a_schema():
    assert PROTOBUF(protobuf("x' or 1=1")) == b'"ann","x\' or 1=1",'
    message = Struct()
    message.update({"query": "1; drop table users", "page": 7.5, "tags": ["a b", {"c": "déjà"}]})
    shown = PROTOBUF(message.SerializeToString())
    for text in ("query", "1; drop table users", "page", "tags", "a b", "déjà"):
        assert f'"{text}",'.encode() in shown
    framed = b"\0" + len(message.SerializeToString()).to_bytes(4, "big")
    assert PROTOBUF(framed + message.SerializeToString()) == shown
    assert PROTOBUF(message.SerializeToString()[:-1]) is None


def test_mqtt_shows_topic_and_payload_apart():
    topic = b'"room/7/chat",'
    assert MQTT(mqtt("/etc/passwd")) == topic + b'"/etc/passwd",'
    assert MQTT(mqtt("x" * 300)) == topic + b'"' + b"x" * 300 + b'",'
    assert MQTT(mqtt("a") + mqtt("b")) == topic + b'"a",' + topic + b'"b",'
    assert MQTT(mqtt("a")[:-1]) is None


def test_mqtt_with_an_identifier_and_properties():
    # Quality of service 1, identifier 10; MQTT 5: two bytes of properties (a payload format).
    packet = b"\x32\x0d\x00\x03a/b\x00\x0a\x02\x01\x01;id"
    assert MQTT(packet) == b'"a/b",";id",'


def test_mqtt_packets_of_other_types_show_nothing():
    assert MQTT(b"\xc0\x00") is None
    assert MQTT(b"\xc0\x00" + mqtt("a")) == b'"room/7/chat","a",'
