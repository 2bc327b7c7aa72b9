"""The collector's process: arguments, signals, and what systemd is told.

Exit status: 0 stopped as asked, 2 could not start, with one line on stderr that says why.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec
from systemd import daemon

import sockwarden
from sockwarden.collector import credentials
from sockwarden.collector.config import Config
from sockwarden.collector.errors import CollectorError
from sockwarden.collector.server import Collector

_log = logging.getLogger(__name__)

_DEFAULT_CONFIG = Path("/etc/sockwarden/collector.toml")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        config = load(options.config)
        if options.check_config:
            for address in (config.listen.address, config.listen.query):
                credentials.server(config.listen, address)
            return 0
        logging.basicConfig(level=config.log.level.upper())
        asyncio.run(_serve(config))
    except CollectorError as error:
        sys.stderr.write(f"sockwarden collector: {error}\n")
        return 2
    return 0


def load(path: Path) -> Config:
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Config)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise CollectorError(f"{path}: {error}") from error


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="sockwarden collector",
        description="Stores the alerts of a fleet's agents and answers queries.",
    )
    parser.add_argument("--config", type=Path, default=_DEFAULT_CONFIG, metavar="FILE")
    parser.add_argument(
        "--check-config", action="store_true", help="judge the configuration and exit"
    )
    parser.add_argument(
        "--version", action="version", version=f"sockwarden {sockwarden.__version__}"
    )
    return parser.parse_args(arguments)


async def _serve(config: Config) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    collector = await Collector.start(config)
    watching = asyncio.create_task(_watchdog(collector), name="watchdog")
    daemon.notify("READY=1")
    try:
        await asked.wait()
        _log.info("stopping")
        daemon.notify("STOPPING=1")
    finally:
        watching.cancel()
        await collector.stop()


async def _watchdog(collector: Collector) -> None:
    """Pings only after a turn of the store's writer: one that hangs is restarted."""
    interval_us = int(os.environ.get("WATCHDOG_USEC", "0"))
    while interval_us:
        await collector.alive()
        daemon.notify("WATCHDOG=1")
        await asyncio.sleep(interval_us / 3e6)
