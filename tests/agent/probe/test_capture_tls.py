"""What the probe passes on of TLS: plaintext, and the socket that carries it.

A blocking program reads and writes within the library's call; asyncio feeds memory BIOs, where no
system call is nested, and yet the socket must come out right.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

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
    both,
    libssl,
    needs_kernel,
    receive,
)

pytestmark = needs_kernel


def test_a_blocking_program(tls_probe: Probe, certificate: Certificate) -> None:
    payload = b"p" * 40_000
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with certificate.server().wrap_socket(plain, server_side=True) as server:
                receive(server, len(REQUEST))
                server.sendall(SWITCHING)
                receive(server, len(payload))
                server.sendall(payload)

        thread = threading.Thread(target=serve)
        thread.start()
        plain = socket.create_connection(listener.getsockname())
        with certificate.client().wrap_socket(plain, server_hostname="localhost") as client:
            here, there = client.getsockname(), client.getpeername()
            client.sendall(REQUEST)
            receive(client, len(SWITCHING))
            client.sendall(payload)
            receive(client, len(payload))
            thread.join()
            both(tls_probe, REQUEST + payload, SWITCHING + payload)
    [server_end], [client_end] = tls_probe.of(1), tls_probe.of(2)
    assert server_end.source == client_end.source == 1
    assert client_end.local == server_end.remote == (2, *here)
    assert client_end.remote == server_end.local == (2, *there)


async def test_asyncio_with_many_connections_on_one_thread(
    tls_probe: Probe, certificate: Certificate
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
            "127.0.0.1", port, ssl=certificate.client(), server_hostname="localhost"
        )
        mark = b"number %02d" % number
        writer.write(REQUEST)
        await reader.readexactly(len(SWITCHING))
        writer.write(mark)
        assert await reader.readexactly(9) == mark
        ports[mark] = writer.get_extra_info("sockname")[1]
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificate.server())
    port = server.sockets[0].getsockname()[1]
    async with server:
        await asyncio.gather(*map(ask, range(count)))
    tls_probe.until(
        lambda: sum(s.ends is not None for s in tls_probe.connections.values()) >= 2 * count
    )
    servers, clients = tls_probe.of(1), tls_probe.of(2)
    assert len(servers) == len(clients) == count
    for seen, flow in [(s, 0) for s in servers] + [(c, 1) for c in clients]:
        assert seen.stream(flow)[: len(REQUEST)] == REQUEST
        mark = seen.stream(flow)[len(REQUEST) :]
        asking = seen.remote if flow == 0 else seen.local
        assert asking == (2, "127.0.0.1", ports[mark])


CONNECT = b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n"
CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
PROXY_V1 = b"PROXY TCP4 10.0.0.1 10.0.0.2 40000 443\r\n"
PROXY_V2 = bytes.fromhex("0d0a0d0a000d0a515549540a2111000c") + bytes(12)


@pytest.mark.parametrize(
    ("before", "answer"), [(CONNECT, CONNECTED), (PROXY_V1, b""), (PROXY_V2, b"")]
)
async def test_tls_behind_plaintext(
    tls_probe: Probe, certificate: Certificate, before: bytes, answer: bytes
) -> None:
    """The descriptor has spoken HTTP; its TLS has the right address for all that."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(before)) == before
        writer.write(answer)
        await writer.start_tls(certificate.server())
        assert await reader.readexactly(len(REQUEST)) == REQUEST
        writer.write(SWITCHING)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        here, there = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        writer.write(before)
        if answer:
            assert await reader.readexactly(len(answer)) == answer
        else:
            await asyncio.sleep(0.05)  # a load balancer's header comes before the handshake
        await writer.start_tls(certificate.client(), server_hostname="localhost")
        writer.write(REQUEST)
        assert await reader.readexactly(len(SWITCHING)) == SWITCHING
        writer.close()
        await writer.wait_closed()
    both(tls_probe, REQUEST, SWITCHING)
    [server_end], [client_end] = tls_probe.of(SERVER), tls_probe.of(CLIENT)
    assert client_end.local == server_end.remote == (2, *here)
    assert client_end.remote == server_end.local == (2, *there)


