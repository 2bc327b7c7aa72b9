"""The collector's process: arguments, signals, and what systemd is told.

Exit status: 0 stopped as asked, 2 could not start, with one line on stderr that says why.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sockwarden.collector import credentials
from sockwarden.collector.config import Config
from sockwarden.collector.errors import CollectorError
from sockwarden.collector.server import Collector
from sockwarden.collector.store import check_engine
from sockwarden.daemon import arguments, journal, notify
from sockwarden.daemon.config import ConfigError, load

_log = logging.getLogger(__name__)

_DEFAULT_CONFIG = Path("/etc/sockwarden/collector.toml")
_IDENTIFIER = "sockwarden-collector"
_PROGRAM = "sockwarden collector"
# systemd waits this many times longer than we take between two pings.
_PINGS = 3
_SECOND_NS = 10**9
_START_STEP_NS = 60 * _SECOND_NS


def main(given: Sequence[str] | None = None) -> int:
    what = "Stores the alerts of a fleet's agents and answers queries."
    options = arguments.parse(_PROGRAM, what, _DEFAULT_CONFIG, given)
    try:
        config = load(options.config, Config)
        if options.check_config:
            check(config)
            return 0
        journal.set_up(_IDENTIFIER, config.log.level)
        asyncio.run(_serve(config))
    except (ConfigError, CollectorError) as error:
        sys.stderr.write(f"{_PROGRAM}: {error}\n")
        return 2
    return 0


def check(config: Config) -> None:
    """What can be told without listening: raises like the start would."""
    check_engine(config.store.engine)
    for address in (config.listen.address, config.listen.query):
        credentials.server(config.listen, address)


async def _serve(config: Config) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    patience = asyncio.create_task(_patience(), name="start")
    try:
        collector = await Collector.start(config)
    finally:
        patience.cancel()
    watching = asyncio.create_task(_watchdog(collector), name="watchdog")
    text = f"agents on {config.listen.address}, queries on {config.listen.query}"
    journal.say(_log, logging.INFO, text, journal.Event.STARTED)
    notify.ready(text)
    try:
        await asked.wait()
    finally:
        notify.stopping("telling agents, finishing writes")
        watching.cancel()
        await collector.stop()
    journal.say(_log, logging.INFO, "stopped", journal.Event.STOPPED)


async def _patience() -> None:
    """Keeps systemd waiting while the store is checked."""
    while True:
        notify.extend_start(_START_STEP_NS)
        await asyncio.sleep(_START_STEP_NS / 2 / _SECOND_NS)


async def _watchdog(collector: Collector) -> None:
    """Pings only after a turn of the store's writer: one that hangs is restarted."""
    limit_ns = notify.watchdog_interval_ns()
    while limit_ns is not None:
        await collector.alive()
        notify.watchdog()
        await asyncio.sleep(limit_ns / _PINGS / _SECOND_NS)
