"""The probe comes and goes while programs work at full load, and none of them notices.

`make soak-probe` does it 200 times.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from capture import Certificate, Probe, libssl, needs_kernel
from patience import patient

pytestmark = needs_kernel

TIMES = int(os.environ.get("PROBE_TIMES", "3"))
KINDS = {"ws", "wss", "https", "waiting"}
PARTIES = 3  # to each kind: so many exchanges may have begun before
DEADLINE_SECONDS = patient(60)
LOAD = Path(__file__).with_name("servers") / "steady_load.py"


class Load:
    """The process of steady_load.py."""

    def __init__(self, certificate: Certificate) -> None:
        command = [sys.executable, str(LOAD), certificate.certificate, certificate.key]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self._reports: list[dict[str, Any]] = []
        self._told = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        """At once, for a load that must wait for its reader is none."""
        assert self.process.stdout
        for line in self.process.stdout:
            with self._told:
                self._reports.append(json.loads(line))
                self._told.notify_all()

    def _next(self) -> dict[str, int]:
        """What was exchanged by the time of the report after those that are there."""
        with self._told:
            known = len(self._reports)
            assert self._told.wait_for(lambda: len(self._reports) > known, DEADLINE_SECONDS)
            last = self._reports[-1]
        assert last["failed"] == []
        exchanged: dict[str, int] = last["exchanged"]
        return exchanged

    def goes_on(self) -> None:
        """Each kind of exchange that begins from now on ends well too."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        begin = now = self._next()
        while not all(now.get(kind, 0) > begin.get(kind, 0) + PARTIES for kind in KINDS):
            assert time.monotonic() < deadline, (begin, now)
            now = self._next()

    def end(self) -> None:
        """Checks what was said last."""
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.wait(DEADLINE_SECONDS) == 0
        self._reader.join()
        assert self._reports[-1]["failed"] == []

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


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
        load.kill()
