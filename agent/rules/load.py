"""Rule files to rules: Sigma's keys, ours beside them, and what is wrong where.

A file holds one rule, and behind `---` the Sigma correlations that build on it; a correlation
may also have a file of its own.  All problems of all files are raised at once.

Keys that only Sockwarden knows, and other Sigma tools ignore:

    ws        direction, opcode, target: which messages a rule is for
    verify    a second look at each match: luhn, entropy with its bits a character, or text with
              the bytes of text that a match is to stand in: binary data matches by chance
    slow      true: a pattern of the rule may lack a literal, and costs every message a search
    tests     match, no_match: events that show what the rule does
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from uuid import UUID

from sockwarden.agent.alert import Category, Level
from sockwarden.agent.rules.cache import Cache
from sockwarden.agent.rules.compile import compile_rules, possible_without_patterns
from sockwarden.agent.rules.condition import parse_condition
from sockwarden.agent.rules.document import Complaints, Map, Value, read_documents
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.rules.examples import read_examples
from sockwarden.agent.rules.fields import DIRECTIONS, MESSAGE, OPCODES, Kind
from sockwarden.agent.rules.link import clashes, link, without
from sockwarden.agent.rules.model import (
    AnyRule,
    Condition,
    Correlation,
    InvalidRulesError,
    Or,
    Problem,
    Rule,
    RuleError,
    Scope,
    Source,
    Verification,
)
from sockwarden.agent.rules.selection import SelectionReader
from sockwarden.agent.rules.timespan import timespan_ns
from sockwarden.agent.rules.verify import VERIFIERS

FILES_MAX = 20_000

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TAG = re.compile(r"[a-z0-9_]+\.[a-z0-9_.-]+")
_STATUSES = ("stable", "test", "experimental", "deprecated", "unsupported")
# Keys of Sigma that say nothing to us.
_IGNORED = ("modified", "related", "license", "taxonomy", "scope", "fields")
_CATEGORY_TAG = "sockwarden."


def load_rules(
    paths: Iterable[Path] | None = None,
    *,
    extra: Iterable[Path] = (),
    disabled: Collection[str] = (),
    strict: bool = True,
    eager: bool = True,
    cache: Cache | None = None,
) -> RuleSet:
    """Compiles the rules in `paths`, files or folders of `.yml`; None: those that ship.

    `extra` is read on top of them.  `disabled` are names or ids of rules to leave out, and what
    counts them goes too.  Strict: a rule without a match and a no_match test is a problem.
    Not `eager`: loading takes less time, and hostile messages more (compile.py).
    `cache`: where to keep what takes long, for the next time.
    Raises InvalidRulesError with every problem, RuleError where there is no rule at all or
    none of a disabled name.
    """
    texts = read_texts(paths, extra=extra)
    return load_texts(texts, disabled=disabled, strict=strict, eager=eager, cache=cache)


def read_texts(
    paths: Iterable[Path] | None = None, *, extra: Iterable[Path] = ()
) -> dict[str, bytes]:
    """The rule files' texts by name, not looked at; as load_rules."""
    if paths is None:
        files = _files(resources.files("sockwarden.agent.rules") / "default", "default")
    else:
        files = [file for path in paths for file in _files(path, str(path))]
    # Absolute: no folder of theirs has the name of the shipped one.
    files += [file for path in extra for file in _files(path, str(path.absolute()))]
    if not files:
        raise RuleError("no rule files (.yml) in the given paths")
    if len(files) > FILES_MAX:
        raise RuleError(f"{len(files)} rule files; at most {FILES_MAX} are read")
    return {name: file.read_bytes() for name, file in files}


def load_texts(
    texts: Mapping[str, bytes],
    *,
    disabled: Collection[str] = (),
    strict: bool = True,
    eager: bool = True,
    cache: Cache | None = None,
) -> RuleSet:
    """As load_rules, of texts by file name."""
    rules: list[AnyRule] = []
    problems: list[Problem] = []
    for name in sorted(texts):
        complaints = Complaints(name)
        for document in read_documents(texts[name], complaints):
            rules += _read_document(document, complaints, strict)
        problems += complaints.problems
    problems += clashes(rules)
    if not problems:
        rules, problems = link(rules)
    if problems:
        raise InvalidRulesError(problems)
    kept = without(rules, disabled)
    left_out = sorted({rule.id for rule in rules} - {rule.id for rule in kept})
    sources = [texts[name] for name in sorted(texts)] + [rule.encode() for rule in left_out]
    return compile_rules(kept, sources, eager=eager, cache=cache)


