"""The query commands against a real collector: JSON for programs, tables for people."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fleet
import pytest
from click.testing import CliRunner, Result

from sockwarden.cli import main, output
from sockwarden.collector.config import Config
from sockwarden.proto.v1.query_pb2 import StoredAlert

NASTY = "\x1b[31mred\u202e\x9b[bold]"


def deliver(settings: Config, alerts: list[Any], name: str = "web-1") -> None:
    async def run() -> None:
        async with fleet.agent(settings, name) as agent:
            await agent.hello()
            await agent.beat(**{"messages": 5, "lost.ring_full": 2, "lost.map_full": 1})
            await agent.deliver(*alerts)

    asyncio.run(run())


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    folder = tmp_path_factory.mktemp("collector")
    chosen = fleet.config(folder)
    with fleet.process(chosen, folder):
        deliver(chosen, [fleet.make_alert(number) for number in range(1, 4)])
        odd = fleet.make_alert(1, "web-2", rule__id="key-leak", rule__level=5, rule__category=3)
        odd.evidence = NASTY
        odd.ClearField("process")
        odd.ClearField("opcode")
        odd.direction = 0
        odd.connection.Clear()
        deliver(chosen, [odd], "web-2")
        yield chosen


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLLECTOR", "CA", "CERTIFICATE", "KEY"):
        monkeypatch.delenv(f"SOCKWARDEN_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def run(settings: Config, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--collector", settings.listen.query])


def objects(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def on_terminal(settings: Config, width: int, *arguments: str) -> str:
    """What a terminal of that width gets."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    command = [sys.executable, "-m", "sockwarden.cli", *arguments]
    environ = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    environ |= {"SOCKWARDEN_COLLECTOR": settings.listen.query, "TERM": "xterm-256color"}
    shown = bytearray()

    def drain() -> None:
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # EIO: the last holder of the other end is gone
                return
            shown.extend(piece)

    reader = threading.Thread(target=drain)
    process = subprocess.Popen(command, stdout=theirs, env=environ)
    os.close(theirs)
    reader.start()
    assert process.wait(fleet.PATIENCE_S) == 0
    reader.join()
    os.close(ours)
    return shown.decode()


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


def test_alert_object_has_exactly_the_documented_keys(settings: Config) -> None:
    found = objects(run(settings, "alerts", "list", "--host", "web-1", "--limit", "1"))
    received = found[0].pop("received")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", received)
    assert found == [
        {
            "type": "alert",
            "conn": 9,
            "id": "web-1-7-3",
            "agent": "web-1",
            "sequence": 3,
            "time": "2026-09-21T14:13:20.000000003Z",
            "rule": "sql-injection",
            "title": "SQL injection",
            "level": "high",
            "category": "injection",
            "tags": ["cwe.89"],
            "dir": "c2s",
            "opcode": 1,
            "evidence": "' OR 1=1 --",
            "count": 1,
            "client": "10.9.0.1:20000",
            "server": "10.9.0.2:8080",
            "path": "/chat",
            "origin": "https://shop.example",
            "subprotocol": None,
            "tls": "openssl",
            "proxied": False,
            "process": {
                "pid": 4711,
                "exe": "/usr/bin/node",
                "uid": 33,
                "unit": "app.service",
                "container": None,
            },
        }
    ]


def test_what_is_not_known_is_null(settings: Config) -> None:
    (found,) = objects(run(settings, "alerts", "list", "--host", "web-2"))
    for name in ("dir", "opcode", "client", "server", "path", "origin", "tls", "process"):
        assert found[name] is None
    assert found["evidence"] == NASTY


