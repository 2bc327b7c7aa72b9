"""The handshake's facts and faults (RFC 6455 section 4)."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwarden.parser import Handshake, extensions

REQUEST = {
    "Host": "example.org",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
RESPONSE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
}


def head(line, fields):
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([line, *lines, "", ""]).encode("latin-1")


def handshake(
    request=None,
    response=None,
    line="GET /chat?room=1&x HTTP/1.1",
    status="101 Switching Protocols",
):
    """A good one, with fields changed, or None to take them away."""
    return Handshake(
        head(line, REQUEST | (request or {})),
        head("HTTP/1.1 " + status, RESPONSE | (response or {})),
    )


def test_a_good_handshake():
    offer = "permessage-deflate; client_max_window_bits, x-other"
    seen = handshake(
        {
            "Origin": "https://example.org",
            "User-Agent": "test/1",
            "Cookie": "a=b",
            "Authorization": "Basic eDp5",
            "Sec-WebSocket-Protocol": "chat, superchat",
            "Sec-WebSocket-Extensions": offer,
        },
        {
            "Sec-WebSocket-Protocol": "chat",
            "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits=12",
        },
    )
    assert seen.faults == frozenset()
    assert seen.accept_ok
    assert seen.headers[0] == ("host", "example.org")
    assert seen.fields() == {
        "method": "GET",
        "target": "/chat?room=1&x",
        "path": "/chat",
        "query": "room=1&x",
        "host": "example.org",
        "origin": "https://example.org",
        "origin_host": "example.org",
        "cross_origin": False,
        "user_agent": "test/1",
        "cookie": "a=b",
        "authorization": "Basic eDp5",
        "version": "13",
        "key": "dGhlIHNhbXBsZSBub25jZQ==",
        "status": 101,
        "upgraded": True,
        "subprotocol": "chat",
        "subprotocols": ["chat", "superchat"],
        "extensions": "permessage-deflate; client_max_window_bits=12",
        "extensions_offered": offer,
        "header_count": 11,
        "head_length": len(seen.request),
        "faults": [],
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        seen.method = "POST"


def test_absent_values_are_none():
    fields = handshake().fields()
    for name in ("origin", "origin_host", "cookie", "authorization", "subprotocol", "extensions"):
        assert fields[name] is None
    assert fields["subprotocols"] == []


def test_secrets_are_not_in_its_repr():
    seen = handshake(
        {"Cookie": "session=secret", "Authorization": "secret"}, line="GET /?secret HTTP/1.1"
    )
    assert "secret" not in repr(seen)


@pytest.mark.parametrize(
    ("fault", "request_"),
    [
        ("missing_host", {"Host": None}),
        ("bad_upgrade", {"Upgrade": "h2c"}),
        ("bad_connection", {"Connection": "close"}),
        ("bad_key", {"Sec-WebSocket-Key": None}),
        ("bad_key", {"Sec-WebSocket-Key": "short"}),
        ("bad_key", {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==x"}),
        ("bad_key", {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25j"}),
        ("bad_version", {"Sec-WebSocket-Version": "8"}),
        ("bad_version", {"Sec-WebSocket-Version": None}),
        ("duplicate_header", {"host": "other.example"}),
        ("duplicate_header", {"SEC-WEBSOCKET-KEY": "dGhlIHNhbXBsZSBub25jZQ=="}),
        ("too_many_headers", {f"X-{n}": "y" for n in range(100)}),
        ("bad_header", {"X y": "z"}),
        ("bad_header", {"X ": "z"}),
        ("bad_header", {"X": "a\x00b"}),
        ("folded_header", {"X": "a\r\n b"}),
        ("bare_lf", {"X": "a\nY: b"}),
    ],
)
def test_faults_of_requests(fault, request_):
    assert fault in handshake(request_).faults


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("bad_method", "POST / HTTP/1.1"),
        ("bad_method", "get / HTTP/1.1"),
        ("bad_http_version", "GET / HTTP/1.0"),
        ("bad_http_version", "GET / HTTP/1.10"),
        ("bad_request_line", "GET  / HTTP/1.1"),
        ("bad_request_line", "GET /a b HTTP/1.1"),
        ("bad_request_line", "GET HTTP/1.1"),
        ("bad_request_line", "GET /\x01 HTTP/1.1"),
        ("not_http", "SSH-2.0"),
        ("not_http", ""),
    ],
)
def test_faults_of_request_lines(fault, line):
    assert fault in handshake(line=line).faults


@pytest.mark.parametrize(
    ("fault", "request_", "response"),
    [
        ("wrong_accept", {}, {"Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo"}),
        ("wrong_accept", {}, {"Sec-WebSocket-Accept": None}),
        ("wrong_accept", {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}, {}),
        ("duplicate_header", {}, {"sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}),
        ("bad_response_upgrade", {}, {"Upgrade": None}),
        ("bad_response_upgrade", {}, {"Connection": "close"}),
        ("unoffered_subprotocol", {}, {"Sec-WebSocket-Protocol": "chat"}),
        (
            "unoffered_subprotocol",
            {"Sec-WebSocket-Protocol": "chat"},
            {"Sec-WebSocket-Protocol": "Chat"},
        ),
        ("unoffered_extension", {}, {"Sec-WebSocket-Extensions": "permessage-deflate"}),
        (
            "unoffered_extension",
            {"Sec-WebSocket-Extensions": "permessage-deflate"},
            {"Sec-WebSocket-Extensions": "permessage-deflate, x-more"},
        ),
    ],
)
def test_faults_of_responses(fault, request_, response):
    assert handshake(request_, response).faults == {fault}


@pytest.mark.parametrize(
    ("offer", "answer", "good"),
    [
        ("", "", True),
        ("", "; server_no_context_takeover", True),
        ("", "; client_no_context_takeover", True),
        ("", "; server_max_window_bits=8", True),
        ("; client_max_window_bits", "; client_max_window_bits=15", True),
        ("; client_max_window_bits=10", "; client_max_window_bits=10", True),
        ("; client_max_window_bits=10", "", True),
        ("; server_max_window_bits=10", "; server_max_window_bits=9", True),
        ("; server_max_window_bits=10, permessage-deflate", "", True),
        ("", "; client_max_window_bits=15", False),
        ("; client_max_window_bits=10", "; client_max_window_bits=11", False),
        ("; server_max_window_bits=10", "; server_max_window_bits=11", False),
        ("; server_max_window_bits=10", "", False),
        ("; server_no_context_takeover", "", False),
        ("", "; server_max_window_bits=7", False),
        ("", "; server_max_window_bits=16", False),
        ("", "; server_max_window_bits=08", False),
        ("", "; server_max_window_bits", False),
        ("", "; server_max_window_bits=9; server_max_window_bits=9", False),
        ("", "; server_no_context_takeover=1", False),
        ("", "; surprise", False),
        ("", ", permessage-deflate", False),
    ],
)
def test_parameters_of_permessage_deflate(offer, answer, good):
    seen = handshake(
        {"Sec-WebSocket-Extensions": "permessage-deflate" + offer},
        {"Sec-WebSocket-Extensions": "permessage-deflate" + answer},
    )
    assert seen.faults == (frozenset() if good else {"bad_extension_parameter"})


@pytest.mark.parametrize(
    ("offer", "good"),
    [
        ("permessage-deflate", True),
        ('permessage-deflate; client_max_window_bits; server_max_window_bits="10"', True),
        ("permessage-deflate; client_max_window_bits=8; client_no_context_takeover", True),
        ("permessage-deflate; server_no_context_takeover, permessage-deflate", True),
        ("x-other; server_max_window_bits=99; y, permessage-deflate", True),
        ("permessage-deflate; server_max_window_bits", False),
        ("permessage-deflate; server_max_window_bits=7", False),
        ("permessage-deflate; client_max_window_bits=16", False),
        ("permessage-deflate; client_max_window_bits=010", False),
        ("permessage-deflate; client_max_window_bits=", False),
        ("permessage-deflate; client_no_context_takeover=true", False),
        ("permessage-deflate; surprise", False),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits=9", False),
        ("permessage-deflate, permessage-deflate; surprise=1", False),
        ("permessage-deflate;", True),
    ],
)
def test_offers_of_permessage_deflate(offer, good):
    seen = handshake({"Sec-WebSocket-Extensions": offer})
    assert seen.faults == (frozenset() if good else {"bad_extension_offer"})


def test_fields_that_a_response_may_repeat():
    versions = {"Sec-WebSocket-Version": "13", "sec-websocket-version": "8, 7"}
    answer = {"Sec-WebSocket-Accept": None}
    seen = handshake(response=versions | answer, status="426 Upgrade Required")  # section 4.4
    assert seen.faults == frozenset()
    subprotocols = {"Sec-WebSocket-Protocol": "a", "sec-websocket-protocol": "b"}
    seen = handshake({"Sec-WebSocket-Protocol": "a, b"}, subprotocols)
    assert seen.faults == {"duplicate_header", "unoffered_subprotocol"}
    seen = handshake({"Sec-WebSocket-Protocol": "a", "sec-websocket-protocol": "b"})
    assert (seen.subprotocols, seen.faults) == (("a", "b"), frozenset())


def test_octets_beyond_ascii_are_kept():
    seen = handshake({"User-Agent": "caf\u00e9"}, line="GET /\u00ff HTTP/1.1")
    assert (seen.user_agent, seen.target) == ("caf\u00e9", "/\u00ff")
    assert seen.faults == frozenset()


@pytest.mark.parametrize(
    ("origin", "host", "cross", "origin_host"),
    [
        ("https://example.org", "example.org", False, "example.org"),
        ("https://EXAMPLE.org", "example.ORG:443", False, "example.org"),
        ("http://example.org:80", "example.org", False, "example.org"),
        ("http://localhost:3000", "localhost:3000", False, "localhost:3000"),
        ("http://[2001:db8::1]:80", "[2001:db8::1]", False, "[2001:db8::1]"),
        ("http://localhost:3000", "localhost:8080", True, "localhost:3000"),
        ("https://example.org:80", "example.org", True, "example.org:80"),
        ("https://example.org.evil.example", "example.org", True, "example.org.evil.example"),
        ("https://evil.example", "example.org", True, "evil.example"),
        ("null", "example.org", True, None),
        ("", "example.org", True, None),
        ("https://example.org", None, True, "example.org"),
    ],
)
def test_origins(origin, host, cross, origin_host):
    seen = handshake({"Origin": origin, "Host": host})
    assert (seen.cross_origin, seen.origin_host) == (cross, origin_host)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", None),
        ("/a?", "/a", ""),
        ("/a?b?c", "/a", "b?c"),
        ("http://example.org/a?b", "/a", "b"),
        ("ws://example.org", "/", None),
        ("http://example.org?b", "/", "b"),
        ("/redirect?to=http://other.example/", "/redirect", "to=http://other.example/"),
        ("*", "*", None),
    ],
)
def test_targets(target, path, query):
    seen = handshake(line=f"GET {target} HTTP/1.1")
    assert (seen.target, seen.path, seen.query) == (target, path, query)


def test_a_refusal():
    seen = handshake(status="403 Forbidden", response={"Sec-WebSocket-Accept": None})
    assert (seen.status, seen.upgraded, seen.accept_ok) == (403, False, None)
    assert seen.faults == frozenset()


@pytest.mark.parametrize(
    "line", ["HTTP/2 101", "101", "HTTP/1.1 1O1 x", "HTTP/1.1 1010", "HTTP/1.1"]
)
def test_bad_status_lines(line):
    seen = Handshake(head("GET / HTTP/1.1", REQUEST), head(line, RESPONSE))
    assert seen.status is None
    assert seen.faults == {"bad_status_line"}


def test_no_response():
    seen = Handshake(head("GET / HTTP/1.1", REQUEST))
    assert (seen.status, seen.accept_ok, seen.faults) == (None, None, frozenset())


def test_heads_that_are_cut():
    whole = head("GET / HTTP/1.1", REQUEST)
    assert Handshake(whole[:100], b"", 100).faults >= {"head_too_long"}
    assert Handshake(whole[:100], b"", 101).faults >= {"incomplete_head"}


def test_a_head_that_was_not_seen_lacks_nothing():
    answer = head("HTTP/1.1 101 Switching Protocols", RESPONSE)
    for request_ in (b"", *(head("GET / HTTP/1.1", REQUEST)[:size] for size in (3, 9, 60, 70))):
        seen = Handshake(request_, answer)
        assert (seen.status, seen.accept_ok) == (101, None)
        assert seen.faults <= {"incomplete_head"}
    seen = Handshake(head("GET / HTTP/1.1", REQUEST), answer[:60])
    assert (seen.status, seen.accept_ok, seen.faults) == (101, None, {"incomplete_head"})


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_no_bytes_make_it_raise(request_, response):
    Handshake(request_, response).fields()


LINES = st.one_of(
    st.sampled_from([*(f"{name}: {value}" for name, value in {**REQUEST, **RESPONSE}.items())]),
    st.builds(
        "{}: {}".format,
        st.sampled_from(["Origin", "Host", "Sec-WebSocket-Extensions", "Sec-WebSocket-Key", "X"]),
        st.text(alphabet=' =;,"\\:/ab1\u00e9permessage-deflate', max_size=30),
    ),
    st.text(alphabet=st.characters(max_codepoint=255), max_size=20),
)


@given(st.lists(LINES, max_size=12), st.lists(LINES, max_size=12))
def test_no_lines_make_it_raise(request_, response):
    seen = Handshake(
        "\r\n".join(["GET / HTTP/1.1", *request_, "", ""]).encode("latin-1"),
        "\r\n".join(["HTTP/1.1 101 x", *response, "", ""]).encode("latin-1"),
    )
    assert seen.fields()["faults"] == sorted(seen.faults)


def test_an_empty_parameter_has_an_empty_name():
    assert extensions.parse(b"permessage-deflate;; x=1") == [
        (b"permessage-deflate", [(b"", None), (b"x", b"1")])
    ]
    assert extensions.agreed(b"permessage-deflate;;server_no_context_takeover") == (
        (15, False),
        (15, True),
        False,
    )
