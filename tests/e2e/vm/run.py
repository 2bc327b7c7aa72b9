"""`make vm-test`: the probe on stock kernels, in machines of QEMU's.

    python tests/e2e/vm/run.py [KERNEL...] [--tests TEST...]

Boots each kernel (by default KERNELS), shows what it does while it does it, then one table, and one
JSON object in the last line.  Exit status 0 only if everything passed on every kernel.
"""

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
KERNELS = ("6.1", "6.12")
TESTS = ("tests/agent/probe", "tests/agent/test_ring.py", "tests/e2e")
# Where a start of the agent takes a minute: the probe itself, loaded once for most of its tests.
EMULATED_TESTS = (
    *TESTS[:2],
    "--deselect=tests/agent/probe/test_what_is_missing.py",  # of libraries, not of the kernel
)
LIMIT_SECONDS = 5_400  # of one kernel
EMULATED_PATIENCE = 30  # how much slower than a machine of its own

_PART = re.compile(r"## (\w+)(?: (\d+))?$")
_ATTACK = re.compile(r" *wss?(?: node)?  +[\w-]+  +[\w-]+  +(once|missing|\d+ times)\b")
_TEST = re.compile(r"(tests/\S+\.py::.+?) (PASSED|FAILED|ERROR|SKIPPED)\b")


@dataclass
class Result:
    """What one kernel's machine has told."""

    attacks: int = 0
    seen: int = 0
    outcomes: dict[str, set[str]] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)  # exit statuses
    status: int = 0
    seconds: float = 0

    def hear(self, line: str) -> None:
        if part := _PART.match(line):
            if part[2]:
                self.parts[part[1]] = int(part[2])
        elif attack := _ATTACK.match(line):
            self.attacks += 1
            self.seen += attack[1] == "once"
        elif test := _TEST.match(line):
            self.outcomes.setdefault(test[1], set()).add(test[2])

    def tests(self, *outcomes: str) -> int:
        """A test may pass and its clean-up fail: then it has failed."""
        bad = {"FAILED", "ERROR"}
        return sum(
            bool(told & {*outcomes}) and (bool(told & bad) == bool(bad & {*outcomes}))
            for told in self.outcomes.values()
        )

    @property
    def units(self) -> str:
        return "ready" if self.parts.get("units") == 0 else "failed"

    def summary(self) -> dict[str, object]:
        return {
            "demo": f"{self.seen}/{self.attacks}",
            "units": self.units,
            "passed": self.tests("PASSED"),
            "failed": self.tests("FAILED", "ERROR"),
            "skipped": self.tests("SKIPPED"),
            "seconds": round(self.seconds),
        }


def emulated() -> bool:
    """As boot.sh decides it."""
    cpus = Path("/proc/cpuinfo").read_text()
    return not (os.access("/dev/kvm", os.W_OK) and re.search(r"\b(vmx|svm)\b", cpus))


def run(kernel: str, tests: Sequence[str]) -> Result:
    result, begun = Result(), time.monotonic()
    patience = EMULATED_PATIENCE if emulated() else 1
    settings = {"TESTS": " ".join(tests), "SOCKWARDEN_PATIENCE": str(patience)}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
    with subprocess.Popen(
        [HERE / "boot.sh", kernel, str(LIMIT_SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as machine:
        assert machine.stdin is not None
        assert machine.stdout is not None
        with machine.stdin as script:
            script.write(exports + (HERE / "inside.sh").read_text())
        for line in machine.stdout:
            print(f"{kernel:>5} {time.monotonic() - begun:5.0f} s  {line.rstrip()}", flush=True)
            result.hear(line.rstrip())
    result.status = machine.returncode
    result.seconds = time.monotonic() - begun
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help="6.1, 6.12")
    parser.add_argument("--tests", nargs="+", metavar="TEST", help="other tests than usual")
    arguments = parser.parse_args()
    if platform.machine() != "x86_64":
        parser.error("the test machines are x86-64, and so this machine must be")
    tests = arguments.tests or (EMULATED_TESTS if emulated() else TESTS)
    for step in ("root.sh", "tree.sh"):
        subprocess.run([HERE / step], check=True)
    results = {kernel: run(kernel, tests) for kernel in arguments.kernels or KERNELS}
    table = Table("KERNEL", "DEMO", "UNITS", "PASSED", "FAILED", "SKIPPED", "SECONDS")
    for kernel, result in results.items():
        table.add_row(kernel, *map(str, result.summary().values()))
    Console(width=100).print(table)
    print(json.dumps({kernel: result.summary() for kernel, result in results.items()}))
    return int(any(result.status for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
