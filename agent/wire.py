"""From the agent's own structs to the messages of `proto/v1`.

Every field is cut to what the collector takes (`proto/limits.py`): a batch that it refuses
would be sent again for ever.
"""

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from sockwarden.agent.alert import Alert, Category, Level, Process
from sockwarden.proto import limits
from sockwarden.proto.v1 import alert_pb2 as pb
from sockwarden.proto.v1 import ingest_pb2

_CUT = "…"
_UINT32_MAX = (1 << 32) - 1

_LEVELS = {
    Level.INFORMATIONAL: pb.LEVEL_INFORMATIONAL,
    Level.LOW: pb.LEVEL_LOW,
    Level.MEDIUM: pb.LEVEL_MEDIUM,
    Level.HIGH: pb.LEVEL_HIGH,
    Level.CRITICAL: pb.LEVEL_CRITICAL,
}
_CATEGORIES = {
    Category.INJECTION: pb.CATEGORY_INJECTION,
    Category.HIJACK: pb.CATEGORY_HIJACK,
    Category.LEAK: pb.CATEGORY_LEAK,
    Category.DOS: pb.CATEGORY_DOS,
    Category.PROTOCOL: pb.CATEGORY_PROTOCOL,
    Category.POSTURE: pb.CATEGORY_POSTURE,
}
_DIRECTIONS = {
    None: pb.DIRECTION_UNSPECIFIED,
    "c2s": pb.DIRECTION_C2S,
    "s2c": pb.DIRECTION_S2C,
}


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What the host's agent says of itself with each heartbeat; the uplink adds its own part."""

    started_ns: int
    counters: dict[str, int]
    rules: str = ""
    impairments: tuple[str, ...] = ()


def cut(text: str, limit_bytes: int) -> str:
    """`text` in at most that many bytes of UTF-8; one that is cut says so at its end."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit_bytes:
        return raw.decode()
    return raw[: limit_bytes - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT


def alert(source: Alert, agent: str, spool: int) -> pb.Alert:
    """An alert that the spool took, as the collector stores it; `agent` is who sends it."""
    assert source.sequence is not None
    time = Timestamp()
    time.FromJsonString(source.time)
    message = pb.Alert(
        id=source.id,
        agent=agent,
        spool=spool,
        sequence=source.sequence,
        time=time,
        rule=pb.Rule(
            id=cut(source.rule, limits.RULE_ID_BYTES),
            title=cut(source.title, limits.RULE_TITLE_BYTES),
            level=_LEVELS[source.level],
            category=_CATEGORIES[source.category],
            tags=[cut(tag, limits.TAG_BYTES) for tag in source.tags[: limits.TAGS]],
        ),
        count=min(max(source.count, 1), _UINT32_MAX),
        direction=_DIRECTIONS[source.dir],
        opcode=source.opcode,
        evidence=cut(source.evidence, limits.EVIDENCE_BYTES),
        connection=_connection(source),
    )
    if source.process is not None:
        message.process.CopyFrom(_process(source.process))
    return message


def heartbeat(status: Status, counters: dict[str, int]) -> ingest_pb2.Heartbeat:
    """Without the fields that the uplink measures; `counters` come on top of the status'."""
    message = ingest_pb2.Heartbeat(
        rules=cut(status.rules, limits.RULES_DIGEST_BYTES),
        impairments=[
            cut(text, limits.IMPAIRMENT_BYTES) for text in status.impairments[: limits.IMPAIRMENTS]
        ],
    )
    message.started.FromNanoseconds(status.started_ns)
    # Our own first: they must not fall victim to a flood of other names.
    for name, value in [*counters.items(), *status.counters.items()][: limits.COUNTERS]:
        message.counters[cut(name, limits.COUNTER_NAME_BYTES)] = max(0, value)
    return message


def _connection(source: Alert) -> pb.Connection:
    return pb.Connection(
        id=source.conn,
        client=cut(source.client or "", limits.ADDRESS_BYTES),
        server=cut(source.server or "", limits.ADDRESS_BYTES),
        path=cut(source.path or "", limits.HEAD_FIELD_BYTES),
        origin=_optional(source.origin, limits.HEAD_FIELD_BYTES),
        subprotocol=_optional(source.subprotocol, limits.HEAD_FIELD_BYTES),
        tls=_optional(source.tls, limits.TLS_BYTES),
        proxied=source.proxied,
    )


def _process(source: Process) -> pb.Process:
    return pb.Process(
        pid=source.pid,
        exe=cut(source.exe or "", limits.EXE_BYTES),
        uid=source.uid,
        unit=_optional(source.unit, limits.UNIT_BYTES),
        container=_optional(source.container, limits.CONTAINER_BYTES),
    )


def _optional(text: str | None, limit_bytes: int) -> str | None:
    return None if text is None else cut(text, limit_bytes)
