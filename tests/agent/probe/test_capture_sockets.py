"""What the probe passes on of real sockets, byte for byte and position for position."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from capture import (
    CLIENT,
    READ,
    REFUSAL,
    REQUEST,
    SERVER,
    SO_SNDBUFFORCE,
    SWITCHING,
    WRITE,
    Probe,
    both,
    connected,
    exchange,
    needs_kernel,
    receive,
    upgrade,
)

from sockwarden.agent.probe import maps
from sockwarden.agent.ring import Ring

pytestmark = needs_kernel


def test_every_byte_of_both_directions(probe: Probe) -> None:
    with connected() as (client, server):
        upgrade(client, server)
        exchange(client, server, b"one")
        exchange(server, client, b"two")
        both(probe, REQUEST + b"one", SWITCHING + b"two")
        [told] = probe.of(SERVER)
        assert told.local == (2, "127.0.0.1", server.getsockname()[1])
        assert told.remote == (2, "127.0.0.1", client.getsockname()[1])
        assert told.fd == server.fileno()


def test_addresses_of_ipv6(probe: Probe) -> None:
    with connected("::1") as (client, server):
        upgrade(client, server)
        both(probe, REQUEST, SWITCHING)
        [told] = probe.of(CLIENT)
        assert told.local == (10, "::1", client.getsockname()[1])
        assert told.remote == (10, "::1", server.getsockname()[1])


def test_an_ipv4_address_in_an_ipv6_socket_is_ipv4(probe: Probe) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        client = socket.create_connection(("127.0.0.1", listener.getsockname()[1]))
        server, _ = listener.accept()
        with client, server:
            upgrade(client, server)
            both(probe, REQUEST, SWITCHING)
            [told] = probe.of(SERVER)
            assert told.remote == (2, "127.0.0.1", client.getsockname()[1])


def test_unix_sockets(probe: Probe) -> None:
    client, server = socket.socketpair()
    with client, server:
        upgrade(client, server)
        both(probe, REQUEST, SWITCHING)
        assert probe.of(SERVER)[0].local[0] == 1


def test_a_response_in_pieces(probe: Probe) -> None:
    with connected() as (client, server):
        exchange(client, server, REQUEST)
        exchange(server, client, SWITCHING[:10])
        exchange(server, client, SWITCHING[10:])
        exchange(client, server, b"x" * 9_000)
        both(probe, REQUEST + b"x" * 9_000, SWITCHING)


def test_a_head_of_eight_kibibytes(probe: Probe) -> None:
    request = REQUEST.replace(b"Host: a\r\n", b"Host: a\r\nCookie: " + b"c" * 8_000 + b"\r\n")
    with connected() as (client, server):
        exchange(client, server, request)
        exchange(server, client, SWITCHING)
        both(probe, request, SWITCHING)


def test_a_pipelined_upgrade_is_found(probe: Probe) -> None:
    plain = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with connected() as (client, server):
        exchange(client, server, plain + REQUEST)
        exchange(server, client, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        exchange(server, client, SWITCHING)
        exchange(client, server, b"frame" * 2_000)
        probe.until(lambda: bool(probe.of(SERVER)))
        [told] = probe.of(SERVER)
        probe.until(lambda: sum(map(len, told.streams[READ].values())) >= len(REQUEST) + 10_000)
        assert told.stream(READ).endswith(REQUEST + b"frame" * 2_000)


def test_plain_http_and_other_protocols_stay_in_the_kernel(probe: Probe) -> None:
    with connected() as (client, server):
        for _ in range(3):
            exchange(client, server, b"GET /page HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n")
            exchange(server, client, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")
    with connected() as (client, server):
        exchange(client, server, b"SSH-2.0-x\r\nUpgrade: websocket\r\n")
        exchange(server, client, b"SSH-2.0-y\r\n")
    with connected() as (client, server):
        upgrade(client, server)
        both(probe, REQUEST, SWITCHING)
    assert len(probe.of(SERVER)) == len(probe.of(CLIENT)) == 1


def test_an_upgrade_behind_plain_http_on_one_connection(probe: Probe) -> None:
    with connected() as (client, server):
        exchange(client, server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        exchange(server, client, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        upgrade(client, server)
        both(probe, REQUEST, SWITCHING)


def test_a_refusal_then_an_upgrade_are_two_connections(probe: Probe) -> None:
    with connected() as (client, server):
        exchange(client, server, REQUEST)
        exchange(server, client, REFUSAL)
        upgrade(client, server)
        exchange(client, server, b"y" * 6_000)
        probe.until(lambda: len(probe.of(SERVER)) == 2)
        first, second = sorted(probe.of(SERVER), key=lambda seen: seen.generation)
        probe.until(lambda: sum(map(len, second.streams[READ].values())) >= len(REQUEST) + 6_000)
        assert first.stream(READ).startswith(REQUEST)
        assert first.stream(WRITE).startswith(REFUSAL)
        assert second.generation == first.generation + 1
        assert second.stream(READ) == REQUEST + b"y" * 6_000
        assert second.stream(WRITE) == SWITCHING


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\n\r\n"])
@pytest.mark.parametrize("together", [False, True])
def test_interim_responses_are_waited_out(probe: Probe, interim: bytes, together: bool) -> None:
    with connected() as (client, server):
        exchange(client, server, REQUEST)
        for part in [interim + SWITCHING] if together else [interim, SWITCHING]:
            exchange(server, client, part)
        exchange(client, server, b"z" * 9_000)
        both(probe, REQUEST + b"z" * 9_000, interim + SWITCHING)


@pytest.mark.parametrize(
    "preface",
    [
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_a_proxy_header_is_skipped(probe: Probe, preface: bytes, together: bool) -> None:
    with connected() as (client, server):
        for part in [preface + REQUEST] if together else [preface, REQUEST]:
            exchange(client, server, part)
        exchange(server, client, SWITCHING)
        probe.until(lambda: bool(probe.of(SERVER) and probe.of(SERVER)[0].streams[WRITE]))
        assert probe.of(SERVER)[0].stream(READ).endswith(REQUEST)


def test_a_connect_exchange_is_skipped(probe: Probe) -> None:
    with connected() as (client, server):
        exchange(client, server, b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n")
        exchange(server, client, b"HTTP/1.1 200 Connection established\r\n\r\n")
        upgrade(client, server)
        both(probe, REQUEST, SWITCHING)


def test_one_mebibyte_in_one_call(probe: Probe) -> None:
    data = os.urandom(1 << 20)
    client, server = socket.socketpair()
    with client, server:
        for end in (client, server):
            end.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20)
        upgrade(client, server)
        assert client.send(data) == len(data)
        assert receive(server, len(data)) == data
        both(probe, REQUEST + data, SWITCHING)


def test_beyond_the_capture_limit_is_a_counted_hole(probe: Probe) -> None:
    extra = 12_345
    data = os.urandom((1 << 20) + extra)
    client, server = socket.socketpair()
    with client, server:
        client.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20)
        upgrade(client, server)
        before = probe.counters()["lost_capture_limit"]
        assert client.send(data) == len(data)
        assert receive(server, len(data)) == data
        exchange(client, server, b"after")
        begin = len(REQUEST)
        probe.until(
            lambda: any(begin + len(data) in seen.streams[WRITE] for seen in probe.of(CLIENT))
        )
        [told] = probe.of(CLIENT)
        pieces = told.streams[WRITE]
        assert pieces.pop(begin + len(data)) == b"after"
        assert told.stream(WRITE) == REQUEST + data[: 1 << 20]
        assert probe.counters()["lost_capture_limit"] - before == extra


@pytest.mark.parametrize("entries", [1, 3, 40, 1_024])
def test_vectors(probe: Probe, entries: int) -> None:
    parts = [os.urandom(n % 50) for n in range(1, entries + 1)]
    data = b"".join(parts)
    with connected() as (client, server):
        upgrade(client, server)
        assert os.writev(client.fileno(), parts) == len(data)
        buffers = [bytearray(max(1, len(part))) for part in parts]
        got = 0
        while got < len(data):
            got += os.readv(server.fileno(), buffers)
        assert server.sendmsg(parts) == len(data)
        got = 0
        while got < len(data):
            got += client.recvmsg_into(buffers)[0]
        both(probe, REQUEST + data, SWITCHING + data)


def test_peeked_bytes_count_once(probe: Probe) -> None:
    with connected() as (client, server):
        client.sendall(REQUEST)
        assert server.recv(4_096, socket.MSG_PEEK) == REQUEST
        assert server.recvmsg(4_096, 0, socket.MSG_PEEK)[0] == REQUEST
        assert server.recv(4_096) == REQUEST
        exchange(server, client, SWITCHING)
        client.sendall(b"hello")
        assert server.recv(5, socket.MSG_PEEK) == b"hello"
        assert server.recv(5) == b"hello"
        both(probe, REQUEST + b"hello", SWITCHING)


def test_close_tells_where_both_streams_end(probe: Probe) -> None:
    with connected() as (client, server):
        upgrade(client, server)
    probe.until(lambda: all(role and role[0].ends for role in (probe.of(SERVER), probe.of(CLIENT))))
    [told] = probe.of(SERVER)
    assert told.ends == (len(REQUEST), len(SWITCHING))


def test_a_descriptor_used_again_is_another_connection(probe: Probe) -> None:
    numbers = set()
    for _ in range(3):
        with connected() as (client, server):
            numbers.add(server.fileno())
            upgrade(client, server)
    assert len(numbers) == 1
    probe.until(lambda: len([seen for seen in probe.of(SERVER) if seen.ends]) == 3)
    assert all(seen.stream(READ) == REQUEST for seen in probe.of(SERVER))


def test_a_descriptor_that_was_ignored_is_judged_anew(probe: Probe) -> None:
    with open("/etc/hostname", "rb") as file:
        file.read()
        target = file.fileno()
        with connected() as (client, server):
            os.dup2(server.fileno(), target)
            doubled = socket.socket(fileno=os.dup(target))
            os.close(doubled.detach())
            exchange(client, server, REQUEST)
            os.write(target, SWITCHING)
            receive(client, len(SWITCHING))
            probe.until(lambda: bool(probe.of(CLIENT) and probe.of(CLIENT)[0].streams[READ]))


def test_the_end_of_a_process_ends_its_connections(probe: Probe) -> None:
    code = (
        "import os, socket, sys\n"
        f"a, b = socket.socketpair(); a.send({REQUEST!r}); b.recv(4096)\n"
        f"b.send({SWITCHING!r}); a.recv(4096); os._exit(0)"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    child.wait()
    probe.until(
        lambda: (
            child.pid in probe.exits
            or all(role and role[0].ends for role in (probe.of(r, child.pid) for r in (1, 2)))
        )
    )
    assert len(probe.of(SERVER, child.pid)) == 1


def test_another_program_in_the_same_process_ends_its_connections(probe: Probe) -> None:
    code = (
        "import os, socket\n"
        f"a, b = socket.socketpair(); a.send({REQUEST!r}); b.recv(4096)\n"
        f"b.send({SWITCHING!r}); a.recv(4096); os.execv('/bin/cat', ['cat'])"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        probe.until(lambda: child.pid in probe.exits)
        assert child.poll() is None
        assert len(probe.of(SERVER, child.pid)) == 1


def test_shutdown_is_not_the_end(probe: Probe) -> None:
    with connected() as (client, server):
        upgrade(client, server)
        client.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""
        exchange(server, client, b"last words")
        both(probe, REQUEST, SWITCHING + b"last words")
        assert not any(seen.ends for seen in probe.connections.values())


def test_our_own_processes_are_left_out(probe: Probe) -> None:
    excluded = probe.loaded.maps["excluded"]
    maps.exclude(excluded, os.getpid())
    try:
        with connected() as (client, server):
            upgrade(client, server)
    finally:
        maps.include(excluded, os.getpid())
    with connected() as (client, server):
        upgrade(client, server)
        both(probe, REQUEST, SWITCHING)


def test_the_ring_is_read_by_nobody_without_any_right(probe: Probe) -> None:
    with connected() as (client, server):
        upgrade(client, server)
        ring = os.dup(probe.loaded.maps["ring"])
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                status = Path("/proc/self/status").read_text()
                assert "CapEff:\t0000000000000000" in status
                records = Ring(ring).read()
                os.write(writing, b"%d" % any(REQUEST in record for record in records))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        assert os.read(reading, 1) == b"1"
        os.close(reading)
        os.close(ring)
