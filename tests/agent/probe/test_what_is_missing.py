"""What this machine lacks is named, with what to do, in one line; the rest is watched.

Each test takes something away in a mount namespace of its own.
"""

import glob
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from patience import patient

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces and eBPF need root"),
]

OPEN = """
    from sockwarden.agent.config import Capture
    from sockwarden.agent.probe.session import open_probe
    from sockwarden.daemon.config import Size
    probe = open_probe(Capture(ring_bytes=Size(1 << 16)))
    print(probe.watches_tls, *probe.impairments, sep="\\n")
"""


def without(places: list[str], *command: str) -> subprocess.CompletedProcess[str]:
    """Runs it where an empty folder or file is in each place."""
    hide = 'for p in $PLACES; do [ -d "$p" ] && e=$EMPTY || e=/dev/null; mount --bind $e $p; done'
    return subprocess.run(
        ["unshare", "-m", "bash", "-ec", f'{hide}; exec "$@"', "bash", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(60),
        env={**os.environ, "PLACES": " ".join(places)},
    )


def watch(*places: str) -> subprocess.CompletedProcess[str]:
    return without(list(places), sys.executable, "-m", "sockwarden.cli", "watch")


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", str(tmp_path))


def library(name: str) -> str:
    found = glob.glob(f"/usr/lib/*/{name}")
    if not found:
        pytest.skip(f"{name} is not installed here")
    return os.path.realpath(found[0])


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("/usr/lib/python3/dist-packages/bcc", "BCC cannot be used"),
        ("libbcc.so.0", "apt-get install python3-bpfcc"),
        ("libbcc_bpf.so.0", "libbcc_bpf.so.0 is missing: apt-get install libbpfcc"),
        ("/usr/include/linux", "'linux/types.h' file not found: apt-get install --reinstall"),
        ("/sys/kernel/btf", "vmlinux: No such file or directory; a kernel with CONFIG_DEBUG_INFO"),
    ],
)
def test_nothing_can_be_watched(what: str, said: str) -> None:
    done = watch(what if what.startswith("/") else library(what))
    assert done.returncode == 2, done
    assert done.stderr.startswith("sockwarden: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_python_library_of_the_distribution() -> None:
    seccomp = subprocess.run(
        [sys.executable, "-c", "import seccomp; print(seccomp.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    done = without([seccomp], sys.executable, "-m", "sockwarden.agent", "--config", "/none")
    assert done.returncode == 2
    assert done.stderr.startswith("sockwarden agent: the library seccomp cannot be used (")
    assert done.stderr.endswith("): apt-get install python3-seccomp\n")
    assert done.stderr.count("\n") == 1


def test_without_tracefs_tls_is_watched() -> None:
    done = without(["/sys/kernel/tracing", "/sys/kernel/debug"], sys.executable, "-c", dedent(OPEN))
    assert done.returncode == 0, done.stderr
    tls, impairment = done.stdout.splitlines()
    assert impairment == (
        "plaintext sockets are not watched: tracefs is not there: "
        "mount -t tracefs tracefs /sys/kernel/tracing"
    )
    assert tls == "True"


def test_without_the_right_to_load() -> None:
    drop = ["setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-bpf,-sys_admin"]
    done = subprocess.run(
        [*drop, sys.executable, "-m", "sockwarden.cli", "watch"],
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(60),
    )
    assert done.returncode == 2
    assert "Operation not permitted (is CAP_BPF or CAP_SYS_ADMIN missing" in done.stderr
    assert done.stderr.count("\n") == 1
