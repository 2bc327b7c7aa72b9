"""`sockwarden analyze` as a user runs it: lines, exit status, complaints, privileges."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from captures import Conversation, capture, enhanced, interface, section
from handshakes import REQUEST, RESPONSE


def masked(text: bytes) -> bytes:
    mask = b"\x01\x02\x03\x04"
    body = bytes(octet ^ mask[index % 4] for index, octet in enumerate(text))
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text)]) + mask + body


HELLO = masked(b"hello")
PING = bytes.fromhex("898001020304")
CLOSE = bytes.fromhex("888201020304") + bytes([0x03 ^ 1, 0xE8 ^ 2])
ATTACK = b"id=1' UNION SELECT username, password FROM users--"
UNMASKED_BINARY = b"\x82\x03\x00\x01\x02"


def conversation(*frames: bytes, port: int = 20000) -> Conversation:
    made = Conversation(("10.9.0.1", port)).open().send(0, REQUEST).send(1, RESPONSE)
    for frame in frames:
        made.send(0, frame)
    return made.send(1, UNMASKED_BINARY).close()


RULES = Path(__file__).with_name("rules")
QUIET = capture(conversation(HELLO, PING, CLOSE).packets)
HOSTILE = capture(conversation(masked(ATTACK)).packets)


def command(*arguments: str | Path, shipped: bool = False) -> list[str]:
    """The rules that ship take a second to compile; one is enough for most tests."""
    rules = () if shipped else ("--rules", RULES)
    return [sys.executable, "-m", "sockwarden.cli", "analyze", *map(str, (*rules, *arguments))]


def analyze(
    *arguments: str | Path, stdin: bytes = b"", shipped: bool = False
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments, shipped=shipped),
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


def lines(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def quiet(tmp_path: Path) -> Path:
    path = tmp_path / "quiet.pcap"
    path.write_bytes(QUIET)
    return path


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    path = tmp_path / "hostile.pcap"
    path.write_bytes(HOSTILE)
    return path


def test_lines_in_the_order_seen(quiet: Path) -> None:
    done = analyze(quiet)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [
        '{"type":"connection","conn":1,"client":"10.9.0.1:20000","server":"10.9.0.2:8080",'
        '"role":null,"path":"/chat","origin":null,"subprotocol":null,"extensions":null,'
        '"tls":null,"pid":null,"exe":null}',
        '{"type":"message","conn":1,"dir":"c2s","opcode":1,"length":5,"sha256":'
        '"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",'
        '"compressed":false,"fragments":1}',
        '{"type":"control","conn":1,"dir":"c2s","opcode":9,"length":0,"code":null}',
        '{"type":"control","conn":1,"dir":"c2s","opcode":8,"length":2,"code":1000}',
        '{"type":"message","conn":1,"dir":"s2c","opcode":2,"length":3,"sha256":'
        '"ae4b3280e56e2faf83f414a6e3dabe9d5fbe18976544c05fed121accb85b53fc",'
        '"compressed":false,"fragments":1}',
        f'{{"type":"counters","captured_bytes":{len(REQUEST + RESPONSE) + 30},"lost":{{}},'
        '"messages":2}',
    ]


def test_an_alert_is_exit_status_1(hostile: Path) -> None:
    done = analyze("--only", "alert", hostile, shipped=True)
    assert done.returncode == 1
    (alert,) = lines(done)
    assert list(alert) == [
        "type", "conn", "id", "agent", "sequence", "time", "rule", "title", "level", "category",
        "tags", "dir", "opcode", "evidence", "count", "client", "server", "path", "origin",
        "subprotocol", "tls", "proxied", "process",
    ]  # fmt: skip
    assert alert["category"] == "injection"
    assert alert["time"].startswith("2023-11-14T22:13:20.")
    assert alert["process"] is None


def test_several_files_and_stdin_count_connections_on(quiet: Path, hostile: Path) -> None:
    done = analyze("--only", "connection,counters", quiet, "-", hostile, stdin=QUIET)
    assert done.returncode == 1
    *connections, counters = lines(done)
    assert [line["conn"] for line in connections] == [1, 2, 3]
    assert counters["messages"] == 6


def test_pcapng_and_har(tmp_path: Path) -> None:
    talk = conversation(HELLO)
    pcapng = section() + interface(1)
    pcapng += b"".join(enhanced(packet.time_ns, packet.frame()) for packet in talk.packets)
    (tmp_path / "a").write_bytes(pcapng)
    entry = {
        "request": {
            "url": "wss://chat.example/ws",
            "headers": [{"name": "Upgrade", "value": "websocket"}],
        },
        "response": {"status": 101, "statusText": "Switching Protocols", "headers": []},
        "serverIPAddress": "2001:db8::7",
        "_webSocketMessages": [{"type": "send", "time": 1.5, "opcode": 1, "data": "hello"}],
    }
    (tmp_path / "b").write_text(json.dumps({"log": {"entries": [entry]}}))
    done = analyze("--only", "connection,message", tmp_path / "a", tmp_path / "b")
    found = lines(done)
    assert [(line["type"], line["conn"]) for line in found] == [
        ("connection", 1), ("message", 1), ("message", 1), ("connection", 2), ("message", 2),
    ]  # fmt: skip
    assert found[1]["sha256"] == found[4]["sha256"]
    assert (found[3]["role"], found[3]["path"], found[3]["pid"]) == ("client", "/ws", None)
    assert (found[3]["client"], found[3]["server"]) == (None, "[2001:db8::7]:443")


def test_unreadable_files_are_a_line_each_and_exit_status_2(tmp_path: Path, quiet: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(QUIET[:-5])
    other = tmp_path / "other"
    other.write_bytes(b"MZ")
    done = analyze("--only", "message", tmp_path / "none", tmp_path, cut, other, quiet)
    assert done.returncode == 2
    complaints = done.stderr.decode().splitlines()
    assert len(complaints) == 4
    for complaint, parts in zip(
        complaints,
        [
            (f"sockwarden: {tmp_path}/none: ", "No such file"),
            (f"sockwarden: {tmp_path}: ", "directory"),
            (f"sockwarden: {cut}: packet 18: ", "truncated"),
            (f"sockwarden: {other}: byte 0: ", "4d 5a"),
        ],
        strict=True,
    ):
        for part in parts:
            assert part in complaint
    assert [line["conn"] for line in lines(done)] == [1, 1, 2, 2]


def test_unreadable_is_worse_than_alerts(hostile: Path) -> None:
    assert analyze(hostile, "/nonexistent").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--only", "message,frames", "x"], "'frames'"),
        (["--rules", "/nonexistent", "x"], "/nonexistent"),
        ([], "FILE"),
        (["--unknown", "x"], "--unknown"),
    ],
)
def test_bad_usage(arguments: list[str], complaint: str) -> None:
    done = analyze(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert complaint in line


def test_own_rules_replace_those_that_ship(tmp_path: Path, quiet: Path, hostile: Path) -> None:
    done = analyze("--only", "alert", quiet, hostile)
    assert [line["rule"] for line in lines(done)] == ["union"]
    (tmp_path / "broken.yml").write_text("title: [")
    done = analyze("--rules", tmp_path, quiet)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert "broken.yml:" in line


@pytest.mark.parametrize(("count", "sentence"), [(1, b"1 TLS connection "), (3, b"3 TLS connect")])
def test_tls_is_said_and_is_no_failure(count: int, sentence: bytes) -> None:
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(200)
    packets = [
        packet
        for port in range(count)
        for packet in Conversation(("10.9.0.1", 1000 + port)).open().send(0, hello).packets
    ]
    done = analyze("-", stdin=capture(packets))
    assert done.returncode == 0
    assert done.stderr.startswith(sentence)
    assert lines(done)[-1]["lost"] == {"tls_connections": count}


def test_a_terminal_gets_columns_and_json_is_asked_for(quiet: Path) -> None:
    for arguments, expected in (((), b"hello"), (("--json",), b'{"type":"connection"')):
        main, secondary = pty.openpty()
        with subprocess.Popen(
            command(*arguments, quiet), stdout=secondary, stderr=secondary
        ) as process:
            os.close(secondary)
            text = b""
            while part := _read(main):
                text += part
            assert process.wait(60) == 0, text
        os.close(main)
        assert (expected in text) == (arguments != ()), text
        assert b"/chat" in text


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end of a terminal is closed
        return b""


def test_a_reader_that_leaves_early_is_no_failure(tmp_path: Path) -> None:
    big = tmp_path / "big.pcap"
    big.write_bytes(capture(conversation(HELLO * 20_000).packets))
    with subprocess.Popen(command(big), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) in {0, 1}


def test_rights_are_gone_before_the_first_octet_is_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(command(fifo), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        with fifo.open("wb", buffering=0) as writer:
            # It has opened the pipe and waits for its content or is about to.
            status = _confined(process)
            writer.write(QUIET)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert output.startswith(b'{"type":"connection"')
    assert status["CapEff"] == "0000000000000000"
    assert status["NoNewPrivs"] == "1"
    assert "0" not in status["Uid"].split()


def _confined(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """Its status once it waits in read(2): of a filter's process the state alone tells it."""
    path = Path(f"/proc/{process.pid}/status")
    while True:
        assert process.poll() is None, process.communicate()
        status = dict(line.split(":\t", 1) for line in path.read_text().splitlines())
        if status["Seccomp"] == "2" and status["State"].startswith("S"):
            return status
