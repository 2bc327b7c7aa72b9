"""TLS libraries other than OpenSSL, in programs that Debian builds with them."""

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import others
import pytest
from capture import (
    CLIENT,
    READ,
    REQUEST,
    SERVER,
    SWITCHING,
    WRITE,
    Certificate,
    Probe,
    needs_kernel,
    receive,
)

pytestmark = needs_kernel

MARK = b"\xee"
PAYLOAD = b"\x82\x7e\x4e\x20" + MARK * 20_000  # more than a TLS record
GNUTLS, NSS = 2, 3


def library(name: str) -> str:
    listed = subprocess.run(["/sbin/ldconfig", "-p"], check=True, capture_output=True, text=True)
    found = re.search(rf"{re.escape(name)}[.\d]* .*=> (\S+)", listed.stdout)
    assert found, f"{name} is not installed"
    return str(Path(found[1]).resolve())


def program(name: str) -> str:
    path = shutil.which(name)
    assert path, f"{name} is not installed"
    return path


@contextlib.contextmanager
def python_server(certificate: Certificate) -> Iterator[tuple[int, threading.Thread]]:
    """Agrees to an upgrade and sends PAYLOAD back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with certificate.server().wrap_socket(plain, server_side=True) as server:
                receive(server, len(REQUEST))
                server.sendall(SWITCHING)
                server.sendall(receive(server, len(PAYLOAD)))
                with contextlib.suppress(OSError, ssl.SSLError):
                    server.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], thread
        thread.join()


@pytest.mark.parametrize(
    ("shared", "name", "source", "command"),
    [
        ("libgnutls.so", "gnutls", GNUTLS, "gnutls-cli --no-ca-verification -p {port} localhost"),
        ("libnspr4.so", "nss", NSS, "tstclnt -4 -h localhost -p {port} -o -d {database}"),
    ],
)
def test_a_client(
    probe: Probe,
    detached_behind: None,
    certificate: Certificate,
    tmp_path: Path,
    shared: str,
    name: str,
    source: int,
    command: str,
) -> None:
    unmatched = probe.counters()["calls_unmatched"]
    probe.attach_library(library(shared), name)
    if name == "nss":
        create = [program("certutil"), "-N", "-d", f"sql:{tmp_path}", "--empty-password"]
        subprocess.run(create, check=True, capture_output=True)
    with python_server(certificate) as (port, _):
        words = command.format(port=port, database=f"sql:{tmp_path}").split()
        with subprocess.Popen(
            [program(words[0]), *words[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(REQUEST)
            until(client.stdout, SWITCHING)
            client.stdin.write(PAYLOAD)
            until(client.stdout, MARK, 20_000)
            client.terminate()  # NSS's client waits for the server's end
            client.wait()
        sizes = {READ: len(SWITCHING + PAYLOAD), WRITE: len(REQUEST + PAYLOAD)}
        probe.until(
            lambda: any(
                all(sum(map(len, seen.streams[flow].values())) >= sizes[flow] for flow in sizes)
                for seen in probe.of(CLIENT, client.pid)
            )
        )
        [told] = probe.of(CLIENT, client.pid)
        assert told.source == source
        assert told.stream(WRITE) == REQUEST + PAYLOAD
        assert told.stream(READ) == SWITCHING + PAYLOAD
        assert told.remote == (2, "127.0.0.1", port)
        assert probe.counters()["calls_unmatched"] == unmatched


def until(stream: IO[bytes], wanted: bytes, times: int = 1) -> None:
    """Reads until `wanted` has come so often; a client prints words of its own too."""
    seen = b""
    while seen.count(wanted) < times:
        more = stream.read(65_536)
        assert more, f"the client has ended: {seen[-200:]!r}"
        seen += more


LIGHTTPD = """
server.document-root = "{place}"
server.port = {port}
server.bind = "127.0.0.1"
server.modules = ("mod_gnutls", "mod_wstunnel")
ssl.engine = "enable"
ssl.pemfile = "{certificate}"
ssl.privkey = "{key}"
wstunnel.server = ("/chat" => (("host" => "127.0.0.1", "port" => {backend})))
wstunnel.frame-type = "binary"
"""


def test_lighttpd_on_gnutls(
    probe: Probe, detached_behind: None, certificate: Certificate, tmp_path: Path
) -> None:
    probe.attach_library(library("libgnutls.so"), "gnutls")
    lighttpd = others.server_program("lighttpd")
    assert lighttpd, "lighttpd is not unpacked"
    modules = Path(lighttpd).parents[1] / "lib" / "lighttpd"
    with socket.create_server(("127.0.0.1", 0)) as behind, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        configuration = tmp_path / "lighttpd.conf"
        configuration.write_text(
            LIGHTTPD.format(
                place=tmp_path,
                port=port,
                certificate=certificate.certificate,
                key=certificate.key,
                backend=behind.getsockname()[1],
            )
        )
        with subprocess.Popen(
            [lighttpd, "-D", "-m", str(modules), "-f", str(configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as server:
            try:
                plain = connect(port, server)
                with certificate.client().wrap_socket(plain, server_hostname="localhost") as client:
                    client.sendall(REQUEST)
                    backend, _ = behind.accept()
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += client.recv(4_096)
                    # binary "hello", masked with zeros
                    client.sendall(b"\x82\x85\0\0\0\0hello")
                    with backend:
                        assert receive(backend, 5) == b"hello"
                        backend.sendall(b"world")
                        assert receive(client, 7).endswith(b"world")
                probe.until(
                    lambda: any(
                        b"hello" in b"".join(seen.streams[READ].values())
                        and b"world" in b"".join(seen.streams[WRITE].values())
                        for seen in probe.of(SERVER, server.pid)
                    )
                )
                [told] = [seen for seen in probe.of(SERVER, server.pid) if seen.source == GNUTLS]
                assert told.stream(READ).startswith(REQUEST)
                assert told.local == (2, "127.0.0.1", port)
            finally:
                server.terminate()


def connect(port: int, server: "subprocess.Popen[bytes]") -> socket.socket:
    while True:
        assert server.poll() is None, "the server ended"
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", port))
