"""`sockwarden demo`: attacks on real servers of this host, from the kernel to this terminal."""

import asyncio
import os

import click

from sockwarden.cli.demo.errors import DemoError

INTERRUPTED = 130


def _told(error: DemoError) -> click.ClickException:
    """What the processes said last, then the one line that says what went wrong."""
    if error.log:
        click.echo(error.log, err=True)
    return click.ClickException(str(error))


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C.")
def command(keep: bool) -> None:
    """Shows attacks on real servers of this host being seen.

    Starts a collector, an agent and WebSocket servers of its own, plays ordinary traffic and one
    attack of each category, and shows the alerts as they arrive.  Exit status 0 only if each
    attack raised its one alert and no ordinary message raised any.
    """
    if os.geteuid() != 0:
        raise click.UsageError("eBPF needs root: start it as root, for one with sudo")
    try:
        from sockwarden.cli.demo.perform import perform  # noqa: PLC0415
    except ImportError as error:
        message = f"{error.name} is missing: install it with pip install 'sockwarden[demo]'"
        raise click.ClickException(message) from error
    try:
        good = asyncio.run(perform(keep=keep))
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise SystemExit(INTERRUPTED) from None
    except ExceptionGroup as group:
        # The tasks of the demo: one failed, the others were cancelled.
        first = group.exceptions[0]
        if not isinstance(first, DemoError):
            raise
        raise _told(first) from group
    except DemoError as error:
        raise _told(error) from error
    raise SystemExit(0 if good else 1)
