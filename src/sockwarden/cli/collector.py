"""`sockwarden collector`: the daemon takes this process over, with its own arguments."""

import os
import sys

import click


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Runs the collector: stores a fleet's alerts and answers queries."""
    # -P: a daemon, perhaps root's, never imports from the folder it was started in.
    argv = [sys.executable, "-P", "-m", "sockwarden.collector", *arguments]
    os.execv(sys.executable, argv)  # noqa: S606
