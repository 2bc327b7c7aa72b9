"""What the demo prints: what it does, alerts as they come, then the table."""

import time

from rich.text import Text

from sockwarden.cli import output
from sockwarden.cli.demo.audience import Verdict
from sockwarden.proto.v1.query_pb2 import StoredAlert

WIDTH_WITHOUT_TERMINAL = 140
OTHERS_SHOWN = 5


class Show:
    def __init__(self) -> None:
        self._console = output.console()
        if not self._console.is_terminal:
            self._console.width = WIDTH_WITHOUT_TERMINAL
        self._begun = time.monotonic()
        self._run = ""
        self._others = 0

    def say(self, text: str) -> None:
        self._console.print(
            Text.assemble((f"{time.monotonic() - self._begun:5.1f} s  ", "dim"), text),
            soft_wrap=True,
        )

    def expects(self, run: str) -> None:
        """Paths of the demo begin like that; this host may have other traffic."""
        self._run = run

    def arrived(self, stored: StoredAlert) -> None:
        """Shows each alert about the demo, and the first few about others."""
        if not stored.alert.connection.path.startswith(self._run):
            self._others += 1
            if self._others > OTHERS_SHOWN:
                return
        self.alert(stored)

    def others(self) -> None:
        if self._others:
            self.say(f"{self._others} alerts were about other traffic of this host")

    def alert(self, stored: StoredAlert) -> None:
        """As `sockwarden alerts tail` shows it."""
        line = Text("         ").append_text(output.alert_line(stored))
        self._console.print(line, no_wrap=True, overflow="ellipsis")

    def verdict(self, verdict: Verdict) -> None:
        table = output.table("SERVER", "ATTACK", "EXPECTED ALERT", "ARRIVED", "AFTER")
        for outcome in verdict.outcomes:
            one, after = outcome.performance, f"{outcome.latency_ns / 1e6:.0f} ms"
            if outcome.times == 0:
                arrived, after = Text("missing", style="red"), ""
            elif outcome.times == 1:
                arrived = Text("once", style="green")
            else:
                arrived = Text(f"{outcome.times} times", style="red")
            table.add_row(one.server, one.scene, one.rule, arrived, after)
        self._console.print()
        self._console.print(table)
        if verdict.unexpected:
            self._console.print("These should not have come:")
            for stored in verdict.unexpected:
                self.alert(stored)
        missing = sum(outcome.times == 0 for outcome in verdict.outcomes)
        if verdict.good:
            self._console.print(
                f"Each of the {len(verdict.outcomes)} attacks raised its one alert,"
                " and no ordinary message raised any.",
                style="green",
            )
        else:
            self._console.print(
                f"{missing} of {len(verdict.outcomes)} expected alerts are missing,"
                f" {len(verdict.unexpected)} came that should not have.",
                style="red",
            )
