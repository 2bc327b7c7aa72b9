"""The opening handshake as facts for rules (RFC 6455 section 4).

`Handshake` reads the two heads of a connection once, whatever they are: it raises on
no bytes.  What an endpoint would refuse becomes the name of a fault; a value that is
absent is None.  Bytes are shown as Latin-1, so that none is lost.  A head that was cut or
not seen has no fault by what it lacks.
"""

import base64
import binascii
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from sockwarden.parser import extensions, head

Fields = list[tuple[str, str]]

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
VERSION: Final = "13"
KEY_BYTES: Final = 16
SWITCHING_PROTOCOLS: Final = 101
MOST_HEADERS: Final = 100  # what common servers take

# Fields that may come once; two are how proxies and servers are set at odds.
SINGLE_IN_REQUEST: Final = frozenset(
    {
        "authorization", "content-length", "cookie", "host", "origin", "sec-websocket-key",
        "sec-websocket-version", "transfer-encoding", "upgrade", "user-agent",
    }
)  # fmt: skip
# Sections 11.3.3 and 11.3.4
SINGLE_IN_RESPONSE: Final = frozenset(
    {
        "content-length", "sec-websocket-accept", "sec-websocket-protocol", "transfer-encoding",
        "upgrade",
    }
)  # fmt: skip

DEFAULT_PORTS: Final = {"http": ":80", "ws": ":80", "https": ":443", "wss": ":443"}


@dataclass(frozen=True)
class Handshake:
    """What the heads say.

    Args:
        request: from its first line to its empty line, or to where it was cut.
        response: the same; empty where none came.
        head_bytes: where heads are cut.
    """

    request: bytes = field(repr=False)
    response: bytes = field(default=b"", repr=False)
    head_bytes: int = field(default=16_384, repr=False, compare=False)

    method: str | None = field(init=False, compare=False)
    target: str | None = field(init=False, compare=False, repr=False)
    path: str | None = field(init=False, compare=False)
    query: str | None = field(init=False, compare=False, repr=False)
    headers: Fields = field(init=False, compare=False, repr=False)
    host: str | None = field(init=False, compare=False)
    origin: str | None = field(init=False, compare=False)
    user_agent: str | None = field(init=False, compare=False, repr=False)
    cookie: str | None = field(init=False, compare=False, repr=False)
    authorization: str | None = field(init=False, compare=False, repr=False)
    version: str | None = field(init=False, compare=False)
    key: str | None = field(init=False, compare=False, repr=False)
    subprotocols: tuple[str, ...] = field(init=False, compare=False, repr=False)
    extensions_offered: str | None = field(init=False, compare=False, repr=False)
    status: int | None = field(init=False, compare=False)
    response_headers: Fields = field(init=False, compare=False, repr=False)
    accept_ok: bool | None = field(init=False, compare=False)
    """None without a 101, or where the key or the answer to it was not seen."""
    subprotocol: str | None = field(init=False, compare=False)
    extensions: str | None = field(init=False, compare=False)
    faults: frozenset[str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        faults: set[str] = set()
        facts = _request(self.request, self.head_bytes, faults)
        facts |= _response(self.response, self.head_bytes, faults)
        accept = facts.pop("accept")
        facts["accept_ok"] = None
        if facts["status"] == SWITCHING_PROTOCOLS and _is_whole(self.request):
            if _is_whole(self.response):
                facts["accept_ok"] = accept == _accept(facts["key"])
            _judge_choices(facts, faults)
        if facts["accept_ok"] is False:
            faults.add("wrong_accept")
        facts["faults"] = frozenset(faults)
        for name, value in facts.items():
            object.__setattr__(self, name, value)

    @property
    def upgraded(self) -> bool:
        return self.status == SWITCHING_PROTOCOLS

    @property
    def origin_host(self) -> str | None:
        """Host, and port unless it is the scheme's own; None: no Origin, or an opaque one."""
        return _origin_parts(self.origin)[1]

    @property
    def cross_origin(self) -> bool:
        """There is an Origin, and it is not that of the Host (RFC 6454 section 5)."""
        if self.origin is None:
            return False
        scheme, host = _origin_parts(self.origin)
        return host is None or host != _without_port(self.host or "", scheme)

    def fields(self) -> dict[str, object]:
        """Flat names for rules."""
        names = (
            "method", "target", "path", "query", "host", "origin", "origin_host", "cross_origin",
            "user_agent", "cookie", "authorization", "version", "key", "status", "upgraded",
            "subprotocol", "extensions", "extensions_offered",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names} | {
            "subprotocols": list(self.subprotocols),
            "header_count": len(self.headers),
            "head_length": len(self.request),
            "faults": sorted(self.faults),
        }


def _is_whole(raw: bytes) -> bool:
    return raw.endswith((b"\n\r\n", b"\n\n"))


def _head(
    raw: bytes, single: frozenset[str], head_bytes: int, faults: set[str]
) -> tuple[str, Fields]:
    whole = _is_whole(raw)
    if not whole:
        faults.add("head_too_long" if len(raw) >= head_bytes else "incomplete_head")
    # Of a line that is cut nothing is known, unless it is the first.
    line, pairs, wrong = head.split(raw if whole else raw[: raw.rfind(b"\n") + 1] or raw)
    faults |= wrong
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]
    if len(fields) > MOST_HEADERS:
        faults.add("too_many_headers")
    counts = Counter(name for name, _ in fields)
    if any(counts[name] > 1 for name in single):
        faults.add("duplicate_header")
    return line.decode("latin-1"), fields


