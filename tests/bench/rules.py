"""The rules' speed on benign messages: `make bench-rules`.

One core judges messages with all shipped rules and all decoders, from the unmasked message to the
verdict.  In the same run Vectorscan's own literal matcher goes over the same messages for the
literals that the gate was derived to look for, and does nothing else: `vs_gate` is the share of
its speed that the whole way reaches.  The messages are those of agent/rules/sample.py, or with
BENCH_CORPUS=FILE the `text` of each of its JSON lines.  Prints how many messages enter which
stage, and last one JSON object.

    --server           messages of servers; without it, of clients, for which most rules are
    --passes N         the best of so many
"""

import argparse
import ctypes
import itertools
import json
import os
import subprocess
from pathlib import Path

from sockwarden.agent.rules import sample
from sockwarden.agent.rules.compile import matches_of
from sockwarden.agent.rules.literals import Literal, requirement
from sockwarden.agent.rules.load import load_rules
from sockwarden.agent.rules.model import Rule, Source
from sockwarden.agent.rules.pattern import CASELESS

HERE = Path(__file__).resolve().parent
BUILT = HERE.parents[1] / "build" / "bench"
TEXT, BINARY = 1, 2
EXPANDED_MAX = 24  # literals of Vectorscan for one of ours that has sets of bytes
LEAST_BYTES = 3  # shorter ones would only slow Vectorscan down
WARM_UP = 2000


def messages() -> list[bytes]:
    corpus = os.environ.get("BENCH_CORPUS")
    if not corpus:
        return sample.messages()
    with open(corpus, encoding="utf-8") as file:
        return [json.loads(line)["text"].encode("utf-8", "surrogatepass") for line in file]


def opcode_of(message: bytes) -> int:
    try:
        message.decode()
    except UnicodeDecodeError:
        return BINARY
    return TEXT


def plain(literal: Literal) -> list[tuple[bytes, bool]]:
    """As plain texts, in any case or not: the start of it whose sets give few enough."""
    choices: list[bytes] = []
    caseless = False
    number = 1
    for mask in literal:
        octets = bytes(octet for octet in range(256) if mask >> octet & 1)
        if octets.lower() != octets and len(octets) == 2:
            octets, caseless = octets[1:], True
        number *= len(octets)
        if number > EXPANDED_MAX:
            break
        choices.append(octets)
    return [(bytes(text), caseless) for text in itertools.product(*choices) if text]


def literals(direction: str) -> list[tuple[bytes, bool]]:
    found = set()
    for rule in load_rules().rules:
        if not isinstance(rule, Rule) or rule.source is not Source.MESSAGE:
            continue
        if direction in rule.scope.directions:
            for test in matches_of(rule.condition):
                needed = requirement(test.regex, caseless=bool(test.flags & CASELESS))
                found |= {text for literal in needed.literals for text in plain(literal)}
    # Vectorscan takes a literal that begins with NUL for an empty one.
    return sorted(t for t in found if len(t[0]) >= LEAST_BYTES and t[0][0])


def vectorscan_seconds(
    texts: list[tuple[bytes, bool]], payloads: list[bytes], passes: int
) -> float:
    BUILT.mkdir(parents=True, exist_ok=True)
    library = BUILT / "literal_gate.so"
    source = HERE / "literal_gate.c"
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        command = ["cc", "-O3", "-shared", "-fPIC", "-o", str(library), str(source), "-lhs"]
        subprocess.run(command, check=True)
    scan = ctypes.CDLL(str(library)).scan
    scan.restype = ctypes.c_double
    count = len(texts)
    seconds: float = scan(
        (ctypes.c_char_p * count)(*(text for text, _ in texts)),
        (ctypes.c_size_t * count)(*(len(text) for text, _ in texts)),
        (ctypes.c_uint * count)(*(1 if caseless else 0 for _, caseless in texts)),
        (ctypes.c_uint * count)(*range(count)),
        ctypes.c_uint(count),
        (ctypes.c_char_p * len(payloads))(*payloads),
        (ctypes.c_size_t * len(payloads))(*map(len, payloads)),
        ctypes.c_size_t(len(payloads)),
        ctypes.c_int(passes),
    )
    if seconds < 0:
        raise SystemExit("Vectorscan does not compile the literals")
    return seconds


def engine_seconds(payloads: list[bytes], direction: int, passes: int) -> float:
    by_opcode = {
        opcode: [payload for payload in payloads if opcode_of(payload) == opcode]
        for opcode in (TEXT, BINARY)
    }
    session = load_rules().session()
    session.count(payloads[:WARM_UP], direction=direction)
    best = 0
    for _ in range(passes):
        took = sum(
            session.timed(group, direction=direction, opcode=opcode, tls=1)[1]
            for opcode, group in by_opcode.items()
        )
        best = min(best or took, took)
    return best / 1e9


def stages(payloads: list[bytes], direction: int) -> dict[str, float]:
    """The share of messages that enter each stage."""
    session = load_rules().session()
    entered = dict.fromkeys([*session.work, "alerted"], 0)
    for payload in payloads:
        before = session.work
        hits = session.judge(payload, direction=direction, opcode=opcode_of(payload), tls=1)
        for name, count in session.work.items():
            entered[name] += count > before[name]
        entered["alerted"] += bool(hits)
    return {name: count / len(payloads) for name, count in entered.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", action="store_true")
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    payloads = messages()
    size = sum(map(len, payloads))
    direction = "s2c" if options.server else "c2s"
    texts = literals(direction)
    gate = vectorscan_seconds(texts, payloads, options.passes)
    engine = engine_seconds(payloads, int(options.server), options.passes)
    shares = stages(payloads, int(options.server))
    print(f"{len(payloads)} messages, {size / len(payloads):.0f} bytes in the mean, {direction}")
    for name, share in shares.items():
        print(f"  {name.replace('_', ' '):<16}{share:8.2%} of messages")
    for name, seconds in (("vectorscan gate", gate), ("whole way", engine)):
        each = seconds / len(payloads) * 1e9
        print(f"  {name:<16}{size / seconds / 1e6:8.0f} MB/s {each:6.0f} ns a message")
    result = {
        "messages": len(payloads),
        "mean_bytes": round(size / len(payloads), 1),
        "direction": direction,
        "gate_literals": len(texts),
        "stages": {name: round(share, 4) for name, share in shares.items()},
        "gate_mb_per_s": round(size / gate / 1e6),
        "mb_per_s": round(size / engine / 1e6),
        "ns_per_message": round(engine / len(payloads) * 1e9),
        "vs_gate": round(gate / engine, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
