"""The lines of watch and analyze: DESIGN's keys in DESIGN's order, and lines for people."""

import io
import json

import pytest
from msgspec.structs import replace
from rich.console import Console
from typing_extensions import Buffer

from sockwarden.agent.alert import (
    Alert,
    Anomaly,
    Category,
    Connection,
    Control,
    Counters,
    Level,
    Message,
    Process,
    Report,
)
from sockwarden.agent.report import Columns, JsonLines

CONNECTION = Connection(
    conn=1,
    client="10.9.0.1:20000",
    server="10.9.0.2:8080",
    role="server",
    path="/chat",
    origin="https://shop.example",
    subprotocol=None,
    extensions="permessage-deflate",
    tls="openssl",
    pid=4711,
    exe="/usr/bin/node",
)
MESSAGE = Message(
    conn=1, dir="c2s", opcode=1, length=5, sha256="2cf24d", compressed=False, fragments=1
)
CONTROL = Control(conn=1, dir="c2s", opcode=8, length=2, code=1000)
ANOMALY = Anomaly(conn=1, dir="c2s", kind="rsv_bits", offset=17)
ALERT = Alert(
    conn=1,
    id="an-id",
    agent="an-agent",
    sequence=7,
    time="2026-11-24T22:00:00.000000001Z",
    rule="sqli",
    title="SQL injection",
    level=Level.HIGH,
    category=Category.INJECTION,
    tags=("cwe.89",),
    dir="c2s",
    opcode=1,
    evidence="' OR 1=1",
    count=1,
    client="10.9.0.1:20000",
    server="10.9.0.2:8080",
    path="/chat",
    origin="https://shop.example",
    subprotocol=None,
    tls="openssl",
    proxied=False,
    process=Process(pid=4711, exe="/usr/bin/node", uid=33, unit="app.service"),
)
COUNTERS = Counters(captured_bytes=0, lost={"ring_full": 0}, messages=0)

LINES = [
    '{"type":"connection","conn":1,"client":"10.9.0.1:20000","server":"10.9.0.2:8080",'
    '"role":"server","path":"/chat","origin":"https://shop.example","subprotocol":null,'
    '"extensions":"permessage-deflate","tls":"openssl","pid":4711,"exe":"/usr/bin/node"}',
    '{"type":"message","conn":1,"dir":"c2s","opcode":1,"length":5,"sha256":"2cf24d",'
    '"compressed":false,"fragments":1}',
    '{"type":"control","conn":1,"dir":"c2s","opcode":8,"length":2,"code":1000}',
    '{"type":"anomaly","conn":1,"dir":"c2s","kind":"rsv_bits","offset":17}',
    '{"type":"alert","conn":1,"id":"an-id","agent":"an-agent","sequence":7,'
    '"time":"2026-11-24T22:00:00.000000001Z","rule":"sqli","title":"SQL injection",'
    '"level":"high","category":"injection","tags":["cwe.89"],"dir":"c2s","opcode":1,'
    '"evidence":"\' OR 1=1","count":1,"client":"10.9.0.1:20000","server":"10.9.0.2:8080",'
    '"path":"/chat","origin":"https://shop.example","subprotocol":null,"tls":"openssl",'
    '"proxied":false,"process":{"pid":4711,"exe":"/usr/bin/node","uid":33,'
    '"unit":"app.service","container":null}}',
    '{"type":"counters","captured_bytes":0,"lost":{"ring_full":0},"messages":0}',
]


def tell(sink: JsonLines | Columns) -> None:
    sink.connection(CONNECTION)
    sink.message(MESSAGE)
    sink.control(CONTROL)
    sink.anomaly(ANOMALY)
    sink.alert(ALERT)
    sink.counters(COUNTERS)
    sink.flush()


def test_json_lines_are_the_documented_ones() -> None:
    stream = io.BytesIO()
    tell(JsonLines(stream))
    assert stream.getvalue().decode().splitlines() == LINES


