"""What an agent sends, checked field by field before anything of it is kept.

Raises `InvalidInput` with the path of the first field that is wrong.  Sizes are those of
`sockwarden.proto.limits`; enumerations are open in proto3, so their ranges are checked too.
"""

import re
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from sockwarden.collector.errors import InvalidInput
from sockwarden.collector.store import Delivery
from sockwarden.proto import limits
from sockwarden.proto.v1 import alert_pb2
from sockwarden.proto.v1.ingest_pb2 import Batch, Heartbeat, Hello

# Nanoseconds since 1970 in 63 bits end in the year 2262.
_LAST_SECOND = (1 << 63) // 10**9 - 1
# A sequence is kept as a signed integer of 64 bits.
_SEQUENCE_END = 1 << 63
_OPCODES = 16

_AGENT = re.compile(limits.AGENT_PATTERN)
_LEVELS = frozenset(alert_pb2.Level.values()) - {0}
_CATEGORIES = frozenset(alert_pb2.Category.values()) - {0}
_DIRECTIONS = frozenset(alert_pb2.Direction.values())
_ROLES = frozenset(alert_pb2.Role.values())


def hello(greeting: Hello) -> None:
    if not _AGENT.fullmatch(greeting.agent):
        raise InvalidInput(
            "hello.agent",
            "a name has 1 to 255 letters, digits and . _ : -, a letter or digit first",
        )
    _text("hello.version", greeting.version, limits.VERSION_BYTES)
    _text("hello.hostname", greeting.hostname, limits.HOSTNAME_BYTES)
    _text("hello.kernel", greeting.kernel, limits.KERNEL_BYTES)


def heartbeat(beat: Heartbeat) -> None:
    time_ns("heartbeat.time", beat.time)
    time_ns("heartbeat.started", beat.started)
    _number("heartbeat.counters", len(beat.counters), limits.COUNTERS)
    for name in beat.counters:
        _text("heartbeat.counters", name, limits.COUNTER_NAME_BYTES)
    _text("heartbeat.rules", beat.rules, limits.RULES_DIGEST_BYTES)
    _texts("heartbeat.impairments", beat.impairments, limits.IMPAIRMENTS, limits.IMPAIRMENT_BYTES)


def delivery(agent: str, spool: int, batch: Batch) -> Delivery:
    """A batch of that agent's spool; that its alerts name another one is the caller's to judge."""
    if not batch.alerts:
        raise InvalidInput("batch.alerts", "empty")
    _number("batch.alerts", len(batch.alerts), limits.BATCH_ALERTS)
    previous = 0
    for number, alert in enumerate(batch.alerts):
        try:
            _alert(alert)
            if alert.spool != spool:
                raise InvalidInput("spool", "not the one that hello named")
            if not previous < alert.sequence < _SEQUENCE_END:
                raise InvalidInput("sequence", f"{alert.sequence} after {previous}: must ascend")
        except InvalidInput as error:
            raise InvalidInput(f"batch.alerts[{number}].{error.field}", error.reason) from None
        previous = alert.sequence
    return Delivery(agent=agent, spool=spool, alerts=batch.alerts)


def time_ns(field: str, stamp: Timestamp) -> int:
    if not (0 <= stamp.seconds <= _LAST_SECOND and 0 <= stamp.nanos < 10**9):
        raise InvalidInput(field, "not a time between 1970 and 2262")
    return stamp.ToNanoseconds()


def _alert(alert: alert_pb2.Alert) -> None:
    if not alert.id:
        raise InvalidInput("id", "empty")
    _text("id", alert.id, limits.ALERT_ID_BYTES)
    time_ns("time", alert.time)
    if alert.count < 1:
        raise InvalidInput("count", "an alert stands for 1 event at least")
    _member("direction", alert.direction, _DIRECTIONS)
    if alert.opcode >= _OPCODES:
        raise InvalidInput("opcode", f"{alert.opcode} has more than 4 bits")
    _text("evidence", alert.evidence, limits.EVIDENCE_BYTES)
    _rule(alert.rule)
    _connection(alert.connection)
    _process(alert.process)


def _rule(rule: alert_pb2.Rule) -> None:
    if not rule.id:
        raise InvalidInput("rule.id", "empty")
    _text("rule.id", rule.id, limits.RULE_ID_BYTES)
    _text("rule.title", rule.title, limits.RULE_TITLE_BYTES)
    _member("rule.level", rule.level, _LEVELS)
    _member("rule.category", rule.category, _CATEGORIES)
    _texts("rule.tags", rule.tags, limits.TAGS, limits.TAG_BYTES)


def _connection(connection: alert_pb2.Connection) -> None:
    _text("connection.client", connection.client, limits.ADDRESS_BYTES)
    _text("connection.server", connection.server, limits.ADDRESS_BYTES)
    _member("connection.role", connection.role, _ROLES)
    _text("connection.path", connection.path, limits.HEAD_FIELD_BYTES)
    _text("connection.origin", connection.origin, limits.HEAD_FIELD_BYTES)
    _text("connection.subprotocol", connection.subprotocol, limits.HEAD_FIELD_BYTES)
    _text("connection.extensions", connection.extensions, limits.HEAD_FIELD_BYTES)
    _text("connection.tls", connection.tls, limits.TLS_BYTES)


def _process(process: alert_pb2.Process) -> None:
    _text("process.exe", process.exe, limits.EXE_BYTES)
    _text("process.unit", process.unit, limits.UNIT_BYTES)
    _text("process.container", process.container, limits.CONTAINER_BYTES)
    _texts(
        "process.command_line",
        process.command_line,
        limits.COMMAND_LINE_ARGUMENTS,
        limits.COMMAND_LINE_BYTES,
    )


def _text(field: str, value: str, limit_bytes: int) -> None:
    # A character is one to four bytes: most values need no encoding to be judged.
    if len(value) * 4 > limit_bytes and len(value.encode()) > limit_bytes:
        raise InvalidInput(field, f"longer than {limit_bytes} bytes")


def _texts(field: str, values: Sequence[str], limit: int, limit_bytes: int) -> None:
    _number(field, len(values), limit)
    for value in values:
        _text(field, value, limit_bytes)


def _number(field: str, number: int, limit: int) -> None:
    if number > limit:
        raise InvalidInput(field, f"{number} of them, at most {limit}")


def _member(field: str, value: int, allowed: frozenset[int]) -> None:
    if value not in allowed:
        raise InvalidInput(field, f"{value} has no meaning here")
