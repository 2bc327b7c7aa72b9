"""The `tests` of a rule file: events that show what the rule finds and what it leaves alone.

An event of a message rule is its payload, or a map of `payload` (or `payload_hex`) and facts;
of the others a map of fields.  `repeat` and `interval` make a burst of it, for correlations.
"""

from sockwarden.agent.rules.document import Map, Value
from sockwarden.agent.rules.fields import FRAME, MESSAGE, OF_SOURCE, WORDS, Kind
from sockwarden.agent.rules.model import Example, Source
from sockwarden.agent.rules.timespan import timespan_ns

REPEAT_MAX = 100_000


def read_examples(top: Map, source: Source | None, *, strict: bool) -> tuple[Example, ...]:
    """`source` None: a correlation, whose events are those of the rules that it counts."""
    value = top.take("tests")
    if value is None:
        if strict:
            top.complain("tests", "missing: a rule shows what it matches and what it does not")
        return ()
    tests = Map(value, top.complaints)
    found: list[Example] = []
    for key in ("match", "no_match"):
        group = tests.take(key)
        entries = group.data if group is not None else []
        if not isinstance(entries, list) or (strict and not entries):
            tests.complain(key, "expected a list of events", group.line if group else None)
            continue
        found += [_example(entry, key == "match", source, tests) for entry in entries]
    tests.finish("match, no_match")
    return tuple(found)


def _example(value: Value, match: bool, source: Source | None, tests: Map) -> Example:
    if isinstance(value.data, str):
        if source in (Source.HANDSHAKE, Source.FRAME):
            tests.complaints.add(value.line, value.key, "expected a map of fields, found a text")
        return Example(match, {}, value.line, value.data.encode())
    event = Map(value, tests.complaints)
    payload = event.text("payload").encode()
    payload = event.parsed("payload_hex", bytes.fromhex, payload)
    repeat = event.number("repeat", 1)
    if not 1 <= repeat <= REPEAT_MAX:
        event.complain("repeat", f"expected 1 to {REPEAT_MAX}")
        repeat = 1
    interval_ns = event.parsed("interval", timespan_ns, 0)
    fields: dict[str, object] = {}
    for name in event:
        entry = event.take(name)
        if entry is not None:
            _add_field(fields, name, entry, source, event)
    return Example(match, fields, value.line, payload, repeat, interval_ns)


def _add_field(
    fields: dict[str, object], name: str, value: Value, source: Source | None, event: Map
) -> None:
    known = OF_SOURCE[source] if source else {**FRAME, **MESSAGE}
    if name not in known:
        event.complain(name, f"no such field; there are: {', '.join(known)}", value.line)
        return
    data = [entry.data for entry in value.data] if isinstance(value.data, list) else value.data
    wants_number = known[name] in (Kind.NUMBER, Kind.FLAG)
    if wants_number and not isinstance(data, int) and data not in WORDS.get(name, {}):
        event.complain(name, f"expected a number or a flag, found {data!r}", value.line)
        return
    fields[name] = data
