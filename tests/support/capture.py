"""The loaded probe, and what came from its ring put together: for tests of the capture.

Both ends are sockets of this process, so each connection is seen twice: as its server's and as its
client's.
"""

import contextlib
import os
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from patience import patient

from sockwarden.agent.probe import elf, maps, tls
from sockwarden.agent.probe.attach import Link, attach_tracepoint, attach_uprobe
from sockwarden.agent.probe.programs import TRACEPOINTS, Loaded, Settings, load
from sockwarden.agent.ring import Ring

needs_kernel = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading eBPF programs needs root"),
]

RECORD = struct.Struct("<QQQQIIIBBBB")
OPEN_DATA = struct.Struct("<QQIiHHHH16s16s")
OPEN, DATA, CLOSE, EXIT = 1, 2, 3, 4
READ, WRITE = 0, 1
SOCKET, OPENSSL = 0, 1
SERVER, CLIENT = 1, 2
DEADLINE_SECONDS = patient(15)
SO_SNDBUFFORCE = 32  # asm-generic/socket.h

REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
REFUSAL = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Seen:
    """One connection as the ring told it."""

    process: int
    role: int
    source: int
    generation: int
    local: tuple[int, str, int] = (0, "", 0)
    remote: tuple[int, str, int] = (0, "", 0)
    fd: int = -1
    opened: bool = False
    flags: int = 0
    streams: tuple[dict[int, bytes], dict[int, bytes]] = field(default_factory=lambda: ({}, {}))
    ends: tuple[int, int] | None = None

    def stream(self, flow: int) -> bytes:
        """The bytes of a flow; a hole or an overlap among them fails the test."""
        pieces = sorted(self.streams[flow].items())
        following = pieces[0][0] if pieces else 0
        for position, data in pieces:
            assert position == following, "a hole, or bytes told twice"
            following += len(data)
        return b"".join(data for _, data in pieces)


def address(family: int, packed: bytes, port: int) -> tuple[int, str, int]:
    if family == 2:
        return family, socket.inet_ntop(socket.AF_INET, packed[:4]), port
    if family == 10:
        return family, socket.inet_ntop(socket.AF_INET6, packed), port
    return family, "", port


