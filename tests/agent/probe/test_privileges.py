"""A process that dropped its privileges, asked by itself what it can still do."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

FORBIDDEN = {
    "execve": "os.execv('/bin/true', ['true'])",
    "fork": "os.fork()",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "kill another": "os.kill(os.getppid(), 0)",
    "ptrace": "call(0x10 if x86 else 117, 16, os.getppid(), 0, 0)",
    "bpf": "call(321 if x86 else 280, 0, 0, 0)",
    "perf_event_open": "call(298 if x86 else 241, 0, 0, 0, 0, 0)",
    "io_uring_setup": "call(425, 1, 0)",
    "process_vm_readv": "call(310 if x86 else 270, os.getppid(), 0, 0, 0, 0, 0)",
    "unshare": "call(272 if x86 else 97, 0x10000000)",
    "keyctl": "call(250 if x86 else 219, 0, 0)",
    "memfd": "os.memfd_create('x')",
    "raw packets": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "vsock": "socket.socket(socket.AF_VSOCK)",
    "writable code": "mmap.mmap(-1, 4096, prot=7)",
    "anonymous code": "mmap.mmap(-1, 4096, prot=5)",
    "setuid": "os.setuid(0)",
    "raise a limit": "call(302 if x86 else 261, 0, 7, 1, 0)",
}

NEEDED = {
    "a thread": "threading.Thread(target=int).start()",
    "a file": "tempfile.TemporaryFile().write(b'x')",
    "an IP socket": "socket.create_server(('127.0.0.1', 0)).close()",
    "a Unix socket pair": "socket.socketpair()",
    "resolving": "socket.getaddrinfo('localhost', 80)",
    "waiting": "select.epoll().poll(0)",
    "grpc": "import_grpc()",
    "a kept descriptor": "os.fstat(KEPT)",
}

PROGRAM = """
    import ctypes, json, mmap, os, platform, resource, select, socket, sys, tempfile, threading
    from sockwarden.agent.probe import privileges

    x86 = platform.machine() == "x86_64"
    KEPT, other = os.pipe()
    libc = ctypes.CDLL(None, use_errno=True)

    def call(*arguments):
        if libc.syscall(*map(ctypes.c_long, arguments)) < 0:
            raise OSError(ctypes.get_errno(), "refused")

    def import_grpc():
        import grpc
        grpc.insecure_channel("127.0.0.1:1").close()

    user = privileges.drop("no-such-user", keep=[KEPT])
    out = {"user": user, "errors": {}}
    with open("/proc/self/status") as status:
        out["status"] = dict(line.rstrip("\\n").split(":\\t", 1) for line in status)
    try:
        os.fstat(other)
    except OSError:
        out["closed"] = True
    for name, what in json.loads(sys.argv[1]).items():
        try:
            eval(what)
        except OSError as error:
            out["errors"][name] = error.errno
    out["core"] = resource.getrlimit(resource.RLIMIT_CORE)
    print(json.dumps(out))
"""


def confined(actions: dict[str, str]) -> dict:
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), json.dumps(actions)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=30,
    )
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def seen() -> dict:
    return confined(FORBIDDEN | NEEDED)


def test_nothing_is_left(seen: dict) -> None:
    status = seen["status"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert seen["core"] == [0, 0]
    assert seen["closed"]
    if os.geteuid() == 0:
        assert seen["user"] == "nobody"
        assert status["Uid"] == status["Gid"] == "\t".join(["65534"] * 4)
        assert status["Groups"].strip() == ""
        assert int(status["CapBnd"], 16) == 0


@pytest.mark.parametrize("what", FORBIDDEN)
def test_refuses(seen: dict, what: str) -> None:
    assert seen["errors"].get(what) == 1  # EPERM


@pytest.mark.parametrize("what", NEEDED)
def test_still_allows(seen: dict, what: str) -> None:
    assert what not in seen["errors"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_will_not_run_as_root() -> None:
    program = "from sockwarden.agent.probe import privileges; privileges.drop('root')"
    result = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
    )
    assert "user root is root" in result.stderr