def test_only_selects_types_and_alerts_still_count() -> None:
    stream = io.BytesIO()
    sink = JsonLines(stream, ["message", "anomaly"])
    tell(sink)
    assert stream.getvalue().decode().splitlines() == [LINES[1], LINES[3]]
    assert sink.alerts == 1


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (
            Message(
                conn=1,
                dir="s2c",
                opcode=2,
                length=9,
                sha256=None,
                compressed=True,
                fragments=3,
                after_close=True,
            ),
            '{"type":"message","conn":1,"dir":"s2c","opcode":2,"length":9,"sha256":null,'
            '"compressed":true,"fragments":3,"after_close":true}',
        ),
        (
            Control(conn=1, dir="s2c", opcode=9, length=0),
            '{"type":"control","conn":1,"dir":"s2c","opcode":9,"length":0,"code":null}',
        ),
        (
            Control(conn=1, dir="s2c", opcode=8, length=2, code=0),
            '{"type":"control","conn":1,"dir":"s2c","opcode":8,"length":2,"code":0}',
        ),
    ],
)
def test_fields_that_come_and_go(report: Report, line: str) -> None:
    stream = io.BytesIO()
    sink = JsonLines(stream)
    getattr(sink, type(report).__name__.lower())(report)
    sink.flush()
    assert stream.getvalue().decode() == line + "\n"


def test_alerts_without_an_identity_get_one_that_repeats() -> None:
    ids = []
    for _ in range(2):
        stream = io.BytesIO()
        sink = JsonLines(stream)
        for time in ("2026-11-24T22:00:00.000000001Z", "2026-11-24T22:00:00.000000002Z"):
            sink.alert(replace(ALERT, id="", time=time))
        sink.flush()
        ids.append([json.loads(line)["id"] for line in stream.getvalue().splitlines()])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2
    assert all(ids[0])


class Slow(io.RawIOBase):
    """Takes what it is given in small parts, as an unbuffered pipe may."""

    def __init__(self) -> None:
        self.taken = b""
        self.flushed = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        part = bytes(data)[:1000]
        self.taken += part
        return len(part)

    def flush(self) -> None:
        self.flushed = self.taken


def test_lines_reach_a_stream_that_takes_parts() -> None:
    stream = Slow()
    sink = JsonLines(stream)
    report = replace(CONNECTION, path="/" * 300_000)  # longer than the buffer
    for each in (CONNECTION, report, CONNECTION):
        sink.connection(each)
    sink.flush()
    lines = [json.loads(line) for line in stream.flushed.splitlines()]
    assert [len(line["path"]) for line in lines] == [5, 300_000, 5]


def test_a_stream_that_fails_is_told_and_does_not_stay_full() -> None:
    class Broken(io.RawIOBase):
        def write(self, data: Buffer) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            pass

    sink = JsonLines(Broken())
    sink.connection(CONNECTION)
    with pytest.raises(BrokenPipeError):
        sink.flush()
    sink.flush()


def columns() -> tuple[Columns, io.StringIO]:
    text = io.StringIO()
    return Columns(Console(file=text, width=60, force_terminal=False)), text


def test_columns_tell_the_same_to_a_person() -> None:
    sink, text = columns()
    assert text.getvalue() == ""
    tell(sink)
    lines = text.getvalue().splitlines()
    assert len(lines) == len(LINES)
    for line, parts in zip(
        lines,
        [
            ("open", "10.9.0.1:20000 → 10.9.0.2:8080", "/chat", "pid 4711", "exe /usr/bin/node"),
            ("→ text", "5 bytes"),
            ("→ close", "code 1000, 2 bytes"),
            ("→ anomaly", "rsv_bits at 17"),
            ("→ ALERT", "high: SQL injection [sqli] ' OR 1=1"),
            ("0 messages, 0 bytes captured",),
        ],
        strict=True,
    ):
        for part in parts:
            assert part in line


def test_a_terminal_never_gets_what_a_peer_wrote() -> None:
    sink, text = columns()
    hostile = "\x1b]0;owned\x07\x9b2J\n\u202e[red]x[/red]"
    sink.connection(replace(CONNECTION, path=hostile))
    (line,) = text.getvalue().splitlines()
    assert "\\x1b]0;owned\\x07\\x9b2J\\n\\u202e[red]x[/red]" in line
