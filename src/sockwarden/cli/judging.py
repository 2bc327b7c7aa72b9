"""What `analyze` and `watch` share: which types to print, and by which rules to judge."""

from pathlib import Path

import click

from sockwarden.agent import report
from sockwarden.agent.rules.cache import user_cache
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.rules.load import load_rules
from sockwarden.agent.rules.model import InvalidRulesError, RuleError
from sockwarden.daemon import complaints

UNREADABLE = 2


class Failure(click.ClickException):
    exit_code = UNREADABLE


def take_types(_context: click.Context, _option: click.Parameter, value: str | None) -> list[str]:
    """The types of `--only`; without it, all."""
    if value is None:
        return list(report.TYPES)
    types = [name.strip() for name in value.split(",")]
    for name in types:
        if name not in report.TYPES:
            raise click.BadParameter(f"no type {name!r}; there are {', '.join(report.TYPES)}")
    return types


def load(folder: Path | None) -> RuleSet:
    """Those in `folder`, else those that ship; what is wrong with them is a line each."""
    try:
        paths = None if folder is None else [folder]
        return load_rules(paths, strict=False, eager=False, cache=user_cache())
    except InvalidRulesError as error:
        for problem in error.problems[:-1]:
            complain(str(problem))
        raise Failure(str(error.problems[-1])) from error
    except RuleError as error:
        raise Failure(f"--rules: {error}") from error
    except OSError as error:
        raise Failure(f"--rules: {complaints.of_file(error)}") from error


def complain(line: str) -> None:
    click.echo(f"sockwarden: {report.printable(line)}", err=True)
