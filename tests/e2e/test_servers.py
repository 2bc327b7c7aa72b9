"""Real servers that know nothing of Sockwarden, attacked while `sockwarden watch` looks on.

The probe is started once; every server is started after it.  Each test has paths of its own and
says exactly what must be told of them: connections, messages, alerts, whose, and nothing else.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import others
import pytest
from others import SERVERS, Other
from patience import patient
from watching import START_SECONDS, Told, Watch, family, message
from websocket_client import Client, address, anyone, opened
from websockets.asyncio.client import connect as connect_soon
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sockwarden.cli.demo.stage import free_port, make_certificate

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="eBPF needs root"),
]

INJECTION = "x' UNION SELECT card, pin FROM customers --"
RULE = "sqli-union-select"
PYTHON = os.path.realpath(sys.executable)
BENIGN = "good morning, is the union committee there?"
BINARY = bytes(range(256)) * 300
REPLY_SECONDS = patient(20)
FOUND_WITHIN_SECONDS = patient(0.5)  # of a server's first listen, its TLS library is watched

_numbers = count(1)


def path(name: str) -> str:
    return f"/{name}/{next(_numbers)}"


def converse(connection: Client) -> None:
    """A benign message, one attack, a long one: each comes back before the next one goes."""
    for payload in (BENIGN, INJECTION, BINARY):
        connection.send(payload)
        assert connection.recv(timeout=REPLY_SECONDS) == payload


CONVERSATION = [
    message(direction, payload)
    for direction in ("c2s", "s2c")
    for payload in (BENIGN, INJECTION, BINARY)
]


def expect(
    told: Told,
    *,
    client: str,
    server: str,
    pids: Sequence[int],
    exe: str,
    tls: str | None,
    proxied: bool = False,
    rules: Sequence[str] = (RULE,),
    role: str = "server",
) -> None:
    """The connection is this one, of this process, and has raised these alerts and no other."""
    seen = told.connection
    assert (seen["client"], seen["server"]) == (client, server)
    assert (seen["role"], seen["tls"]) == (role, tls)
    assert seen["pid"] in pids
    assert os.path.realpath(seen["exe"]) == os.path.realpath(exe)
    assert told.rules() == list(rules)
    assert told.anomalies == []
    for alert in told.alerts:
        assert (alert["client"], alert["server"]) == (client, server)
        assert (alert["path"], alert["tls"]) == (seen["path"], tls)
        assert alert["proxied"] is proxied
        assert (alert["process"]["pid"], alert["process"]["exe"]) == (seen["pid"], seen["exe"])
        assert alert["count"] == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    watch = Watch()
    watch.ready()
    yield watch
    counters = watch.stop()
    assert watch.process.returncode == 0, watch.errors
    assert counters is not None
    # Others of this host may have moved more in one call than is taken.
    lost = {name: lost for name, lost in counters["lost"].items() if name != "capture_limit"}
    assert not any(lost.values()), lost
    assert counters["messages"] >= sum(r["type"] == "message" for r in watch.reports)


@pytest.fixture(scope="module")
def plain(watch: Watch) -> Iterator[Other]:
    with others.python("asynchronous.py", "127.0.0.1", 0) as server:
        yield server


class Judged:
    """Called after a scene: what was told of its paths once everything before was judged."""

    def __init__(self, watch: Watch, plain: Other) -> None:
        self._watch, self._plain = watch, plain

    def __call__(self, target: str, count: int = 1) -> list[Told]:
        barrier = path("barrier")
        with opened(self._plain.port, barrier, tls=False) as connection:
            connection.send(INJECTION)
        self._watch.until(lambda: self._watch.has_alert(barrier), lambda: f"barrier of {target}")
        return self.now(target, count)

    def now(self, target: str, count: int = 1) -> list[Told]:
        """What was told of it, after a scene that was played later has been judged."""
        told = self._watch.of(target)
        assert len(told) == count, [one.connection for one in told]
        return told


@pytest.fixture
def judged(watch: Watch, plain: Other) -> Judged:
    return Judged(watch, plain)


# ------------------------------------------------------------------------------------ TLS servers


def test_a_blocking_server_with_threads_over_tls(judged: Judged, certificate) -> None:
    with others.python("threads.py", "127.0.0.1", 0, *certificate) as server:
        target = path("threads")
        with opened(server.port, target) as connection:
            client = address(connection)
            converse(connection)
        [told] = judged(target)
        expect(
            told, client=client, server=f"127.0.0.1:{server.port}",
            pids=[server.pid], exe=PYTHON, tls="openssl",
        )  # fmt: skip
        assert told.exchanged() == CONVERSATION
        assert [(c["dir"], c["opcode"], c["code"]) for c in told.controls] == [
            ("c2s", 8, 1000),
            ("s2c", 8, 1000),
        ]
        assert told.messages[0]["compressed"] is True


def test_aiohttp_over_tls(judged: Judged, certificate) -> None:
    with others.python("aiohttp_echo.py", *certificate) as server:
        target = path("aiohttp")
        with opened(server.port, target) as connection:
            client = address(connection)
            converse(connection)
        [told] = judged(target)
        expect(
            told, client=client, server=f"127.0.0.1:{server.port}",
            pids=[server.pid], exe=PYTHON, tls="openssl",
        )  # fmt: skip
        assert told.exchanged() == CONVERSATION


@pytest.mark.parametrize("implementation", ["websockets", "websockets-sansio", "wsproto"])
def test_uvicorn_with_two_workers_over_tls(
    judged: Judged, watch: Watch, certificate, implementation: str
) -> None:
    port = free_port()
    command = [
        sys.executable, "-P", "-m", "uvicorn", "--app-dir", SERVERS, "asgi:echo",
        "--host", "127.0.0.1", "--port", str(port), "--workers", "2", "--ws", implementation,
        "--ssl-certfile", certificate[0], "--ssl-keyfile", certificate[1],
    ]  # fmt: skip
    with Other(command, "Application startup complete", times=2) as server:
        others.wait_for_port(port)
        targets = [path(f"uvicorn-{implementation}") for _ in range(4)]
        clients = []
        for target in targets:
            with opened(port, target) as connection:
                clients.append(address(connection))
                converse(connection)
        workers = family(server.pid)[1:]
        for target, client in zip(targets, clients, strict=True):
            [told] = judged(target)
            expect(
                told, client=client, server=f"127.0.0.1:{port}",
                pids=workers, exe=PYTHON, tls="openssl",
            )  # fmt: skip
            assert told.exchanged() == CONVERSATION


@pytest.fixture(scope="module")
def node() -> str:
    node = others.node_with_ws()
    if node is None:
        pytest.skip("Node.js with ws is not installed: packaging/setup.sh test installs ws")
    return node


def test_node_over_tls(judged: Judged, certificate, node: str) -> None:
    with others.node(*certificate, executable=node) as server:
        target = path("node")
        with opened(server.port, target) as connection:
            client = address(connection)
            converse(connection)
        [told] = judged(target)
        expect(
            told, client=client, server=f"127.0.0.1:{server.port}",
            pids=[server.pid], exe=node, tls="openssl",
        )  # fmt: skip
        assert told.exchanged() == CONVERSATION


# ------------------------------------------------------------------------------------------ nginx

NGINX = """
daemon off; worker_processes 2; pid {folder}/pid; error_log stderr;
user root;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate}; ssl_certificate_key {key};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header Host $host;
        }}
    }}
}}
"""


@pytest.fixture(scope="module")
def nginx(watch: Watch, plain: Other, certificate, tmp_path_factory) -> Iterator[Other]:
    program = others.server_program("nginx")
    if program is None:
        pytest.skip("nginx is not here: packaging/setup.sh test unpacks it")
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    (folder / "nginx.conf").write_text(
        NGINX.format(
            folder=folder,
            port=port,
            upstream=plain.port,
            certificate=certificate[0],
            key=certificate[1],
        )
    )
    command = [program, "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"]
    with Other([*command, "-g", "error_log stderr notice;"], "start worker process ", 2) as server:
        server.port = port
        yield server


def test_nginx_terminates_tls_and_both_legs_are_judged(
    judged: Judged, watch: Watch, plain: Other, nginx: Other
) -> None:
    target = path("nginx")
    with opened(nginx.port, target) as connection:
        client = address(connection)
        converse(connection)
    front, back = sorted(judged(target, 2), key=lambda told: told.connection["tls"] is None)
    expect(
        front, client=client, server=f"127.0.0.1:{nginx.port}", pids=family(nginx.pid)[1:],
        exe=str(others.server_program("nginx")), tls="openssl", proxied=True,
    )  # fmt: skip
    expect(
        back, client=back.connection["client"], server=f"127.0.0.1:{plain.port}",
        pids=[plain.pid], exe=PYTHON, tls=None, proxied=True,
    )  # fmt: skip
    assert front.exchanged() == CONVERSATION
    assert back.exchanged() == CONVERSATION


# ------------------------------------------------------------------------------ who sees it, where


def test_a_client_and_a_server_of_one_host_are_judged_once(judged: Judged, certificate) -> None:
    """As processes of their own: this test's own client is as good as any."""
    client = (
        "import ssl, sys; from websockets.sync.client import connect\n"
        "context = ssl._create_unverified_context()\n"
        "with connect(sys.argv[1], ssl=context, proxy=None) as connection:\n"
        "    connection.send(sys.argv[2]); connection.recv()\n"
    )
    with others.python("asynchronous.py", "127.0.0.1", 0, *certificate) as server:
        target = path("both-ends")
        address = f"wss://127.0.0.1:{server.port}{target}"
        subprocess.run(
            [sys.executable, "-c", client, address, INJECTION], check=True, timeout=patient(20)
        )
        [told] = judged(target)
        expect(
            told, client=told.connection["client"], server=f"127.0.0.1:{server.port}",
            pids=[server.pid], exe=PYTHON, tls="openssl",
        )  # fmt: skip


