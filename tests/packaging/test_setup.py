"""Set-up that cannot go on says why, before it changes anything."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "packaging" / "setup.sh"
NOBODY = 65_534


def set_up(*arguments: str, user: int | None = None) -> subprocess.CompletedProcess[str]:
    """The text comes by standard input: another user may not be able to read the file."""
    return subprocess.run(
        ["bash", "-s", *arguments], input=SCRIPT.read_text(), cwd="/", user=user,
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [(), ("everything",)])
def test_unknown_profiles_are_bad_usage(arguments: tuple[str, ...]) -> None:
    done = set_up(*arguments)
    assert done.returncode == 2
    assert done.stderr == "usage: packaging/setup.sh demo|test|vm|packages\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_without_root_one_line_says_what_to_do() -> None:
    done = set_up("demo", user=NOBODY)
    assert done.returncode == 1
    assert done.stderr == "set-up: eBPF and apt need root; run it as root, for one with sudo\n"
    assert done.stdout == ""
