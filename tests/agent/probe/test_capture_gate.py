"""Which bytes leave the kernel: however a request for a WebSocket is cut, wrapped and disguised, it
is found, and what asks for none is never told.
"""

import ctypes
import os
import socket
from collections.abc import Callable

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

pytestmark = needs_kernel

PLAIN = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def with_upgrade(line: bytes) -> bytes:
    return REQUEST.replace(b"Upgrade: websocket\r\n", line)


def tells_all(probe: Probe, request: bytes) -> None:
    """Both ends tell the request, the response, and a message behind each."""
    with connected() as (client, server):
        exchange(client, server, request)
        exchange(server, client, SWITCHING)
        exchange(client, server, b"ping")
        exchange(server, client, b"pong")
        both(probe, request + b"ping", SWITCHING + b"pong")


def nothing_else(probe: Probe) -> None:
    """A WebSocket on a new connection is told, and before it was nothing."""
    with connected() as (client, server):
        upgrade(client, server)
        both(probe, REQUEST, SWITCHING)
    assert len(probe.of(SERVER)) == len(probe.of(CLIENT)) == 1


def test_a_request_cut_at_every_place(probe: Probe) -> None:
    for cut in range(1, len(REQUEST)):
        with connected() as (client, server):
            exchange(client, server, REQUEST[:cut])
            exchange(client, server, REQUEST[cut:])
            exchange(server, client, SWITCHING)
            both(probe, REQUEST, SWITCHING)
        probe.forget()


def test_a_request_byte_by_byte(probe: Probe) -> None:
    with connected() as (client, server):
        for at in range(len(REQUEST)):
            exchange(client, server, REQUEST[at : at + 1])
        exchange(server, client, SWITCHING)
        both(probe, REQUEST, SWITCHING)


@pytest.mark.parametrize("entry_bytes", [1, 2, 7, 64])
def test_heads_in_vectors(probe: Probe, entry_bytes: int) -> None:
    parts = [REQUEST[at : at + entry_bytes] for at in range(0, len(REQUEST), entry_bytes)]
    with connected() as (client, server):
        assert client.sendmsg([b"", *parts[:100]]) == len(b"".join(parts[:100]))
        client.sendall(b"".join(parts[100:]))
        assert receive(server, len(REQUEST)) == REQUEST
        server.sendmsg([SWITCHING[:5], b"", SWITCHING[5:7], SWITCHING[7:]])
        assert receive(client, len(SWITCHING)) == SWITCHING
        exchange(client, server, b"x" * 8_192)
        both(probe, REQUEST + b"x" * 8_192, SWITCHING)


@pytest.mark.parametrize(
    "line",
    [
        b"UPGRADE: WEBSOCKET\r\n",
        b"uPgRaDe:wEbSoCkEt\r\n",
        b"Upgrade: \t  websocket \t\r\n",
        b"Upgrade: h2c, websocket\r\n",
        b"Upgrade: " + b" " * 400 + b"websocket\r\n",
        b"X-Upgrade: none\r\nUpgrade: websocket\r\n",
        b"Upgrade: h2c\r\nUpgrade: TLS/1.0\r\nUpgrade: websocket\r\n",
        b"Upgrade: a\r\n" * 12 + b"Upgrade: websocket\r\n",
        b"Upgrade: websocket\n",
    ],
)
def test_the_header_is_found_however_it_is_written(probe: Probe, line: bytes) -> None:
    tells_all(probe, with_upgrade(line))


@pytest.mark.parametrize("padding", range(8))
def test_the_header_is_found_at_every_alignment(probe: Probe, padding: int) -> None:
    tells_all(probe, REQUEST.replace(b"/chat", b"/" + b"c" * padding))


@pytest.mark.parametrize(
    "line",
    [
        b"Upgrade : websocket\r\n",
        b"Upgrade:\r\n websocket\r\n",
        b"Upgrade: " + b" " * 600 + b"websocket\r\n",
        b"Cookie: " + b"c" * 20_000 + b"\r\nUpgrade: websocket\r\n",
    ],
)
def test_a_server_that_understands_more_gives_it_away(probe: Probe, line: bytes) -> None:
    """The request is not recognised; its response with status 101 is."""
    request = with_upgrade(line)
    with connected() as (client, server):
        exchange(client, server, request)
        exchange(server, client, SWITCHING)
        exchange(client, server, b"frames")
        exchange(server, client, b"answer")
        probe.until(lambda: told(probe, SERVER, WRITE) >= len(SWITCHING) + 6)
        probe.until(lambda: told(probe, CLIENT, READ) >= len(SWITCHING) + 6)
        [seen] = probe.of(SERVER)
        assert seen.stream(READ) == b"frames"
        assert seen.streams[READ] == {len(request): b"frames"}
        assert seen.stream(WRITE) == SWITCHING + b"answer"


def told(probe: Probe, role: int, flow: int) -> int:
    return sum(len(data) for seen in probe.of(role) for data in seen.streams[flow].values())


def test_a_request_behind_a_long_body_is_given_away(probe: Probe) -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + b"b" * 20_000
    with connected() as (client, server):
        exchange(client, server, post + REQUEST)
        exchange(server, client, OK)
        exchange(server, client, SWITCHING)
        exchange(client, server, b"frames")
        probe.until(lambda: told(probe, SERVER, READ) >= 6)
        assert probe.of(SERVER)[0].stream(READ) == b"frames"


