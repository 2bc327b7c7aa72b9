"""The unprivileged side of `sockwarden watch`: this host's WebSocket traffic, line by line.

`python -m sockwarden.agent.watch`, started by the privileged helper as the agent is, but what it
finds goes to the standard output and nowhere else.
"""

import argparse
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sockwarden.agent import report
from sockwarden.agent.alert import Counters
from sockwarden.agent.control import Control, HelperGoneError
from sockwarden.agent.live import Live, boot_to_epoch_ns
from sockwarden.agent.pipeline import Pipeline
from sockwarden.agent.probe import privileges
from sockwarden.agent.probe.privileges import PrivilegeError
from sockwarden.agent.ring import Ring
from sockwarden.agent.rules.cache import user_cache
from sockwarden.agent.rules.load import load_rules
from sockwarden.agent.rules.model import InvalidRulesError, RuleError
from sockwarden.agent.subject import Subject

# Where the package is installed; else it runs as nobody.
USER = "sockwarden"

STATUS_OK = 0
STATUS_GONE = 1
STATUS_BAD_INPUT = 2
REDACTION_KEY_BYTES = 32


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    control = Control(socket.socket(fileno=options.control))
    try:
        rings = [Ring(descriptor) for descriptor in control.hello()]
        # Before rights are given up: root's cache is written and read by root alone.
        rules = load_rules(
            [options.rules] if options.rules else None, strict=False, cache=user_cache()
        )
        privileges.drop(USER, keep=[control.fileno(), *(ring.fileno() for ring in rings)])
        only = options.only.split(",") if options.only else None
        output = report.output(sys.stdout.buffer, only, json=options.json)
        pipeline = Pipeline(
            rules,
            output,
            trace=True,
            lines=output.lines,
            process=control.process,
            unwanted=control.ignore,
            wanted=_filter(options.pid, options.port),
            redaction_key=os.urandom(REDACTION_KEY_BYTES),
            clock_offset_ns=boot_to_epoch_ns(),
        )
        Live(control, rings, pipeline).run()
        output.counters(_counters(control, pipeline))
        output.flush()
    except HelperGoneError:
        return STATUS_GONE
    except (PrivilegeError, InvalidRulesError, RuleError) as error:
        sys.stderr.write(f"sockwarden watch: {error}\n")
        return STATUS_BAD_INPUT
    except BrokenPipeError:  # whoever read it has seen enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return STATUS_OK


def _filter(pid: int | None, port: int | None) -> Callable[[Subject], bool] | None:
    if pid is None and port is None:
        return None

    def wanted(subject: Subject) -> bool:
        ends = (subject.endpoints.local, subject.endpoints.remote)
        return (pid is None or subject.pid == pid) and (
            port is None or any(end is not None and end.endswith(f":{port}") for end in ends)
        )

    return wanted


def _counters(control: Control, pipeline: Pipeline) -> Counters:
    probe = control.fresh_counters()
    lost = {
        name.removeprefix("lost_"): value
        for name, value in probe.items()
        if name.startswith("lost_")
    }
    return Counters(
        captured_bytes=probe.get("captured_bytes", 0),
        lost=lost,
        messages=pipeline.counters["messages"],
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sockwarden watch")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--pid", type=int)
    parser.add_argument("--port", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rules", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
