"""WebSockets that were open before `sockwarden watch` began."""

import os
from collections.abc import Callable
from pathlib import Path

import others
import pytest
from patience import patient
from watching import Report, Watch
from websocket_client import Client, opened

from sockwarden.cli.demo.stage import make_certificate

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="eBPF needs root"),
]

INJECTION = "x' UNION SELECT card, pin FROM customers --"
REPLY_SECONDS = patient(20)


def converse(client: Client) -> None:
    """Enough frames for a proof, then an attack."""
    for n in range(30):
        text = f"order number {n} of {n * 7919 % 1000} pieces"
        client.send(text)
        assert client.recv(timeout=REPLY_SECONDS) == text
    client.send(INJECTION)
    assert client.recv(timeout=REPLY_SECONDS) == INJECTION


@pytest.mark.parametrize("tls", [False, True])
def test_an_attack_on_an_earlier_connection_is_told(tmp_path: Path, tls: bool) -> None:
    """Without compression: what refers back to text from before stays unknown."""
    certificate = [str(path) for path in make_certificate(tmp_path)] if tls else []
    with (
        others.python("asynchronous.py", "127.0.0.1", 0, *certificate) as server,
        opened(server.port, "/early", tls=tls, deflate=False) as client,
    ):
        client.send("before anyone looks")
        client.recv(timeout=REPLY_SECONDS)
        watch = Watch("--pid", str(server.pid))
        try:
            watch.ready()
            converse(client)
            watch.until(told(watch, "alert"), lambda: str(watch.reports[-5:]))
            [connection] = [r for r in watch.reports if r["type"] == "connection"]
            assert connection["server"] == f"127.0.0.1:{server.port}"
            assert (connection["path"], connection["pid"]) == (None, server.pid)
            assert connection["tls"] == ("openssl" if tls else None)
        finally:
            counters = watch.stop()
    assert counters is not None
    assert counters["messages"] >= 31


def told(watch: Watch, kind: str) -> Callable[[], list[Report]]:
    return lambda: [
        report
        for report in watch.reports
        if report["type"] == kind and report["rule"] == "sqli-union-select"
    ]
