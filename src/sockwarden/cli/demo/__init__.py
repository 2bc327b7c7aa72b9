"""`sockwarden demo`: attacks on real servers of this host, from the kernel to this terminal."""

import asyncio
import os

import click

INTERRUPTED = 130


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
        from sockwarden.cli.demo.errors import DemoError  # noqa: PLC0415
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
        demo_errors, others = group.split(DemoError)
        if others is not None or demo_errors is None:
            raise
        raise click.ClickException(str(demo_errors.exceptions[0])) from group
    except DemoError as error:
        raise click.ClickException(str(error)) from error
    raise SystemExit(0 if good else 1)
