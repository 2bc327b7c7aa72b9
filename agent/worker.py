"""The agent itself: `python -m sockwarden.agent.worker`, started by the privileged helper.

Everything that touches captured bytes happens here, without any privilege: it reads what only
root may (configuration, certificates, rules), maps the rings, gives up every right, and only then
compiles the rules, opens the spool, connects, and looks at the first record.  It ends when the
helper says stop or is gone.

Exit status: 0 stopped as asked, 1 the helper is gone, 2 it cannot run with this configuration,
these rules, this spool or these rights, with one line for each thing that says what and where.
"""

import argparse
import ctypes
import logging
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sockwarden import __version__
from sockwarden.agent import config as agent_config
from sockwarden.agent import redact, wire
from sockwarden.agent.alert import Alert, Anomaly, Connection, Control, Message
from sockwarden.agent.control import Control as HelperControl
from sockwarden.agent.control import HelperGoneError
from sockwarden.agent.live import Live, boot_to_epoch_ns
from sockwarden.agent.pipeline import Pipeline
from sockwarden.agent.probe import privileges, protocol
from sockwarden.agent.probe.privileges import PrivilegeError
from sockwarden.agent.ring import Ring
from sockwarden.agent.rules.cache import Cache
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.rules.load import load_texts, read_texts
from sockwarden.agent.rules.model import InvalidRulesError, RuleError
from sockwarden.agent.spool import Spool, SpoolError
from sockwarden.agent.uplink import Uplink, read_credentials
from sockwarden.daemon import complaints, journal
from sockwarden.daemon.config import Address, ConfigError
from sockwarden.daemon.metrics import Exporter
from sockwarden.parser import contexts

STATUS_OK = 0
STATUS_GONE = 1
STATUS_BAD_INPUT = 2

_log = logging.getLogger(__name__)


class SpoolSink:
    """A sink that keeps alerts; the rest is counted by the pipeline."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def alert(self, report: Alert) -> None:
        kept = self._spool.append(report)
        if kept is not None:
            journal.say(
                _log,
                logging.INFO,
                f"alert {kept.id}: {kept.title} ({kept.level}) from {kept.client}",
                journal.Event.ALERT,
                RULE=kept.rule,
                LEVEL=kept.level,
                CLIENT=kept.client,
                SERVER=kept.server,
                PID=kept.process.pid if kept.process else None,
            )

    def connection(self, report: Connection) -> None: ...
    def message(self, report: Message) -> None: ...
    def control(self, report: Control) -> None: ...
    def anomaly(self, report: Anomaly) -> None: ...


class Agent:
    """What runs once privileges are gone."""

    def __init__(
        self,
        config: agent_config.Config,
        control: HelperControl,
        rings: Sequence[Ring],
        rules: RuleSet,
        spool: Spool,
        cache: Cache,
    ) -> None:
        self._config, self._control, self._rules, self._cache = config, control, rules, cache
        self._rings = list(rings)
        self._spool = spool
        self._started_ns = time.time_ns()
        contexts.limit(config.parser.context_bytes)
        self.pipeline = Pipeline(
            rules,
            SpoolSink(spool),
            trace=False,
            agent=config.name,
            head_bytes=config.parser.head_bytes,
            message_bytes=config.parser.message_bytes,
            inflated_bytes=config.parser.inflated_bytes,
            connections=config.parser.connections,
            process=control.process,
            unwanted=control.ignore,
            redaction_key=redact.host_key(config.agent.state_directory),
            clock_offset_ns=boot_to_epoch_ns(),
        )

    def run(self, uplink: Uplink) -> None:
        live = Live(
            self._control,
            self._rings,
            self.pipeline,
            reload=self.reload,
            uplink_progress=lambda: uplink.progress,
        )
        uplink.start()
        try:
            live.run()
        finally:
            uplink.stop()

    def reload(self) -> None:
        """New rules, if they are whole; else the old ones stay in force."""
        try:
            texts = read_rules(self._config)
            self._rules = compile_rules(self._config, texts, self._cache)
        except OSError as error:
            self._keep_rules(complaints.of_file(error))
        except (InvalidRulesError, RuleError) as error:
            self._keep_rules(str(error))
        else:
            self.pipeline.replace_rules(self._rules)
            text = f"{len(self._rules.rules)} rules in force ({self._rules.digest[:12]})"
            journal.say(_log, logging.INFO, text, journal.Event.RELOADED)
        self._control.say(protocol.Ready())

    def _keep_rules(self, reasons: str) -> None:
        for reason in reasons.splitlines():
            journal.say(_log, logging.ERROR, f"the rules stay as they are: {reason}")

    def status(self) -> wire.Status:
        """For the heartbeat; called by the uplink's thread."""
        return wire.Status(
            started_ns=self._started_ns,
            counters=self.counters(),
            rules=self._rules.digest,
            impairments=self._control.impairments,
        )

    def counters(self) -> dict[str, int]:
        """The kernel's and the helper's as of the last second, and the pipeline's now."""
        probe = {
            name.replace("lost_", "lost.", 1) if name.startswith("lost_") else name: value
            for name, value in self._control.counters.items()
        }
        malformed = sum(ring.malformed for ring in self._rings)
        return {**probe, **self.pipeline.counters, "records_malformed": malformed}