def test_json_carries_no_control_character(settings: Config) -> None:
    shown = run(settings, "alerts", "show", "web-2-7-1").stdout
    assert "\\u001b[31mred\\u202e\\u009b[bold]" in shown
    assert json.loads(shown)["evidence"] == NASTY


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ([], ["web-1-7-3", "web-1-7-2", "web-2-7-1", "web-1-7-1"]),
        (["--oldest-first"], ["web-1-7-1", "web-2-7-1", "web-1-7-2", "web-1-7-3"]),
        (["--limit", "2"], ["web-1-7-3", "web-1-7-2"]),
        (["--rule", "key-leak"], ["web-2-7-1"]),
        (["--level", "critical"], ["web-2-7-1"]),
        (["--category", "leak", "--category", "dos"], ["web-2-7-1"]),
        (["--source", "10.9.0.1", "--process", "node", "--path", "/ch*", "--limit", "1"],
         ["web-1-7-3"]),
        (["--text", "or 1=1", "--since", "2026-09-21T14:13:20.000000002Z"],
         ["web-1-7-3", "web-1-7-2"]),
        (["--until", "2026-09-21T16:13:20.000000002+02:00"], ["web-2-7-1", "web-1-7-1"]),
        (["--until", "520w"], []),
    ],
)  # fmt: skip
def test_filters(settings: Config, options: list[str], ids: list[str]) -> None:
    found = objects(run(settings, "alerts", "list", *options))
    assert sorted(one["id"] for one in found) == sorted(ids)
    times = [one["time"] for one in found]
    assert times == sorted(times, reverse="--oldest-first" not in options)


