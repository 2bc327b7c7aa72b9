"""The options that choose alerts, the same for every command that has them."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sockwarden.cli.times import Moment
from sockwarden.proto.v1.alert_pb2 import Category, Level
from sockwarden.proto.v1.query_pb2 import AlertFilter

LEVELS = ["informational", "low", "medium", "high", "critical"]
CATEGORIES = ["injection", "hijack", "leak", "dos", "protocol", "posture"]

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--since", type=Moment(), help="From then on: 2h (ago) or RFC 3339."),
    click.option("--until", type=Moment(), help="Before then."),
    click.option("--host", multiple=True, metavar="AGENT", help="Of this host; repeatable."),
    click.option("--rule", multiple=True, metavar="ID", help="Of this rule; repeatable."),
    click.option("--level", type=click.Choice(LEVELS), help="Of this level and above."),
    click.option("--category", multiple=True, type=click.Choice(CATEGORIES), help="Repeatable."),
    click.option("--source", metavar="ADDRESS", help="From this client address."),
    click.option("--process", metavar="EXE", help="Seen in this executable: path or last part."),
    click.option("--path", metavar="PATH", help="On this request path; PREFIX* for all below."),
    click.option("--text", metavar="TEXT", help="With this in its evidence or title."),
)
_NAMES = (
    "since",
    "until",
    "host",
    "rule",
    "level",
    "category",
    "source",
    "process",
    "path",
    "text",
)


def filter_options(function: F) -> F:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def take_filter(options: dict[str, Any]) -> AlertFilter:
    """Takes the filter's options out of a command's."""
    given = {name: options.pop(name) for name in _NAMES}
    chosen = AlertFilter(
        agents=given["host"],
        rules=given["rule"],
        source=given["source"] or "",
        process=given["process"] or "",
        path=given["path"] or "",
        text=given["text"] or "",
        categories=[Category.Value(f"CATEGORY_{name.upper()}") for name in given["category"]],
    )
    if given["since"] is not None:
        chosen.since.FromNanoseconds(given["since"])
    if given["until"] is not None:
        chosen.until.FromNanoseconds(given["until"])
    if given["level"] is not None:
        chosen.minimum_level = Level.Value(f"LEVEL_{given['level'].upper()}")
    return chosen