def test_other_upgrades_stay_in_the_kernel(probe: Probe) -> None:
    with connected() as (client, server):
        exchange(client, server, with_upgrade(b"Upgrade: h2c\r\n"))
        exchange(server, client, SWITCHING.replace(b"websocket", b"h2c"))
        exchange(client, server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    nothing_else(probe)


@pytest.mark.parametrize("refusal", [REFUSAL, REFUSAL.replace(b"426", b"400")])
def test_refused_again_and_again_then_granted(probe: Probe, refusal: bytes) -> None:
    with connected() as (client, server):
        for _ in range(3):
            exchange(client, server, REQUEST)
            exchange(server, client, refusal)
        exchange(client, server, PLAIN)
        exchange(server, client, OK)
        upgrade(client, server)
        exchange(client, server, b"frames")
        probe.until(
            lambda: (
                len(probe.of(SERVER)) == 4
                and told(probe, SERVER, READ) >= 4 * len(REQUEST) + len(PLAIN) + 6
            )
        )
    *refused, granted = probe.of(SERVER)
    assert [seen.generation for seen in (*refused, granted)] == [1, 2, 3, 4]
    for seen in refused:
        assert seen.stream(READ).startswith(REQUEST)
        assert seen.stream(WRITE).startswith(refusal)
    assert granted.stream(READ) == REQUEST + b"frames"
    assert granted.stream(WRITE) == SWITCHING


def keep_alive(client: socket.socket, server: socket.socket) -> None:
    for _ in range(100):
        exchange(client, server, PLAIN)
        exchange(server, client, OK)


def post_bodies(client: socket.socket, server: socket.socket) -> None:
    for size in (0, 1, 100, 20_000):
        head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size
        exchange(client, server, head + b"websocket\r\n"[: size % 11])
        exchange(client, server, os.urandom(size - size % 11) if size > 11 else b"")
        exchange(server, client, OK)


def long_responses(client: socket.socket, server: socket.socket) -> None:
    exchange(client, server, PLAIN)
    exchange(server, client, b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
    for _ in range(10):
        exchange(server, client, b"Upgrade: websocket\r\n" * 500)


def an_event_stream(client: socket.socket, server: socket.socket) -> None:
    exchange(client, server, PLAIN)
    for _ in range(10):
        exchange(server, client, b"data: HTTP/1.1 101\n\n")


def not_http(client: socket.socket, server: socket.socket) -> None:
    exchange(client, server, b"EHLO a\r\n")
    exchange(server, client, b"250\r\n")
    exchange(client, server, REQUEST)
    exchange(server, client, SWITCHING)


def few_bytes_at_a_time(client: socket.socket, server: socket.socket) -> None:
    for _ in range(20):
        exchange(client, server, b"a")
        exchange(server, client, b"b")


@pytest.mark.parametrize(
    "talk",
    [keep_alive, post_bodies, long_responses, an_event_stream, not_http, few_bytes_at_a_time],
)
def test_what_is_no_websocket_is_never_told(
    probe: Probe, talk: Callable[[socket.socket, socket.socket], None]
) -> None:
    with connected() as (client, server):
        talk(client, server)
    nothing_else(probe)


def test_files_and_pipes_are_never_told(probe: Probe, tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "request")
    with open(path, "wb", buffering=0) as file:
        file.write(REQUEST)
    with open(path, "rb", buffering=0) as file:
        assert file.read() == REQUEST
    reading, writing = os.pipe()
    os.write(writing, REQUEST)
    assert os.read(reading, 4_096) == REQUEST
    os.close(reading)
    os.close(writing)
    nothing_else(probe)


def test_a_descriptor_whose_end_was_not_seen_is_judged_anew(probe: Probe) -> None:
    libc = ctypes.CDLL(None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        exchange(client, server, b"not HTTP")
        numbers = {client.detach(), server.detach()}
        for number in numbers:
            libc.close_range(number, number, 0)
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            assert {client.fileno(), server.fileno()} == numbers
            upgrade(client, server)
            both(probe, REQUEST, SWITCHING)


def test_bytes_that_are_thrown_away_are_counted(probe: Probe) -> None:
    """TCP does not hand over what is received with MSG_TRUNC."""
    with connected() as (client, server):
        upgrade(client, server)
        both(probe, REQUEST, SWITCHING)
        before = probe.counters()["lost_unreadable"]
        client.sendall(b"0123456789")
        assert server.recv(1) == b"0"
        assert len(server.recv(4, socket.MSG_TRUNC)) == 4
        assert len(server.recvmsg(3, 0, socket.MSG_TRUNC)[0]) == 3
        assert receive(server, 2) == b"89"
        probe.until(lambda: told(probe, SERVER, READ) >= len(REQUEST) + 3)
        at = len(REQUEST)
        assert probe.of(SERVER)[0].streams[READ] == {0: REQUEST, at: b"0", at + 8: b"89"}
        assert probe.counters()["lost_unreadable"] == before + 7


def test_three_mebibytes_in_one_call_are_told_or_counted(probe: Probe) -> None:
    client, server = socket.socketpair()
    data = os.urandom(3 << 20)
    with client, server:
        client.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 16 << 20)
        upgrade(client, server)
        before = probe.counters()
        assert client.send(data) == len(data)
        probe.until(lambda: told(probe, CLIENT, WRITE) >= len(REQUEST) + (1 << 20))
        after = probe.counters()
    lost = after["lost_capture_limit"] - before["lost_capture_limit"]
    assert after["lost_ring_full"] == before["lost_ring_full"]
    assert probe.of(CLIENT)[0].stream(WRITE) == REQUEST + data[: 1 << 20]
    assert lost == len(data) - (1 << 20)
