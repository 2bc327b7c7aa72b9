"""Short rule files for tests."""

from types import SimpleNamespace
from uuid import NAMESPACE_DNS, uuid5

import pytest
import yaml

from sockwarden.agent.rules.load import load_rules, load_texts


def rule(name="example", detection=None, category="message", **keys):
    """A whole rule document; `keys` replace or add top-level keys, None takes them away."""
    document = {
        "title": f"Title of {name}",
        "id": str(uuid5(NAMESPACE_DNS, name)),
        "name": name,
        "description": "For a test.",
        "level": "high",
        "tags": ["sockwarden.injection", "cwe.89"],
        "logsource": {"product": "websocket", "category": category},
        "detection": detection or {"a": {"payload|contains": "attack"}, "condition": "a"},
        **keys,
    }
    return {key: value for key, value in document.items() if value is not None}


def correlation(name, base, condition, span="1s", group="connection", kind="event_count", **more):
    document = rule(name, logsource=None)
    del document["detection"]
    document["correlation"] = {
        "type": kind,
        "rules": [base],
        "group-by": [group],
        "timespan": span,
        "condition": condition,
        **more,
    }
    return document


def rule_set(*documents, strict=False):
    texts = {
        f"{number}.yml": yaml.safe_dump(document, sort_keys=False).encode()
        for number, document in enumerate(documents)
    }
    return load_texts(texts, strict=strict)


def names(hits):
    return [hit.rule.name for hit in hits]


@pytest.fixture(scope="session")
def make():
    """`rule`, `correlation`, `rule_set` and `names` of this file."""
    return SimpleNamespace(rule=rule, correlation=correlation, rule_set=rule_set, names=names)


@pytest.fixture(scope="session")
def shipped():
    return load_rules()
