"""The command line: `sockwarden COMMAND`.

A command is a module of this package that defines `command`, a `click.Command`; adding
one is adding a file.  Only the module that is run is imported: the list that `--help`
shows comes from the sources' first docstring lines, so it stays quick and works where
one command's libraries are missing.

Exit status: 0 done, 1 found something wrong, 2 bad usage or unreadable input, with one
line on stderr that says what and where.
"""

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

import click

from sockwarden import __version__
from sockwarden.daemon import complaints

_FOLDER = Path(__file__).parent
# What a shell reports for a process that SIGINT ended.
_INTERRUPTED = 130


def _sources() -> dict[str, Path]:
    """Every module of this package: name to source."""
    found = {}
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix == ".py" and not path.stem.startswith("_"):
            found[path.stem] = path
        elif (path / "__init__.py").is_file():
            found[path.name] = path / "__init__.py"
    return found


def _summary(source: Path) -> str | None:
    """First line of the command's help without importing it; None: no command module."""
    tree = ast.parse(source.read_bytes())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "command":
            text = ast.get_docstring(node) or ""
        elif (isinstance(node, ast.Assign) and "command" in map(ast.unparse, node.targets)) or (
            isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "command"
        ):
            text = ast.get_docstring(tree) or ""
        else:
            continue
        return text.partition("\n")[0]
    return None


class CommandFolder(click.Group):
    """A group whose commands are the modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, source in _sources().items() if _summary(source) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        try:
            module = importlib.import_module(f"{__name__}.{cmd_name}")
        except ImportError as error:
            raise click.UsageError(complaints.of_library(error)) from error
        command: click.Command = module.command
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        """An error is one line, without the usage that click puts above it."""
        run: Any = super().main
        if not extra.pop("standalone_mode", True):
            return run(*args, standalone_mode=False, **extra)
        try:
            sys.exit(run(*args, standalone_mode=False, **extra))
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            click.echo(f"sockwarden: {' '.join(error.format_message().split())}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(_INTERRUPTED)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, _summary(source)) for name, source in _sources().items()]
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, text in rows if text is not None])


@click.command(cls=CommandFolder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sockwarden")
def main() -> None:
    """Watches WebSocket traffic where it is plaintext: inside each host."""
