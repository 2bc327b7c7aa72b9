"""How fast `sockwarden analyze` reads a capture of small messages, beside tshark.

Each run is a whole process, its start included, with its output thrown away: CPU time of both
kinds, the wall clock, the peak of its memory, when the first line came.  tshark is asked for the
fields of each WebSocket frame, as in the peers' harness.
"""

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import captures

MEGABYTE = 1_000_000
FIELDS = ("opcode", "fin", "payload.text", "payload.ping", "payload.pong")
SAMPLE_BYTES = 64 * 1024
# Between us and the command: a process's peak begins at that of the one that started it.
LAUNCHER = """
import os, sys
null = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=null)
_, status, usage = os.wait4(child, 0)
cpu = usage.ru_utime + usage.ru_stime
print(os.waitstatus_to_exitcode(status), cpu, usage.ru_maxrss, file=sys.stderr)
"""


@dataclass(frozen=True)
class Run:
    cpu_seconds: float
    wall_seconds: float
    first_line_seconds: float
    peak_bytes: int


def run(command: list[str]) -> Run:
    """Raises SystemExit where the command fails; `analyze` ends with 1 where it found alerts."""
    begun = time.perf_counter()
    launch = [sys.executable, "-S", "-c", LAUNCHER, *command]
    with subprocess.Popen(
        launch, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = 0.0
        while process.stdout.read(SAMPLE_BYTES):
            first = first or time.perf_counter() - begun
        wall = time.perf_counter() - begun
        code, cpu, peak_kib = process.stderr.read().split()
    if int(code) not in (0, 1):
        raise SystemExit(f"{command[0]} ended with {int(code)}")
    return Run(float(cpu), wall, first, int(peak_kib) * 1024)


def commands(capture: Path) -> dict[str, list[str]]:
    """tshark only where it is installed."""
    analyze = [sys.executable, "-m", "sockwarden.cli", "analyze", str(capture)]
    found = {"every message": analyze, "alerts only": [*analyze, "--only", "alert"]}
    if tshark := shutil.which("tshark"):
        fields = [option for name in FIELDS for option in ("-e", f"websocket.{name}")]
        found["tshark"] = [tshark, "-n", "-r", str(capture), "-Y", "websocket", "-T", "fields"]
        found["tshark"] += [*fields, "-e", "data.data"]
    return found


def capture(folder: Path, megabytes: int) -> Path:
    path = folder / f"small-{megabytes}.pcap"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        with open(unfinished, "wb") as file:
            captures.write(file, megabytes * MEGABYTE)
        unfinished.rename(path)
    return path


def measure(folder: Path, megabytes: int, rounds: int) -> dict[str, float]:
    """Prints a table; returns the ratios, of the least CPU time of each."""
    path = capture(folder, megabytes)
    wanted = commands(path)
    runs: dict[str, list[Run]] = {name: [] for name in wanted}
    for _ in range(rounds):
        for name, command in wanted.items():
            runs[name].append(run(command))
    size = path.stat().st_size / MEGABYTE
    print(f"\n## `analyze` on {size:,.0f} MB of small messages\n")
    print("| | CPU s | MB/s | wall s | first line after s | peak memory MB |")
    print("|---|---:|---:|---:|---:|---:|")
    least = {}
    for name, each in runs.items():
        best = min(each, key=lambda one: one.cpu_seconds)
        least[name] = best
        print(
            f"| {name} | {best.cpu_seconds:.2f} | {size / best.cpu_seconds:.0f} "
            f"| {best.wall_seconds:.2f} | {best.first_line_seconds:.2f} "
            f"| {best.peak_bytes / MEGABYTE:.0f} |"
        )
    ours, alerts = least["every message"], least["alerts only"]
    found = {
        "mb_per_s": round(size / ours.cpu_seconds, 1),
        "mb_per_s_alerts_only": round(size / alerts.cpu_seconds, 1),
        "rss_mb": round(max(ours.peak_bytes, alerts.peak_bytes) / MEGABYTE, 1),
        "first_line_s": round(ours.first_line_seconds, 2),
    }
    if theirs := least.get("tshark"):
        found |= {
            "vs_tshark": round(ours.cpu_seconds / theirs.cpu_seconds, 4),
            "vs_tshark_alerts_only": round(alerts.cpu_seconds / theirs.cpu_seconds, 4),
            "times_tshark_speed": round(theirs.cpu_seconds / ours.cpu_seconds, 2),
        }
    else:
        print("\ntshark is not installed: nothing to compare with")
    return found