def _first(fields: Fields, name: str) -> str | None:
    return next((value for other, value in fields if other == name), None)


def _joined(fields: Fields, name: str) -> str | None:
    """RFC 9110 section 5.3: a list may be spread over several fields."""
    values = [value for other, value in fields if other == name]
    return ", ".join(values) if values else None


def _elements(value: str | None) -> tuple[str, ...]:
    return tuple(part for part in (part.strip() for part in (value or "").split(",")) if part)


def _has_token(fields: Fields, name: str, token: str) -> bool:
    return token in (part.lower() for part in _elements(_joined(fields, name)))


def _request(raw: bytes, head_bytes: int, faults: set[str]) -> dict[str, object]:
    line, fields = _head(raw, SINGLE_IN_REQUEST, head_bytes, faults) if raw else ("", [])
    method, target = _request_line(line, faults if b"\n" in raw else set())
    path, query = _path_and_query(target)
    key = _first(fields, "sec-websocket-key")
    version = _first(fields, "sec-websocket-version")
    offer = _joined(fields, "sec-websocket-extensions")
    # Section 4.2.1
    judged = {
        "bad_method": method != "GET",
        "missing_host": not _first(fields, "host"),
        "bad_upgrade": not _has_token(fields, "upgrade", "websocket"),
        "bad_connection": not _has_token(fields, "connection", "upgrade"),
        "bad_key": not _is_key(key),
        "bad_version": version != VERSION,
        "request_body": (
            (_first(fields, "content-length") or "").strip("0") != ""
            or _first(fields, "transfer-encoding") is not None
        ),
        "bad_extension_offer": not extensions.offered_well((offer or "").encode("latin-1")),
    }
    if _is_whole(raw):
        faults |= {name for name, found in judged.items() if found}
    return {
        "method": method,
        "target": target,
        "path": path,
        "query": query,
        "headers": fields,
        "host": _first(fields, "host"),
        "origin": _first(fields, "origin"),
        "user_agent": _first(fields, "user-agent"),
        "cookie": _first(fields, "cookie"),
        "authorization": _first(fields, "authorization"),
        "version": version,
        "key": key,
        "subprotocols": _elements(_joined(fields, "sec-websocket-protocol")),
        "extensions_offered": offer,
    }


def _request_line(line: str, faults: set[str]) -> tuple[str | None, str | None]:
    """RFC 9112 section 3: three parts, one blank between them."""
    parts = line.split(" ")
    version = parts[-1]
    if len(parts) < 2 or not version.startswith("HTTP/"):
        faults.add("not_http")
        return None, None
    if len(parts) != 3 or not all(parts) or not all(" " < octet != "\x7f" for octet in parts[1]):
        faults.add("bad_request_line")
    if version != "HTTP/1.1":
        faults.add("bad_http_version")
    return parts[0] or None, " ".join(parts[1:-1]) or None


