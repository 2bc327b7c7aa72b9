"""The helper over the real probe: what it attaches, counts, ignores, and leaves behind: nothing."""

import ctypes
import os
import platform
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from patience import patient

from sockwarden.agent.config import Capture
from sockwarden.agent.probe import attach, maps, programs, session, tls, uretprobes
from sockwarden.agent.probe.attach import AttachError, Link
from sockwarden.agent.probe.programs import Loaded, ProbeError
from sockwarden.agent.probe.session import Session
from sockwarden.daemon.config import Size

FAKE = Path(__file__).with_name("fake_agent.py")

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        not Path("/sys/kernel/btf/vmlinux").exists(), reason="this kernel has no BTF"
    ),
]

HELPER = f"""
    import sys
    from sockwarden.agent.probe.helper import Helper
    from sockwarden.agent.config import Capture
    from sockwarden.daemon.config import Size
    from sockwarden.agent.probe.session import open_probe
    probe = open_probe(Capture(ring_bytes=Size(1 << 16)))
    Helper(probe, [sys.executable, {str(FAKE)!r}, "well", sys.argv[1]]).run()
"""

# Uses libssl from its start.
TLS_PROGRAM = "import ssl, sys; print(flush=True); sys.stdin.read()"


@pytest.fixture(scope="module")
def probe() -> Iterator[Session]:
    probe = session.open_probe(Capture(ring_bytes=Size(1 << 16)))
    yield probe
    probe.close()


def wait(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + patient(seconds)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def programs_of(pid: int) -> set[int]:
    """Kernel ids of the eBPF programs that the process holds."""
    found = set()
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            if match := re.search(r"^prog_id:\t(\d+)$", entry.read_text(), re.MULTILINE):
                found.add(int(match[1]))
        except FileNotFoundError:
            continue
    return found


def is_loaded(program: int) -> bool:
    """Whether the kernel has it still: what is attached anywhere is."""
    number = 321 if platform.machine() == "x86_64" else 280  # bpf(2)
    get_by_id = 13
    attributes = (ctypes.c_uint32 * 4)(program)
    fd = ctypes.CDLL(None).syscall(number, get_by_id, attributes, ctypes.sizeof(attributes))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def test_everything_is_watched_here(probe: Session) -> None:
    assert probe.impairments == ()
    assert probe.watches_tls is uretprobes.are_harmless()
    assert tuple(probe.counters()) == (*maps.COUNTERS, "earlier_sockets_left_out")
    assert "captured_bytes" in maps.COUNTERS


def test_every_program_of_a_library_is_one_of_the_probes(probe: Session) -> None:
    for library in tls.libraries():
        for function in library.functions:
            for program in filter(None, (function.enter, function.exit)):
                assert program in probe._loaded.programs


def test_an_unknown_connection_and_an_empty_table_are_no_trouble(probe: Session) -> None:
    probe.ignore(2**63)
    probe.sweep()


def test_nothing_to_watch() -> None:
    with pytest.raises(ProbeError, match="nothing is left to watch"):
        session.open_probe(Capture(sockets=False, tls=False))


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs and links that are descriptors of nothing."""

    def nothing(*_: object) -> int:
        return os.open(os.devnull, os.O_RDONLY)

    points = programs.TRACEPOINTS
    monkeypatch.setattr(
        programs,
        "load",
        lambda _: Loaded(
            {p.program: nothing() for p in points}, {"ring": nothing(), "earlier": nothing()}
        ),
    )
    monkeypatch.setattr(attach, "attach_tracepoint", lambda *_: Link(nothing()))


@pytest.mark.usefixtures("no_kernel")
def test_deadly_uretprobes_leave_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uretprobes, "are_harmless", lambda: False)
    probe = session.open_probe(Capture())
    assert not probe.watches_tls
    assert "TLS is not watched" in probe.impairments[0]
    probe.close()
    with pytest.raises(ProbeError, match="TLS is not watched"):
        session.open_probe(Capture(sockets=False))


@pytest.mark.usefixtures("no_kernel")
def test_refused_tracepoints_leave_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, category: str, name: str) -> Link:
        raise AttachError(f"tracepoint {category}:{name}: permission denied")

    monkeypatch.setattr(uretprobes, "are_harmless", lambda: True)
    monkeypatch.setattr(attach, "attach_tracepoint", refuse)
    probe = session.open_probe(Capture())
    assert probe.watches_tls
    assert probe.impairments[0].startswith("plaintext sockets are not watched: tracepoint")
    probe.close()
    with pytest.raises(ProbeError, match="plaintext sockets are not watched"):
        session.open_probe(Capture(tls=False))


def test_a_killed_helper_leaves_nothing_attached(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    command = [sys.executable, "-c", textwrap.dedent(HELPER), str(log)]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen([sys.executable, "-c", TLS_PROGRAM], stdin=pipe, stdout=pipe) as program,
        subprocess.Popen(command, stderr=pipe, text=True) as helper,
    ):
        try:
            assert helper.stderr
            wait(lambda: "CountersReply" in log.read_text())
            links = Path(f"/proc/{helper.pid}/fd")
            # The tracepoints and, once libssl is found, its uprobes.
            functions = len(tls.libraries()[0].functions)
            wait(lambda: count_events(links) > 12 + functions)
            mapped = Path(f"/proc/{helper.pid}/maps").read_text()
            assert "libbcc_bpf" in mapped
            for foreign in ("libLLVM", "libbcc.so", "grpc", "/parser/"):
                assert foreign not in mapped
            loaded = programs_of(helper.pid)
            assert len(loaded) > 10
            assert all(map(is_loaded, loaded))
            helper.send_signal(signal.SIGKILL)
            helper.wait()
            wait(lambda: not any(map(is_loaded, loaded)))
            wait(lambda: "closed" in log.read_text())
            assert program.poll() is None
        finally:
            helper.kill()
            program.kill()


def count_events(descriptors: Path) -> int:
    names = []
    for entry in descriptors.iterdir():
        try:
            names.append(os.readlink(entry))
        except FileNotFoundError:
            continue
    return names.count("anon_inode:[perf_event]")
