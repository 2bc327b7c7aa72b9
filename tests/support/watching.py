"""`sockwarden watch --json` as a process, and what it told, connection by connection.

Other traffic of this host is told too: a test looks only at connections whose path it chose.
Nothing waits for luck: records pass one ring in order, so once the attack of a barrier that was
played last is told, all that came before it has been judged.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from patience import patient

DEADLINE_SECONDS = patient(20)
START_SECONDS = patient(60)

Report = dict[str, Any]


@dataclass
class Told:
    """One connection: its own report, and those that name its number."""

    connection: Report
    messages: list[Report] = field(default_factory=list)
    controls: list[Report] = field(default_factory=list)
    anomalies: list[Report] = field(default_factory=list)
    alerts: list[Report] = field(default_factory=list)

    def rules(self) -> list[str]:
        return [alert["rule"] for alert in self.alerts]

    def exchanged(self) -> list[tuple[str, int, int, str, int]]:
        """Direction, opcode, length, digest and fragments of each message, client's first.

        Only within a direction is the order sure: what a server writes is told when its call
        returns, and the answer may be read before that.
        """
        told = [
            (m["dir"], m["opcode"], m["length"], m["sha256"], m["fragments"]) for m in self.messages
        ]
        return sorted(told, key=lambda one: one[0])


def message(direction: str, payload: str | bytes, fragments: int = 1) -> tuple[Any, ...]:
    """As `Told.exchanged` tells it."""
    data = payload.encode() if isinstance(payload, str) else payload
    opcode = 1 if isinstance(payload, str) else 2
    return direction, opcode, len(data), hashlib.sha256(data).hexdigest(), fragments


class Watch:
    def __init__(self, *arguments: str) -> None:
        self._reports: list[Report] = []
        self._changed = threading.Condition()
        self.errors: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sockwarden.cli", "watch", "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._hear, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._reports.append(json.loads(line))
                self._changed.notify_all()

    def _hear(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.errors.append(line.decode().rstrip())
                self._changed.notify_all()

    def until(
        self,
        condition: Callable[[], Any],
        what: Callable[[], str],
        seconds: float = DEADLINE_SECONDS,
    ) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                assert left > 0, f"not told in time: {what()}\n" + "\n".join(self.errors)
                self._changed.wait(min(left, 0.2))

    def ready(self) -> None:
        self.until(
            lambda: any("watching" in line for line in self.errors) or self.process.poll(),
            lambda: "that it watches",
            START_SECONDS,
        )
        assert self.process.poll() is None, self.errors

    def of(self, path: str) -> list[Told]:
        """The connections with this path, in the order that they were told."""
        with self._changed:
            told = {
                report["conn"]: Told(report)
                for report in self._reports
                if report["type"] == "connection" and report["path"] == path
            }
            for report in self._reports:
                if report["type"] not in ("connection", "counters") and report["conn"] in told:
                    kind = "anomalies" if report["type"] == "anomaly" else f"{report['type']}s"
                    getattr(told[report["conn"]], kind).append(report)
        return list(told.values())

    @property
    def reports(self) -> list[Report]:
        with self._changed:
            return list(self._reports)

    def has_alert(self, path: str) -> bool:
        return any(told.alerts for told in self.of(path))

    def stop(self, how: int = signal.SIGINT) -> Report | None:
        """Ends it as asked; returns its counters."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        for reader in self._readers:
            reader.join(DEADLINE_SECONDS)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        last = self._reports[-1] if self._reports else {}
        return last if last.get("type") == "counters" else None


def family(pid: int) -> list[int]:
    """The process and all below it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat:
                    parent = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    ahead: Sequence[int] = [pid]
    while ahead:
        found += ahead
        ahead = [child for parent in ahead for child in children.get(parent, [])]
    return found
