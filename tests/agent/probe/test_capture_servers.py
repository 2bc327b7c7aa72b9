"""Real servers in processes of their own: what the probe tells of them is what their clients have
sent and got, byte for byte, and the addresses are theirs.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from capture import (
    CLIENT,
    OPENSSL,
    READ,
    SERVER,
    SOCKET,
    WRITE,
    Certificate,
    Probe,
    Seen,
    needs_kernel,
)
from others import server_program
from websockets.asyncio.client import connect

from sockwarden.parser import ConnectionDecoder, Message

pytestmark = needs_kernel

SERVERS = Path(__file__).with_name("servers")
CLIENTS = 4
MESSAGES = ["hello", "w\u00f6rld" * 30, os.urandom(40_000), b""]

NGINX = """
daemon off;
master_process off;
pid {place}/pid;
error_log {place}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {place}/a;
    proxy_temp_path {place}/b;
    fastcgi_temp_path {place}/c;
    uwsgi_temp_path {place}/d;
    scgi_temp_path {place}/e;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }}
    }}
}}
"""


@contextlib.contextmanager
def running(*command: str) -> Iterator[tuple[int, int]]:
    """(process, port) of a server that prints its port and ends with its input."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
        try:
            assert server.stdout
            yield server.pid, int(server.stdout.readline())
        finally:
            server.kill()


def talk(port: int, context: ssl.SSLContext | None) -> list[tuple[str, int]]:
    """Several clients take turns; returns their addresses."""
    return asyncio.run(take_turns(port, context))


async def take_turns(port: int, context: ssl.SSLContext | None) -> list[tuple[str, int]]:
    uri = f"{'wss' if context else 'ws'}://localhost:{port}/chat?token=1"
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connect(uri, host="127.0.0.1", ssl=context))
            for _ in range(CLIENTS)
        ]
        for message in MESSAGES:
            for client in clients:
                await client.send(message)
            for client in clients:
                assert await client.recv() == message
        return [client.local_address[:2] for client in clients]


def messages_of(seen: Seen) -> tuple[list[bytes], list[bytes]]:
    """(from the client, from the server)"""
    decoder = ConnectionDecoder()
    client, server = (READ, WRITE) if seen.role == SERVER else (WRITE, READ)
    head, end, frames = seen.stream(client).partition(b"\r\n\r\n")
    events = decoder.feed("c2s", 0, head + end)
    events += decoder.feed("s2c", 0, seen.stream(server))
    events += decoder.feed("c2s", len(head + end), frames)
    told = [event for event in events if isinstance(event, Message)]
    return (
        [event.payload for event in told if event.dir == "c2s"],
        [event.payload for event in told if event.dir == "s2c"],
    )


def told_the_same(theirs: list[Seen], ours: list[Seen]) -> bool:
    def sizes(seen: list[Seen], *flows: int) -> list[list[int]]:
        return sorted([sum(map(len, one.streams[flow].values())) for flow in flows] for one in seen)

    return len(theirs) == len(ours) == CLIENTS and sizes(theirs, READ, WRITE) == sizes(
        ours, WRITE, READ
    )


def check(
    probe: Probe, server: int, port: int, clients: list[tuple[str, int]], source: int
) -> None:
    """The server's connections and those of our clients tell the same, with the same addresses."""
    probe.until(lambda: told_the_same(probe.of(SERVER, server), probe.of(CLIENT)))
    theirs = {seen.remote[1:]: seen for seen in probe.of(SERVER, server)}
    ours = {seen.local[1:]: seen for seen in probe.of(CLIENT)}
    assert set(theirs) == set(ours) == set(clients)
    expected = [m.encode() if isinstance(m, str) else m for m in MESSAGES]
    for address in clients:
        there, here = theirs[address], ours[address]
        assert there.source == here.source == source
        assert there.local == here.remote == (2, "127.0.0.1", port)
        assert there.stream(READ) == here.stream(WRITE)
        assert here.stream(READ) == there.stream(WRITE)
        if there.ends:  # an SSL object ends when Python's garbage is collected
            assert there.ends == (len(there.stream(READ)), len(there.stream(WRITE)))
        assert messages_of(there) == (expected, expected)


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node")
    asked = subprocess.run([found, "-e", "require('ws')"], check=False, capture_output=True)
    if asked.returncode:
        pytest.skip("node finds no package ws (NODE_PATH)")
    return found


@pytest.mark.parametrize("script", ["echo_asyncio.py", "echo_threads.py"])
def test_python_plain(probe: Probe, script: str) -> None:
    with running(sys.executable, str(SERVERS / script)) as (process, port):
        check(probe, process, port, talk(port, None), SOCKET)


# Not with threads: one writes while another reads, which Python's `ssl` does not guard before 3.13.
def test_python_tls(tls_probe: Probe, certificate: Certificate) -> None:
    files = (certificate.certificate, certificate.key)
    with running(sys.executable, str(SERVERS / "echo_asyncio.py"), *files) as (process, port):
        check(tls_probe, process, port, talk(port, certificate.client()), OPENSSL)


def test_node_plain(probe: Probe, node: str) -> None:
    with running(node, str(SERVERS / "echo_node.cjs")) as (process, port):
        check(probe, process, port, talk(port, None), SOCKET)


def test_node_tls(tls_probe: Probe, certificate: Certificate, node: str) -> None:
    tls_probe.attach_library(node)
    files = (certificate.certificate, certificate.key)
    with running(node, str(SERVERS / "echo_node.cjs"), *files) as (process, port):
        check(tls_probe, process, port, talk(port, certificate.client()), OPENSSL)


def test_nginx_before_a_plain_server(
    tls_probe: Probe, certificate: Certificate, tmp_path: Path
) -> None:
    nginx = server_program("nginx")
    if nginx is None:
        pytest.skip("no nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(sys.executable, str(SERVERS / "echo_asyncio.py")) as (upstream, upstream_port):
        (tmp_path / "nginx.conf").write_text(
            NGINX.format(
                place=tmp_path,
                port=port,
                upstream=upstream_port,
                certificate=certificate.certificate,
                key=certificate.key,
            )
        )
        command = [nginx, "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")]
        with subprocess.Popen(command) as proxy:
            try:
                wait_for(port)
                check(tls_probe, proxy.pid, port, talk(port, certificate.client()), OPENSSL)
            finally:
                proxy.kill()
        # The proxy is a client of the server behind it, and both say so.
        tls_probe.until(
            lambda: told_the_same(tls_probe.of(SERVER, upstream), tls_probe.of(CLIENT, proxy.pid))
        )
        behind = {seen.remote[1:]: seen for seen in tls_probe.of(SERVER, upstream)}
        before = {seen.local[1:]: seen for seen in tls_probe.of(CLIENT, proxy.pid)}
        assert set(behind) == set(before)
        for address, seen in behind.items():
            assert seen.local == (2, "127.0.0.1", upstream_port)
            assert seen.stream(READ) == before[address].stream(WRITE)
            assert seen.stream(WRITE) == before[address].stream(READ)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return
