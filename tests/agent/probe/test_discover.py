"""Discovery over real processes that load, share, upgrade and let go of TLS libraries."""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from sockwarden.agent.probe import attached, discover, elf_reader, procfs, tls
from sockwarden.agent.probe.attach import AttachError
from sockwarden.agent.probe.discover import Discovery
from sockwarden.agent.probe.elf_reader import ElfReader
from sockwarden.agent.probe.mapped_file import MappedFile, Mounts, UnreadableError, open_mapped
from sockwarden.agent.probe.new_mappings import NewMapping
from sockwarden.agent.probe.procfs import ProcessDirectory

LIBSSL = next(Path("/usr/lib").glob("*/libssl.so.3"), None)

pytestmark = [
    pytest.mark.skipif(LIBSSL is None, reason="no libssl here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="reading others' mappings needs root"),
]

# Loads each library whose path it reads, and says so.
LOADER = """
import ctypes, sys
for line in sys.stdin:
    ctypes.CDLL(line.strip())
    print("loaded", flush=True)
"""


class Program:
    """A process that loads libraries on demand."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOADER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def load(self, library: Path) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{library}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "loaded\n"

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Attachments:
    """What is attached now, by inode, and how often something ever was."""

    def __init__(self) -> None:
        self.now: list[int] = []
        self.ever = 0
        self.refuse = False

    def attach(
        self, library: tls.Library, offsets: Mapping[str, int], file: int
    ) -> contextlib.ExitStack:
        if self.refuse:
            raise AttachError("uprobe on SSL_read: operation not permitted")
        inode = os.fstat(file).st_ino
        self.now.append(inode)
        self.ever += 1
        gone = contextlib.ExitStack()
        gone.callback(self.now.remove, inode)
        return gone


@pytest.fixture(scope="module")
def reader() -> Iterator[ElfReader]:
    reader = ElfReader()
    yield reader
    reader.close()


@pytest.fixture
def attachments() -> Attachments:
    return Attachments()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The processes that are there, as far as the discovery of this test goes."""
    watched: set[int] = set()
    monkeypatch.setattr(
        procfs, "processes", lambda: (pid for pid in watched if Path(f"/proc/{pid}").exists())
    )
    return watched


@pytest.fixture
def program(watched: set[int]) -> Iterator[Callable[[], Program]]:
    programs: list[Program] = []

    def start() -> Program:
        programs.append(Program())
        watched.add(programs[-1].pid)
        return programs[-1]

    yield start
    for started in programs:
        started.end()


@pytest.fixture
def discovery(reader: ElfReader, attachments: Attachments) -> Iterator[Discovery]:
    discovery = Discovery(reader, attachments.attach, detach_after_ns=0)
    yield discovery
    discovery.close()
    assert attachments.now == []


@pytest.fixture
def libssl(tmp_path: Path) -> Path:
    """A copy, so that nobody else here uses its inode."""
    return Path(shutil.copy(LIBSSL, tmp_path / "libssl.so.3"))


def pass_until(discovery: Discovery, condition: Callable[[], bool], seconds: float = 10) -> float:
    begin = time.monotonic()
    while True:
        discovery.run_pass()
        if condition():
            return time.monotonic() - begin
        assert time.monotonic() - begin < seconds, discovery.counters
        time.sleep(0.05)


def test_a_library_that_is_loaded_late(
    discovery: Discovery,
    attachments: Attachments,
    program: Callable[[], Program],
    libssl: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discover, "LATE_LOAD_NS", 0)  # as if it ran for long
    first, second = program(), program()
    pass_until(discovery, lambda: discovery.backlog == 0)
    assert attachments.now == []
    first.load(libssl)
    assert pass_until(discovery, lambda: bool(attachments.now)) < 1.5
    assert attachments.now == [libssl.stat().st_ino]

    # Once an inode, for as long as anybody uses it.
    second.load(libssl)
    for _ in range(15):
        discovery.run_pass()
        time.sleep(0.05)
    first.end()
    discovery.run_pass()
    assert (attachments.ever, len(attachments.now)) == (1, 1)
    assert discovery.counters["tls_files_attached"] == 1
    second.end()
    pass_until(discovery, lambda: not attachments.now)
    assert discovery.counters["tls_files_attached"] == 0


def test_what_keeps_coming_does_not_put_off_being_ready(
    discovery: Discovery, program: Callable[[], Program], libssl: Path
) -> None:
    program()
    assert not discovery.caught_up
    pass_until(discovery, lambda: discovery.caught_up and discovery.backlog == 0)
    program().load(libssl)
    discovery._examine_files = lambda deadline: False  # type: ignore[method-assign]
    discovery.run_pass()
    assert discovery.backlog
    assert discovery.caught_up


def test_what_the_kernel_tells_is_looked_at_without_a_pass(
    reader: ElfReader, attachments: Attachments, program: Callable[[], Program], libssl: Path
) -> None:
    told: list[NewMapping] = []

    def wait(_seconds: float) -> list[NewMapping]:
        now, told[:] = list(told), []
        return now

    discovery = Discovery(reader, attachments.attach, wait)
    running = program()
    pass_until(discovery, lambda: discovery.backlog == 0)
    running.load(libssl)
    inode = libssl.stat().st_ino
    with ProcessDirectory(running.pid) as directory:
        device = next(m.device for m in directory.executable_mappings() if m.inode == inode)
    told += [NewMapping(running.pid, device, inode), NewMapping(2**22 + 1, device, inode + 1)]
    discovery.attend(0)
    assert attachments.now == [inode]
    discovery.close()


def test_a_hashed_bundle_and_a_deleted_file(
    discovery: Discovery, attachments: Attachments, program: Callable[[], Program], libssl: Path
) -> None:
    bundled = libssl.rename(libssl.with_name("bundle-8b2f.so"))
    inode = bundled.stat().st_ino
    started = program()
    started.load(bundled)
    bundled.unlink()
    bundled.write_text("something else under the name")
    pass_until(discovery, lambda: bool(attachments.now))
    assert attachments.now == [inode]


def test_an_upgrade_is_a_second_file(
    discovery: Discovery, attachments: Attachments, program: Callable[[], Program], libssl: Path
) -> None:
    old = libssl.stat().st_ino
    before, after = program(), program()
    before.load(libssl)
    shutil.copy(libssl, libssl.with_suffix(".new")).replace(libssl)
    after.load(libssl)
    pass_until(discovery, lambda: len(attachments.now) == 2)
    assert sorted(attachments.now) == sorted([old, libssl.stat().st_ino])


def test_an_executable_that_exports_the_functions(
    discovery: Discovery, attachments: Attachments, watched: set[int], tmp_path: Path
) -> None:
    (tmp_path / "static.c").write_text(
        "#include <unistd.h>\nint SSL_read(void){return 1;} int SSL_write(void){return 3;}"
        " int main(void){return pause();}"
    )
    subprocess.run(["cc", "-rdynamic", "-o", "static", "static.c"], cwd=tmp_path, check=True)
    with subprocess.Popen([tmp_path / "static"]) as process:
        watched.add(process.pid)
        try:
            pass_until(discovery, lambda: bool(attachments.now))
        finally:
            process.kill()
    pass_until(discovery, lambda: not attachments.now)


def test_a_refused_uprobe_is_counted_and_said(
    discovery: Discovery, attachments: Attachments, program: Callable[[], Program], libssl: Path
) -> None:
    attachments.refuse = True
    program().load(libssl)
    pass_until(discovery, lambda: discovery.counters["tls_attach_failed"] == 1)
    assert discovery.impairment == (
        "openssl in 'libssl.so.3' is not watched: uprobe on SSL_read: operation not permitted"
    )


def test_a_library_that_lies_is_counted(
    discovery: Discovery, program: Callable[[], Program], tmp_path: Path
) -> None:
    (tmp_path / "empty.c").write_text("int nothing;")
    library = tmp_path / "libssl.so.9"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, "empty.c"], cwd=tmp_path, check=True)
    program().load(library)
    # The headers of a mapped file can be written over where it is no running program.
    with library.open("r+b") as file:
        file.write(b"\x7fELF\xff")
    pass_until(discovery, lambda: discovery.counters["tls_files_refused"] == 1)


