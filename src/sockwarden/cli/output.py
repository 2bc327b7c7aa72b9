"""What commands print: tables for people on a terminal, one JSON object a line otherwise.

Nothing that an attacker chose reaches a terminal as it is: control characters and those
that turn the direction of text are shown as escapes.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sockwarden.cli import times
from sockwarden.proto.v1.alert_pb2 import Alert, Category, Direction, Level
from sockwarden.proto.v1.query_pb2 import Host, StoredAlert

# C0, DEL, C1, line and paragraph separators, marks and overrides of direction.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_STYLES = {
    "informational": "dim",
    "low": "cyan",
    "medium": "yellow",
    "high": "bold red",
    "critical": "bold white on red",
}
# Narrower terminals go without these columns.
_WIDTHS = {"SOURCE": 90, "ID": 116, "PATH": 140}
# An attacker's long path must not push the evidence off the line.
_LONGEST = {"HOST": 24, "RULE": 36, "SOURCE": 45, "PATH": 32}

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def wants_json(as_json: bool) -> bool:
    return as_json or not sys.stdout.isatty()


def console() -> Console:
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False)


def safe(value: str) -> str:
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)


def write_json(value: dict[str, Any]) -> None:
    # All unsafe characters are inside strings, where their escape means the same.
    click.echo(safe(json.dumps(value, ensure_ascii=False, separators=(",", ":"))))


def level_name(level: int) -> str:
    return str(Level.Name(level)).removeprefix("LEVEL_").lower()  # type: ignore[arg-type]


def category_name(category: int) -> str:
    return str(Category.Name(category)).removeprefix("CATEGORY_").lower()  # type: ignore[arg-type]


def _direction(alert: Alert) -> str | None:
    return {Direction.DIRECTION_C2S: "c2s", Direction.DIRECTION_S2C: "s2c"}.get(alert.direction)


def alert_object(stored: StoredAlert) -> dict[str, Any]:
    """The alert object of `analyze` and `watch`, and when the collector got it."""
    alert, rule, connection = stored.alert, stored.alert.rule, stored.alert.connection
    return {
        "type": "alert",
        "conn": connection.id,
        "id": alert.id,
        "agent": alert.agent,
        "sequence": alert.sequence,
        "time": times.rfc3339(alert.time.ToNanoseconds()),
        "rule": rule.id,
        "title": rule.title,
        "level": level_name(rule.level),
        "category": category_name(rule.category),
        "tags": list(rule.tags),
        "dir": _direction(alert),
        "opcode": _optional(alert, "opcode"),
        "evidence": alert.evidence,
        "count": alert.count,
        "client": connection.client or None,
        "server": connection.server or None,
        "path": connection.path or None,
        "origin": _optional(connection, "origin"),
        "subprotocol": _optional(connection, "subprotocol"),
        "tls": _optional(connection, "tls"),
        "proxied": connection.proxied,
        "process": _process_object(alert),
        "received": times.rfc3339(stored.received.ToNanoseconds()),
    }


def _process_object(alert: Alert) -> dict[str, Any] | None:
    if not alert.HasField("process"):
        return None
    process = alert.process
    return {
        "pid": process.pid,
        "exe": process.exe or None,
        "uid": _optional(process, "uid"),
        "unit": _optional(process, "unit"),
        "container": _optional(process, "container"),
    }


def _optional(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def host_object(host: Host) -> dict[str, Any]:
    beat = host.heartbeat
    return {
        "type": "host",
        "agent": host.agent,
        "hostname": host.hostname,
        "version": host.version,
        "kernel": host.kernel,
        "connected": host.connected,
        "first_seen": times.rfc3339(host.first_seen.ToNanoseconds()),
        "last_seen": times.rfc3339(host.last_seen.ToNanoseconds()),
        "alerts": host.alerts,
        "rules": beat.rules or None,
        "spool_depth": beat.spool_depth,
        "spool_bytes": beat.spool_bytes,
        "impairments": list(beat.impairments),
        "counters": dict(sorted(beat.counters.items())),
    }


def table(*columns: str, elastic: Sequence[str] = (), right: Sequence[str] = ()) -> Table:
    """One line a row: the elastic columns are cut where the terminal ends."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(
            name,
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if name in elastic else None,
            justify="right" if name in right else "left",
        )
    made.expand = bool(elastic)
    return made


def alert_table(alerts: Iterable[StoredAlert], width: int) -> Table:
    columns = ["TIME", "LEVEL", "HOST", "RULE"]
    columns += [name for name, least in _WIDTHS.items() if width >= least]
    made = table(*columns, "EVIDENCE", elastic=["EVIDENCE"])
    if "ID" not in columns:
        made.caption = "ids, for `alerts show`: with --json or in a wider terminal"
    now_ns = time.time_ns()
    for stored in alerts:
        cells = _cells(stored, now_ns)
        made.add_row(*(cells[name] for name in columns), cells["EVIDENCE"])
    return made


def alert_line(stored: StoredAlert) -> Text:
    """An alert of a tail: a row without a table around it."""
    cells = _cells(stored, time.time_ns())
    line = Text.assemble(
        cells["TIME"], "  ", cells["LEVEL"], " " * max(1, 15 - len(cells["LEVEL"])), no_wrap=True
    )
    for name in ("HOST", "RULE", "SOURCE", "PATH", "EVIDENCE"):
        line.append_text(cells[name]).append("  ")
    line.rstrip()
    return line


def _cells(stored: StoredAlert, now_ns: int) -> dict[str, Text]:
    alert = stored.alert
    level = level_name(alert.rule.level)
    count = f" (x{alert.count})" if alert.count > 1 else ""
    cells = {
        "ID": Text(safe(alert.id), style="dim"),
        "TIME": Text(times.short(alert.time.ToNanoseconds(), now_ns), style="dim"),
        "LEVEL": Text(level, style=_STYLES.get(level, "")),
        "HOST": Text(safe(alert.agent)),
        "RULE": Text(safe(alert.rule.id) + count, style="bold"),
        "SOURCE": Text(safe(alert.connection.client)),
        "PATH": Text(safe(alert.connection.path)),
        "EVIDENCE": Text(safe(alert.evidence)),
    }
    for name, longest in _LONGEST.items():
        cells[name].truncate(longest, overflow="ellipsis")
    return cells


def alert_sheet(stored: StoredAlert) -> Table:
    """Everything about one alert, a line a field."""
    made = Table.grid(padding=(0, 2))
    made.add_column(no_wrap=True, style="dim")
    made.add_column(overflow="fold")
    shown = alert_object(stored)
    del shown["type"]
    process = shown.pop("process") or {}
    process["command_line"] = list(stored.alert.process.command_line)
    shown |= {f"process {name}": value for name, value in process.items()}
    for name, value in shown.items():
        if value in (None, []):
            continue
        text = " ".join(value) if isinstance(value, list) else str(value)
        made.add_row(name, Text(safe(text), style=_STYLES.get(text, "") if name == "level" else ""))
    return made
