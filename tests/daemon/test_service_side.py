"""What systemd, the journal, a terminal and Prometheus get from a daemon."""

import logging
import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockwarden.daemon import journal, notify
from sockwarden.daemon.config import Address
from sockwarden.daemon.metrics import Exporter


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"{tmp_path}/notify")
        server.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
        yield server


def test_systemd_is_told(systemd: socket.socket) -> None:
    notify.ready("two\nlines")
    assert systemd.recv(999) == b"READY=1\nSTATUS=two lines"
    notify.reloading()
    assert systemd.recv(999).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    notify.watchdog()
    assert systemd.recv(999) == b"WATCHDOG=1"


def test_watchdog_is_ours_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert notify.watchdog_interval_ns() == 3_000_000_000
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert notify.watchdog_interval_ns() is None


def test_terminal_gets_one_plain_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    try:
        journal.set_up("sockwarden-agent")
        journal.say(logging.getLogger("x"), logging.WARNING, "100 % full", journal.Event.SPOOL_FULL)
        assert capfd.readouterr().err == "sockwarden-agent: warning: 100 % full\n"
    finally:
        root.handlers[:] = kept
        root.setLevel(level)


def test_message_ids_are_unique() -> None:
    assert len({event.value for event in journal.Event}) == len(journal.Event.__members__)
    assert all(len(bytes.fromhex(event.value)) == 16 for event in journal.Event)


def test_prometheus_gets_families_with_kinds() -> None:
    exporter = Exporter(
        Address("127.0.0.1:0"),
        "sockwarden_agent",
        lambda: {"lost.ring_full": 3, "lost.cut": 1, "messages": 7},
        lambda: {"spool_bytes": 9},
    )
    try:
        url = f"http://127.0.0.1:{exporter.port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
    finally:
        exporter.close()
    assert 'sockwarden_agent_lost_total{kind="ring_full"} 3.0' in text
    assert "sockwarden_agent_messages_total 7.0" in text
    assert "sockwarden_agent_spool_bytes 9.0" in text
