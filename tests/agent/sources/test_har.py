"""HAR files as browsers export them."""

import base64
import json
import struct
from typing import Any

import pytest
from recorder import READ, WRITE, analyze

CLIENT = 2


def entry(**changes: Any) -> dict[str, Any]:
    """As Chrome writes one, shortened."""
    made: dict[str, Any] = {
        "_connectionId": "1204",
        "_initiator": {"type": "script"},
        "_resourceType": "websocket",
        "_webSocketMessages": [
            {"type": "send", "time": 1764021600.25, "opcode": 1, "data": '{"hello": "wörld"}'},
            {"type": "receive", "time": 1764021600.5, "opcode": 2, "data": "AAH/"},
            {"type": "receive", "time": 1764021601.0, "opcode": 1, "data": ""},
        ],
        "cache": {},
        "request": {
            "method": "GET",
            "url": "wss://chat.example:8443/ws?room=1",
            "httpVersion": "HTTP/1.1",
            "headers": [
                {"name": "Host", "value": "chat.example:8443"},
                {"name": "Upgrade", "value": "websocket"},
                {"name": "Origin", "value": "https://shop.example"},
            ],
            "queryString": [],
            "headersSize": -1,
            "bodySize": 0,
        },
        "response": {
            "status": 101,
            "statusText": "Switching Protocols",
            "httpVersion": "HTTP/1.1",
            "headers": [{"name": "Sec-WebSocket-Protocol", "value": "v1"}],
            "content": {"size": 0, "mimeType": "x-unknown"},
        },
        "serverIPAddress": "[2001:db8::7]",
        "startedDateTime": "2025-11-24T22:00:00.125Z",
        "time": 8000.1,
    }
    return made | changes


def har(*entries: dict[str, Any], prefix: bytes = b"") -> bytes:
    archive = {"log": {"version": "1.2", "creator": {"name": "WebInspector"}, "entries": entries}}
    return prefix + json.dumps(archive, ensure_ascii=False).encode()


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf", b" \r\n\t"])
def test_messages_and_handshake(prefix: bytes) -> None:
    result = analyze(har(entry(), prefix=prefix))
    assert result.error is None
    assert result.only.role == CLIENT
    assert result.only.messages == [
        (WRITE, 1, '{"hello": "wörld"}'.encode()),
        (READ, 2, b"\x00\x01\xff"),
        (READ, 1, b""),
    ]
    received, sent = result.only.streams
    assert sent == (
        b"GET /ws?room=1 HTTP/1.1\r\nHost: chat.example:8443\r\nUpgrade: websocket\r\n"
        b"Origin: https://shop.example\r\n\r\n"
    )
    assert received == (b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: v1\r\n\r\n")
    assert result.only.end == (len(received), len(sent))


def test_times_are_nanoseconds_of_the_epoch() -> None:
    seen = analyze(har(entry())).only
    assert seen.time_ns == 1764021600_125000000
    assert seen.times[2:] == [1764021600_250000000, 1764021600_500000000, 1764021601_000000000]


def test_the_servers_address_is_the_remote_end() -> None:
    fields = struct.unpack("=QQIiHHHH16s16s", analyze(har(entry())).only.open)
    assert fields[4] == 10
    assert fields[7] == 8443
    assert fields[9] == bytes.fromhex("20010db8000000000000000000000007")
    unknown = struct.unpack("=QQIiHHHH16s16s", analyze(har(entry(serverIPAddress=""))).only.open)
    assert unknown[4:8] == (0, 0, 0, 0)


def test_entries_without_a_websocket_are_passed_over() -> None:
    page = entry(_resourceType="document", request={"url": "https://shop.example/", "headers": []})
    del page["_webSocketMessages"]
    refused = entry(response={"status": 403, "statusText": "Forbidden", "headers": []})
    del refused["_webSocketMessages"]
    blocked = entry(response={"status": 0, "statusText": "", "headers": []})
    result = analyze(har(page, refused, blocked))
    assert [seen.streams[READ] for seen in result.connections] == [
        b"HTTP/1.1 403 Forbidden\r\n\r\n",
        b"",
    ]


def test_what_a_browser_left_out_is_written_and_lines_stay_lines() -> None:
    request = {
        "method": "GET",
        "url": "wss://chat.example",
        "headers": [
            {"name": ":authority", "value": "chat.example"},
            {"name": "X-Odd", "value": "a\r\nInjected: b"},
        ],
    }
    assert analyze(har(entry(request=request))).only.streams[WRITE] == (
        b"GET / HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"X-Odd: a  Injected: b\r\n\r\n"
    )


def test_frames_that_are_no_messages_are_counted() -> None:
    messages = [
        {"type": "error", "time": 0, "opcode": -1, "data": "closed"},
        {"type": "send", "time": 0, "opcode": 8, "data": ""},
        {"type": "send", "time": -1e300, "opcode": 1, "data": "x"},
    ]
    result = analyze(har(entry(_webSocketMessages=messages)))
    assert result.lost == {"har_messages_not_judged": 2}
    assert result.only.messages == [(WRITE, 1, b"x")]


def test_many_messages() -> None:
    payload = base64.b64encode(bytes(range(256))).decode()
    messages = [{"type": "send", "time": 1, "opcode": 2, "data": payload}] * 1000
    assert len(analyze(har(entry(_webSocketMessages=messages))).only.messages) == 1000


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        (b"{", "byte 1", "input data was truncated"),
        (b'{"log": 1', "$.log", "expected `object`, got `int`"),
        (b'{"log": tru}', "byte 12", "JSON is malformed: invalid character"),
        (b"{}", "$", "object missing required field `log`"),
        (b'{"log": {"entries": 3}}', "$.log.entries", "expected `array`, got `int`"),
        (b'{"log": {"entries": [{}]}}', "$.log.entries[0]", "missing required field `request`"),
        (
            har(entry(), entry(_webSocketMessages=[{"type": "send", "opcode": "1"}])),
            "$.log.entries[1]._webSocketMessages[0].opcode",
            "expected `int`, got `str`",
        ),
        (
            har(entry(_webSocketMessages=[{"type": "send", "opcode": 2, "data": "AA!="}])),
            "$.log.entries[0]._webSocketMessages[0].data",
            "not base64",
        ),
        (har(entry(serverIPAddress="1.2.3")), "$.log.entries[0].serverIPAddress", "1.2.3"),
        (har(entry(startedDateTime="now")), "$.log.entries[0].startedDateTime", "RFC 3339"),
        (har(entry(request={"url": "wss://[x"})), "$.log.entries[0].request.url", "IPv6"),
        (har(entry(request={"url": "wss://x:99999"})), "$.log.entries[0].request.url", "port"),
        (b"{" + b"\xff", "byte 1", "JSON"),
        (b'{"a":' + b"[" * 100_000, "byte 100005", ""),
    ],
)
def test_malformed_files(content: bytes, place: str, reason: str) -> None:
    error = analyze(content).error
    assert error is not None
    assert (error.place, reason in error.reason) == (place, True), str(error)
    assert "\n" not in str(error)


