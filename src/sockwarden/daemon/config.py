"""Configuration: TOML into msgspec structs, or one line that says what is wrong and where.

`load` promises a value that satisfies the struct's types and ranges, or raises `ConfigError`
whose text is one line: file, key (or line of the file) and reason.  Unknown keys are refused
(declare structs with `Section` as base), so that a misspelt key never falls back to a default
in silence.

A range that a type cannot express is checked in `__post_init__` by `require`.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

MAX_FILE_BYTES = 1 << 20

_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_DURATIONS_NS = {
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
}
_QUANTITY = re.compile(r"(\d{1,18}) ?([A-Za-z]*)", re.ASCII)


class ConfigError(Exception):
    """A configuration that cannot be used; the text is the line to show."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of a configuration file."""


class Size(int):
    """Bytes: 65536, "64 KiB" or "64KiB"."""

    @classmethod
    def parse(cls, value: object) -> "Size":
        return cls(_quantity(value, _UNITS, 'bytes as in 65536 or "64 KiB"'))


class Duration(int):
    """Nanoseconds, written "500ms", "10s", "5min", "2h" or "30d"."""

    @classmethod
    def parse(cls, value: object) -> "Duration":
        if not isinstance(value, str):
            raise ValueError('expected a duration as in "500ms", "10s", "5min", "2h" or "30d"')
        return cls(_quantity(value, _DURATIONS_NS, 'a duration as in "10s", "5min" or "30d"'))


class Address(str):
    """Where to listen or connect: "host:port", "[2001:db8::1]:443" or "unix:/run/x.sock"."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> "Address":
        if not isinstance(value, str):
            raise ValueError('expected an address as in "host:port" or "unix:/run/x.sock"')
        if value.startswith("unix:"):
            # sun_path of unix(7) holds 108 bytes with its final NUL.
            if not value.startswith("unix:/") or len(os.fsencode(value)) > 5 + 107:
                raise ValueError("expected unix: and an absolute path of at most 107 bytes")
            return cls(value)
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})", value)
        if match is None or int(match[2]) > 65_535:
            raise ValueError('expected an address as in "host:port" or "[2001:db8::1]:443"')
        return cls(value)

    @property
    def is_unix(self) -> bool:
        return self.startswith("unix:")

    @property
    def host(self) -> str:
        """Without brackets; empty for a unix socket."""
        return "" if self.is_unix else self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return 0 if self.is_unix else int(self.rpartition(":")[2])

    @property
    def is_local(self) -> bool:
        """Whether nobody beyond this host can be at the other end."""
        if self.is_unix or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


_PARSERS: dict[type, Callable[[object], object]] = {
    Size: Size.parse,
    Duration: Duration.parse,
    Address: Address.parse,
}

T = TypeVar("T")


def load(path: str | os.PathLike[str], kind: type[T]) -> T:
    """Reads the file as a `kind`; raises `ConfigError`."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration: {error.strerror}") from None
    return parse(raw, kind, str(path))


def parse(raw: bytes, kind: type[T], name: str) -> T:
    """Reads `raw` as a `kind`; `name` stands for the file in errors."""
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(f"{name}: larger than {MAX_FILE_BYTES} bytes; is it the right file?")
    try:
        table = tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8; save the file as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(_syntax(name, str(error))) from None
    try:
        return msgspec.convert(table, kind, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_place(str(error))}") from None


def require(condition: bool, key: str, reason: str) -> None:
    """For `__post_init__` of a `Section`: refuses `key` with `reason` unless `condition`."""
    if not condition:
        raise ValueError(f"{key}: {reason}")


def _decode(kind: type, value: object) -> object:
    return _PARSERS[kind](value)


def _quantity(value: object, units: dict[str, int], expected: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"expected {expected}")
    return int(match[1]) * units[match[2]]


def _syntax(name: str, reason: str) -> str:
    """tomllib ends with "(at line 3, column 7)" or "(at end of document)"."""
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", reason, re.DOTALL)
    if match is None:
        return f"{name}: not TOML: {_lower(reason)}"
    return f"{name}:{match[2]}:{match[3]}: not TOML: {_lower(match[1])}"


def _place(reason: str) -> str:
    """Turns msgspec's "... - at `$.a.b`" into "a.b: ..."."""
    match = re.fullmatch(r"(.*?)(?: - at `\$\.?([^`]*)`)?", reason, re.DOTALL)
    assert match is not None
    text, key = match[1], match[2] or ""
    keys = [key] if key else []
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", text, re.DOTALL):
        keys.append(unknown[1])
        text = "unknown key"
    elif missing := re.fullmatch(r"Object missing required field `(.*)`", text):
        keys.append(missing[1])
        text = "is required"
    elif required := re.fullmatch(r"([a-z_]+): (.*)", text, re.DOTALL):
        keys.append(required[1])
        text = required[2]
    text = text.replace("Expected `object`", "Expected a table").replace("`", "")
    return f"{_printable('.'.join(keys)) or 'top level'}: {_printable(_lower(text))}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _printable(text: str) -> str:
    """Keys are the file's text: one line stays one line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
