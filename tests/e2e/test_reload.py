"""SIGHUP reads the rules again; those that are not whole change nothing and are said."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import patient

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="an agent needs root"),
]

DEADLINE_S = patient(60)
RULE = """\
title: Word of the house
id: 6f2b1c0e-1a9d-4a7f-8f0e-2b1f6e0c9d21
name: word-of-the-house
description: For a test.
level: high
tags: [sockwarden.leak]
logsource: {product: websocket, category: message}
detection:
  a:
    payload|contains: mellon
  condition: a
"""


class Agent:
    def __init__(self, folder: Path) -> None:
        self.rules = folder / "rules"
        self.rules.mkdir()
        config = folder / "agent.toml"
        config.write_text(
            f'[agent]\nstate_directory = "{folder}/state"\n'
            f'[capture]\ntls = false\n[rules]\ndirectories = ["{self.rules}"]\n'
        )
        self._said = folder / "said"
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sockwarden.agent", "--config", str(config)], stderr=said
            )

    def hears(self, pattern: str) -> re.Match[str]:
        """Waits for it behind what was waited for before."""
        deadline = time.monotonic() + DEADLINE_S
        while not (found := re.search(pattern, self._said.read_text())):
            assert time.monotonic() < deadline, self._said.read_text()
            assert self.process.poll() is None, self._said.read_text()
            time.sleep(0.02)
        return found

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)  # after it has started it reads as an ordinary user
    agent = Agent(tmp_path)
    yield agent
    agent.process.send_signal(signal.SIGTERM)
    try:
        assert agent.process.wait(30) == 0
    finally:
        agent.process.kill()


def test_broken_rules_change_nothing_and_whole_ones_replace(agent: Agent) -> None:
    count = int(agent.hears(r"runs as \S+ with (\d+) rules").group(1))
    file = agent.rules / "house.yml"
    file.write_text(
        RULE.replace("level: high", "level: huge").replace("condition: a", "conditon: a")
    )
    agent.reload()
    for place in (f"{file}:5: level: expected one of", f"{file}:9: detection.condition: missing"):
        agent.hears(f"sockwarden-agent: error: the rules stay as they are: {re.escape(place)}")
    file.write_text(RULE)
    agent.reload()
    agent.hears(rf"sockwarden-agent: {count + 1} rules in force")
    file.chmod(0)
    agent.reload()
    agent.hears(rf"the rules stay as they are: {file}: Permission denied")