class Probe:
    """The loaded and attached probe, and what came from its ring."""

    def __init__(self, settings: Settings) -> None:
        self.loaded: Loaded = load(settings)
        self.ring = Ring(os.dup(self.loaded.rings[0]))
        self.links: list[Link] = []
        self.attach_calls()
        self.attached: set[str] = set()
        self.uprobes: list[Link] = []
        self.connections: dict[int, Seen] = {}
        self.exits: set[int] = set()

    def attach_calls(self) -> None:
        self.links = [
            attach_tracepoint(self.loaded.programs[point.program], point.category, point.name)
            for point in TRACEPOINTS
        ]

    def detach_calls(self) -> None:
        while self.links:
            self.links.pop().close()

    def attach_library(self, path: str, name: str = "openssl") -> None:
        """Until `detach_libraries`."""
        if path in self.attached:
            return
        self.attached.add(path)
        [library] = [each for each in tls.libraries() if each.name == name]
        with open(path, "rb") as file:
            offsets = elf.function_offsets(file, [each.symbol for each in library.functions])
        for function in library.functions:
            offset = offsets.get(function.symbol)
            for program, returning in ((function.exit, True), (function.enter, False)):
                if program and offset is not None:
                    descriptor = self.loaded.programs[program]
                    link = attach_uprobe(descriptor, path, offset, returning=returning)
                    self.uprobes.append(link)

    def detach_libraries(self) -> None:
        """Other tests compare the code in memory with the file."""
        while self.uprobes:
            self.uprobes.pop().close()
        self.attached.clear()

    def close(self) -> None:
        self.detach_libraries()
        self.detach_calls()
        self.loaded.close()
        self.ring.close()

    def counters(self) -> dict[str, int]:
        return maps.read_counters(self.loaded.maps["counters"])

    def drain(self) -> int:
        records = self.ring.read()
        for record in records:
            self._take(record)
        return len(records)

    def _take(self, record: bytes) -> None:
        fields = RECORD.unpack_from(record)
        number, _, position, length, captured, generation, process = fields[:7]
        kind, flow, source, role = fields[7:]
        data = record[RECORD.size : RECORD.size + captured]
        if kind == EXIT:
            self.exits.add(process)
            return
        assert number != 0
        seen = self.connections.setdefault(number, Seen(process, role, source, generation))
        if kind == OPEN:
            assert not seen.opened
            seen.opened = True
            family, seen.flags, local_port, remote_port, local, remote = OPEN_DATA.unpack(data)[4:]
            seen.fd = OPEN_DATA.unpack(data)[3]
            seen.local = address(family, local, local_port)
            seen.remote = address(family, remote, remote_port)
        elif kind == DATA:
            assert captured <= length
            assert position not in seen.streams[flow]
            seen.streams[flow][position] = data
        elif kind == CLOSE:
            assert seen.ends is None
            seen.ends = struct.unpack("<QQ", data)

    def forget(self) -> None:
        self.drain()
        self.connections.clear()
        self.exits.clear()

    def of(self, role: int, process: int | None = None) -> list[Seen]:
        pid = os.getpid() if process is None else process
        return [s for s in self.connections.values() if s.role == role and s.process == pid]

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not done():
            if not self.drain():
                assert time.monotonic() < deadline, self.describe()
                time.sleep(0.005)

    def describe(self) -> str:
        told = [
            (s.role, s.process, s.generation, [len(x) for x in s.streams], s.ends)
            for s in self.connections.values()
        ]
        return f"not told in time: {told}, {self.counters()}"


def libssl() -> str:
    """The library that this interpreter's `ssl` has mapped."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "/libssl" in line:
            return line.split(maxsplit=5)[5]
    pytest.skip("this interpreter has no shared libssl")


class Certificate:
    """Of "localhost", signed by itself."""

    def __init__(self, place: Path) -> None:
        self.certificate, self.key = str(place / "certificate.pem"), str(place / "key.pem")
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
            f" -subj /CN=localhost -addext subjectAltName=DNS:localhost -out {self.certificate}"
            f" -keyout {self.key}"
        )
        subprocess.run(command.split(), check=True, capture_output=True)

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


@contextlib.contextmanager
def connected(host: str = "127.0.0.1") -> Iterator[tuple[socket.socket, socket.socket]]:
    """(client, server) over TCP."""
    with socket.create_server(
        (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
    ) as listener:
        client = socket.create_connection(listener.getsockname()[:2])
        server, _ = listener.accept()
        with client, server:
            yield client, server


def receive(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(min(65_536, size - len(data)))
        assert more
        data += more
    return data


def exchange(source: socket.socket, target: socket.socket, data: bytes) -> None:
    source.sendall(data)
    assert receive(target, len(data)) == data


def upgrade(client: socket.socket, server: socket.socket) -> None:
    exchange(client, server, REQUEST)
    exchange(server, client, SWITCHING)


def both(probe: Probe, c2s: bytes, s2c: bytes) -> None:
    """Waits until both ends have told these streams, whole."""

    def told() -> bool:
        return all(
            any(
                sum(map(len, seen.streams[0].values())) >= sizes[0]
                and sum(map(len, seen.streams[1].values())) >= sizes[1]
                for seen in probe.of(role)
            )
            for role, sizes in (
                (SERVER, (len(c2s), len(s2c))),
                (CLIENT, (len(s2c), len(c2s))),
            )
        )

    probe.until(told)
    [server], [client] = probe.of(SERVER), probe.of(CLIENT)
    assert server.stream(READ) == c2s
    assert client.stream(WRITE) == c2s
    assert server.stream(WRITE) == s2c
    assert client.stream(READ) == s2c
