"""Times as people write and read them; nanoseconds since 1970 in between."""

import re
import time
from datetime import UTC, datetime

import click

_SECOND_NS = 10**9
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d{1,9})([smhdw])")
_FRACTION = re.compile(r"\.(\d{1,9})(?=Z|[+-]|$)")


class Moment(click.ParamType[int]):
    """`2h` is two hours ago; otherwise RFC 3339 (without an offset: local time)."""

    name = "TIME"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        text = str(value)
        if ago := _AGO.fullmatch(text):
            return time.time_ns() - int(ago[1]) * _UNITS_S[ago[2]] * _SECOND_NS
        fraction = _FRACTION.search(text)
        try:
            whole = datetime.fromisoformat(_FRACTION.sub("", text)).astimezone()
        except ValueError:
            self.fail(f"{text!r} is neither like 2h nor like 2026-11-24T22:00:00Z", param, ctx)
        nanos = int(fraction[1].ljust(9, "0")) if fraction else 0
        return int(whole.timestamp()) * _SECOND_NS + nanos


def rfc3339(at_ns: int) -> str:
    seconds, nanos = divmod(at_ns, _SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09}Z"


def short(at_ns: int, now_ns: int) -> str:
    """Local; without the date if that is today's."""
    at = datetime.fromtimestamp(at_ns / _SECOND_NS)
    today = datetime.fromtimestamp(now_ns / _SECOND_NS).date()
    return f"{at:%H:%M:%S}" if at.date() == today else f"{at:%Y-%m-%d %H:%M}"


def age(since_ns: int, now_ns: int) -> str:
    seconds = max(0, now_ns - since_ns) // _SECOND_NS
    for unit in ("d", "h", "m"):
        if seconds >= 2 * _UNITS_S[unit]:
            return f"{seconds // _UNITS_S[unit]} {unit}"
    return f"{seconds} s"
