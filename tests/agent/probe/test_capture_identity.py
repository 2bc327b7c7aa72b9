"""A connection is its socket: through whatever descriptor, in whatever process, bytes are moved."""

import array
import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from capture import (
    CLIENT,
    READ,
    REQUEST,
    SERVER,
    SWITCHING,
    WRITE,
    Probe,
    Seen,
    both,
    connected,
    exchange,
    needs_kernel,
    receive,
    upgrade,
)

from sockwarden.agent.probe import maps

pytestmark = needs_kernel


def in_child(work: Callable[[], None]) -> int:
    """The process id of a child that did it and has ended."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return child


def entries(probe: Probe) -> list[maps.Entry]:
    return list(maps.entries(probe.loaded.maps["connections"]))


def told(probe: Probe, role: int, flow: int, data: bytes) -> None:
    """Waits for the one connection of `role` to have told these bytes, whole."""

    def opened() -> list[Seen]:  # not one of an earlier test that ends only now
        return [seen for seen in probe.of(role) if seen.opened]

    probe.until(
        lambda: bool(opened()) and sum(map(len, opened()[0].streams[flow].values())) >= len(data)
    )
    [seen] = opened()
    assert seen.stream(flow) == data


def test_a_copy_of_a_descriptor(probe: Probe) -> None:
    with connected() as (client, server):
        upgrade(client, server)
        with server.dup() as copy:
            exchange(client, copy, b"by the copy")
            server.send(b"by the first")
            assert receive(client, 12) == b"by the first"
            both(probe, REQUEST + b"by the copy", SWITCHING + b"by the first")


def test_the_first_descriptor_is_closed_and_a_copy_goes_on(probe: Probe) -> None:
    with connected() as (client, server):
        upgrade(client, server)
        with server.dup() as copy:
            server.close()
            exchange(client, copy, b"later")
            both(probe, REQUEST + b"later", SWITCHING)
            assert not probe.of(SERVER)[0].ends
        probe.until(lambda: probe.of(SERVER)[0].ends is not None)
        assert probe.of(SERVER)[0].ends == (len(REQUEST + b"later"), len(SWITCHING))


def test_a_descriptor_put_over_another(probe: Probe) -> None:
    with connected() as (client, server), open("/dev/null", "rb") as other:
        upgrade(client, server)
        os.dup2(server.fileno(), other.fileno())
        server.close()
        os.write(other.fileno(), b"from there")
        told(probe, SERVER, WRITE, SWITCHING + b"from there")


def test_a_child_goes_on_with_what_its_parent_has_begun(probe: Probe) -> None:
    with connected() as (client, server):
        upgrade(client, server)
        in_child(lambda: exchange(server, client, b"from the child"))
        exchange(server, client, b"from the parent")
        told(probe, SERVER, WRITE, SWITCHING + b"from the child" + b"from the parent")


def test_a_parent_accepts_and_a_child_serves(probe: Probe) -> None:
    with connected() as (client, server):

        def serve() -> None:
            client.close()
            assert receive(server, len(REQUEST)) == REQUEST
            server.send(SWITCHING)
            assert receive(server, 5) == b"hello"

        client.send(REQUEST)
        child = os.fork()
        if child == 0:
            try:
                serve()
                os._exit(0)
            finally:
                os._exit(1)
        server.close()
        assert receive(client, len(SWITCHING)) == SWITCHING
        client.send(b"hello")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        probe.until(lambda: bool(probe.of(SERVER, child)))
        [seen] = probe.of(SERVER, child)
        probe.until(lambda: sum(map(len, seen.streams[READ].values())) >= len(REQUEST) + 5)
        assert seen.stream(READ) == REQUEST + b"hello"
        assert child in probe.exits


def test_a_descriptor_passed_to_another_process(probe: Probe) -> None:
    code = (
        "import array, socket, sys\n"
        "way = socket.socket(fileno=int(sys.argv[1]))\n"
        "_, rights, _, _ = way.recvmsg(1, 64)\n"
        "fd = array.array('i', rights[0][2])[0]\n"
        "s = socket.socket(fileno=fd)\n"
        "assert s.recv(5) == b'hello'\n"
        "s.send(b'passed on')"
    )
    ours, theirs = socket.socketpair()
    with connected() as (client, server), ours, theirs:
        upgrade(client, server)
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        rights = array.array("i", [server.fileno()])
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        server.close()
        client.send(b"hello")
        assert receive(client, 9) == b"passed on"
        assert child.wait() == 0
        told(probe, SERVER, WRITE, SWITCHING + b"passed on")
        told(probe, SERVER, READ, REQUEST + b"hello")


def test_another_program_inherits_a_connection(probe: Probe) -> None:
    with connected() as (client, server):
        upgrade(client, server)
        child = subprocess.Popen(
            ["/bin/sh", "-c", "printf inherited"], stdout=server.fileno(), close_fds=True
        )
        assert child.wait() == 0
        assert receive(client, 9) == b"inherited"
        told(probe, SERVER, WRITE, SWITCHING + b"inherited")


def test_a_descriptor_closed_unseen_and_used_again_is_another_connection(probe: Probe) -> None:
    """close_range(2) is not watched: what decides is the socket that is there now."""
    libc = ctypes.CDLL(None, use_errno=True)
    with connected() as (client, server):
        upgrade(client, server)
        number = server.fileno()
        with connected() as (other_client, other_server):
            libc.close_range(number, number, 0)
            os.dup2(other_server.fileno(), number)
            exchange(other_client, server, REQUEST)
            exchange(server, other_client, SWITCHING + b"new")
            probe.until(lambda: len(probe.of(SERVER)) == 2)
            first, second = sorted(probe.of(SERVER), key=lambda seen: seen.generation)
            probe.until(lambda: any(len(s.streams[WRITE]) for s in (first, second)))
            streams = [seen.stream(READ) for seen in probe.of(SERVER)]
            assert streams == [REQUEST, REQUEST]


def test_bytes_read_after_tcp_has_ended_are_still_told(probe: Probe) -> None:
    with connected() as (client, server):
        upgrade(client, server)
        server.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        client.send(b"last words")
        client.close()
        probe.until(lambda: any(entry.over for entry in entries(probe)))
        assert receive(server, 10) == b"last words"
        told(probe, SERVER, READ, REQUEST + b"last words")


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_what_no_program_saw_end_is_swept(probe: Probe, family: str) -> None:
    sweeper = maps.Sweeper()
    code = (
        "import ctypes, os, socket\n"
        + (
            "l = socket.create_server(('127.0.0.1', 0)); "
            "a = socket.create_connection(l.getsockname()); b = l.accept()[0]\n"
            if family == "tcp"
            else "a, b = socket.socketpair()\n"
        )
        + f"a.send({REQUEST!r}); b.recv(4096); b.send({SWITCHING!r}); a.recv(4096)\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    probe.until(lambda: len(probe.exits) >= 1)
    while any(not Path(f"/proc/{entry.pid}").exists() for entry in entries(probe)):
        sweeper.sweep(probe.loaded.maps["connections"])
    with connected() as (client, server):
        upgrade(client, server)
        sweeper.sweep(probe.loaded.maps["connections"])
        sweeper.sweep(probe.loaded.maps["connections"])
        exchange(client, server, b"alive")
        told(probe, CLIENT, WRITE, REQUEST + b"alive")


def test_a_hidden_connection_is_told_no_more(probe: Probe) -> None:
    with connected() as (client, server):
        upgrade(client, server)
        exchange(client, server, b"seen")
        told(probe, SERVER, READ, REQUEST + b"seen")
        for number, seen in list(probe.connections.items()):
            if seen.role == SERVER:
                maps.hide(probe.loaded.maps["connections"], number)
        exchange(client, server, b"unseen")
        told(probe, CLIENT, WRITE, REQUEST + b"seenunseen")
        assert probe.of(SERVER)[0].stream(READ) == REQUEST + b"seen"


def test_many_plain_http_connections_push_no_websocket_out(probe: Probe) -> None:
    plain = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with connected() as (client, server):
        upgrade(client, server)
        before = probe.counters()["map_full"]
        for _ in range(300):
            with connected() as (other_client, other_server):
                exchange(other_client, other_server, plain)
        assert probe.counters()["map_full"] == before
        exchange(client, server, b"still here")
        both(probe, REQUEST + b"still here", SWITCHING)