def _files(path: Traversable, name: str) -> list[tuple[str, Traversable]]:
    if path.is_file():
        return [(name, path)]
    if not path.is_dir():
        raise RuleError(f"{name}: no such file or folder")
    found = []
    for entry in sorted(path.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() or entry.name.endswith(".yml"):
            found += _files(entry, f"{name}/{entry.name}")
    return found


def _read_document(document: Value, complaints: Complaints, strict: bool) -> list[AnyRule]:
    """One rule, or none where there are complaints about it."""
    before = len(complaints.problems)
    top = Map(document, complaints)
    for key in _IGNORED:
        top.take(key)
    if not isinstance(document.data, dict):
        return []
    correlation = top.take("correlation")
    header = _header(top, document)
    rule = (
        _rule(top, header, strict)
        if correlation is None
        else _correlation(top, header, Map(correlation, complaints), strict)
    )
    return [rule] if len(complaints.problems) == before else []


def _header(top: Map, document: Value) -> dict[str, Any]:
    tags = top.texts("tags")
    for tag in tags:
        if not _TAG.fullmatch(tag):
            top.complain("tags", f"{tag!r} is not of the form namespace.name, as in cwe.89")
    return {
        "name": top.parsed("name", _name, "", required=True),
        "title": top.text("title", required=True),
        "id": top.parsed("id", lambda text: str(UUID(text)), "", required=True),
        "level": top.parsed("level", _one_of(Level), Level.MEDIUM, required=True),
        "category": _category(top, tags),
        "status": top.parsed("status", _status, "experimental"),
        "description": top.text("description", required=True),
        "references": top.texts("references"),
        "tags": tuple(tag for tag in tags if not tag.startswith(_CATEGORY_TAG)),
        "false_positives": top.texts("falsepositives"),
        "author": top.text("author"),
        "date": top.parsed("date", lambda text: date.fromisoformat(text).isoformat(), ""),
        "path": top.complaints.path,
        "line": document.line,
    }


def _name(text: str) -> str:
    if not _NAME.fullmatch(text) or len(text) > 64:
        raise ValueError(f"{text!r} is not a short name such as sqli-union-select")
    return text


def _status(text: str) -> str:
    if text not in _STATUSES:
        raise ValueError(f"expected one of {', '.join(_STATUSES)}, found {text!r}")
    return text


def _one_of(names: type[Level] | type[Source]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        if text not in list(names):
            raise ValueError(f"expected one of {', '.join(names)}, found {text!r}")
        return names(text)

    return parse


def _category(top: Map, tags: Sequence[str]) -> Category:
    """A tag says it; else the folder that the file lies in."""
    said = [tag.removeprefix(_CATEGORY_TAG) for tag in tags if tag.startswith(_CATEGORY_TAG)]
    folder = Path(top.complaints.path).parent.name
    for name in [*said, folder]:
        if name in list(Category):
            return Category(name)
    known = ", ".join(_CATEGORY_TAG + category for category in Category)
    top.complain("tags", f"expected one of {known}, or a folder of that name")
    return Category.PROTOCOL


def _rule(top: Map, header: dict[str, Any], strict: bool) -> Rule:
    source = _logsource(top)
    verification = _verification(top)
    scope = _scope(top)
    rule = Rule(
        **header,
        source=source,
        condition=_detection(top, source),
        scope=scope,
        verification=verification,
        alerts=True,
        slow=top.flag("slow"),
        examples=read_examples(top, source, strict=strict),
    )
    if not scope.raw and possible_without_patterns(rule.condition):
        top.complain("ws", "target is decoded, but the condition may hold without a pattern")
    if source is not Source.MESSAGE and verification is not None:
        top.complain("verify", f"is for message rules; this is a {source} rule")
    top.finish(
        "title, id, name, status, description, references, author, date, tags, logsource, "
        "detection, falsepositives, level, ws, verify, slow, tests"
    )
    return rule


def _logsource(top: Map) -> Source:
    value = top.take("logsource", required=True)
    if value is None:
        return Source.MESSAGE
    logsource = Map(value, top.complaints)
    product = logsource.text("product", required=True)
    if product and product != "websocket":
        logsource.complain("product", f"expected websocket, found {product!r}")
    source: Source = logsource.parsed("category", _one_of(Source), Source.MESSAGE, required=True)
    logsource.take("definition")
    logsource.finish("product, category, definition")
    return source


def _detection(top: Map, source: Source) -> Condition:
    nothing: Condition = Or(())
    value = top.take("detection", required=True)
    if value is None:
        return nothing
    detection = Map(value, top.complaints)
    condition = detection.take("condition", required=True)
    reader = SelectionReader(source, top.complaints)
    selections = {}
    lines = {}
    for name in detection:
        selection = detection.take(name)
        if selection is not None:
            selections[name] = reader.read(selection)
            lines[name] = selection.line
    if condition is None:
        return nothing
    if not isinstance(condition.data, str):
        detection.complain("condition", f"expected a text, found {condition.kind}", condition.line)
        return nothing
    try:
        parsed, used = parse_condition(condition.data, selections)
    except ValueError as error:
        detection.complain("condition", str(error), condition.line)
        return nothing
    for name in selections:
        if name not in used:
            detection.complain(name, "no part of the condition", lines[name])
    return parsed


def _scope(top: Map) -> Scope:
    value = top.take("ws")
    if value is None:
        return Scope()
    ws = Map(value, top.complaints)
    direction = ws.text("direction", default="both")
    target = ws.text("target", default="any")
    opcodes = ws.texts("opcode") or ("text", "binary")
    if direction not in (*DIRECTIONS, "both"):
        ws.complain("direction", f"expected c2s, s2c or both, found {direction!r}")
    if target not in ("raw", "decoded", "any"):
        ws.complain("target", f"expected raw, decoded or any, found {target!r}")
    for opcode in opcodes:
        if opcode not in OPCODES:
            ws.complain("opcode", f"expected some of {', '.join(OPCODES)}, found {opcode!r}")
    ws.finish("direction, opcode, target")
    return Scope(
        directions=frozenset(DIRECTIONS if direction == "both" else [direction]),
        opcodes=frozenset(OPCODES.get(opcode, 0) for opcode in opcodes),
        raw=target != "decoded",
        decoded=target != "raw",
    )


def _verification(top: Map) -> Verification | None:
    """`verify: luhn`, or `verify: {entropy: 3.5}`."""
    value = top.take("verify")
    if value is None:
        return None
    name, parameter = value.data, None
    if isinstance(value.data, dict) and len(value.data) == 1:
        [(name, parameter)] = value.data.items()
    if not isinstance(name, str) or name not in VERIFIERS:
        top.complain("verify", f"expected one of {', '.join(VERIFIERS)}", value.line)
        return None
    number = parameter.data if parameter is not None else None
    if VERIFIERS[name] is not (type(number) in (int, float)):
        wanted = "needs a number" if VERIFIERS[name] else "takes no number"
        top.complain("verify", f"{name} {wanted}", value.line)
        return None
    return Verification(name, float(number or 0))


def _correlation(top: Map, header: dict[str, Any], own: Map, strict: bool) -> Correlation:
    kind = own.text("type", required=True)
    if kind and kind not in ("event_count", "value_sum"):
        own.complain("type", f"expected event_count or value_sum, found {kind!r}")
    rules = own.texts("rules")
    if not rules:
        own.complain("rules", "expected names of rules")
    group_by = own.texts("group-by") or ("connection",)
    if group_by not in (("connection",), ("source",)):
        own.complain("group-by", f"expected connection or source, found {', '.join(group_by)}")
    span_ns = own.parsed("timespan", timespan_ns, 0, required=True)
    generate = own.flag("generate")
    threshold, value_field = _threshold(own, kind)
    own.finish("type, rules, group-by, timespan, condition, generate")
    correlation = Correlation(
        **header,
        rules=rules,
        group_by=group_by[0],
        timespan_ns=span_ns,
        threshold=threshold,
        value_field=value_field,
        generate=generate,
        examples=read_examples(top, None, strict=strict),
    )
    top.finish(
        "title, id, name, status, description, references, author, date, tags, correlation, "
        "falsepositives, level, tests"
    )
    return correlation


def _threshold(own: Map, kind: str) -> tuple[int, str | None]:
    value = own.take("condition", required=True)
    if value is None:
        return 1, None
    condition = Map(value, own.complaints)
    value_field = None
    if kind == "value_sum":
        value_field = condition.text("field", required=True)
        if MESSAGE.get(value_field) is not Kind.NUMBER:
            numbers = [name for name, kind in MESSAGE.items() if kind is Kind.NUMBER]
            condition.complain("field", f"expected one of {', '.join(numbers)}")
    asked = [key for key in condition if key in ("gt", "gte")]
    if len(asked) != 1:
        condition.complain("", "expected gte or gt with a number")
        return 1, value_field
    threshold = condition.number(asked[0]) + (asked[0] == "gt")
    condition.finish("gte, gt, field")
    return max(threshold, 1), value_field