@pytest.mark.parametrize("tls", [True, False])
def test_over_ipv6(judged: Judged, certificate, tls: bool) -> None:
    with others.python("threads.py", "::1", 0, *(certificate if tls else ())) as server:
        target = path("six")
        with opened(server.port, target, tls=tls, host="::1") as connection:
            client = address(connection)
            converse(connection)
        [told] = judged(target)
        expect(
            told, client=client, server=f"[::1]:{server.port}",
            pids=[server.pid], exe=PYTHON, tls="openssl" if tls else None,
        )  # fmt: skip
        assert told.exchanged() == CONVERSATION


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[str, str]]:
    """Another network namespace, and the address there."""
    name, subnet = f"sockwarden-{os.getpid()}", "198.18.77"  # RFC 2544: for tests
    near, far = f"sw{os.getpid()}a"[:15], f"sw{os.getpid()}b"[:15]
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    steps = (
        f"netns add {name}",
        f"link add {near} type veth peer name {far} netns {name}",
        f"addr add {subnet}.1/24 dev {near}",
        f"link set {near} up",
        f"-n {name} addr add {subnet}.2/24 dev {far}",
        f"-n {name} link set {far} up",
    )
    try:
        for step in steps:
            subprocess.run(["ip", *step.split()], check=True)
        yield name, f"{subnet}.2"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.mark.parametrize("tls", [True, False])
