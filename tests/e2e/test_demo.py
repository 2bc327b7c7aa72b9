"""`sockwarden demo` on this host's kernel: what `make demo` shows."""

import os
import re
import subprocess
import sys

import pytest
from patience import patient

DEMO_SECONDS = patient(120)


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="eBPF needs root")
def test_each_attack_is_seen_once_and_ordinary_traffic_stays_silent() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sockwarden.cli", "demo"],
        check=False, capture_output=True, text=True, timeout=DEMO_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^ *(ws|wss|wss node)  +(\w+)  +([\w-]+)  +once ", done.stdout, re.M)
    categories = {"injection", "hijack", "leak", "dos", "protocol"}
    assert {attack for server, attack, _rule in rows if server == "ws"} >= {
        *categories,
        "posture",
    }
    assert {attack for server, attack, _rule in rows if server == "wss"} >= categories
    assert "raised its one alert, and no ordinary message raised any" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="changes to another user, which takes root")
def test_without_root_it_says_so_in_one_line() -> None:
    # In a user namespace of its own root is nobody, and yet may read every file.
    done = subprocess.run(
        ["unshare", "--user", sys.executable, "-m", "sockwarden.cli", "demo"],
        check=False, capture_output=True, text=True, timeout=patient(30),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "eBPF needs root" in done.stderr
