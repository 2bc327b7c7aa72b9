"""What the demo prints: alerts as they come, then the table."""

import time

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sockwarden.cli.demo.audience import Verdict
from sockwarden.proto.v1.alert_pb2 import Alert, Category, Level

WIDTH_WITHOUT_TERMINAL = 120

_STYLES = {
    Level.LEVEL_INFORMATIONAL: "dim",
    Level.LEVEL_LOW: "cyan",
    Level.LEVEL_MEDIUM: "yellow",
    Level.LEVEL_HIGH: "red",
    Level.LEVEL_CRITICAL: "bold red",
}


def _word(enum_name: str) -> str:
    return enum_name.partition("_")[2].lower()


class Show:
    def __init__(self) -> None:
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = WIDTH_WITHOUT_TERMINAL
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._begun:5.1f} s[/] {escape(text)}")

    def alert(self, alert: Alert) -> None:
        level, category = alert.rule.level, alert.rule.category
        self._console.print(
            f"        [{_STYLES.get(level, 'default')}]{_word(Level.Name(level)):<8}[/]"
            f" {_word(Category.Name(category)):<9} [bold]{escape(alert.rule.id)}[/]"
            f" {escape(alert.connection.server or 'endpoint unknown')}"
            f"{escape(alert.connection.path)} [dim]{escape(alert.evidence)}[/]",
            no_wrap=True,
            overflow="ellipsis",
        )

    def verdict(self, verdict: Verdict) -> None:
        table = Table(title="What was attacked, and what was seen")
        for heading in ("server", "attack", "expected alert", "arrived"):
            table.add_column(heading, no_wrap=True)
        table.add_column("after", justify="right")
        for outcome in verdict.outcomes:
            arrived, after = "[red]MISSING[/]", ""
            if outcome.latency_ns is not None:
                arrived, after = "[green]yes[/]", f"{outcome.latency_ns / 1e6:.0f} ms"
            one = outcome.performance
            table.add_row(one.server, one.scene, str(one.rule), arrived, after)
        self._console.print(table)
        for alert in verdict.unexpected:
            self._console.print(f"[red]unexpected:[/] {escape(alert.rule.title)}", end="")
            self.alert(alert)
        missing = sum(outcome.latency_ns is None for outcome in verdict.outcomes)
        if verdict.good:
            self._console.print(
                f"[green]Each of the {len(verdict.outcomes)} attacks raised its one alert,"
                " and no ordinary message raised any.[/]"
            )
        else:
            self._console.print(
                f"[red]{missing} expected alerts are missing,"
                f" {len(verdict.unexpected)} came that should not have.[/]"
            )
