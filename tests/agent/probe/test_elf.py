"""Offsets of functions in real and in hostile ELF files, read without any right."""

import ctypes
import os
import random
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockwarden.agent.probe import elf_server, tls
from sockwarden.agent.probe.elf_reader import ElfReader, Found, Refused

LIBSSL = next(Path("/usr/lib").glob("*/libssl.so.3"), None)
NODE = shutil.which("node")


@pytest.fixture(scope="module")
def reader() -> Iterator[ElfReader]:
    reader = ElfReader()
    yield reader
    reader.close()


def ask(reader: ElfReader, path: Path, symbols: tuple[str, ...] = ("SSL_read",)) -> Found | Refused:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return reader.ask(descriptor, symbols)
    finally:
        os.close(descriptor)


def build(directory: Path, *options: str) -> Path:
    source = directory / "program.c"
    source.write_text(
        "int SSL_read(void){return 1;} int my_SSL_write(void){return 2;}"
        " int SSL_write(void){return 3;} int main(void){return SSL_read();}"
    )
    subprocess.run(["cc", "-o", "program", "program.c", *options], cwd=directory, check=True)
    return directory / "program"


def code_at(path: Path, offset: int) -> bytes:
    return path.read_bytes()[offset : offset + 16]


@pytest.mark.skipif(LIBSSL is None, reason="no libssl here")
def test_libssl(reader: ElfReader) -> None:
    """The offset is where the loaded library has the function's code."""
    answer = ask(reader, LIBSSL, tls.symbols())
    assert isinstance(answer, Found)
    assert answer.offsets.keys() >= {"SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex"}
    loaded = ctypes.CDLL(str(LIBSSL))
    for name, offset in answer.offsets.items():
        # The first instruction may be a breakpoint in memory: a probe of whoever watches here.
        assert ctypes.string_at(getattr(loaded, name), 16)[4:] == code_at(LIBSSL, offset)[4:]


@pytest.mark.skipif(NODE is None, reason="no Node.js here")
def test_node(reader: ElfReader) -> None:
    answer = ask(reader, Path(NODE).resolve(), tls.symbols())
    assert isinstance(answer, Found)
    # A shared libssl is Debian's choice, a static one everybody else's.
    assert not answer.offsets or tls.libraries()[0].defined_by(frozenset(answer.offsets))


@pytest.mark.parametrize("options", [["-no-pie"], ["-pie", "-fPIE"], ["-rdynamic", "-s"]])
def test_executables(reader: ElfReader, tmp_path: Path, options: list[str]) -> None:
    program = build(tmp_path, *options)
    answer = ask(reader, program, ("SSL_read", "SSL_write", "SSL_free"))
    assert isinstance(answer, Found)
    assert answer.offsets.keys() == {"SSL_read", "SSL_write"}
    for name, value in (("SSL_read", 1), ("SSL_write", 3)):
        assert struct.pack("<BI", 0xB8, value) in code_at(program, answer.offsets[name])


def test_an_undefined_symbol_is_none(reader: ElfReader, tmp_path: Path) -> None:
    answer = ask(reader, build(tmp_path), ("__libc_start_main", "puts"))
    assert answer == Found({})


def test_hostile_files_are_refused_or_read_and_nothing_else(
    reader: ElfReader, tmp_path: Path
) -> None:
    whole = build(tmp_path).read_bytes()
    seed = random.Random(1)  # the same files in every run
    files = [whole[:size] for size in (0, 3, 16, 63, 64, 200, len(whole) // 2, len(whole) - 1)]
    for _ in range(60):
        file = bytearray(whole)
        for _ in range(seed.choice((1, 4, 32))):
            # Headers at both ends are what leads a reader astray.
            place = seed.choice((seed.randrange(64, 1_000), len(file) - seed.randrange(1, 1_800)))
            file[place] = seed.choice((0, 0xFF, 0x7F, seed.randrange(256)))
        files.append(bytes(file))
    answers = []
    hostile = tmp_path / "hostile"
    for file in files:
        hostile.write_bytes(file)
        answer = ask(reader, hostile)
        assert isinstance(answer, Found | Refused)
        answers.append(answer)
    assert Refused in map(type, answers)
    assert reader.restarts == 0
    assert isinstance(ask(reader, tmp_path / "program"), Found)


def giant_section(program: bytes, size_bytes: int) -> bytes:
    """The file with every section said to be as large."""
    file = bytearray(program)
    (sections,) = struct.unpack_from("<Q", file, 0x28)
    (number,) = struct.unpack_from("<H", file, 0x3C)
    for index in range(number):
        struct.pack_into("<Q", file, sections + 64 * index + 32, size_bytes)
    return bytes(file)


@pytest.mark.parametrize("size_bytes", [500 << 20, 1 << 40, 2**64 - 1])
def test_giant_tables(reader: ElfReader, tmp_path: Path, size_bytes: int) -> None:
    hostile = tmp_path / "hostile"
    hostile.write_bytes(giant_section(build(tmp_path).read_bytes(), size_bytes))
    os.truncate(hostile, 2 << 30)  # sparse: the table is "there"
    begin = time.monotonic()
    assert isinstance(ask(reader, hostile), Refused)
    assert time.monotonic() - begin < 2 * elf_server.READER_WALL_SECONDS


def test_what_is_no_file_and_what_is_too_large(reader: ElfReader, tmp_path: Path) -> None:
    assert ask(reader, Path("/dev/null")) == Refused("no regular file")
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, 5 << 30)
    assert ask(reader, large) == Refused("above 4 GiB")


def test_the_reader_has_no_right(reader: ElfReader) -> None:
    ask(reader, Path("/bin/sh"))
    fields = dict(
        line.split(":\t") for line in Path(f"/proc/{reader.pid}/status").read_text().splitlines()
    )
    if os.geteuid() == 0:
        assert fields["Uid"] == fields["Gid"] == "\t".join(["65534"] * 4)
        assert fields["Groups"].strip() == ""
        assert int(fields["CapBnd"], 16) == 0
    assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == 0
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")


def test_a_dead_server_is_started_again(tmp_path: Path) -> None:
    reader = ElfReader()
    program = build(tmp_path)
    try:
        assert isinstance(ask(reader, program), Found)
        os.kill(reader.pid or 0, signal.SIGKILL)
        assert isinstance(ask(reader, program), Found | Refused)
        assert isinstance(ask(reader, program), Found)
        assert reader.restarts == 1
    finally:
        reader.close()


def test_a_hanging_server_is_ended(tmp_path: Path) -> None:
    reader = ElfReader(limit_seconds=0.3)
    program = build(tmp_path)
    try:
        assert isinstance(ask(reader, program), Found)
        hanging = reader.pid or 0
        os.kill(hanging, signal.SIGSTOP)
        assert ask(reader, program) == Refused("no answer within 0.3 s")
        with pytest.raises(ProcessLookupError):
            os.kill(hanging, 0)
    finally:
        reader.close()
