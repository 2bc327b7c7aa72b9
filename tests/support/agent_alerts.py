"""An agent's alert as the pipeline makes it, before the spool numbers it."""

from typing import Any

import msgspec

from sockwarden.agent.alert import Alert, Category, Level, Process

_ALERT = Alert(
    conn=7,
    id="",
    agent="host-1",
    sequence=None,
    time="2026-11-24T22:00:00.000000001Z",
    rule="sql-union",
    title="t",
    level=Level.HIGH,
    category=Category.INJECTION,
    tags=("cwe.89",),
    dir="c2s",
    opcode=1,
    evidence="x",
    count=2,
    client="10.9.0.1:20000",
    server="10.9.0.2:8080",
    path="/chat",
    origin=None,
    subprotocol=None,
    tls="openssl",
    proxied=False,
    process=Process(pid=4711, exe="/usr/bin/node", uid=33),
)


def make_alert(evidence: str = "x", **changes: Any) -> Alert:
    return msgspec.structs.replace(_ALERT, evidence=evidence, **changes)
