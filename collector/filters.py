"""A filter as it came over the wire, checked and made the store's.

Raises `InvalidInput` that names the field: a filter that cannot be meant as written is
refused rather than read as one that matches nothing.
"""

from collections.abc import Sequence

from sockwarden.collector import validate
from sockwarden.collector.errors import InvalidInput
from sockwarden.collector.store import Filter
from sockwarden.proto import limits
from sockwarden.proto.v1.alert_pb2 import Category, Level
from sockwarden.proto.v1.query_pb2 import AlertFilter

_VALUES = 100
_TEXT_BYTES = limits.EVIDENCE_BYTES


def parse(given: AlertFilter) -> Filter:
    since_ns = until_ns = None
    if given.HasField("since"):
        since_ns = validate.time_ns("filter.since", given.since)
    if given.HasField("until"):
        until_ns = validate.time_ns("filter.until", given.until)
    if since_ns is not None and until_ns is not None and since_ns >= until_ns:
        raise InvalidInput("filter.until", "is not after filter.since")
    if given.minimum_level not in Level.values():
        raise InvalidInput("filter.minimum_level", f"there is no level {given.minimum_level}")
    for category in given.categories:
        if category == 0 or category not in Category.values():
            raise InvalidInput("filter.categories", f"there is no category {category}")
    return Filter(
        since_ns=since_ns,
        until_ns=until_ns,
        agents=_names("filter.agents", given.agents, limits.AGENT_BYTES),
        rules=_names("filter.rules", given.rules, limits.RULE_ID_BYTES),
        minimum_level=given.minimum_level,
        categories=tuple(sorted(set(given.categories))),
        source=_word("filter.source", given.source, limits.ADDRESS_BYTES),
        process=_word("filter.process", given.process, limits.EXE_BYTES),
        path=_word("filter.path", given.path, limits.HEAD_FIELD_BYTES),
        text=_word("filter.text", given.text, _TEXT_BYTES),
    )


def _names(field: str, values: Sequence[str], limit_bytes: int) -> tuple[str, ...]:
    if len(values) > _VALUES:
        raise InvalidInput(field, f"{len(values)} values, at most {_VALUES}")
    if "" in values:
        raise InvalidInput(field, "an empty name")
    return tuple(sorted({_word(field, value, limit_bytes) for value in values}))


def _word(field: str, value: str, limit_bytes: int) -> str:
    if len(value.encode()) > limit_bytes:
        raise InvalidInput(field, f"longer than {limit_bytes} bytes")
    return value
