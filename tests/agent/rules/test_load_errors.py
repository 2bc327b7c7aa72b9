"""What is said of broken rule files: file, line, key, and what was expected."""

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sockwarden.agent.rules.load import load_rules, load_texts
from sockwarden.agent.rules.model import InvalidRulesError, RuleError

GOOD = """\
title: Example
id: 6f2b1c0e-1a9d-4a7f-8f0e-2b1f6e0c9d11
name: example
description: For a test.
level: high
tags:
  - sockwarden.injection
logsource:
  product: websocket
  category: message
detection:
  a:
    payload|contains: attack
  condition: a
tests:
  match:
    - an attack
  no_match:
    - peace
"""

CORRELATION = """\
---
title: Often
id: 6f2b1c0e-1a9d-4a7f-8f0e-2b1f6e0c9d12
name: often
description: For a test.
level: high
tags: [sockwarden.dos]
correlation:
  type: event_count
  rules: [example]
  timespan: 1s
  condition: {gte: 5}
tests:
  match: [{payload: attack, repeat: 5}]
  no_match: [attack]
"""

BROKEN = yaml.safe_load(Path(__file__).with_name("broken_rules.yml").read_text())


def problems_of(text):
    with pytest.raises(InvalidRulesError) as caught:
        load_texts({"x.yml": text.encode()})
    return [str(problem) for problem in caught.value.problems]


def test_the_good_ones_are_good():
    names = [rule.name for rule in load_texts({"x.yml": (GOOD + CORRELATION).encode()}).rules]
    assert names == ["example", "often"]


@pytest.mark.parametrize("case", BROKEN["rule"], ids=lambda case: case["by"])
def test_broken_rule(case):
    assert case["replace"] in GOOD
    problems = problems_of(GOOD.replace(case["replace"], case["by"], 1))
    assert f"x.yml:{case['problem']}" in problems
    assert len(problems) <= 2


@pytest.mark.parametrize("case", BROKEN["correlation"], ids=lambda case: case["by"])
def test_broken_correlation(case):
    assert case["replace"] in CORRELATION
    text = GOOD + CORRELATION.replace(case["replace"], case["by"], 1)
    assert f"x.yml:{case['problem']}" in problems_of(text)


@pytest.mark.parametrize(
    "line", ["modified: 2026-11-25", "license: Apache-2.0", "related: []", "fields: [payload]"]
)
def test_sigma_keys_that_say_nothing_to_us_are_let_through(line):
    assert load_texts({"x.yml": f"{line}\n{GOOD}".encode()}).rules


@given(st.integers(0, len(GOOD + CORRELATION)), st.binary(max_size=6), st.integers(0, 12))
@settings(deadline=None)
def test_whatever_is_wrong_with_a_file_is_told(place, inserted, removed):
    text = (GOOD + CORRELATION).encode()
    with suppress(InvalidRulesError):
        load_texts({"x.yml": text[:place] + inserted + text[place + removed :]})


def test_without_tests_a_rule_is_refused_in_strict_mode_only():
    text = GOOD[: GOOD.index("tests:")].encode()
    assert len(load_texts({"x.yml": text}, strict=False).rules) == 1
    expected = "x.yml:1: tests: missing: a rule shows what it matches and what it does not"
    assert problems_of(text.decode()) == [expected]


def test_problems_of_several_files_come_together():
    texts = {
        "b.yml": GOOD.replace("level: high", "level: loud").replace("name: example", "name: B"),
        "a.yml": GOOD.replace("condition: a", "condition: z"),
    }
    with pytest.raises(InvalidRulesError) as caught:
        load_texts({name: text.encode() for name, text in texts.items()})
    assert [(p.path, p.line) for p in caught.value.problems] == [
        ("a.yml", 14),
        ("b.yml", 3),
        ("b.yml", 5),
    ]
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a: " + b"[" * 100_000, "x.yml: 100003 bytes long; a rule file has at most 65536"),
        (b"a: " + b"[" * 40, "x.yml:1: nested more than 24 deep"),
        (b"title: \xff\n", "x.yml:1: not UTF-8"),
        (b"- a\n- b\n", "x.yml:1: expected a map, found a list"),
        (b"\0", "x.yml: not YAML: "),
        (b"# nothing\n", "x.yml: no rule in this file"),
    ],
)
def test_files_beyond_bounds(text, expected):
    with pytest.raises(InvalidRulesError) as caught:
        load_texts({"x.yml": text})
    assert str(caught.value).startswith(expected)


def test_paths_are_files_and_folders(tmp_path):
    folder = tmp_path / "injection"
    folder.mkdir()
    (folder / "example.yml").write_text(GOOD.replace("  - sockwarden.injection", "  - cwe.89"))
    (folder / "notes.txt").write_text("not a rule")
    assert [rule.name for rule in load_rules([tmp_path]).rules] == ["example"]
    assert [rule.name for rule in load_rules([folder / "example.yml"]).rules] == ["example"]


def test_extra_rules_come_on_top_of_the_shipped_ones(tmp_path, shipped):
    (tmp_path / "example.yml").write_text(GOOD)
    rules = load_rules(extra=[tmp_path])
    assert {rule.name for rule in rules.rules} == {rule.name for rule in shipped.rules} | {
        "example"
    }
    assert rules.digest != shipped.digest
    with pytest.raises(RuleError, match="nowhere: no such file or folder"):
        load_rules(extra=[tmp_path / "nowhere"])


def test_an_extra_folder_of_the_shipped_ones_name_replaces_nothing(tmp_path, monkeypatch, shipped):
    folder = tmp_path / "default" / "injection"
    folder.mkdir(parents=True)
    (folder / "path-traversal.yml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert len(load_rules(extra=[Path("default")]).rules) == len(shipped.rules) + 1


def names_without(*disabled):
    texts = {"x.yml": (GOOD + CORRELATION).encode()}
    return [rule.name for rule in load_texts(texts, disabled=disabled).rules]


@pytest.mark.parametrize(
    "disabled", ["path-traversal", "93522A19-E62B-52C0-9798-901B9546474F"], ids=["name", "id"]
)
def test_a_disabled_rule_is_silent_and_the_others_stay(disabled, make, shipped):
    rules = load_rules(disabled=[disabled])
    assert make.names(shipped.judge(b"../../private")) == ["path-traversal"]
    assert rules.judge(b"../../private") == []
    assert len(rules.rules) == len(shipped.rules) - 1
    assert rules.digest != shipped.digest


def test_a_correlation_goes_with_the_rule_that_it_counts():
    assert names_without("example") == []


def test_a_rule_goes_with_the_correlation_that_it_only_fed():
    assert names_without("often") == []


def test_a_rule_that_alerts_itself_outlives_its_correlation():
    generating = CORRELATION.replace("  timespan", "  generate: true\n  timespan")
    texts = {"x.yml": (GOOD + generating).encode()}
    assert [rule.name for rule in load_texts(texts, disabled=["often"]).rules] == ["example"]


def test_an_unknown_disabled_name_is_named():
    with pytest.raises(RuleError, match="disabled: no rule of the name or id 'exmaple'"):
        names_without("example", "exmaple")


def test_missing_and_empty_paths_are_named(tmp_path):
    with pytest.raises(RuleError, match="nowhere: no such file or folder"):
        load_rules([tmp_path / "nowhere"])
    with pytest.raises(RuleError, match="no rule files"):
        load_rules([tmp_path])
