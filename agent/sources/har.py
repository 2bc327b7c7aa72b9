"""HAR 1.2 files, as the network panels of Chrome and Firefox export them.

An entry that asked for a WebSocket becomes a connection seen by its client: the heads are written
again from the entry's method, URL, status and header lists, so that the rules for handshakes judge
them, and each item of `_webSocketMessages` goes in as a whole message.  A browser tells neither
frames nor, mostly, control frames.  Binary data is base64 there.

Entries and their messages are decoded one by one: what stands before a broken one is judged.
A file that ends too early is closed behind its last whole message (`_mended`).
"""

import base64
import binascii
import ipaddress
import re
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec

from sockwarden.agent.sources import Input, SourceError
from sockwarden.agent.sources.batch import ClientConnection, RecordBatch

FILE_BYTES_MAX: Final = 1 << 30
READ_BYTES: Final = 1 << 20
MESSAGES_PER_FLUSH: Final = 256
READ, WRITE = 0, 1  # enum sw_flow
TEXT, BINARY = 1, 2  # RFC 6455 11.8
# A string, to the end if it has none, or what gives JSON its structure
TOKENS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[][{},]', re.DOTALL)
# Brackets that are open inside $.log.entries, an entry, and a list of an entry: its messages
ENTRIES, ENTRY, MESSAGES = b"}}]", b"}}]}", b"}}]}]"
PORTS: Final = {"ws": 80, "http": 80, "wss": 443, "https": 443}


class _Field(msgspec.Struct):
    name: str
    value: str


class _Request(msgspec.Struct):
    url: str
    method: str = "GET"
    headers: list[_Field] = []


class _Response(msgspec.Struct, rename="camel"):
    status: int | None = None
    status_text: str | None = None
    headers: list[_Field] = []


class _Message(msgspec.Struct):
    type: Literal["send", "receive", "error"]
    opcode: int
    data: str | None = None
    time: float | None = None  # seconds since the Unix epoch


class _CutEntry(msgspec.Struct, rename="camel", kw_only=True):
    """Of a file that ends in it."""

    request: _Request | None = None
    response: _Response | None = None
    started_date_time: str | None = None
    server_ip_address: str | None = msgspec.field(default=None, name="serverIPAddress")
    messages: list[msgspec.Raw] | None = msgspec.field(default=None, name="_webSocketMessages")


class _Entry(_CutEntry, rename="camel", kw_only=True):
    request: _Request
    response: _Response


class _Log(msgspec.Struct):
    entries: list[msgspec.Raw]


class _Archive(msgspec.Struct):
    log: _Log


T = TypeVar("T", bound=msgspec.Struct)


