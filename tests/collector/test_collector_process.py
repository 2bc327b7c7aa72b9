"""The collector as systemd sees it: ready when it serves, alive while it writes, clean at end."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fleet
import grpc
import msgspec
import pytest

from sockwarden.collector.config import Config
from sockwarden.daemon.config import Address
from sockwarden.proto.v1.query_pb2 import ListHostsRequest
from sockwarden.proto.v1.query_pb2_grpc import QueryServiceStub


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify.sock"))
        listening.settimeout(fleet.PATIENCE_S)
        yield listening


def hear(systemd: socket.socket, line: str) -> None:
    """Waits until the collector says it."""
    while line not in systemd.recv(4096).decode().splitlines():
        pass


def start(settings: Config, folder: Path, **environ: str) -> subprocess.Popen[str]:
    file = folder / "collector.toml"
    file.write_text(fleet.toml(settings))
    return subprocess.Popen(
        [sys.executable, "-m", "sockwarden.collector", "--config", str(file)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environ,
    )


def test_ready_alive_stopping(tmp_path: Path, systemd: socket.socket) -> None:
    settings = fleet.config(tmp_path)
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify.sock"), "WATCHDOG_USEC": "150000"}
    with start(settings, tmp_path, **environ) as collector:
        hear(systemd, "READY=1")
        # Ready means that it answers at once.
        with grpc.insecure_channel(settings.listen.query) as channel:
            QueryServiceStub(channel).ListHosts(ListHostsRequest(), timeout=fleet.PATIENCE_S)
        for _ in range(3):
            hear(systemd, "WATCHDOG=1")
        collector.send_signal(signal.SIGTERM)
        hear(systemd, "STOPPING=1")
        said = collector.communicate(timeout=fleet.PATIENCE_S)[1]
    assert collector.returncode == 0
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "sockwarden-collector: stopped"
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(("-wal", "-shm"))]


def test_socket_that_a_killed_collector_left_is_no_hindrance(tmp_path: Path) -> None:
    settings = fleet.config(tmp_path)
    with fleet.process(settings, tmp_path) as collector:
        collector.end(signal.SIGKILL)
        assert stat.S_ISSOCK((tmp_path / "query.sock").stat().st_mode)
        collector.start()
        assert collector.end() == 0


@pytest.mark.parametrize("what", ["file at the socket", "second collector", "damaged store"])
def test_what_prevents_the_start_is_one_line(tmp_path: Path, what: str) -> None:
    settings = fleet.config(tmp_path)
    if what == "second collector":
        with fleet.process(settings, tmp_path):
            said = refused(settings, tmp_path)
        assert "alerts.db: another collector uses it" in said
        return
    if what == "file at the socket":
        (tmp_path / "query.sock").write_text("precious")
        assert "a file that is no socket is there" in refused(settings, tmp_path)
        assert (tmp_path / "query.sock").read_text() == "precious"
    else:
        (tmp_path / "alerts.db").write_text("no store" * 1000)
        assert "alerts.db: damaged" in refused(settings, tmp_path)


def test_a_taken_port_is_one_line_beside_the_warning(tmp_path: Path) -> None:
    settings = fleet.config(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(f"127.0.0.1:{taken.getsockname()[1]}")
        listen = msgspec.structs.replace(settings.listen, address=address)
        with start(msgspec.structs.replace(settings, listen=listen), tmp_path) as collector:
            said = collector.communicate(timeout=fleet.PATIENCE_S)[1].splitlines()
    assert collector.returncode == 2
    assert "development mode" in said[0]
    assert said[1:] == [
        f"sockwarden collector: {address}: cannot listen here: Address already in use"
    ]


def refused(settings: Config, folder: Path) -> str:
    with start(settings, folder) as collector:
        said = collector.communicate(timeout=fleet.PATIENCE_S)[1]
    assert collector.returncode == 2
    assert said.count("\n") == 1, said
    return said