def _path_and_query(target: str | None) -> tuple[str | None, str | None]:
    if target is None:
        return None, None
    scheme, mark, rest = target.partition("://")
    if mark and scheme.isalpha():  # absolute form, RFC 9112 section 3.2.2
        cut = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        target = rest[cut:]
        if not target.startswith("/"):
            target = "/" + target
    path, mark, query = target.partition("?")
    return path, query if mark else None


def _is_key(key: str | None) -> bool:
    """Section 4.1: 16 bytes in base64."""
    try:
        raw = base64.b64decode((key or "").encode("latin-1"), validate=True)
    except binascii.Error:
        return False
    return len(raw) == KEY_BYTES


def _accept(key: object) -> str:
    """Section 4.2.2, item 5.4."""
    text = key.encode("latin-1") if isinstance(key, str) else b""
    return base64.b64encode(hashlib.sha1(text + GUID, usedforsecurity=False).digest()).decode()


def _response(raw: bytes, head_bytes: int, faults: set[str]) -> dict[str, object]:
    facts: dict[str, object] = {"status": None, "response_headers": [], "accept": None}
    facts |= {"subprotocol": None, "extensions": None}
    if not raw:
        return facts
    line, fields = _head(raw, SINGLE_IN_RESPONSE, head_bytes, faults)
    facts["status"] = head.status(raw)
    if facts["status"] is None or not line.startswith("HTTP/"):
        faults.add("bad_status_line")
    facts["response_headers"] = fields
    facts["accept"] = _first(fields, "sec-websocket-accept")
    facts["subprotocol"] = _joined(fields, "sec-websocket-protocol")
    facts["extensions"] = _joined(fields, "sec-websocket-extensions")
    agrees = _has_token(fields, "upgrade", "websocket")
    agrees = agrees and _has_token(fields, "connection", "upgrade")
    if facts["status"] == SWITCHING_PROTOCOLS and _is_whole(raw) and not agrees:
        faults.add("bad_response_upgrade")
    return facts


def _judge_choices(facts: dict[str, object], faults: set[str]) -> None:
    """Section 4.1: the server chooses from what was offered."""
    subprotocols = facts["subprotocols"]
    assert isinstance(subprotocols, tuple)
    if facts["subprotocol"] is not None and facts["subprotocol"] not in subprotocols:
        faults.add("unoffered_subprotocol")
    chosen = str(facts["extensions"] or "").encode("latin-1")
    offered = extensions.parse(str(facts["extensions_offered"] or "").encode("latin-1"))
    client, _, good = extensions.agreed(chosen)
    if not good:
        faults.add("bad_extension_parameter")
    names = {name for name, _ in offered}
    agreed = extensions.parse(chosen)
    if any(name not in names for name, _ in agreed):
        faults.add("unoffered_extension")
    elif client is not None:
        answer = next(answer for name, answer in agreed if name == b"permessage-deflate")
        offers = [dict(offer) for name, offer in offered if name == b"permessage-deflate"]
        if not any(_answers(dict(answer), offer) for offer in offers):
            faults.add("bad_extension_parameter")


def _answers(answer: dict[bytes, bytes | None], offer: dict[bytes, bytes | None]) -> bool:
    """RFC 7692 section 7.1: whether the answer is one that the offer allows."""
    if b"server_no_context_takeover" in offer and b"server_no_context_takeover" not in answer:
        return False
    if b"client_max_window_bits" in answer and b"client_max_window_bits" not in offer:
        return False
    for name in (b"server_max_window_bits", b"client_max_window_bits"):
        most, chosen = offer.get(name), answer.get(name)
        if most is None:
            continue
        if chosen is None:
            if name == b"server_max_window_bits":
                return False
        elif not (most.isdigit() and chosen.isdigit() and int(chosen[:3]) <= int(most[:3])):
            return False
    return True


def _origin_parts(origin: str | None) -> tuple[str, str | None]:
    scheme, mark, rest = (origin or "").partition("://")
    if not mark or not rest:
        return "", None
    scheme = scheme.lower()
    return scheme, _without_port(rest.split("/", 1)[0], scheme)


def _without_port(host: str, scheme: str) -> str:
    return host.lower().removesuffix(DEFAULT_PORTS.get(scheme, "\0"))