def test_listing_goes_over_pages(settings: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockwarden.cli.alerts._PAGE", 1)
    assert len(objects(run(settings, "alerts", "list", "--limit", "3"))) == 3
    assert len(objects(run(settings, "alerts", "list"))) == 4


def test_hosts(settings: Config) -> None:
    found = objects(run(settings, "hosts"))
    assert [host["agent"] for host in found] == ["web-1", "web-2"]
    assert found[0]["alerts"] == 3
    assert found[0]["counters"] == {"lost.map_full": 1, "lost.ring_full": 2, "messages": 5}


def test_stats(settings: Config) -> None:
    assert objects(run(settings, "stats")) == [
        {"type": "stats", "rule": "sql-injection", "alerts": 3, "events": 3},
        {"type": "stats", "rule": "key-leak", "alerts": 1, "events": 1},
    ]
    found = objects(run(settings, "stats", "--by", "host", "--by", "level", "--limit", "1"))
    assert found == [{"type": "stats", "host": "web-1", "level": "high", "alerts": 3, "events": 3}]
    refused = run(settings, "stats", "--by", "rule", "--by", "rule")
    assert refused.exit_code == 2
    assert "--by" in refused.stderr


def test_show_tells_which_ids_are_not_there(settings: Config) -> None:
    shown = run(settings, "alerts", "show", "web-1-7-1", "nothing", "web-1-7-2")
    assert shown.exit_code == 1
    assert [json.loads(line)["sequence"] for line in shown.stdout.splitlines()] == [1, 2]
    assert shown.stderr.count("\n") == 1
    assert "there is no alert 'nothing'" in shown.stderr


def test_tables_fit_the_terminal(settings: Config) -> None:
    for width in (60, 100, 160):
        for command in (["alerts", "list"], ["hosts"], ["stats"], ["alerts", "show", "web-2-7-1"]):
            shown = on_terminal(settings, width, *command)
            lines = plain(shown).split("\r\n")
            assert max(map(len, lines)) <= width
            assert "\u202e" not in shown
            assert "\x1b[31mred" not in shown
    assert "with --json" in plain(on_terminal(settings, 100, "alerts", "list"))
    table = plain(on_terminal(settings, 160, "alerts", "list"))
    for text in (
        "TIME",
        "web-1-7-3",
        "web-1",
        "sql-injection",
        "10.9.0.1:20000",
        "/chat",
        "' OR 1=1 --",
    ):
        assert text in table
    assert "\\u001b[31mred\\u202e\\u009b[bold]" in table
    sheet = plain(on_terminal(settings, 100, "alerts", "show", "web-1-7-1"))
    assert re.search(r"process exe +/usr/bin/node", sheet)
    hosts = plain(on_terminal(settings, 100, "hosts"))
    assert re.search(r"web-1 +away .* 3 +0 +3", hosts)


def test_long_path_leaves_room_for_the_evidence() -> None:
    alert = fleet.make_alert(1, connection__path="/" + "x" * 16_000, rule__id="r" * 128)
    line = output.alert_line(StoredAlert(alert=alert)).plain
    assert len(line) < 200
    assert line.endswith("' OR 1=1 --")


def test_levels_have_colours(settings: Config) -> None:
    shown = on_terminal(settings, 100, "alerts", "list")
    assert re.search(r"\x1b\[1;31mhigh", shown)
    assert re.search(r"\x1b\[1;37;41mcritical", shown)


def test_tail_shows_the_past_on_request_and_ends_after_limit(settings: Config) -> None:
    result = run(settings, "alerts", "tail", "--since", "2026-01-01", "--limit", "4")
    assert [one["sequence"] for one in objects(result)] == [1, 2, 3, 1]
    on_screen = plain(on_terminal(settings, 80, "alerts", "tail", "--since", "2026-01-01",
                                  "--limit", "4"))  # fmt: skip
    assert len(on_screen.splitlines()) == 4
    assert max(map(len, on_screen.splitlines())) <= 80


def test_tail_goes_on_where_it_was_when_the_collector_comes_back(tmp_path: Path) -> None:
    settings = fleet.config(tmp_path)
    command = [sys.executable, "-u", "-m", "sockwarden.cli", "alerts", "tail"]
    command += ["--collector", settings.listen.query]
    with (
        fleet.process(settings, tmp_path) as collector,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as tail,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(tail.kill)  # a failed assertion must not wait for it
        assert tail.stdout is not None
        assert tail.stderr is not None
        seen: list[int] = []
        # Only what comes from now on is shown: deliver until the first is.
        reader = threading.Thread(
            target=lambda: seen.extend(json.loads(line)["sequence"] for line in tail.stdout)
        )
        reader.start()
        number = 0
        deadline = time.monotonic() + fleet.PATIENCE_S
        while not seen:
            number += 1
            deliver(settings, [fleet.make_alert(number)])
            assert time.monotonic() < deadline
        collector.end(signal.SIGKILL)
        assert "the collector is away, waiting" in tail.stderr.readline()
        collector.start()
        deadline = time.monotonic() + fleet.PATIENCE_S
        deliver(settings, [fleet.make_alert(number + 1), fleet.make_alert(number + 2)])
        while not seen or seen[-1] < number + 2:
            time.sleep(0.01)
            assert time.monotonic() < deadline
        tail.send_signal(signal.SIGINT)
        assert tail.wait(fleet.PATIENCE_S) == 0
        reader.join()
        tail.stderr.read()
    assert seen == list(range(seen[0], number + 3))


@pytest.mark.parametrize("command", [["alerts", "list"], ["alerts", "tail"], ["hosts"], ["stats"]])
def test_absent_collector_is_one_line_that_says_what_to_do(
    command: list[str], tmp_path: Path
) -> None:
    missing = f"unix:{tmp_path}/query.sock"
    failed = CliRunner().invoke(main, [*command, "--collector", missing])
    assert failed.exit_code == 2
    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith(f"sockwarden: {missing}: the collector does not answer")
    assert "No such file or directory" in failed.stderr
    assert "systemctl status sockwarden-collector" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["alerts", "list", "--since", "yesterday"], "'yesterday' is neither like 2h nor like"),
        (["alerts", "list", "--level", "huge"], "'huge' is not one of"),
        (["alerts", "list", "--lmit", "1"], "No such option"),
        (["alerts", "list", "--text", "x" * 513], "filter.text: longer than 512 bytes"),
        (["alerts", "show"], "Missing argument"),
        (["hosts", "--collector", "192.0.2.1:1"], "192.0.2.1:1: TLS is needed"),
        (["hosts", "--ca", "/nothing.pem"], "/nothing.pem: No such file"),
    ],
)
def test_bad_usage_is_one_line(settings: Config, arguments: list[str], text: str) -> None:
    refused = CliRunner().invoke(
        main, arguments, env={"SOCKWARDEN_COLLECTOR": settings.listen.query}
    )
    assert refused.exit_code == 2
    assert text in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_flag_goes_before_environment_before_file(settings: Config, tmp_path: Path) -> None:
    file = tmp_path / "sockwarden" / "cli.toml"
    file.parent.mkdir()
    file.write_text(f'collector = "{settings.listen.query}"\n')
    runner = CliRunner()
    assert len(objects(runner.invoke(main, ["hosts"]))) == 2
    elsewhere = {"SOCKWARDEN_COLLECTOR": f"unix:{tmp_path}/environment"}
    assert "/environment: " in runner.invoke(main, ["hosts"], env=elsewhere).stderr
    flag = ["hosts", "--collector", settings.listen.query]
    assert len(objects(runner.invoke(main, flag, env=elsewhere))) == 2
    file.write_text("colector = 'x'\n")
    refused = runner.invoke(main, ["hosts"])
    assert refused.exit_code == 2
    assert "cli.toml" in refused.stderr
    assert "colector" in refused.stderr
