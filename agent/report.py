"""The lines of `watch` and `analyze`: for programs as JSON, for people in columns.

Both are sinks of the pipeline (agent/sink.py) and write what happens in the order seen, a line
each.  JSON lines are the reports of agent/alert.py as they are.  The lines for people never
pass on what a hostile peer wrote as it is: control characters are shown escaped.
"""

import uuid
from collections.abc import Callable, Collection
from typing import BinaryIO, Final

import msgspec
from rich.console import Console
from rich.text import Text

from sockwarden.agent.alert import (
    Alert,
    Anomaly,
    Connection,
    Control,
    Counters,
    Level,
    Message,
    Report,
)
from sockwarden.agent.lines import Lines

TYPES: Final = ("connection", "message", "control", "anomaly", "alert", "counters")

_NAMESPACE: Final = uuid.UUID("5a3b8f6e-4a2c-4f0e-9a1d-3c7e2b8d6f10")
_ARROWS: Final = {"c2s": "→", "s2c": "←", None: " "}
_OPCODES: Final = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
_STYLES: Final = {
    Level.INFORMATIONAL: "cyan",
    Level.LOW: "blue",
    Level.MEDIUM: "yellow",
    Level.HIGH: "red",
    Level.CRITICAL: "bold white on red",
}


class _Selected:
    """A sink that passes on the reports of the selected types, and counts the alerts.

    It also says the sums at the end.
    """

    def __init__(self, only: Collection[str] | None) -> None:
        self._only = frozenset(TYPES if only is None else only)
        self.alerts = 0

    def _write(self, report: Report) -> None:
        raise NotImplementedError

    def _report(self, report: Report) -> None:
        if type(report).__struct_config__.tag in self._only:
            self._write(report)

    def connection(self, report: Connection) -> None:
        self._report(report)

    def message(self, report: Message) -> None:
        self._report(report)

    def control(self, report: Control) -> None:
        self._report(report)

    def anomaly(self, report: Anomaly) -> None:
        self._report(report)

    def alert(self, report: Alert) -> None:
        self.alerts += 1
        self._report(report if report.id else self._identified(report))

    def _identified(self, alert: Alert) -> Alert:
        """No spool numbered it: an identity that another run over the same input repeats."""
        seed = msgspec.json.encode((self.alerts, alert)).decode()
        return msgspec.structs.replace(alert, id=str(uuid.uuid5(_NAMESPACE, seed)))

    def counters(self, report: Counters) -> None:
        self._report(report)


class JsonLines(_Selected):
    """One JSON object a line.

    The pipeline writes messages and control frames into `lines` itself; what it delivers is
    flushed.

    Args:
        stream: where the lines go, in UTF-8.
        only: types of reports to write; None: all.
    """

    def __init__(self, stream: BinaryIO, only: Collection[str] | None = None) -> None:
        super().__init__(only)
        self.lines = Lines(stream, self._only)
        self._encode = msgspec.json.Encoder().encode

    def _write(self, report: Report) -> None:
        self.lines.write(self._encode(report) + b"\n")

    def flush(self) -> None:
        self.lines.flush()


class Columns(_Selected):
    """Lines for a person: connection, direction, what it is."""

    lines = None

    def __init__(self, console: Console, only: Collection[str] | None = None) -> None:
        super().__init__(only)
        self._console = console
        # rich reads its tables of characters at the first line, and a process that gives up
        # its rights may not find them any more.
        with console.capture():
            console.print(_row(1, "c2s", "→", "é 你", "bold"))

    def _write(self, report: Report) -> None:
        self._console.print(_LINES[type(report)](report), soft_wrap=True, highlight=False)

    def flush(self) -> None:
        self._console.file.flush()


def output(stream: BinaryIO, only: Collection[str] | None, *, json: bool) -> JsonLines | Columns:
    """The sink for standard output."""
    if json:
        return JsonLines(stream, only)
    return Columns(Console(), only)


def printable(text: str) -> str:
    """The text with what a terminal would obey shown as an escape."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _row(conn: int, direction: str | None, kind: str, text: str, style: str = "") -> Text:
    return Text.assemble(
        (f"{conn:>5} ", "dim"),
        (f"{_ARROWS[direction]} ", "bold"),
        (f"{kind:<9} ", style or "bold"),
        (printable(text), style),
    )


def _connection(report: Connection) -> Text:
    ends = f"{report.client or '?'} → {report.server or '?'}"
    details = [f"{ends}  {report.path or ''}".rstrip()]
    details += [
        f"{name} {value}"
        for name, value in (
            ("origin", report.origin),
            ("subprotocol", report.subprotocol),
            ("tls", report.tls),
            ("pid", report.pid),
            ("exe", report.exe),
        )
        if value is not None
    ]
    return _row(report.conn, None, "open", "  ".join(details), "green")


def _message(report: Message) -> Text:
    details = f"{report.length} bytes"
    if report.fragments is not None and report.fragments > 1:
        details += f" in {report.fragments} fragments"
    if report.compressed:
        details += ", compressed"
    if report.after_close:
        details += ", after close"
    return _row(report.conn, report.dir, _OPCODES.get(report.opcode, str(report.opcode)), details)


def _control(report: Control) -> Text:
    code = "" if report.code is None else f"code {report.code}, "
    kind = _OPCODES.get(report.opcode, str(report.opcode))
    return _row(report.conn, report.dir, kind, f"{code}{report.length} bytes", "dim")


def _anomaly(report: Anomaly) -> Text:
    return _row(report.conn, report.dir, "anomaly", f"{report.kind} at {report.offset}", "magenta")


def _alert(report: Alert) -> Text:
    times = f" ({report.count} times)" if report.count > 1 else ""
    text = f"{report.level}: {report.title}{times} [{report.rule}] {report.evidence}"
    return _row(report.conn, report.dir, "ALERT", text, _STYLES[report.level])


def _counters(report: Counters) -> Text:
    lost = ", ".join(f"{name} {amount}" for name, amount in report.lost.items() if amount)
    return Text(
        f"{report.messages} messages, {report.captured_bytes} bytes captured"
        + (f"; lost: {lost}" if lost else "")
    )


_LINES: Final[dict[type[Report], Callable[..., Text]]] = {
    Connection: _connection,
    Message: _message,
    Control: _control,
    Anomaly: _anomaly,
    Alert: _alert,
    Counters: _counters,
}
