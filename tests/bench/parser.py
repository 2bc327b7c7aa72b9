"""`make bench-parser`: how fast the parser is, alone and beside its peers.

Alone: on streams that corpora.py generates, each first compared with what it must give.
Beside its peers: where ../shared/peers (or the folder that PEERS names) is there, by that harness,
from a copy in build/peers that is made, and installed, once.  `sockwarden analyze` beside tshark:
on a capture, by analyze.py.  It prints tables; its last line is one JSON object,
{stream: {"vs_PEER": our time divided by the peer's, "ns": ours of a message by the C contract,
"python_ns": by the Python API}, "analyze": {"vs_tshark": our time divided by tshark's, ...}}; names
without a number are for chunks of 64 KiB, those that end in _1448 for chunks of 1,448 B.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import analyze
import corpora
import native
from machine import machine

from sockwarden.parser import DeflateParameters, FrameDecoder

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("PEERS") or ROOT.parent / "shared" / "peers").resolve()
PEERS = ROOT / "build" / "peers"
CHUNKS = (1448, 65536)
ROUNDS = 5
RATIO_NAMES = {"picows-cy": "picows_cython", "picows-py": "picows_python"}
PYTHON_PEERS = ("picows", "aiohttp", "websockets", "wsproto", "tornado", "cython")
# Not the pure Python ones and tshark: hundreds of times slower, and most of the time of a run.
FAST_PEERS = ["sockwarden-py", "limit", "limit-isal", "wslay"]
FAST_PEERS += ["picows-cy", "picows-py", "aiohttp", "ws"]
NODE_PEERS = ("ws", "bufferutil", "utf-8-validate")
APT_PEERS = ("libwslay-dev", "libisal-dev", "libdeflate-dev", "libsimdjson-dev")


# --- alone ---


class Stream:
    """One generated stream."""

    def __init__(self, name: str, folder: Path) -> None:
        corpora.write(name, folder)
        truth = json.loads((folder / f"{name}.json").read_text())
        self.name = name
        self.data = (folder / f"{name}.bin").read_bytes()
        self.masked, self.deflate = truth["masked"], truth["deflate"]
        self.expected = truth["cuts"]["full"]

    def verify(self, consumer: ModuleType, chunk: int) -> None:
        digest = hashlib.sha256()

        def consume(opcode: int, payload: bytes) -> None:
            digest.update(struct.pack("<BQ", opcode, len(payload)) + payload)

        consumer.hand_over(self.data, chunk, self.masked, self.deflate, consume)
        if digest.hexdigest() != self.expected["sha256"]:
            raise SystemExit(f"{self.name} in chunks of {chunk} B is decoded wrongly")

    def native(self, consumer: ModuleType, chunk: int) -> Callable[[], None]:
        return lambda: consumer.count(self.data, chunk, self.masked, self.deflate)

    def python(self, chunk: int) -> Callable[[], None]:
        chunks = [self.data[at : at + chunk] for at in range(0, len(self.data), chunk)]

        def decode() -> None:
            deflate = DeflateParameters() if self.deflate else None
            decoder = FrameDecoder("client" if self.masked else "server", deflate)
            for some in chunks:
                decoder.feed(some)

        return decode


def suffix(chunk: int) -> str:
    return "" if chunk == CHUNKS[-1] else f"_{chunk}"


def ns_each(decode: Callable[[], None], events: int) -> float:
    samples = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        decode()
        samples.append(time.process_time() - begun)
    return statistics.median(samples) / events * 1e9


def alone() -> dict[str, dict[str, float]]:
    consumer = native.consumer()
    folder = native.BUILT / "corpora"
    folder.mkdir(parents=True, exist_ok=True)
    print("\n## Alone\n")
    print("| stream | B/message | chunk B | C contract, ns/message | MB/s | Python, ns/message |")
    print("|---|---:|---:|---:|---:|---:|")
    found: dict[str, dict[str, float]] = {}
    for name in corpora.NAMES:
        stream = Stream(name, folder)
        events, size = stream.expected["events"], stream.expected["payload_bytes"]
        for chunk in CHUNKS:
            stream.verify(consumer, chunk)
            ours = ns_each(stream.native(consumer, chunk), events)
            python = ns_each(stream.python(chunk), events)
            speed = size / events / ours * 1e3
            found.setdefault(name, {}).update(
                {
                    f"ns{suffix(chunk)}": round(ours, 1),
                    f"python_ns{suffix(chunk)}": round(python, 1),
                }
            )
            print(
                f"| {name} | {size / events:,.0f} | {chunk:,} | {ours:,.4g} | {speed:,.0f} "
                f"| {python:,.4g} |",
                flush=True,
            )
    return found


# --- beside its peers ---


def attempt(what: str, *command: str) -> None:
    """A peer that cannot be built is left out of the tables, with the reason."""
    print(f"{what} ...", file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=PEERS, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        print(f"  failed: {lines[-1] if lines else done.returncode}", file=sys.stderr)


def install_peers() -> None:
    done = PEERS / "installed"
    if done.exists():
        return
    shutil.rmtree(PEERS, ignore_errors=True)
    shutil.copytree(SHARED, PEERS)
    python = str(PEERS / "venv/bin/python")
    attempt("installing the peers' libraries", "apt-get", "-qy", "install", *APT_PEERS)
    attempt("making the peers' venv", sys.executable, "-m", "venv", "venv")
    attempt("installing the Python peers", python, "-m", "pip", "install", "-q", *PYTHON_PEERS)
    attempt("installing the Node.js peers", "npm", "install", "--no-audit", "--silent", *NODE_PEERS)
    attempt("building the native peers", "make", "-k", f"PYTHON={python}")
    attempt("generating the streams", python, "corpus.py", "corpora")
    done.touch()


def measure_peers(rounds: int, only: list[str], on: list[str]) -> list[dict]:
    """Every cell of the harness's table; it prints the table itself."""
    command = [str(PEERS / "venv/bin/python"), "run_all.py", "--corpora", "corpora"]
    command += ["--project", str(ROOT), "--project-python", sys.executable]
    command += ["--rounds", str(rounds), "--on", *on]
    if only != ["all"]:
        command += ["--only", "sockwarden", *only]
    print("\n## Beside its peers", flush=True)
    subprocess.run(command, cwd=PEERS, check=True)
    return json.loads((PEERS / "results.json").read_text())["cells"]


