"""`sockwarden analyze`: the WebSocket traffic of files, judged as the agent judges a host's.

Files come from others, so the process gives up every right before it looks into the first one:
it opens all of them, reads the rules, and then only computes and prints.

Exit status: 0 no alert, 1 alerts, 2 a file could not be read; the others are judged all the same,
and so is what came before the place where a file is broken.
"""

import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import click

from sockwarden.agent import report
from sockwarden.agent.alert import Counters
from sockwarden.agent.pipeline import Pipeline
from sockwarden.agent.probe import privileges
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.sources import SourceError, read, sources
from sockwarden.agent.sources.batch import RecordBatch
from sockwarden.cli.judging import UNREADABLE, Failure, complain, load, take_types

STDIN: Final = "-"
USER: Final = "nobody"
ALERTS: Final = 1

# Losses of the pipeline itself, beside those of the sources.
_PIPELINE_LOSSES: Final = (
    "records_bad",
    "connections_refused",
    "hits_suppressed",
    "undecoded_bytes",
    "withheld_messages",
    "contexts_evicted",
)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--only", callback=take_types, metavar="TYPE,...", help=f"Of {', '.join(report.TYPES)}."
)
@click.option(
    "--rules", "folder", type=click.Path(path_type=Path), help="Rules, instead of those that ship."
)
def command(files: tuple[str, ...], as_json: bool, only: list[str], folder: Path | None) -> None:
    """Judges the WebSocket traffic in files: pcap, pcapng, HAR; - is standard input."""
    analysis = Analysis(load(folder), only, as_json=as_json or not sys.stdout.isatty())
    opened = analysis.open(files)
    sources()  # imports them
    try:
        privileges.drop(USER, keep=[file.fileno() for _, file in opened])
    except privileges.PrivilegeError as error:
        raise Failure(str(error)) from error
    try:
        analysis.run(opened)
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(analysis.status)


class Analysis:
    """One run over several files."""

    def __init__(self, rules: RuleSet, only: Collection[str], *, as_json: bool) -> None:
        self._output = report.output(sys.stdout.buffer, only, json=as_json)
        self._pipeline = Pipeline(rules, self._output, trace=True, lines=self._output.lines)
        self._batch = RecordBatch(self._pipeline)
        self._unreadable = False

    @property
    def status(self) -> int:
        if self._unreadable:
            return UNREADABLE
        return ALERTS if self._output.alerts else 0

    def open(self, names: Sequence[str]) -> list[tuple[str, BinaryIO]]:
        """The files that can be opened; the others are complained about."""
        opened: list[tuple[str, BinaryIO]] = []
        for name in names:
            try:
                file = sys.stdin.buffer if name == STDIN else Path(name).open("rb")  # noqa: SIM115 - until the process ends
            except OSError as error:
                self._complain(name, f"cannot be opened: {error.strerror}")
            else:
                opened.append((name, file))
        return opened

    def run(self, files: Sequence[tuple[str, BinaryIO]]) -> None:
        for name, file in files:
            try:
                read(file, self._batch)
            except SourceError as error:
                self._output.flush()
                self._complain(name, str(error))
        self._output.counters(self._counters())
        self._output.flush()
        if tls := self._batch.lost.get("tls_connections"):
            were = "connection" if tls == 1 else "connections"
            click.echo(f"{tls} TLS {were} could not be read: their keys are not here", err=True)

    def _complain(self, name: str, reason: str) -> None:
        self._unreadable = True
        complain(f"{name}: {reason}")

    def _counters(self) -> Counters:
        totals = self._pipeline.counters
        lost = dict(self._batch.lost)
        evicted = lost.get("connections_evicted", 0) + totals["connections_evicted"]
        lost |= {name: totals[name] for name in _PIPELINE_LOSSES}
        lost["connections_evicted"] = evicted
        return Counters(
            captured_bytes=self._batch.captured_bytes,
            lost={name: amount for name, amount in lost.items() if amount},
            messages=totals["messages"],
        )