def read_rules(config: agent_config.Config) -> dict[str, bytes]:
    return read_texts(extra=[Path(directory) for directory in config.rules.directories])


def compile_rules(
    config: agent_config.Config, texts: Mapping[str, bytes], cache: Cache | None = None
) -> RuleSet:
    """Not strict: whether an operator's rules come with tests is the operator's matter."""
    rules = load_texts(texts, disabled=config.rules.disabled, strict=False, cache=cache)
    ctypes.CDLL(None).malloc_trim(0)  # what compiling needed goes back: a sixth of the process
    return rules


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        return _run(options)
    except HelperGoneError as error:
        _log.error("%s", error)
        return STATUS_GONE
    except OSError as error:
        return _refuse(complaints.of_file(error))
    except (ConfigError, InvalidRulesError, RuleError, SpoolError, PrivilegeError) as error:
        return _refuse(str(error))


def _refuse(reasons: str) -> int:
    for reason in reasons.splitlines():
        sys.stderr.write(f"sockwarden agent: {reason}\n")
    return STATUS_BAD_INPUT


def _run(options: argparse.Namespace) -> int:
    config = agent_config.read(options.config)
    journal.set_up("sockwarden-agent", config.log.level)
    credentials = read_credentials(config.uplink)
    texts = read_rules(config)
    if options.check:
        compile_rules(config, texts)
        return STATUS_OK
    control = HelperControl(socket.socket(fileno=options.control))
    rings = [Ring(descriptor) for descriptor in control.hello()]
    kept = [control.fileno(), *(ring.fileno() for ring in rings)]
    user = privileges.drop(config.agent.user, keep=kept)

    state = Path(config.agent.state_directory)
    # Without privilege: what is kept was written so, too.
    cache = Cache(state / "rules")
    rules = compile_rules(config, texts, cache)
    spool = Spool(state / "spool", config.spool)
    agent = Agent(config, control, rings, rules, spool, cache)
    uplink = Uplink(config, spool, credentials, heartbeat=agent.status)
    exporter = _exporter(
        config,
        lambda: {**agent.counters(), **spool.counters, **uplink.counters},
        lambda: {"spool_depth": spool.depth, "spool_bytes": spool.size_bytes},
    )
    text = f"version {__version__} runs as {user} with {len(rules.rules)} rules"
    journal.say(_log, logging.INFO, text, journal.Event.STARTED)
    try:
        agent.run(uplink)
    finally:
        if exporter:
            exporter.close()
        spool.close()
    return STATUS_OK


def _exporter(
    config: agent_config.Config,
    counters: Callable[[], Mapping[str, int]],
    gauges: Callable[[], Mapping[str, int]],
) -> Exporter | None:
    if not config.metrics.listen:
        return None
    return Exporter(Address.parse(config.metrics.listen), "sockwarden_agent", counters, gauges)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sockwarden agent worker")
    parser.add_argument("--config", type=Path, required=True)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--control", type=int, help="descriptor of the socket to the helper")
    task.add_argument("--check", action="store_true", help="judge what a start reads, and end")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