def test_a_pass_is_bounded_and_the_next_goes_on(
    reader: ElfReader, attachments: Attachments, program: Callable[[], Program], libssl: Path
) -> None:
    for _ in range(3):
        program().load(libssl)
    clock = itertools.count(step=discover.PASS_LIMIT_NS // 4)  # each look at it is a quarter
    discovery = Discovery(reader, attachments.attach, now_ns=lambda: next(clock))
    discovery.run_pass()
    assert discovery.counters["discovery_passes_cut"] == 1
    assert attachments.now == []
    pass_until(discovery, lambda: bool(attachments.now))
    discovery.close()


def test_tables_are_bounded(
    discovery: Discovery,
    program: Callable[[], Program],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discover, "MAX_FILES", 1)
    program()
    pass_until(discovery, lambda: discovery.counters["discovery_table_full"] > 0)


def test_every_process_of_this_machine(reader: ElfReader, attachments: Attachments) -> None:
    """No process, whatever it is, breaks a pass."""
    discovery = Discovery(reader, attachments.attach)
    pass_until(discovery, lambda: discovery.backlog == 0, seconds=30)
    discovery.close()


def test_two_containers_of_one_image_are_one_file(
    discovery: Discovery, attachments: Attachments, program: Callable[[], Program], libssl: Path
) -> None:
    """Their overlay mounts give one lower file two devices, where uprobes see one inode."""
    with contextlib.ExitStack() as mounted:
        for name in ("a", "b"):
            for part in ("upper", "work", "root"):
                (libssl.parent / name / part).mkdir(parents=True)
            base = libssl.parent / name
            image = base.parent / "image"
            image.mkdir(exist_ok=True)
            if not (image / libssl.name).exists():
                shutil.copy(libssl, image)
            options = f"lowerdir={image},upperdir={base}/upper,workdir={base}/work"
            command = ["mount", "-t", "overlay", "overlay", "-o", options, str(base / "root")]
            if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
                pytest.skip("no overlay can be mounted here")
            mounted.callback(subprocess.run, ["umount", "-l", str(base / "root")], check=True)
            program().load(base / "root" / libssl.name)
        pass_until(discovery, lambda: bool(attachments.now) and discovery.backlog == 0)
        discovery.run_pass()
    assert attachments.ever == 1


def test_never_opens_what_could_hold_it_up(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with ProcessDirectory(os.getpid()) as process:
        real = next(process.executable_mappings())
        gone = real._replace(addresses="1000-2000", path=str(fifo))
        with pytest.raises(UnreadableError, match="another file"):
            open_mapped(process, gone, Mounts())
        with pytest.raises(UnreadableError, match="not mounted"):
            open_mapped(process, real._replace(device="fff:ff"), Mounts())
        on_fuse = Mounts()
        on_fuse.type_of = lambda process, device: "fuse.sshfs"  # type: ignore[method-assign]
        with pytest.raises(UnreadableError, match="FUSE"):
            open_mapped(process, real, on_fuse)


def test_a_file_that_hangs_holds_nobody_up(
    discovery: Discovery,
    attachments: Attachments,
    program: Callable[[], Program],
    libssl: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one does on a dead file server, or below an overlay of what the process itself serves."""
    hanging = Path(shutil.copy(libssl, tmp_path / "libssl-hanging.so.3"))
    goes_on, opened = threading.Event(), threading.Event()
    real, descriptors = discover.open_mapped, []

    def slow(process: ProcessDirectory, mapping: procfs.Mapping, mounts: Mounts) -> MappedFile:
        if mapping.path != str(hanging):
            return real(process, mapping, mounts)
        goes_on.wait(30)
        file = real(process, mapping, mounts)
        descriptors.append(file.descriptor)
        opened.set()
        return file

    monkeypatch.setattr(discover, "open_mapped", slow)
    program().load(hanging)
    program().load(libssl)
    pass_until(discovery, lambda: discovery.counters["discovery_given_up"] == 1)
    pass_until(discovery, lambda: attachments.now == [libssl.stat().st_ino])
    goes_on.set()
    assert opened.wait(10)
    deadline = time.monotonic() + 10
    while Path(f"/proc/self/fd/{descriptors[0]}").exists():  # nobody else has it closed
        assert time.monotonic() < deadline
        time.sleep(0.01)
    monkeypatch.setattr(discover, "HUNG_FOR_NS", 0)
    pass_until(discovery, lambda: hanging.stat().st_ino in attachments.now)


def test_copies_without_number_are_left_out(
    discovery: Discovery,
    attachments: Attachments,
    program: Callable[[], Program],
    libssl: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attached, "MAX_ATTACHED_PER_PROCESS", 2)
    greedy, modest = program(), program()
    for number in range(4):
        greedy.load(Path(shutil.copy(libssl, tmp_path / f"libssl-{number}.so.3")))
    pass_until(discovery, lambda: discovery.counters["tls_files_left_out"] == 2)
    modest.load(libssl)
    pass_until(discovery, lambda: len(attachments.now) == 3)
    assert libssl.stat().st_ino in attachments.now


class SlowReader:
    """For some files it takes its time, and no process's but this clock's."""

    def __init__(self, reader: ElfReader) -> None:
        self.slow: set[int] = set()
        self.read: list[int] = []
        self.now_ns = 0
        self._reader = reader

    def ask(self, file: int, symbols: tuple[str, ...]) -> elf_reader.Answer:
        inode = os.fstat(file).st_ino
        self.read.append(inode)
        if inode in self.slow:
            self.now_ns += 3_000_000_000
            return elf_reader.Refused("a table without end")
        return self._reader.ask(file, symbols)

    def clock(self) -> int:
        return self.now_ns


def test_slow_files_of_one_container_do_not_put_off_another(
    reader: ElfReader,
    attachments: Attachments,
    program: Callable[[], Program],
    libssl: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = SlowReader(reader)
    discovery = Discovery(slow, attachments.attach, now_ns=slow.clock, detach_after_ns=0)
    hostile, modest = program(), program()
    of = {hostile.pid: b"0::/pod/hostile\n", modest.pid: b"0::/pod/modest\n"}
    real = ProcessDirectory.read

    def read(process: ProcessDirectory, name: str, limit_bytes: int = 4_096) -> bytes:
        return of[process.pid] if name == "cgroup" else real(process, name, limit_bytes)

    monkeypatch.setattr(ProcessDirectory, "read", read)
    for number in range(6):
        copy = Path(shutil.copy(libssl, tmp_path / f"libssl-{number}.so.3"))
        slow.slow.add(copy.stat().st_ino)
        hostile.load(copy)
    discovery.run_pass()  # the first slow file is as much as a pass has time for
    modest.load(libssl)
    slow.now_ns += 1_000_000_000
    pass_until(discovery, lambda: attachments.now == [libssl.stat().st_ino])
    assert len([inode for inode in slow.read if inode in slow.slow]) <= 2
    discovery.close()


@pytest.mark.parametrize(
    ("cgroup", "name"),
    [
        (b"0::/system.slice/a.service\n", "/system.slice/a.service"),
        (b"12:cpu:/docker/3f\n1:name=systemd:/x\n", "/docker/3f"),
        (b"0::/a/b/c/d/e/f/g\n", "/a/b/c/d/e"),
        (b"0::/\n", "/"),
        (b"", ""),
    ],
)
def test_who_pays(cgroup: bytes, name: str) -> None:
    assert discover.payer(cgroup) == name
