"""One text in the envelopes that WebSocket applications put around it.

Each is made by an encoder that is not ours: json, msgpack, cbor2, urllib, html, base64, zlib.
"""

import base64
import html
import json
import zlib
from collections.abc import Callable
from urllib.parse import quote

import cbor2
import msgpack

from sockwarden.parser import DeflateParameters, FrameDecoder

TEXT, BINARY = 1, 2

Envelope = Callable[[str], tuple[bytes, int]]  # payload and opcode


def as_json(text: str) -> str:
    return json.dumps({"type": "chat", "text": text})


def all_escaped(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass")
    escapes = (f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2))
    return '{"type":"chat","text":"' + "".join(escapes) + '"}'


def stomp(text: str) -> str:
    """A SEND frame of STOMP 1.2."""
    size = len(text.encode())
    return (
        f"SEND\ndestination:/app/chat\ncontent-type:text/plain\ncontent-length:{size}\n\n{text}\0"
    )


def graphql_ws(text: str) -> str:
    query = "mutation Say($text: String!) { say(text: $text) { id } }"
    payload = {"query": query, "variables": {"text": text}}
    return json.dumps({"id": "1", "type": "subscribe", "payload": payload})


def percent(text: str) -> str:
    return json.dumps({"type": "form", "body": "id=7&q=" + quote(text, safe="")})


def in_base64(text: str) -> str:
    return json.dumps({"type": "blob", "data": base64.b64encode(text.encode()).decode()})


def inflated(text: str) -> bytes:
    """What the parser makes of a frame with permessage-deflate (RFC 7692)."""
    packer = zlib.compressobj(wbits=-15)
    packed = (packer.compress(as_json(text).encode()) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    head = bytes([0xC1, 127]) + len(packed).to_bytes(8, "big")
    if len(packed) < 126:
        head = bytes([0xC1, len(packed)])
    elif len(packed) < 1 << 16:
        head = bytes([0xC1, 126]) + len(packed).to_bytes(2, "big")
    [event] = FrameDecoder("server", DeflateParameters()).feed(head + packed)
    return event.payload


def signalr(text: str) -> str:
    """An invocation of the JSON hub protocol, and its record separator."""
    return json.dumps({"type": 1, "target": "Send", "arguments": ["ann", text]}) + "\x1e"


def mqtt(text: str) -> bytes:
    """PUBLISH of MQTT 3.1.1 with quality of service 0."""
    topic = b"room/7/chat"
    rest = len(topic).to_bytes(2, "big") + topic + text.encode()
    size, length = len(rest), b""
    while True:
        length += bytes([size & 0x7F | (0x80 if size > 0x7F else 0)])
        size >>= 7
        if not size:
            return b"\x30" + length + rest


def varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def protobuf(text: str) -> bytes:
    """A message with a number, a string and a message that holds the text."""
    inner = b"\x0a" + varint(len(text.encode())) + text.encode() + b"\x18\x01"
    return b"\x08\x96\x01\x12\x03ann\x1a" + varint(len(inner)) + inner


def fields(text: str) -> dict[str, object]:
    return {"type": "chat", "seq": 1234, "text": text, "ok": True}


def text_envelope(wrap: Callable[[str], str]) -> Envelope:
    return lambda text: (wrap(text).encode(errors="surrogatepass"), TEXT)


def binary_envelope(wrap: Callable[[str], bytes]) -> Envelope:
    return lambda text: (wrap(text), BINARY)


ENVELOPES: dict[str, Envelope] = {
    "plain": text_envelope(str),
    "json": text_envelope(as_json),
    "json_escaped": text_envelope(all_escaped),
    "json_in_json": text_envelope(lambda text: json.dumps({"data": as_json(text)})),
    "socketio": text_envelope(lambda text: "42" + json.dumps(["message", {"text": text}])),
    "stomp": text_envelope(stomp),
    "graphql_ws": text_envelope(graphql_ws),
    "signalr": text_envelope(signalr),
    "msgpack": binary_envelope(lambda text: msgpack.packb(fields(text))),
    "cbor": binary_envelope(lambda text: cbor2.dumps(fields(text))),
    "protobuf": binary_envelope(protobuf),
    "mqtt": binary_envelope(mqtt),
    "base64_json": text_envelope(in_base64),
    "percent_json": text_envelope(percent),
    "html": text_envelope(lambda text: json.dumps({"text": html.escape(text)})),
    "utf16": binary_envelope(lambda text: text.encode("utf-16-le")),
    "deflate": lambda text: (inflated(text), TEXT),
}