class _Har:
    name = "HAR"

    def recognises(self, head: bytes) -> bool:
        return head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").startswith(b"{")

    def read(self, file: Input, batch: RecordBatch) -> None:
        content = _content(file)
        broken = None
        last: type[_CutEntry] = _Entry
        try:
            archive = _decode(content, _Archive, "$")
        except _NotJsonError as error:
            broken = error
            mended, is_cut = _mended(content[: error.at])
            try:
                archive = _decode(mended, _Archive, "$")
            except SourceError:  # it is broken before its entries
                raise broken from None
            last = _CutEntry if is_cut else _Entry
        entries = archive.log.entries
        for index, raw in enumerate(entries):
            path = f"$.log.entries[{index}]"
            entry = _decode(raw, last if index == len(entries) - 1 else _Entry, path)
            if _asks_for_websocket(entry):
                _connection(entry, path, batch)
        if broken:
            raise broken


SOURCE = _Har()


class _NotJsonError(SourceError):
    def __init__(self, at: int, reason: str) -> None:
        super().__init__(f"byte {at}", reason)
        self.at = at


def _content(file: Input) -> bytes:
    content = bytearray()
    while part := file.read(READ_BYTES):
        content += part
        if len(content) > FILE_BYTES_MAX:
            raise SourceError(f"byte {FILE_BYTES_MAX}", "a HAR file may have 1 GiB at most")
    # In the place of a mark of the byte order, so that no octet moves
    return bytes(content.replace(b"\xef\xbb\xbf", b"   ", 1 if content[:1] == b"\xef" else 0))


def _decode(content: bytes | msgspec.Raw, of: type[T], path: str) -> T:
    try:
        return msgspec.json.decode(content, type=of)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        raise SourceError(path + place.rstrip("`"), _lower(reason)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason, found, at = str(error).partition(" (byte ")
        if path != "$":
            raise SourceError(path, _lower(reason)) from error
        offset = int(at.rstrip(")")) if found else len(bytes(content))
        raise _NotJsonError(offset, _lower(reason)) from error


def _mended(content: bytes) -> tuple[bytes, bool]:
    """The beginning of an archive that ends behind a whole entry, member of an entry, or message;
    and whether it ends inside an entry."""
    stack = closing = b""  # the brackets that close what is open
    end = 0
    for token in TOKENS.finditer(content):
        octet = token[0][:1]
        if octet in b"[{":
            stack += b"]" if octet == b"[" else b"}"
        elif octet in b"]}":
            stack = stack[:-1]
        if octet == b"," and stack == ENTRY:
            end, closing = token.start(), stack
        elif octet in b"]}[" and stack in (ENTRIES, MESSAGES):
            end, closing = token.end(), stack
    return content[:end] + closing[::-1], closing in (ENTRY, MESSAGES)


def _lower(reason: str) -> str:
    return reason if reason.startswith("JSON") else reason[:1].lower() + reason[1:]


def _asks_for_websocket(entry: _CutEntry) -> bool:
    if entry.messages is not None:
        return True
    request = entry.request
    return request is not None and (
        request.url.startswith(("ws://", "wss://"))
        or "websocket" in _header(request.headers, "upgrade").lower()
    )


def _header(headers: list[_Field], name: str) -> str:
    return next((field.value for field in headers if field.name.lower() == name), "")


def _connection(entry: _CutEntry, path: str, batch: RecordBatch) -> None:
    try:
        url = urlsplit(entry.request.url if entry.request else "")
        port = url.port or PORTS.get(url.scheme, 0)
    except ValueError as error:
        raise SourceError(f"{path}.request.url", _lower(str(error))) from error
    time_ns = _opened_ns(entry, path)
    connection = ClientConnection(batch, time_ns, _address(entry, path), port)
    if entry.request and entry.response:
        connection.write(time_ns, _request_head(entry.request, url))
        connection.read(time_ns, _response_head(entry.response))
    # The pipeline takes whole messages at once and not in a batch: the heads go before them.
    batch.flush()
    try:
        for index, raw in enumerate(entry.messages or ()):
            place = f"{path}._webSocketMessages[{index}]"
            message = _decode(raw, _Message, place)
            if message.opcode not in {TEXT, BINARY} or message.type == "error":
                batch.count("har_messages_not_judged")
                continue
            payload = _payload(message, place)
            # A time before the handshake, or none, is not the time of a message.
            time_ns = max(time_ns, _nanoseconds(message.time or 0))
            flow = WRITE if message.type == "send" else READ
            batch.pipeline.message(connection.number, time_ns, flow, message.opcode, payload)
            if index % MESSAGES_PER_FLUSH == 0:
                batch.flush()
    finally:
        connection.close(time_ns)
        batch.flush()


def _payload(message: _Message, path: str) -> bytes:
    data = message.data or ""
    if message.opcode == TEXT:
        return data.encode()
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SourceError(f"{path}.data", f"not base64: {_lower(str(error))}") from error


def _address(entry: _CutEntry, path: str) -> bytes:
    text = (entry.server_ip_address or "").strip("[]")
    try:
        return ipaddress.ip_address(text).packed if text else b""
    except ValueError as error:
        raise SourceError(f"{path}.serverIPAddress", _lower(str(error))) from error


def _opened_ns(entry: _CutEntry, path: str) -> int:
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
    if not 100 <= (response.status or 0) <= 999:  # 0: none came
        return b""
    head = f"HTTP/1.1 {response.status} {_line(response.status_text or '')}\r\n"
    return (head + _fields(response.headers) + "\r\n").encode()