WRAPPER = r"""
#include <dlfcn.h>
#include <stddef.h>
#define REAL(name) ((__typeof__(&name))dlsym(dlopen(LIBSSL, RTLD_NOW), #name))
static volatile int result; /* against tail calls */
int SSL_read(void *s, void *b, int n) { return result = REAL(SSL_read)(s, b, n); }
int SSL_write(void *s, void *b, int n) { return result = REAL(SSL_write)(s, b, n); }
int SSL_read_ex(void *s, void *b, size_t n, size_t *m)
{ return result = REAL(SSL_read_ex)(s, b, n, m); }
int SSL_write_ex(void *s, void *b, size_t n, size_t *m)
{ return result = REAL(SSL_write_ex)(s, b, n, m); }
"""


def test_a_library_around_the_library_counts_once(
    tls_probe: Probe, certificate: Certificate, tmp_path: Path
) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    wrapper = tmp_path / "libwrapper.so"
    (tmp_path / "wrapper.c").write_text(WRAPPER)
    source = str(tmp_path / "wrapper.c")
    define = f'-DLIBSSL="{libssl()}"'
    command = [compiler, define, "-O1", "-shared", "-fPIC", "-o", str(wrapper), source]
    subprocess.run(command, check=True)
    tls_probe.attach_library(str(wrapper))
    code = (
        "import socket, ssl, sys\n"
        f"context = ssl.create_default_context(cafile={certificate.certificate!r})\n"
        "plain = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "tls = context.wrap_socket(plain, server_hostname='localhost')\n"
        f"tls.sendall({REQUEST!r}); tls.recv(65536); tls.sendall(b'x' * 40000); tls.recv(1)\n"
    )
    unmatched = tls_probe.counters()["calls_unmatched"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-c", code, str(listener.getsockname()[1])]
        with subprocess.Popen(command, env=os.environ | {"LD_PRELOAD": str(wrapper)}) as child:
            plain, _ = listener.accept()
            with certificate.server().wrap_socket(plain, server_side=True) as server:
                receive(server, len(REQUEST))
                server.sendall(SWITCHING)
                receive(server, 40_000)
                tls_probe.until(
                    lambda: (
                        sum(
                            len(data)
                            for seen in tls_probe.of(CLIENT, child.pid)
                            for data in seen.streams[WRITE].values()
                        )
                        >= len(REQUEST) + 40_000
                    )
                )
                [seen] = tls_probe.of(CLIENT, child.pid)
                assert seen.stream(WRITE) == REQUEST + b"x" * 40_000
                assert seen.stream(READ) == SWITCHING
                assert seen.remote[2] == listener.getsockname()[1]
                assert tls_probe.counters()["calls_unmatched"] == unmatched


def test_the_end_of_a_session_is_told_and_its_pointer_is_another_one_later(
    tls_probe: Probe, certificate: Certificate
) -> None:
    for _ in range(3):
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve(listener: socket.socket = listener) -> None:
                plain, _ = listener.accept()
                with certificate.server().wrap_socket(plain, server_side=True) as server:
                    receive(server, len(REQUEST))
                    server.sendall(SWITCHING)
                    server.recv(1)

            thread = threading.Thread(target=serve)
            thread.start()
            plain = socket.create_connection(listener.getsockname())
            with certificate.client().wrap_socket(plain, server_hostname="localhost") as client:
                client.sendall(REQUEST)
                receive(client, len(SWITCHING))
            thread.join()
        del client
    ends = {(len(REQUEST), len(SWITCHING))}
    tls_probe.until(lambda: {seen.ends for seen in tls_probe.of(SERVER)} == ends)
    assert len(tls_probe.of(SERVER)) == len(tls_probe.of(CLIENT)) == 3
    assert all(seen.stream(READ) == REQUEST for seen in tls_probe.of(SERVER))
