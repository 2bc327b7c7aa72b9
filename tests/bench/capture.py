"""`make bench-capture`: what the probe costs the programs that it watches, as ratios from one run.

Servers: echo on ws for Node.js, plain and inside TLS, with messages of 60 B on 20 connections; an
nginx that serves pages over HTTPS and never a WebSocket; a loop of 1-byte reads that are none of
the probe's business, and one of getppid(2), which has no hook.  What is compared is the server's
own processor time per message (or page, or call), of all its threads, while a C client keeps it
busy; the client is watched like any other program.  Both share one core, and neither is preempted
when the other wakes up: so a server finds the same work at each turn of its loop.

Designs take turns, round by round, each attached for its turn alone: nothing ("bare"), empty
programs on the probe's hooks ("floor"), the whole agent with its defaults ("sockwarden"), and what
most tracers do ("classic", designs.py).  Ratios are medians over the rounds.  Root is needed.

The last line is one JSON object: the ratios (those of the other design begin with "classic_"),
"agent_cpu_vs_server" (all of the agent's processes, while the plain echo server is at full load),
"lost_records" (whatever the agent counted as lost, in all rounds), "private_mb" (of all the agent's
processes, with 1,000 connections) and "start_s" (from the start to READY=1, the median).
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from machine import machine

HERE = Path(__file__).parent
NODE_SERVER = HERE.parent / "agent" / "probe" / "servers" / "echo_node.cjs"
DESIGNS = ("bare", "floor", "sockwarden", "classic")
CONNECTIONS = 20
MESSAGE_BYTES = 60
WARM_UP_MESSAGES = 2_000
MESSAGES = {"ws": 20_000, "wss": 12_000, "https": 8_000}
CALLS = {"read": 1_500_000, "getppid": 1_500_000}
MANY_CONNECTIONS = 1_000
READY_SECONDS = 60
ONE_CORE = ("taskset", "-c", str(min(os.sched_getaffinity(0))), "chrt", "--batch", "0")
NGINX = """
daemon off; master_process off; pid {place}/nginx.pid; error_log {place}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 1000000;
    client_body_temp_path {place}/1; proxy_temp_path {place}/2; fastcgi_temp_path {place}/3;
    uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {place}/cert.pem; ssl_certificate_key {place}/key.pem;
        root {place};
    }}
}}
"""


@dataclass
class Server:
    pid: int
    port: int
    speaks: str  # ws, http
    tls: bool


def cpu_ns(pids: list[int]) -> int:
    """Processor time of all threads; those of processes that are gone do not count."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
    return total


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(FileNotFoundError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def private_bytes(pids: list[int]) -> int:
    lines = [
        line
        for pid in pids
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        if line.startswith("Private_")
    ]
    return sum(int(line.split()[1]) * 1024 for line in lines)


class Load:
    """The C client, with its connections open."""

    def __init__(self, program: Path, server: Server, connections: int) -> None:
        command = [*ONE_CORE, str(program), str(server.port), server.speaks]
        command += ["tls" if server.tls else "plain", str(connections), str(MESSAGE_BYTES)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._expect("open")

    def run(self, messages: int) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{messages}\n")
        self._process.stdin.flush()
        self._expect("done")

    def _expect(self, word: str) -> None:
        assert self._process.stdout
        if self._process.stdout.readline().strip() != word:
            sys.exit("bench-capture: the client failed; its error stands above")

    def close(self) -> None:
        self._process.communicate()


class Agent:
    """The whole agent with its defaults, its state in a folder of its own, without a collector."""

    def __init__(self, place: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._metrics = free.getsockname()[1]
        config = place / "agent.toml"
        config.write_text(
            f'[agent]\nuser = "nobody"\nstate_directory = "{place}/state"\n'
            f'[metrics]\nlisten = "127.0.0.1:{self._metrics}"\n[log]\nlevel = "error"\n'
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(str(place / "notify"))
            told.settimeout(READY_SECONDS)
            begun = time.monotonic()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sockwarden.agent", "--config", str(config)],
                env={**os.environ, "NOTIFY_SOCKET": str(place / "notify")},
            )
            while b"READY=1" not in told.recv(4096):
                pass
            self.start_s = time.monotonic() - begun
        (place / "notify").unlink()

    @property
    def pids(self) -> list[int]:
        return family(self._process.pid)

    def lost(self) -> int:
        url = f"http://127.0.0.1:{self._metrics}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(
            int(float(line.rsplit(" ", 1)[1]))
            for line in lines
            if line.startswith("sockwarden_agent_lost") and "_created" not in line
        )

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)


class Bench:
    def __init__(self, place: Path, scale: float) -> None:
        self._place, self._scale = place, scale
        self._load, self._calls = place / "load", place / "calls"
        for program, libraries in ((self._load, ["-lssl", "-lcrypto"]), (self._calls, [])):
            text = HERE / "capture_load" / f"{program.name}.c"
            subprocess.run(["gcc", "-O2", "-o", program, text, *libraries], check=True)
        self.servers: dict[str, Server] = {}
        self.tls_files: list[str] = []
        self.ns: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.agent_share: list[float] = []
        self.starts_s: list[float] = []
        self.lost = 0
        self.private_bytes = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """All servers, warm."""
        node = shutil.which("node")
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if not node or not nginx:
            sys.exit("bench-capture: node or nginx is missing: apt-get install nodejs npm nginx")
        libssl = next(
            line.split(maxsplit=5)[5]
            for line in Path("/proc/self/maps").read_text().splitlines()
            if "/libssl" in line
        )
        self.tls_files = [os.path.realpath(node), libssl]
        certificate = f"{self._place}/cert.pem", f"{self._place}/key.pem"
        self._certify(*certificate)
        with contextlib.ExitStack() as stack:
            for name, files in (("ws", ()), ("wss", certificate)):
                command = [*ONE_CORE, node, str(NODE_SERVER), *files]
                process = stack.enter_context(
                    subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                )
                stack.callback(process.kill)
                assert process.stdout
                line = process.stdout.readline()
                if not line:
                    sys.exit("bench-capture: node finds no package ws (NODE_PATH)")
                self.servers[name] = Server(process.pid, int(line), "ws", bool(files))
            self.servers["https"] = self._start_nginx(stack, nginx)
            for name in self.servers:
                self._server(name, WARM_UP_MESSAGES)
            yield

    def _certify(self, certificate: str, key: str) -> None:
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
            f" -subj /CN=localhost -out {certificate} -keyout {key}"
        )
        subprocess.run(command.split(), check=True, capture_output=True)

    def _start_nginx(self, stack: contextlib.ExitStack, nginx: str) -> Server:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._place.chmod(0o755)
        (self._place / "page").write_bytes(b"x" * 1024)
        conf = self._place / "nginx.conf"
        conf.write_text(NGINX.format(place=self._place, port=port))
        process = stack.enter_context(
            subprocess.Popen(
                [*ONE_CORE, nginx, "-c", str(conf), "-e", str(self._place / "error.log")]
            )
        )
        stack.callback(process.kill)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                return Server(process.pid, port, "http", True)
            time.sleep(0.02)
        sys.exit(f"bench-capture: nginx does not start: {(self._place / 'error.log').read_text()}")

    def turn(self, design: str) -> None:
        with contextlib.ExitStack() as stack:
            agent = None
            if design == "sockwarden":
                agent = Agent(self._place)
                stack.callback(agent.close)
                self.starts_s.append(agent.start_s)
            elif design != "bare":
                stack.callback(self._attach(design))
            for name, messages in MESSAGES.items():
                count = int(messages * self._scale)
                took, agents = self._server(name, count, agent)
                self.ns[design][name].append(took / count)
                if agent and name == "ws":
                    self.agent_share.append(agents / took)
            for name, calls in CALLS.items():
                command = [*ONE_CORE, str(self._calls), name, str(int(calls * self._scale))]
                said = subprocess.run(command, check=True, capture_output=True).stdout
                self.ns[design][name].append(float(said))
            if agent:
                if not self.private_bytes:
                    load = Load(self._load, self.servers["ws"], MANY_CONNECTIONS)
                    load.run(5 * MANY_CONNECTIONS)
                    self.private_bytes = private_bytes(agent.pids)
                    load.close()
                self.lost += agent.lost()
        told = (f"{name} {values[-1]:,.0f}" for name, values in self.ns[design].items())
        print(f"  {design:10}  {'  '.join(told)}", flush=True)

    def _attach(self, design: str) -> Callable[[], object]:
        """Returns what ends it."""
        process = subprocess.Popen(
            [sys.executable, str(HERE / "designs.py"), design, *self.tls_files],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout
        if process.stdout.readline() != b"ready\n":
            sys.exit(f"bench-capture: the design {design!r} could not be attached")
        return process.communicate

    def _server(self, name: str, messages: int, agent: Agent | None = None) -> tuple[int, int]:
        """Processor time of the server and of the agent."""
        server = self.servers[name]
        load = Load(self._load, server, CONNECTIONS)
        load.run(max(CONNECTIONS, messages // 20))
        pids = agent.pids if agent else []
        before = cpu_ns([server.pid]), cpu_ns(pids)
        load.run(messages)
        took = cpu_ns([server.pid]) - before[0], cpu_ns(pids) - before[1]
        load.close()
        return took

    def ratio(self, name: str, design: str, base: str) -> float:
        """The median of the rounds' own ratios: what moves both moves none of them."""
        pairs = zip(self.ns[design][name], self.ns[base][name], strict=True)
        return round(statistics.median(a / b for a, b in pairs), 3)

    def figures(self) -> dict[str, float]:
        """As the module's docstring says."""
        of_design = {
            f"{prefix}{label}": self.ratio(name, design, base)
            for prefix, design in (("", "sockwarden"), ("classic_", "classic"))
            for label, name, base in (
                ("ws_vs_floor", "ws", "floor"),
                ("wss_vs_floor", "wss", "floor"),
                ("ws_vs_bare", "ws", "bare"),
                ("wss_vs_bare", "wss", "bare"),
                ("unrelated_read_vs_floor", "read", "floor"),
                ("https_vs_floor", "https", "floor"),
                ("unhooked_syscall_vs_bare", "getppid", "bare"),
            )
        }
        return {
            **of_design,
            "agent_cpu_vs_server": round(statistics.median(self.agent_share), 3),
            "lost_records": self.lost,
            "private_mb": round(self.private_bytes / 1e6, 1),
            "start_s": round(statistics.median(self.starts_s), 2),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of what is sent in a turn")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench-capture: eBPF programs need root")
    print(f"{machine()}, Linux {os.uname().release}, {ssl.OPENSSL_VERSION}")
    with tempfile.TemporaryDirectory(prefix="sockwarden-") as folder:
        bench = Bench(Path(folder), options.scale)
        with bench.running():
            for number in range(options.rounds):
                print(f"round {number + 1}: processor time of a message, page or call, ns")
                for design in DESIGNS:
                    bench.turn(design)
        print(f"medians of {options.rounds} rounds, ns:")
        for design in DESIGNS:
            medians = {name: statistics.median(ns) for name, ns in bench.ns[design].items()}
            told = (f"{name} {value:,.0f}" for name, value in medians.items())
            print(f"  {design:10}  {'  '.join(told)}")
        print(json.dumps(bench.figures()))


if __name__ == "__main__":
    main()
