"""Page tokens: where a listing goes on, opaque to whoever carries it.

A token is of one query: it holds a digest of the filter and the order, and one of itself,
so that a mangled token or one of another query is refused instead of giving wrong pages.
It holds no secret and grants nothing.
"""

import base64
import hashlib
from typing import TypeVar

import msgspec

from sockwarden.collector.errors import InvalidInput

_DIGEST_BYTES = 8
_FIELD = "page_token"


class Place(msgspec.Struct, frozen=True, array_like=True):
    """`after`: the last item's key; `newest`: nothing stored later belongs to the listing."""

    query: bytes
    after: tuple[int, int]
    newest: int


class HostPlace(msgspec.Struct, frozen=True, array_like=True):
    """`after`: the last agent."""

    query: bytes
    after: str


P = TypeVar("P", Place, HostPlace)


def digest(*parts: bytes) -> bytes:
    joined = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.blake2b(joined, digest_size=_DIGEST_BYTES).digest()


def encode(place: Place | HostPlace) -> str:
    body = msgspec.msgpack.encode(place)
    return base64.urlsafe_b64encode(digest(body) + body).decode().rstrip("=")


def decode(token: str, query: bytes, kind: type[P]) -> P:
    try:
        whole = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        seal, body = whole[:_DIGEST_BYTES], whole[_DIGEST_BYTES:]
        place = msgspec.msgpack.decode(body, type=kind)
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidInput(_FIELD, "not one of this collector's") from error
    if seal != digest(body):
        raise InvalidInput(_FIELD, "not one of this collector's")
    if place.query != query:
        raise InvalidInput(_FIELD, "belongs to another filter or order")
    return place
