"""HAR 1.2 files, as the network panels of Chrome and Firefox export them.

An entry that asked for a WebSocket becomes a connection seen by its client: the heads are written
again from the entry's method, URL, status and header lists, so that the rules for handshakes judge
them, and each item of `_webSocketMessages` goes in as a whole message.  A browser tells neither
frames nor, mostly, control frames.  Binary data is base64 there.
"""

import base64
import binascii
import ipaddress
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from sockwarden.agent.sources import Input, SourceError
from sockwarden.agent.sources.batch import ClientConnection, RecordBatch

FILE_BYTES_MAX: Final = 1 << 30
READ_BYTES: Final = 1 << 20
MESSAGES_PER_FLUSH: Final = 256
READ, WRITE = 0, 1  # enum sw_flow
TEXT, BINARY = 1, 2  # RFC 6455 11.8
PORTS: Final = {"ws": 80, "http": 80, "wss": 443, "https": 443}


class _Field(msgspec.Struct):
    name: str
    value: str


class _Request(msgspec.Struct):
    url: str
    method: str = "GET"
    headers: list[_Field] = []


class _Response(msgspec.Struct, rename="camel"):
    status: int = 0
    status_text: str | None = None
    headers: list[_Field] = []


class _Message(msgspec.Struct):
    type: Literal["send", "receive", "error"]
    opcode: int
    data: str = ""
    time: float = 0.0  # seconds since the Unix epoch


class _Entry(msgspec.Struct, rename="camel"):
    request: _Request
    response: _Response
    started_date_time: str = ""
    server_ip_address: str = msgspec.field(default="", name="serverIPAddress")
    messages: list[_Message] | None = msgspec.field(default=None, name="_webSocketMessages")


class _Log(msgspec.Struct):
    entries: list[_Entry]


class _Archive(msgspec.Struct):
    log: _Log


class _Har:
    name = "HAR"

    def recognises(self, head: bytes) -> bool:
        return head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").startswith(b"{")

    def read(self, file: Input, batch: RecordBatch) -> None:
        archive = _decode(_content(file))
        for index, entry in enumerate(archive.log.entries):
            if _asks_for_websocket(entry):
                _connection(entry, f"$.log.entries[{index}]", batch)


SOURCE = _Har()


def _content(file: Input) -> bytearray:
    content = bytearray()
    while part := file.read(READ_BYTES):
        content += part
        if len(content) > FILE_BYTES_MAX:
            raise SourceError(f"byte {FILE_BYTES_MAX}", "a HAR file may have 1 GiB at most")
    return content


def _decode(content: bytearray) -> _Archive:
    try:
        return msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"), type=_Archive)
    except msgspec.ValidationError as error:
        reason, found, path = str(error).rpartition(" - at `")
        if found:
            raise SourceError(path.rstrip("`"), _lower(reason)) from error
        raise SourceError("$", _lower(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SourceError("$", _lower(str(error))) from error


def _lower(reason: str) -> str:
    return reason if reason.startswith("JSON") else reason[:1].lower() + reason[1:]


def _asks_for_websocket(entry: _Entry) -> bool:
    return (
        entry.messages is not None
        or entry.request.url.startswith(("ws://", "wss://"))
        or "websocket" in _header(entry.request.headers, "upgrade").lower()
    )


def _header(headers: list[_Field], name: str) -> str:
    return next((field.value for field in headers if field.name.lower() == name), "")


def _connection(entry: _Entry, path: str, batch: RecordBatch) -> None:
    try:
        url = urlsplit(entry.request.url)
        port = url.port or PORTS.get(url.scheme, 0)
    except ValueError as error:
        raise SourceError(f"{path}.request.url", _lower(str(error))) from error
    opened_ns = _opened_ns(entry, path)
    connection = ClientConnection(batch, opened_ns, _address(entry, path), port)
    connection.write(opened_ns, _request_head(entry.request, url))
    connection.read(opened_ns, _response_head(entry.response))
    # The pipeline takes whole messages at once and not in a batch: the heads go before them.
    batch.flush()
    time_ns = opened_ns
    for index, message in enumerate(entry.messages or ()):
        if message.opcode not in {TEXT, BINARY} or message.type == "error":
            batch.count("har_messages_not_judged")
            continue
        payload = _payload(message, f"{path}._webSocketMessages[{index}]")
        # A time before the handshake, or none, is not the time of a message.
        time_ns = max(time_ns, _nanoseconds(message.time))
        flow = WRITE if message.type == "send" else READ
        batch.pipeline.message(connection.number, time_ns, flow, message.opcode, payload)
        if index % MESSAGES_PER_FLUSH == 0:
            batch.flush()
    connection.close(time_ns)
    batch.flush()


def _payload(message: _Message, path: str) -> bytes:
    if message.opcode == TEXT:
        return message.data.encode()
    try:
        return base64.b64decode(message.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SourceError(f"{path}.data", f"not base64: {_lower(str(error))}") from error


def _address(entry: _Entry, path: str) -> bytes:
    text = entry.server_ip_address.strip("[]")
    try:
        return ipaddress.ip_address(text).packed if text else b""
    except ValueError as error:
        raise SourceError(f"{path}.serverIPAddress", _lower(str(error))) from error


def _opened_ns(entry: _Entry, path: str) -> int:
    if not entry.started_date_time:
        return 0
    try:
        moment = msgspec.convert(entry.started_date_time, datetime)
    except msgspec.ValidationError as error:
        raise SourceError(f"{path}.startedDateTime", "not a time of RFC 3339") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _nanoseconds(moment.timestamp())


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e6) * 1000 if 0 <= seconds < 1 << 33 else 0


def _line(text: str) -> str:
    """One line of a head: what would end it is no part of a header as a browser sent it."""
    return "".join(" " if character in "\r\n" else character for character in text)


def _fields(headers: list[_Field]) -> str:
    # HTTP/2's pseudo-headers are part of the request line here.
    lines = (f"{field.name}: {field.value}" for field in headers if field.name[:1] != ":")
    return "".join(f"{_line(line)}\r\n" for line in lines)


def _request_head(request: _Request, url: SplitResult) -> bytes:
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    head = f"{_line(f'{request.method} {target}')} HTTP/1.1\r\n"
    if not _header(request.headers, "host"):
        head += f"Host: {_line(url.netloc)}\r\n"
    if not _header(request.headers, "upgrade"):  # an extended CONNECT, or headers left out
        head += "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    return (head + _fields(request.headers) + "\r\n").encode()


def _response_head(response: _Response) -> bytes:
    if not 100 <= response.status <= 999:  # 0: none came
        return b""
    head = f"HTTP/1.1 {response.status} {_line(response.status_text or '')}\r\n"
    return (head + _fields(response.headers) + "\r\n").encode()
