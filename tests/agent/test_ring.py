"""The ring's reader, against the kernel: a socket filter of a few instructions writes records."""

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from sockwarden.agent.probe.attach import library
from sockwarden.agent.ring import Ring

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="making BPF maps needs root"),
]

RING_BYTES = 16_384
RECORD = struct.Struct("<QQQQIIIBBBB")
ARRAY_MAP, RING_MAP = 2, 27
SOCKET_FILTER = 1
SO_ATTACH_BPF = 50


def create_map(kind: int, key_bytes: int, value_bytes: int, entries: int) -> int:
    made = library().bcc_create_map(kind, b"test", key_bytes, value_bytes, entries, 0)
    assert made >= 0, os.strerror(ctypes.get_errno())
    return int(made)


def record(data: bytes, connection: int = 1, captured: int | None = None) -> bytes:
    size = len(data) if captured is None else captured
    return RECORD.pack(connection, 2, 3, len(data), size, 1, 4, 2, 0, 0, 1) + data


def instruction(code: int, target: int = 0, source: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, target | source << 4, 0, value)


def pair(target: int, source: int, value: int) -> bytes:
    """ld_imm64: a map (source 1) or the value of an array map (source 2)."""
    return instruction(0x18, target, source, value) + instruction(0)


class Writer:
    """Writes what it is given to the ring, by a program that runs on each datagram."""

    def __init__(self, ring: int) -> None:
        self.ring = ring

    def _run(self, code: bytes) -> None:
        load = library().bcc_prog_load
        load.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int]
        load.argtypes += [ctypes.c_char_p, ctypes.c_uint, ctypes.c_int, ctypes.c_char_p]
        load.argtypes += [ctypes.c_uint]
        code += instruction(0xB7, 0) + instruction(0x95)
        program = load(SOCKET_FILTER, b"writer", code, len(code), b"GPL", 0, 0, None, 0)
        assert program >= 0, os.strerror(ctypes.get_errno())
        reading, writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with reading, writing:
            reading.setsockopt(socket.SOL_SOCKET, SO_ATTACH_BPF, program)
            writing.send(b"x")
        os.close(program)

    def write(self, data: bytes) -> None:
        values = create_map(ARRAY_MAP, 4, len(data), 1)
        assert library().bpf_update_elem(values, bytes(4), data, ctypes.c_uint64(0)) == 0
        self._run(
            pair(1, 1, self.ring)
            + pair(2, 2, values)
            + instruction(0xB7, 3, 0, len(data))
            + instruction(0xB7, 4, 0, 0)
            + instruction(0x85, 0, 0, 130)  # bpf_ringbuf_output
        )
        os.close(values)

    def discard(self, size: int) -> None:
        self._run(
            pair(1, 1, self.ring)
            + instruction(0xB7, 2, 0, size)
            + instruction(0xB7, 3, 0, 0)
            + instruction(0x85, 0, 0, 131)  # bpf_ringbuf_reserve
            + struct.pack("<BBhi", 0x15, 0, 3, 0)  # refused: skip three
            + instruction(0xBF, 1, 0)
            + instruction(0xB7, 2, 0, 0)
            + instruction(0x85, 0, 0, 133)  # bpf_ringbuf_discard
        )


@pytest.fixture
def ring() -> Iterator[tuple[Writer, Ring]]:
    made = create_map(RING_MAP, 0, 0, RING_BYTES)
    with contextlib.closing(Ring(made)) as reader:
        yield Writer(made), reader


def test_reads_records_in_order_and_gives_their_space_back(ring: tuple[Writer, Ring]) -> None:
    writer, reader = ring
    assert reader.read() == []
    written = [record(b"a" * n, connection=n + 1) for n in (0, 1, 7, 8, 1_000)]
    for each in written:
        writer.write(each)
    assert reader.read() == written
    assert reader.backlog() == 0


def test_records_that_wrap_around_the_end_stay_whole(ring: tuple[Writer, Ring]) -> None:
    writer, reader = ring
    for number in range(20):
        data = record(bytes([number]) * 5_000, connection=number + 1)
        writer.write(data)
        assert reader.read() == [data]


def test_a_size_class_larger_than_its_bytes_is_cut_to_them(ring: tuple[Writer, Ring]) -> None:
    writer, reader = ring
    writer.write(record(b"hello" + bytes(59), captured=5))
    [read] = reader.read()
    assert read[RECORD.size :] == b"hello"


def test_discarded_records_are_passed_over(ring: tuple[Writer, Ring]) -> None:
    writer, reader = ring
    writer.write(record(b"one"))
    writer.discard(128)
    writer.write(record(b"two"))
    assert [each[RECORD.size :] for each in reader.read()] == [b"one", b"two"]
    assert reader.malformed == 0


@pytest.mark.parametrize(
    "bad", [b"short", record(b"five!", captured=6), record(b"", captured=2**32 - 1)]
)
def test_records_that_contradict_themselves_are_counted(
    ring: tuple[Writer, Ring], bad: bytes
) -> None:
    writer, reader = ring
    writer.write(bad)
    writer.write(record(b"good"))
    assert [each[RECORD.size :] for each in reader.read()] == [b"good"]
    assert reader.malformed == 1


def test_a_full_ring_refuses_until_it_was_read(ring: tuple[Writer, Ring]) -> None:
    writer, reader = ring
    for _ in range(5):
        writer.write(record(bytes(4_000)))
    assert len(reader.read()) == 4
    writer.write(record(b"again"))
    assert len(reader.read()) == 1


def test_maps_without_privilege(ring: tuple[Writer, Ring]) -> None:
    writer, _ = ring
    writer.write(record(b"seen"))
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(65_534, 65_534, 65_534)
        os.setresuid(65_534, 65_534, 65_534)
        seen = [each[RECORD.size :] for each in Ring(os.dup(writer.ring)).read()]
        os._exit(0 if seen == [b"seen"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_descriptor_that_is_no_ring_is_refused() -> None:
    with open("/dev/null") as file, pytest.raises(OSError, match="not a BPF ring"):
        Ring(file.fileno())