def test_a_server_in_another_network_namespace(
    judged: Judged, certificate, elsewhere: tuple[str, str], tls: bool
) -> None:
    namespace, host = elsewhere
    command = [
        "ip", "netns", "exec", namespace, sys.executable, "-P", SERVERS / "threads.py",
        host, "0", *(certificate if tls else ()),
    ]  # fmt: skip
    with Other(command, r"(?m)^listening on (\d+)$") as server:
        target = path("namespace")
        with opened(server.port, target, tls=tls, host=host) as connection:
            client = address(connection)
            converse(connection)
        [told] = judged(target)
        expect(
            told, client=client, server=f"{host}:{server.port}",
            pids=[server.pid], exe=PYTHON, tls="openssl" if tls else None,
        )  # fmt: skip


# ------------------------------------------------------------------------------- how it is attacked


@pytest.mark.parametrize("deflate", [True, False])
def test_fragments_and_compression(
    judged: Judged, nginx: Other, plain: Other, certificate, deflate: bool
) -> None:
    """The pattern is cut by fragments, and unreadable on the wire where it is compressed."""
    pieces = [INJECTION[:6], INJECTION[6:20], INJECTION[20:]]
    # The client's library ends a message in pieces by an empty fragment.
    whole = [message("c2s", INJECTION, len(pieces) + 1), message("s2c", INJECTION)]
    target = path("fragments")
    with opened(nginx.port, target, deflate=deflate) as connection:
        connection.send(pieces)
        connection.ping()
        assert connection.recv() == INJECTION
    for told in judged(target, 2):
        assert told.exchanged() == whole
        assert [m["compressed"] for m in told.messages] == [deflate, deflate]
        assert told.rules() == [RULE]
        assert told.anomalies == []