def test_what_came_before_a_malformed_entry_is_judged() -> None:
    bad = entry(_webSocketMessages=[{"type": "send", "opcode": 2, "data": "?"}])
    result = analyze(har(entry(), bad))
    assert len(result.connections[0].messages) == 3
    assert result.error is not None


def test_what_came_before_a_malformed_message_is_judged() -> None:
    messages = [{"type": "send", "opcode": 1, "data": "x"}, {"type": "send", "opcode": "1"}]
    result = analyze(har(entry(_webSocketMessages=messages)))
    assert result.only.messages == [(WRITE, 1, b"x")]
    assert result.only.end is not None
    assert str(result.error).startswith("$.log.entries[0]._webSocketMessages[1].opcode: ")


def test_fields_that_tools_leave_out_or_null() -> None:
    made = entry(startedDateTime=None, serverIPAddress=None)
    made["response"] = {"status": None, "statusText": None}
    made["_webSocketMessages"] = [{"type": "send", "opcode": 2, "data": None, "time": None}]
    result = analyze(har(made))
    assert result.error is None
    assert result.only.messages == [(WRITE, 2, b"")]


@pytest.mark.parametrize("end", ["cut", "broken"])
def test_a_file_that_ends_anywhere_is_one_error_behind_its_whole_messages(end: str) -> None:
    # What gives JSON its structure stands in strings too.
    texts = ['{"a": [1, "\\', 'b"]}, {', "", "}]}]}"]
    messages = [{"type": "send", "opcode": 1, "time": 1, "data": text} for text in texts]
    content = har(entry(), entry(_webSocketMessages=messages))
    bounds = [content.index(json.dumps(message).encode()) for message in messages[1:]]
    first = content.index(b'"send", "opcode": 1, "time"')
    for size in range(len(content)):
        result = analyze(content[:size] + (b"\x01" if end == "broken" else b""))
        assert result.error is not None
        assert "\n" not in str(result.error)
        told = [message for seen in result.connections for message in seen.messages]
        if size <= first:
            assert len(told) <= 3
            continue
        assert result.error.place.startswith("byte ")
        whole = sum(size >= bound for bound in bounds)
        assert [payload.decode() for _, _, payload in told[3:]] in (
            texts[:whole], texts[: whole + 1]
        )  # fmt: skip
        for seen in result.connections:
            assert seen.streams[WRITE] in (b"", result.connections[0].streams[WRITE])
