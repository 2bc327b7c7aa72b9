"""`sockwarden rules`: what rules there are, whether they are sound, and what they cost.

Without FILE... the rules that ship are meant; files and folders of `.yml` take their place.

Exit status: 0 sound, 1 problems, each a line with file, line, key and what was expected,
2 files that cannot be read.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from sockwarden.agent.rules import sample
from sockwarden.agent.rules.cache import user_cache
from sockwarden.agent.rules.cost import MESSAGES, nanoseconds_a_message
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.rules.load import load_rules
from sockwarden.agent.rules.model import (
    AnyRule,
    Correlation,
    InvalidRulesError,
    Problem,
    Rule,
    RuleError,
    Source,
)
from sockwarden.agent.rules.selftest import failed_tests
from sockwarden.cli import output
from sockwarden.cli.judging import Failure, complain
from sockwarden.daemon import complaints

FOUND_WRONG = 1

_files = click.argument(
    "files", nargs=-1, metavar="[FILE...]", type=click.Path(path_type=Path, exists=False)
)


@click.group()
def command() -> None:
    """Lists, shows, checks and tests detection rules."""


@command.command(name="list")
@_files
@output.json_option
def list_rules(files: tuple[Path, ...], as_json: bool) -> None:
    """Names of rules, with their levels and titles."""
    rules = _load(files, strict=False).rules
    if output.wants_json(as_json):
        for rule in rules:
            output.write_json(_summary(rule))
        return
    table = output.table("RULE", "LEVEL", "CATEGORY", "JUDGES", "TITLE", elastic=["TITLE"])
    for rule in rules:
        cells = (rule.name, rule.level, rule.category, _judges(rule), rule.title)
        table.add_row(*(Text(output.safe(str(cell))) for cell in cells))
    output.console().print(table)


@command.command()
@click.argument("name")
@_files
@output.json_option
def show(name: str, files: tuple[Path, ...], as_json: bool) -> None:
    """Everything about one rule, by its name or id."""
    for rule in _load(files, strict=False).rules:
        if name.lower() in (rule.name, rule.id):
            if output.wants_json(as_json):
                output.write_json(_details(rule))
            else:
                output.console().print(_sheet(_details(rule)))
            return
    raise Failure(f"no rule of the name or id {name!r}")


@command.command()
@_files
@output.json_option
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Validates rules and measures what each costs a benign message."""
    rules = _load(files, strict=True).rules
    messages = sample.messages(MESSAGES)
    costs = {
        rule.name: round(nanoseconds_a_message(rule, messages), 1)
        for rule in rules
        if isinstance(rule, Rule) and rule.source is Source.MESSAGE
    }
    if output.wants_json(as_json):
        for rule in rules:
            measured = {"ns_per_message": costs.get(rule.name), "slow": _is_slow(rule)}
            output.write_json({**_summary(rule), **measured})
        return
    table = output.table("RULE", "NS A MESSAGE", "", right=["NS A MESSAGE"])
    for rule in sorted(rules, key=lambda rule: -costs.get(rule.name, -1)):
        cost = f"{costs[rule.name]:.1f}" if rule.name in costs else "-"
        table.add_row(Text(rule.name), cost, "slow" if _is_slow(rule) else "")
    output.console().print(table)


@command.command()
@_files
@output.json_option
def test(files: tuple[Path, ...], as_json: bool) -> None:
    """Runs the tests that stand in the rules."""
    rules = _load(files, strict=True)
    failed = failed_tests(rules)
    _tell(failed)
    run = sum(len(rule.examples) for rule in rules.rules)
    if output.wants_json(as_json):
        output.write_json({"type": "tests", "run": run, "failed": len(failed)})
    else:
        click.echo(f"{run} tests of {len(rules.rules)} rules, {len(failed)} failed")
    if failed:
        raise SystemExit(FOUND_WRONG)


def _load(files: tuple[Path, ...], *, strict: bool) -> RuleSet:
    try:
        return load_rules(files or None, strict=strict, cache=user_cache())
    except InvalidRulesError as error:
        _tell(error.problems)
        raise SystemExit(FOUND_WRONG) from error
    except RuleError as error:
        raise Failure(str(error)) from error
    except OSError as error:
        raise Failure(complaints.of_file(error)) from error


def _tell(problems: Iterable[Problem]) -> None:
    for problem in problems:
        complain(str(problem))


def _judges(rule: AnyRule) -> str:
    return "correlation" if isinstance(rule, Correlation) else rule.source.value


def _is_slow(rule: AnyRule) -> bool:
    return isinstance(rule, Rule) and rule.slow


def _summary(rule: AnyRule) -> dict[str, Any]:
    return {
        "type": "rule",
        "rule": rule.name,
        "id": rule.id,
        "level": str(rule.level),
        "category": str(rule.category),
        "judges": _judges(rule),
        "title": rule.title,
    }


def _details(rule: AnyRule) -> dict[str, Any]:
    shown: dict[str, Any] = {
        **_summary(rule),
        "status": rule.status,
        "description": " ".join(rule.description.split()),
        "tags": list(rule.tags),
        "references": list(rule.references),
        "false_positives": list(rule.false_positives),
        "author": rule.author or None,
        "date": rule.date or None,
        "tests": len(rule.examples),
        "file": f"{rule.path}:{rule.line}",
    }
    if isinstance(rule, Correlation):
        shown["counts"] = list(rule.rules)
        shown["group_by"] = rule.group_by
        shown["timespan_ms"] = rule.timespan_ns // 10**6
        shown["threshold"] = rule.threshold
    else:
        shown["directions"] = sorted(rule.scope.directions)
        shown["slow"] = rule.slow
    return shown


def _sheet(shown: dict[str, Any]) -> Table:
    """A line a field."""
    made = Table.grid(padding=(0, 2))
    made.add_column(no_wrap=True, style="dim")
    made.add_column(overflow="fold")
    for name, value in shown.items():
        if name == "type" or value in (None, []):
            continue
        text = "\n".join(value) if isinstance(value, list) else str(value)
        lines = (output.safe(line) for line in text.split("\n"))
        made.add_row(name.replace("_", " "), Text("\n".join(lines)))
    return made