@pytest.mark.parametrize("tls", [True, False])
def test_a_refused_handshake_is_judged_too(judged: Judged, certificate, tls: bool) -> None:
    with others.python("threads.py", "127.0.0.1", 0, *(certificate if tls else ())) as server:
        target = path("refuse") + "?access_token=0123456789abcdef0123456789abcdef"
        with pytest.raises(InvalidStatus) as refused:
            opened(server.port, target, tls=tls)
        assert refused.value.response.status_code == 426
        [told] = judged(target)
        assert told.rules() == ["token-in-query"]
        assert told.connection["pid"] == server.pid
        assert told.connection["tls"] == ("openssl" if tls else None)
        assert "0123456789abcdef" not in told.alerts[0]["path"]


MANY = 200


@pytest.mark.parametrize("tls", [True, False])
def test_many_connections_at_once_with_an_attack_each(
    judged: Judged, certificate, tls: bool
) -> None:
    with others.python("asynchronous.py", "127.0.0.1", 0, *(certificate if tls else ())) as server:
        targets = [path("many") for _ in range(MANY)]
        clients = asyncio.run(_attack_at_once(server.port, targets, tls=tls))
        [last] = judged(targets[-1])
        assert last.connection["client"] == clients[-1]
        for target, client in zip(targets, clients, strict=True):
            [told] = judged.now(target)
            expect(
                told, client=client, server=f"127.0.0.1:{server.port}",
                pids=[server.pid], exe=PYTHON, tls="openssl" if tls else None,
            )  # fmt: skip
            assert told.exchanged() == [message("c2s", INJECTION), message("s2c", INJECTION)]


async def _attack_at_once(port: int, targets: list[str], *, tls: bool) -> list[str]:
    everyone = asyncio.Barrier(len(targets))
    context = anyone() if tls else None

    async def attack(target: str) -> str:
        async with connect_soon(
            f"{'wss' if tls else 'ws'}://127.0.0.1:{port}{target}",
            ssl=context, proxy=None, open_timeout=patient(30),
        ) as connection:  # fmt: skip
            await everyone.wait()
            await connection.send(INJECTION)
            assert await connection.recv() == INJECTION
            return f"127.0.0.1:{connection.local_address[1]}"

    return await asyncio.gather(*(attack(target) for target in targets))


# ----------------------------------------------------------------------- servers that come and go


@pytest.mark.parametrize("tls", [True, False])
def test_a_killed_server_ends_its_connections(
    judged: Judged, watch: Watch, certificate, tls: bool
) -> None:
    """What it was told before is kept, and the next server on the port is another process."""
    port = free_port()
    arguments = ("threads.py", "127.0.0.1", port, *(certificate if tls else ()))
    target = path("killed")
    with others.python(*arguments) as server, opened(port, target, tls=tls) as connection:
        connection.send(INJECTION)
        assert connection.recv() == INJECTION
        first = server.pid
        server.kill()
        with pytest.raises(ConnectionClosed):
            connection.recv()
    with others.python(*arguments) as server:
        with opened(port, target, tls=tls) as connection:
            client = address(connection)
            converse(connection)
        before, after = judged(target, 2)
        assert before.rules() == [RULE]
        assert before.connection["pid"] == first
        assert before.anomalies == []
        expect(
            after, client=client, server=f"127.0.0.1:{port}",
            pids=[server.pid], exe=PYTHON, tls="openssl" if tls else None,
        )  # fmt: skip
        assert after.exchanged() == CONVERSATION


def test_a_node_that_was_never_seen_is_attacked_soon_after_it_listens(
    judged: Judged, certificate, node: str, tmp_path: Path
) -> None:
    """A copy is another file to the kernel: nothing is attached to it before it runs."""
    copy = tmp_path / "node-of-another-version"
    shutil.copyfile(os.path.realpath(node), copy)
    copy.chmod(0o755)
    with others.node(*certificate, executable=str(copy)) as server:
        time.sleep(FOUND_WITHIN_SECONDS)
        target = path("new-node")
        with opened(server.port, target) as connection:
            client = address(connection)
            converse(connection)
        [told] = judged(target)
        expect(
            told, client=client, server=f"127.0.0.1:{server.port}",
            pids=[server.pid], exe=str(copy), tls="openssl",
        )  # fmt: skip
        assert told.exchanged() == CONVERSATION


