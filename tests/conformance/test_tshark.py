"""Frames as Wireshark sees them: an oracle that others wrote.

It tells opcodes, FIN, lengths and close codes, puts no message together and judges nothing.
"""

import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from case import Case, Line
from lines import analyze, connections
from playing import FIRST_PORT, WAYS
from table import CASES

FIELDS = (
    "tcp.srcport", "tcp.dstport", "websocket.opcode", "websocket.fin",
    "websocket.payload.close.status_code", "websocket.payload_length",
    "websocket.payload_length_ext_16", "websocket.payload_length_ext_64",
)  # fmt: skip
SERVER_PORT = "8080"
CLOSE = 8
# What it does not see: frames before the 101; or takes for a frame although it cannot be one.
UNLIKE = (
    "client frames before the 101", "both at once", "much before the 101",
    "the top bit of a length", "a length that never comes", "a length that no peer takes",
    "no deflate data", "a context that was agreed away",
)  # fmt: skip

Told = tuple[str, int, int | None, int | None]  # direction, opcode, fragments or code, length


def frames(path: Path) -> dict[int, list[tuple[str, int, bool, int, int | None]]]:
    """By the client's port: direction, opcode, FIN, length, close code."""
    arguments = ["-r", str(path), "-d", f"tcp.port=={SERVER_PORT},http", "-Y", "websocket"]
    fields = [part for name in FIELDS for part in ("-e", name)]
    done = subprocess.run(
        ["tshark", *arguments, "-T", "fields", *fields],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = defaultdict(list)
    for line in done.stdout.splitlines():
        source, destination, *columns = line.split("\t")
        opcodes, fins, codes, short, middle, long = (
            column.split(",") if column else [] for column in columns
        )
        client, name = (source, "c2s") if destination == SERVER_PORT else (destination, "s2c")
        for opcode, fin, length in zip(opcodes, fins, short, strict=True):
            size = {"126": middle, "127": long}.get(length, [length]).pop(0)
            code = None
            if opcode == str(CLOSE) and int(size) >= 2:
                code = int(codes.pop(0))
            found[int(client)].append((name, int(opcode), fin in "1True", int(size), code))
    return found


def joined(seen: list[tuple[str, int, bool, int, int | None]]) -> list[Told]:
    """Messages and control frames."""
    told: list[Told] = []
    open_: dict[str, list[int]] = {}  # opcode, fragments, length
    for name, opcode, fin, length, code in seen:
        if opcode >= CLOSE:
            if opcode <= CLOSE + 2:
                told.append((name, opcode, code, length))
            continue
        if opcode in (1, 2):
            open_[name] = [opcode, 0, 0]
        if opcode > 2 or name not in open_:
            continue
        open_[name][1] += 1
        open_[name][2] += length
        if fin:
            told.append((name, *open_.pop(name)))
    return told


def of_lines(case: Case, lines: list[Line]) -> list[Told]:
    return [
        (
            line["dir"],
            line["opcode"],
            line["fragments"] if line["type"] == "message" else line["code"],
            line["length"],
        )
        for line in lines
        if line["type"] in ("message", "control")
    ]


def wire_lengths(told: list[Told], case: Case) -> list[tuple[str | int | None, ...]]:
    """The length of a message that may be packed is not compared."""
    return [one[:3] if case.packed and one[1] < CLOSE else one for one in told]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_frames_as_wireshark_sees_them(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(WAYS[1].file(CASES))
    theirs = frames(path)
    ours = connections(analyze(path)[:-1], WAYS[1], CASES)
    compared = 0
    for at, (case, lines) in enumerate(zip(CASES, ours, strict=True)):
        if case.name.startswith(UNLIKE):
            continue
        compared += 1
        expected = joined(theirs[FIRST_PORT + at])
        assert wire_lengths(of_lines(case, lines), case) == wire_lengths(expected, case), case.name
    assert compared > 700
