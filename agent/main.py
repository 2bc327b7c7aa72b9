"""The agent's main process: arguments and configuration, then the privileged helper.

Exit status: 0 stopped as asked, 2 could not start or go on, with one line that says why.  Where
only a part cannot be watched the agent goes on with the rest and says what is missing, in the
log, in systemd's status and to the collector.
"""

import logging
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from sockwarden.agent import config as agent_config
from sockwarden.agent.probe.helper import Helper
from sockwarden.agent.probe.privileges import PrivilegeError, ordinary_user
from sockwarden.agent.probe.programs import ProbeError
from sockwarden.agent.probe.session import open_probe
from sockwarden.daemon import arguments, complaints, journal
from sockwarden.daemon.config import ConfigError

PROGRAM = "sockwarden agent"
STATUS_BAD_INPUT = 2
WORKER = "sockwarden.agent.worker"

_log = logging.getLogger(__name__)


def main(given: Sequence[str] | None = None) -> int:
    what = "Watches this host's WebSocket traffic and delivers its alerts."
    options = arguments.parse(PROGRAM, what, agent_config.DEFAULT_PATH, given)
    try:
        config = agent_config.read(options.config)
        if options.check_config:
            check(options.config)
        journal.set_up("sockwarden-agent", config.log.level)
        if os.geteuid() != 0:
            raise ProbeError("loading eBPF programs needs root")
        prepare_state(Path(config.agent.state_directory), config.agent.user)
        probe = open_probe(config.capture)
    except OSError as error:
        return refuse(complaints.of_file(error))
    except (ConfigError, PrivilegeError, ProbeError) as error:
        return refuse(str(error))
    for impairment in probe.impairments:
        journal.say(_log, logging.WARNING, impairment, journal.Event.IMPAIRED)
    return Helper(probe, worker_command(options.config)).run()


def refuse(reason: str) -> int:
    sys.stderr.write(f"{PROGRAM}: {reason}\n")
    return STATUS_BAD_INPUT


def check(path: Path) -> NoReturn:
    """Judges certificates and rules too, in the worker: nothing of theirs is loaded here."""
    sys.stdout.flush()
    command = [*worker_command(path), "--check"]
    os.execv(command[0], command)  # noqa: S606 -- our own interpreter and module


def worker_command(path: Path) -> list[str]:
    """-P: a process of root's never imports from the folder that it was started in."""
    return [sys.executable, "-P", "-m", WORKER, "--config", str(path)]


def prepare_state(directory: Path, user: str) -> None:
    """Makes the spool's directory, for nobody but the unprivileged agent."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
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
