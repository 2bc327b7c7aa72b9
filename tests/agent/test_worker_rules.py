"""The rules that the agent's configuration asks for."""

import msgspec
import pytest

from sockwarden.agent.config import Config, Rules
from sockwarden.agent.rules.model import RuleError
from sockwarden.agent.worker import compile_rules, read_rules

RULE = """\
title: Word of the house
id: 6f2b1c0e-1a9d-4a7f-8f0e-2b1f6e0c9d21
name: word-of-the-house
description: For a test.
level: high
tags: [sockwarden.leak]
logsource: {product: websocket, category: message}
detection:
  a:
    payload|contains: mellon
  condition: a
"""


def rules_of(**keys):
    config = msgspec.structs.replace(Config(), rules=Rules(**keys))
    return compile_rules(config, read_rules(config))


def names(hits):
    return [hit.rule.name for hit in hits]


def test_directories_add_and_disabled_takes_away(tmp_path):
    (tmp_path / "house.yml").write_text(RULE)
    attack = b"mellon <script>alert(1)</script>"
    assert "xss-script-tag" in names(rules_of().judge(attack))
    found = names(
        rules_of(directories=(str(tmp_path),), disabled=("xss-script-tag",)).judge(attack)
    )
    assert "word-of-the-house" in found
    assert "xss-script-tag" not in found


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(RuleError, match="no rule of the name or id 'xss'"):
        rules_of(disabled=("xss",))
    with pytest.raises(RuleError, match="gone: no such file or folder"):
        rules_of(directories=(str(tmp_path / "gone"),))
