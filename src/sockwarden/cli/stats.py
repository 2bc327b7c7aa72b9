"""`sockwarden stats`: how many alerts, by one or two of their properties."""

from typing import Any

import click
from rich.text import Text

from sockwarden.cli import output
from sockwarden.cli.client import CALL_S, collector_options, querying
from sockwarden.cli.filters import filter_options, take_filter
from sockwarden.proto.v1.query_pb2 import Dimension, GetStatsRequest

_DIMENSIONS = {
    "rule": Dimension.DIMENSION_RULE,
    "host": Dimension.DIMENSION_AGENT,
    "level": Dimension.DIMENSION_LEVEL,
    "category": Dimension.DIMENSION_CATEGORY,
    "source": Dimension.DIMENSION_SOURCE,
    "path": Dimension.DIMENSION_PATH,
    "process": Dimension.DIMENSION_PROCESS,
    "hour": Dimension.DIMENSION_HOUR,
}
_BAR = 24


@click.command()
@click.option(
    "--by",
    multiple=True,
    default=["rule"],
    show_default=True,
    type=click.Choice(list(_DIMENSIONS)),
    help="Once or twice.",
)
@filter_options
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
@output.json_option
@collector_options
def command(by: tuple[str, ...], limit: int, as_json: bool, **options: Any) -> None:
    """Counts alerts by rule, host, source and more."""
    chosen = take_filter(options)
    if len(by) > 2 or len(set(by)) < len(by):
        raise click.BadParameter("one dimension, or two that differ", param_hint="'--by'")
    request = GetStatsRequest(filter=chosen, by=[_DIMENSIONS[name] for name in by], limit=limit)
    with querying(options) as stub:
        rows = stub.GetStats(request, timeout=CALL_S).rows
    if output.wants_json(as_json):
        for row in rows:
            keys = dict(zip(by, row.keys, strict=True))
            output.write_json({"type": "stats", **keys, "alerts": row.alerts, "events": row.events})
        return
    console = output.console()
    if not rows:
        console.print("no alerts match")
        return
    made = output.table(
        *(name.upper() for name in by), "ALERTS", "EVENTS", "", right=["ALERTS", "EVENTS"]
    )
    most = rows[0].alerts
    for row in rows:
        made.add_row(
            *(Text(output.safe(key) or "-") for key in row.keys),
            f"{row.alerts:,}",
            f"{row.events:,}",
            Text("▇" * max(1, round(_BAR * row.alerts / most)), "cyan"),
        )
    console.print(made)
