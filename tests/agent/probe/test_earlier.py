"""Connections that are there before the probe: listed, known by their bytes, told from there."""

import os
import socket
import ssl
import struct
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
    connected,
    exchange,
    libssl,
    needs_kernel,
    receive,
)

from sockwarden.agent.probe import earlier, maps

MIDSTREAM = 1  # enum sw_flag


def inode(end: socket.socket) -> int:
    return os.fstat(end.fileno()).st_ino


def masked(payload: bytes, opcode: int = 0x81) -> bytes:
    """A client's frame, with a key of zeros."""
    head = bytes([opcode, 0x80 | len(payload)]) if len(payload) < 126 else None
    head = head or struct.pack(">BBH", opcode, 0x80 | 126, len(payload))
    return head + bytes(4) + payload


def plain(payload: bytes) -> bytes:
    return bytes([0x81, len(payload)]) + payload


def test_connected_stream_sockets_are_listed() -> None:
    one, other = socket.socketpair()
    with (
        one,
        other,
        connected() as (client, server),
        connected("::1") as (client6, server6),
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        found, beyond = earlier.sockets()
        for end in (client, server, client6, server6, one, other):
            assert inode(end) in found
        assert inode(listener) not in found
        assert inode(datagrams) not in found
        assert beyond == 0


def test_what_is_beyond_the_bound_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier, "MAX_SOCKETS", 1)
    with connected():
        found, beyond = earlier.sockets()
        assert len(found) == 1
        assert beyond >= 1


def test_a_table_that_lies_is_no_trouble(tmp_path: Path) -> None:
    process = tmp_path / "1"
    (process / "ns").mkdir(parents=True)
    (process / "ns" / "net").touch()
    (process / "net").mkdir()
    (process / "net" / "tcp").write_bytes(b"a head\n1 2 3 01 5 6 7 8 9 ten\n\n1 2 3 01\n\xff\n")
    assert earlier.sockets(tmp_path) == ([], 0)


def list_now(probe: Probe) -> None:
    maps.list_earlier(probe.loaded.maps["earlier"], earlier.sockets()[0])


@needs_kernel[1]
@pytest.mark.kernel
@pytest.mark.parametrize("first", [b"hello", b"h" * 300, b""])
def test_frames_of_an_earlier_connection_are_told_from_there(probe: Probe, first: bytes) -> None:
    with connected() as (client, server):
        list_now(probe)
        exchange(client, server, masked(first))
        exchange(server, client, plain(b"answer"))
        exchange(client, server, masked(b"again"))
        probe.until(
            lambda: all(
                probe.of(role) and all(probe.of(role)[0].streams) for role in (SERVER, CLIENT)
            )
        )
        [seen], [other] = probe.of(SERVER), probe.of(CLIENT)
        assert seen.flags == other.flags == MIDSTREAM
        assert seen.stream(READ) == other.stream(WRITE) == masked(first) + masked(b"again")
        assert seen.stream(WRITE) == plain(b"answer")
        assert seen.local == (2, "127.0.0.1", server.getsockname()[1])


@needs_kernel[1]
@pytest.mark.kernel
def test_the_rest_of_a_frame_is_waited_out(probe: Probe) -> None:
    with connected() as (client, server):
        list_now(probe)
        exchange(client, server, b"\xff the rest of a payload")
        exchange(client, server, masked(b"whole"))
        probe.until(lambda: bool(probe.of(SERVER) and probe.of(SERVER)[0].streams[READ]))
        assert probe.of(SERVER)[0].stream(READ) == masked(b"whole")


@needs_kernel[1]
@pytest.mark.kernel
def test_what_is_no_frame_is_given_up_and_http_is_still_seen(probe: Probe) -> None:
    with connected() as (client, server), connected() as (other_client, other_server):
        list_now(probe)
        for _ in range(maps.EARLIER_TRIES + 1):
            exchange(client, server, b"SELECT 1")
        exchange(client, server, masked(b"too late"))
        exchange(other_client, other_server, REQUEST)
        exchange(other_server, other_client, SWITCHING)
        probe.until(lambda: bool(probe.of(SERVER) and probe.of(SERVER)[0].streams[WRITE]))
        [seen] = probe.of(SERVER)
        assert seen.flags == 0
        assert seen.stream(READ) == REQUEST


@needs_kernel[1]
@pytest.mark.kernel
def test_tls_of_an_earlier_connection(
    probe: Probe, detached_behind: None, certificate: Certificate
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends: list[ssl.SSLSocket] = []

        def accept() -> None:
            raw, _ = listener.accept()
            ends.append(certificate.server().wrap_socket(raw, server_side=True))

        thread = threading.Thread(target=accept)
        thread.start()
        raw = socket.create_connection(listener.getsockname())
        with certificate.client().wrap_socket(raw, server_hostname="localhost") as client:
            thread.join()
            with ends[0] as server:
                client.sendall(b"before")
                assert receive(server, 6) == b"before"
                probe.attach_library(libssl())
                list_now(probe)
                for payload in (b"one", b"two"):
                    client.sendall(masked(payload))
                    receive(server, len(masked(payload)))
                probe.until(
                    lambda: any(
                        masked(b"two") in b"".join(seen.streams[READ].values())
                        for seen in probe.of(SERVER)
                    )
                )
                [seen] = probe.of(SERVER)
                assert seen.flags == MIDSTREAM
                assert (seen.source, seen.remote) == (1, (2, *client.getsockname()))
