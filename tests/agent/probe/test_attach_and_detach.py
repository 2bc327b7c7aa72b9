"""The probe comes and goes while programs work at full load, and none of them notices.

`make soak-probe` does it 200 times.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from capture import Certificate, Probe, libssl, needs_kernel

pytestmark = needs_kernel

TIMES = int(os.environ.get("PROBE_TIMES", "3"))
KINDS = {"ws", "wss", "https", "waiting"}
LOAD = Path(__file__).with_name("servers") / "steady_load.py"


class Load:
    """The process of steady_load.py."""

    def __init__(self, certificate: Certificate) -> None:
        command = [sys.executable, str(LOAD), certificate.certificate, certificate.key]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def report(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the load has ended"
        told: dict[str, Any] = json.loads(line)
        assert told["failed"] == []
        return told["exchanged"]

    def goes_on(self) -> None:
        """Each kind of exchange that begins from now on ends well too."""
        self.report()
        begin = now = self.report()
        while not all(now.get(kind, 0) > begin.get(kind, 0) + 1 for kind in KINDS):
            now = self.report()

    def end(self) -> None:
        """Checks what was said last."""
        said, _ = self.process.communicate("", timeout=60)
        assert json.loads(said.splitlines()[-1])["failed"] == []
        assert self.process.returncode == 0


def test_no_request_fails_and_no_byte_changes(
    loaded_probe: Probe, certificate: Certificate
) -> None:
    load = Load(certificate)
    try:
        load.goes_on()
        for _ in range(TIMES):
            loaded_probe.detach_calls()
            try:
                load.goes_on()
                loaded_probe.attach_library(libssl())
            finally:
                loaded_probe.attach_calls()
            load.goes_on()
            loaded_probe.detach_libraries()
            loaded_probe.forget()
        load.goes_on()
        load.end()
    finally:
        load.process.kill()
        load.process.communicate()