def ratios(cells: list[dict]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    times = {
        (cell["corpus"], cell["chunk"], cell["peer"]): cell["ns_per_event"][0]
        for cell in cells
        if "excluded" not in cell
    }
    for (corpus, chunk, peer), theirs in times.items():
        ours = times.get((corpus, chunk, "sockwarden"))
        if ours is None or peer.startswith("sockwarden") or chunk not in CHUNKS:
            continue
        name = RATIO_NAMES.get(peer, peer.replace("-", "_"))
        found.setdefault(corpus, {})[f"vs_{name}{suffix(chunk)}"] = round(ours / theirs, 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of the peers' harness")
    parser.add_argument("--only", nargs="+", default=FAST_PEERS, help="peers by name, or: all")
    parser.add_argument("--on", nargs="*", default=list(corpora.NAMES), help="peers' streams")
    parser.add_argument("--megabytes", type=int, default=200, help="of the capture to analyze")
    options = parser.parse_args()
    print(f"# Parser benchmark: {machine()}")
    found = alone()
    if SHARED.is_dir():
        install_peers()
        for name, each in ratios(measure_peers(options.rounds, options.only, options.on)).items():
            found[name] = each | found[name]
    else:
        print(f"\nno peers to compare with: {SHARED} is not there")
    found["analyze"] = analyze.measure(native.BUILT, options.megabytes, options.rounds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
