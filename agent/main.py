"""The agent's main process: arguments and configuration, then the privileged helper.

Exit status: 0 stopped as asked, 2 could not start or go on, with one line that says why.  Where
only a part cannot be watched the agent goes on with the rest and says what is missing, in the
log, in systemd's status and to the collector.
"""

import argparse
import logging
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import sockwarden
from sockwarden.agent import config as agent_config
from sockwarden.agent.probe.helper import Helper
from sockwarden.agent.probe.privileges import PrivilegeError, ordinary_user
from sockwarden.agent.probe.programs import ProbeError
from sockwarden.agent.probe.session import open_probe
from sockwarden.daemon import journal
from sockwarden.daemon.config import ConfigError

STATUS_OK = 0
STATUS_BAD_INPUT = 2
WORKER = "sockwarden.agent.worker"

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        config = agent_config.read(options.config)
        if options.check_config:
            return STATUS_OK
        journal.set_up("sockwarden-agent", config.log.level)
        prepare_state(Path(config.agent.state_directory), config.agent.user)
        probe = open_probe(config.capture)
    except (ConfigError, PrivilegeError, ProbeError, OSError) as error:
        sys.stderr.write(f"sockwarden agent: {error}\n")
        return STATUS_BAD_INPUT
    for impairment in probe.impairments:
        journal.say(_log, logging.WARNING, impairment, journal.Event.IMPAIRED)
    return Helper(probe, worker_command(options.config)).run()


def worker_command(path: Path) -> list[str]:
    """-P: a process of root's never imports from the folder that it was started in."""
    return [sys.executable, "-P", "-m", WORKER, "--config", str(path)]


def prepare_state(directory: Path, user: str) -> None:
    """Makes the spool's directory, for nobody but the unprivileged agent."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return
    entry = ordinary_user(user)
    # By descriptor: a link in its place is no directory of ours.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        # In this order: without CAP_FOWNER only the owner may change the mode.
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o700:
            os.fchmod(descriptor, 0o700)
        if os.fstat(descriptor).st_uid != entry.pw_uid:
            os.fchown(descriptor, entry.pw_uid, entry.pw_gid)
    finally:
        os.close(descriptor)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="sockwarden agent",
        description="Watches this host's WebSocket traffic and delivers its alerts.",
    )
    parser.add_argument("--config", type=Path, default=agent_config.DEFAULT_PATH, metavar="FILE")
    parser.add_argument(
        "--check-config", action="store_true", help="judge the configuration and exit"
    )
    parser.add_argument(
        "--version", action="version", version=f"sockwarden {sockwarden.__version__}"
    )
    return parser.parse_args(arguments)