def test_a_libssl_that_was_never_seen_is_attacked_soon_after_it_listens(
    judged: Judged, certificate, tmp_path: Path
) -> None:
    for name in ("libssl.so.3", "libcrypto.so.3"):
        shutil.copyfile(library(name), tmp_path / name)
    command = [sys.executable, "-P", SERVERS / "threads.py", "127.0.0.1", "0", *certificate]
    environment = {"LD_LIBRARY_PATH": str(tmp_path)}
    with Other(command, r"(?m)^listening on (\d+)$", environment=environment) as server:
        time.sleep(FOUND_WITHIN_SECONDS)
        target = path("new-libssl")
        with opened(server.port, target) as connection:
            client = address(connection)
            converse(connection)
        assert str(tmp_path) in Path(f"/proc/{server.pid}/maps").read_text()
        [told] = judged(target)
        expect(
            told, client=client, server=f"127.0.0.1:{server.port}",
            pids=[server.pid], exe=PYTHON, tls="openssl",
        )  # fmt: skip


def library(name: str) -> str:
    """Where this process has it from."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return next(line.split()[-1] for line in maps if line.endswith(f"/{name}"))


# ------------------------------------------------------------------------------- watch itself


def test_pid_port_and_only_select(plain: Other, certificate) -> None:
    """By the client's process too, whose server on this host is not selected."""
    with (
        others.python("asynchronous.py", "127.0.0.1", 0, *certificate) as server,
        _started("--port", str(server.port), "--only", "alert,counters") as by_port,
        _started("--pid", str(os.getpid()), "--only", "connection,alert") as by_client,
    ):
        by_port.ready()
        by_client.ready()
        to_tls, to_plain = path("selected"), path("selected")
        with opened(server.port, to_tls) as connection:
            converse(connection)
        with opened(plain.port, to_plain, tls=False) as connection:
            converse(connection)
        _is_told(by_port, {("alert", to_tls)})
        _is_told(
            by_client,
            {(kind, to) for kind in ("connection", "alert") for to in (to_tls, to_plain)},
        )
        for report in by_client.reports:
            if report["type"] == "alert":
                assert report["process"]["pid"] == os.getpid()
                assert report["proxied"] is False
        assert by_port.stop() is not None
        assert {report["type"] for report in by_port.reports} == {"alert", "counters"}


@contextmanager
def _started(*arguments: str) -> Iterator[Watch]:
    watch = Watch(*arguments)
    try:
        yield watch
    finally:
        watch.stop()


def _is_told(watch: Watch, wanted: set[tuple[str, str]]) -> None:
    """These types of these paths, and no other."""

    def seen() -> set[tuple[str, str]]:
        return {(r["type"], r["path"]) for r in watch.reports if "path" in r}

    watch.until(lambda: wanted <= seen(), lambda: f"{wanted}, but {seen()}")
    assert seen() == wanted


def test_a_closed_pipe_and_a_signal_amid_traffic_end_it(plain: Other) -> None:
    """`watch | head -1` ends by itself, SIGTERM at once: nothing is left of either."""
    command = [sys.executable, "-P", "-m", "sockwarden.cli", "watch", "--json"]
    head = subprocess.Popen(
        ["bash", "-c", '"$@" | head -1; echo "${PIPESTATUS[*]}"', "bash", *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    with _started() as watch, opened(plain.port, path("amid"), tls=False) as connection:
        watch.ready()
        deadline = time.monotonic() + START_SECONDS
        while head.poll() is None:
            assert time.monotonic() < deadline
            with opened(plain.port, path("amid"), tls=False) as seen_from_its_start:
                converse(seen_from_its_start)
            time.sleep(0.2)  # what starts is not to wait for this
        out, complaints = head.communicate()
        assert b"Traceback" not in complaints, complaints
        assert out.splitlines()[-1] == b"0 0", out
        converse(connection)
        processes = family(watch.process.pid)
        assert len(processes) >= 3  # helper, its worker, the ELF reader
        assert watch.stop(signal.SIGTERM) is not None
        assert watch.process.returncode == 0
        assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
        converse(connection)
