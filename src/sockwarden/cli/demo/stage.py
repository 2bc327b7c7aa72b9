"""The processes of the demo: a collector, an agent, servers; all in a folder of their own.

Whatever happens, `Stage` ends what it started, by process id, and removes the folder.
"""

import asyncio
import datetime
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sockwarden.cli.demo.errors import DemoError

SERVER_START_SECONDS = 120
STOP_SECONDS = 10
LOG_LINES_SHOWN = 12


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    tls: bool


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1 that is its own authority, good for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sockwarden demo")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


def toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Strings, numbers, booleans and lists of them are written in TOML as in JSON."""
    lines: list[str] = []
    for table, values in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def free_port() -> int:
    """Free now; nothing holds it until the collector takes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Stage:
    """`async with Stage() as stage`: the folder, the certificate and the processes."""

    def __init__(self) -> None:
        # The agent's worker has no privilege: it must be able to pass through, not to list.
        self.folder = Path(tempfile.mkdtemp(prefix="sockwarden-demo-"))
        self.folder.chmod(0o711)
        self.certificate, self.key = make_certificate(self.folder)
        self.secret = self._make_secret()
        self.query_address = f"unix:{self.folder / 'query.sock'}"
        self._ingest = f"127.0.0.1:{free_port()}"
        self.servers: list[Server] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _make_secret(self) -> Path:
        """What nobody should send: a private key, the demo's own, thrown away with it."""
        file = self.folder / "notes.txt"
        file.write_text("Deployment notes. The old key was:\n" + self.key.read_text())
        return file

    def _start(self, name: str, command: Sequence[str], *, talks: bool) -> subprocess.Popen[bytes]:
        """In a session of its own: Ctrl-C reaches the demo alone, which then ends the others."""
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else log,
                stderr=log,
                start_new_session=True,
            )
        self._processes[name] = process
        return process

    def start_collector(self) -> None:
        """Without TLS, which it permits on loopback and Unix sockets only."""
        self._start_daemon(
            "collector",
            {
                "listen": {
                    "address": self._ingest,
                    "query": self.query_address,
                    "insecure_loopback": True,
                },
                "store": {"path": str(self.folder / "alerts.db")},
            },
        )

    def start_agent(self) -> None:
        self._start_daemon(
            "agent",
            {
                "agent": {"state_directory": str(self.folder / "agent")},
                "uplink": {"collectors": [self._ingest], "insecure_loopback": True},
            },
        )

    def _start_daemon(self, name: str, tables: Mapping[str, Mapping[str, object]]) -> None:
        config = self.folder / f"{name}.toml"
        config.write_text(toml(tables))
        command = [sys.executable, "-P", "-m", f"sockwarden.{name}", "--config", str(config)]
        self._start(name, command, talks=False)

    async def start_server(self, name: str, command: Sequence[str], *, tls: bool) -> Server:
        """A server says its port when it listens."""
        arguments = [str(self.secret), *([str(self.certificate), str(self.key)] if tls else [])]
        process = self._start(name, [*command, *arguments], talks=True)
        try:
            async with asyncio.timeout(SERVER_START_SECONDS):
                line = await asyncio.to_thread(process.stdout.readline) if process.stdout else b""
            server = Server(name, int(line), tls)
        except (TimeoutError, ValueError) as error:
            raise DemoError(f"{name} did not start", self.last_words(name)) from error
        self.servers.append(server)
        return server

    def check(self) -> None:
        """Raises if a process ended that should be running."""
        for name, process in self._processes.items():
            status = process.poll()
            if status is not None:
                raise DemoError(f"{name} ended with status {status}", self.last_words(name))

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes.values()]

    @property
    def daemons(self) -> list[str]:
        return [name for name in self._processes if name in ("collector", "agent")]

    def _log(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '-')}.log"

    def last_words(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:]) or "it said nothing"

    def stop(self) -> None:
        """Servers first, the collector last, so that nothing is reported lost on the way."""
        for process in reversed(self._processes.values()):
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


async def find_node() -> str | None:
    """Node.js with the `ws` package (NODE_PATH is honoured), or None."""
    node = shutil.which("node")
    if node is None:
        return None
    probe = await asyncio.create_subprocess_exec(
        node, "-e", "require('ws')", stderr=asyncio.subprocess.DEVNULL, env=dict(os.environ)
    )
    return node if await probe.wait() == 0 else None
