"""`sockwarden watch`: this host's WebSocket traffic, live from its kernel, without a collector."""

import logging
import sys
from pathlib import Path

import click

from sockwarden.agent.config import Capture
from sockwarden.agent.probe.helper import Helper
from sockwarden.agent.probe.programs import ProbeError
from sockwarden.agent.probe.session import open_probe
from sockwarden.agent.report import TYPES
from sockwarden.cli.judging import Failure, load, take_types

WORKER = "sockwarden.agent.watch"


def _say(status: str) -> None:
    click.echo(f"sockwarden watch: {status} (Ctrl-C ends)", err=True)


@click.command()
@click.option("--pid", type=click.IntRange(min=1), help="Only connections of this process.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Only connections with this port.")
@click.option("--only", metavar="TYPE,...", callback=take_types, help=f"Of {', '.join(TYPES)}.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    help="Rules, instead of those that ship.",
)
def command(
    pid: int | None, port: int | None, only: list[str], as_json: bool, rules: Path | None
) -> None:
    """Shows this host's WebSocket traffic live, from the kernel."""
    logging.basicConfig(format="sockwarden watch: %(message)s", level=logging.WARNING)
    load(rules)  # complains before there is a probe
    try:
        probe = open_probe(Capture())
    except ProbeError as error:
        raise Failure(str(error)) from error
    worker = [sys.executable, "-P", "-m", WORKER]
    for name, value in (("pid", pid), ("port", port), ("only", ",".join(only)), ("rules", rules)):
        if value is not None:
            worker += [f"--{name}", str(value)]
    if as_json or not sys.stdout.isatty():
        worker.append("--json")
    sys.exit(Helper(probe, worker, restart=False, on_ready=_say).run())
