"""Calls of every kind and size: what moved is told, byte for byte, or counted."""

import contextlib
import ctypes
import os
import random
import socket
import threading
from collections.abc import Iterator

import pytest
from capture import (
    CLIENT,
    READ,
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

from sockwarden.agent.probe.programs import Settings

pytestmark = needs_kernel

libc = ctypes.CDLL(None, use_errno=True)
MEBIBYTE = 1 << 20


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("vector", ctypes.POINTER(Iovec)),
        ("entries", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class MultiHeader(ctypes.Structure):
    _fields_ = (("header", Header), ("moved", ctypes.c_uint32))


class Vector:
    """Buffers as the kernel wants them; `parts` are their contents or sizes."""

    def __init__(self, parts: list[bytes] | list[int]) -> None:
        self.buffers = [ctypes.create_string_buffer(part, _size(part)) for part in parts]
        self.entries = (Iovec * len(parts))(
            *(
                Iovec(ctypes.addressof(b), _size(p))
                for b, p in zip(self.buffers, parts, strict=True)
            )
        )


def _size(part: bytes | int) -> int:
    return part if isinstance(part, int) else len(part)


def messages(vectors: list[Vector]) -> "ctypes.Array[MultiHeader]":
    return (MultiHeader * len(vectors))(
        *(
            MultiHeader(Header(vector=vector.entries, entries=len(vector.entries)))
            for vector in vectors
        )
    )


HEADERS_AND_PAYLOADS = (
    *((0, 1), (1, 0), (2, 60), (14, 4096), (14, 4097), (64, 64), (64, 4096), (65, 64), (300, 5000)),
    *((1,), (64,), (4096,), (4097,), (2, 5, 60)),
)


def test_a_header_and_its_payload_in_one_call(probe: Probe) -> None:
    """What most servers do; one record where both are small."""
    data = b""
    with connected() as (client, server):
        upgrade(client, server)
        for sizes in HEADERS_AND_PAYLOADS:
            parts = [random.randbytes(size) for size in sizes]
            for room in ((14, 1 << 16), (64, 1 << 16), (1 << 16, 64), (1 << 17,)):
                assert os.writev(client.fileno(), parts) == sum(sizes)
                left = sum(sizes)
                while left:
                    left -= os.readv(server.fileno(), [bytearray(size) for size in room])
                data += b"".join(parts)
        both(probe, REQUEST + data, SWITCHING)
    [seen] = probe.of(CLIENT)
    assert 14 + 4096 in map(len, seen.streams[WRITE].values())


def test_several_messages_in_one_call(probe: Probe) -> None:
    first, second = [b"one", b"", b"two" * 40], [b"three" * 9_000]
    data = b"".join(first + second)
    with connected() as (client, server):
        upgrade(client, server)
        vectors = [Vector(first), Vector(second)]
        out = messages(vectors)
        assert libc.sendmmsg(client.fileno(), out, 2, 0) == 2
        assert sum(each.moved for each in out) == len(data)
        assert receive(server, len(data)) == data
        for part in (b"short", b"longer than that"):
            server.send(part)
        # The first message takes what is there, less than its room; the second what comes then.
        room = [Vector([3, 100]), Vector([100])]
        into = messages(room)
        got = libc.recvmmsg(client.fileno(), into, 2, socket.MSG_DONTWAIT, None)
        assert got >= 1
        moved = sum(each.moved for each in into[:got])
        receive(client, len(b"shortlonger than that") - moved)
        both(probe, REQUEST + data, SWITCHING + b"shortlonger than that")


def test_many_messages_in_one_call(probe: Probe) -> None:
    parts = [[os.urandom(n % 7 + 1)] for n in range(200)]
    data = b"".join(part for [part] in parts)
    with connected() as (client, server):
        upgrade(client, server)
        vectors = [Vector(part) for part in parts]
        assert libc.sendmmsg(client.fileno(), messages(vectors), 200, 0) == 200
        assert receive(server, len(data)) == data
        both(probe, REQUEST + data, SWITCHING)


def test_vectors_without_a_position(probe: Probe) -> None:
    """preadv2(2) and pwritev2(2) with the offset -1 work on sockets."""
    with connected() as (client, server):
        upgrade(client, server)
        parts = Vector([b"here", b" and ", b"there"])
        minus = ctypes.c_long(-1)
        assert libc.pwritev2(client.fileno(), parts.entries, 3, minus, 0) == 14
        into = Vector([5, 20])
        assert libc.preadv2(server.fileno(), into.entries, 2, minus, 0) == 14
        both(probe, REQUEST + b"here and there", SWITCHING)


@pytest.fixture(scope="module")
def large() -> Iterator[Probe]:
    probe = Probe(Settings(ring_bytes=128 * MEBIBYTE, capture_limit_bytes=64 * MEBIBYTE))
    yield probe
    probe.close()


@pytest.mark.parametrize("size", [65_535, 65_537, 5 * MEBIBYTE + 1, 64 * MEBIBYTE])
def test_a_call_of_any_size(large: Probe, size: int) -> None:
    large.forget()
    data = random.Random(size).randbytes(size)
    client, server = socket.socketpair()
    with client, server:
        client.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 256 * MEBIBYTE)
        upgrade(client, server)
        assert client.send(data) == size
        large.until(
            lambda: (
                bool(large.of(CLIENT))
                and sum(map(len, large.of(CLIENT)[0].streams[WRITE].values()))
                >= len(REQUEST) + size
            )
        )
        assert large.of(CLIENT)[0].stream(WRITE) == REQUEST + data


def test_partial_writes_and_blocked_ones_count_what_has_moved(probe: Probe) -> None:
    with connected() as (client, server):
        upgrade(client, server)
        client.setblocking(False)
        sent = bytearray()
        with contextlib.suppress(BlockingIOError):
            while True:
                piece = os.urandom(300_000)
                sent += piece[: client.send(piece)]
        assert len(sent) % 300_000  # the last one was partial
        client.setblocking(True)
        assert receive(server, len(sent)) == bytes(sent)
        both(probe, REQUEST + bytes(sent), SWITCHING)


def test_two_threads_on_one_connection(probe: Probe) -> None:
    data = os.urandom(400_000)
    with connected() as (client, server):
        upgrade(client, server)
        sender = threading.Thread(target=exchange, args=(client, server, data))
        sender.start()
        exchange(server, client, data[::-1])
        sender.join()
        both(probe, REQUEST + data, SWITCHING + data[::-1])


@pytest.mark.parametrize("ring_bytes", [65_536, 262_144])
def test_the_books_of_an_overloaded_ring_are_exact(ring_bytes: int) -> None:
    """Told and counted lost is what was sent, and what comes after the overload is told again."""
    probe = Probe(Settings(ring_bytes=ring_bytes, capture_limit_bytes=200_000))
    dice = random.Random(7)
    try:
        client, server = socket.socketpair()
        with client, server:
            client.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 8 * MEBIBYTE)
            upgrade(client, server)
            probe.drain()
            sent = 0
            for _ in range(60):
                size = dice.choice([1, 63, 64, 65, 5_000, 70_000, 300_000])
                parts = [bytes(dice.randrange(1 + 2 * size // 3)) for _ in range(3)]
                data = b"".join(parts)
                assert client.sendmsg(parts) == len(data)
                assert receive(server, len(data)) == data
                sent += len(data)
            probe.drain()
            exchange(client, server, b"last")
            probe.drain()
            counters = probe.counters()
            lost = {name: counters[name] for name in counters if name.startswith("lost_")}
            told = sum(
                len(data)
                for seen in probe.of(CLIENT) + probe.of(SERVER)
                for flow in seen.streams
                for data in flow.values()
            )
            assert lost["lost_ring_full"] > 0
            assert lost["lost_capture_limit"] > 0
            assert told + sum(lost.values()) == 2 * (sent + 4 + len(REQUEST) + len(SWITCHING))
            [last] = probe.of(SERVER)
            assert last.streams[READ][len(REQUEST) + sent] == b"last"
    finally:
        probe.close()
