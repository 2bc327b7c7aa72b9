"""What the probe passes on of TLS: plaintext, and the socket that carries it.

A blocking program reads and writes within the library's call; asyncio feeds memory BIOs, where no
system call is nested, and yet the socket must come out right.
"""

import asyncio
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from capture import REQUEST, SWITCHING, Probe, both, needs_kernel, receive

from sockwarden.agent.probe import elf, tls
from sockwarden.agent.probe.attach import attach_uprobe

pytestmark = needs_kernel


def libssl() -> str:
    """The library that this interpreter's `ssl` has mapped."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "/libssl" in line:
            return line.split(maxsplit=5)[5]
    pytest.skip("this interpreter has no shared libssl")


@pytest.fixture(scope="module")
def tls_probe(loaded_probe: Probe) -> Iterator[Probe]:
    [library] = [each for each in tls.libraries() if each.name == "openssl"]
    path = libssl()
    with open(path, "rb") as file:
        offsets = elf.function_offsets(file, [each.symbol for each in library.functions])
    links = []
    for function in library.functions:
        for program, returning in ((function.enter, False), (function.exit, True)):
            if program:
                links.append(
                    attach_uprobe(
                        loaded_probe.loaded.programs[program],
                        path,
                        offsets[function.symbol],
                        returning=returning,
                    )
                )
    yield loaded_probe
    for link in links:
        link.close()


@pytest.fixture
def probe(tls_probe: Probe) -> Iterator[Probe]:
    tls_probe.forget()
    yield tls_probe
    tls_probe.forget()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(client, server)"""
    place = tmp_path_factory.mktemp("certificate")
    certificate, key = place / "certificate.pem", place / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run(
        [*command.split(), "-out", certificate, "-keyout", key], check=True, capture_output=True
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return ssl.create_default_context(cafile=str(certificate)), server


def test_a_blocking_program(probe: Probe, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    payload = b"p" * 40_000
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with contexts[1].wrap_socket(plain, server_side=True) as server:
                receive(server, len(REQUEST))
                server.sendall(SWITCHING)
                receive(server, len(payload))
                server.sendall(payload)

        thread = threading.Thread(target=serve)
        thread.start()
        plain = socket.create_connection(listener.getsockname())
        with contexts[0].wrap_socket(plain, server_hostname="localhost") as client:
            here, there = client.getsockname(), client.getpeername()
            client.sendall(REQUEST)
            receive(client, len(SWITCHING))
            client.sendall(payload)
            receive(client, len(payload))
            thread.join()
            both(probe, REQUEST + payload, SWITCHING + payload)
    [server_end], [client_end] = probe.of(1), probe.of(2)
    assert server_end.source == client_end.source == 1
    assert client_end.local == server_end.remote == (2, *here)
    assert client_end.remote == server_end.local == (2, *there)


async def test_asyncio_with_many_connections_on_one_thread(
    probe: Probe, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    count = 8
    ports = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        writer.write(SWITCHING)
        writer.write(await reader.readexactly(9))
        await reader.read()
        writer.close()

    async def ask(number: int) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=contexts[0], server_hostname="localhost"
        )
        mark = b"number %02d" % number
        writer.write(REQUEST)
        await reader.readexactly(len(SWITCHING))
        writer.write(mark)
        assert await reader.readexactly(9) == mark
        ports[mark] = writer.get_extra_info("sockname")[1]
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=contexts[1])
    port = server.sockets[0].getsockname()[1]
    async with server:
        await asyncio.gather(*map(ask, range(count)))
    probe.until(lambda: sum(s.ends is not None for s in probe.connections.values()) >= 2 * count)
    servers, clients = probe.of(1), probe.of(2)
    assert len(servers) == len(clients) == count
    for seen, flow in [(s, 0) for s in servers] + [(c, 1) for c in clients]:
        assert seen.stream(flow)[: len(REQUEST)] == REQUEST
        mark = seen.stream(flow)[len(REQUEST) :]
        asking = seen.remote if flow == 0 else seen.local
        assert asking == (2, "127.0.0.1", ports[mark])
