"""`sockwarden rules` as a user runs it."""

import json

import pytest
from click.testing import CliRunner

from sockwarden.cli import main

RULE = """\
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


@pytest.fixture
def run(tmp_path):
    """Runs `sockwarden rules` on a file that holds the text."""

    def run(*arguments, text=RULE):
        file = tmp_path / "rule.yml"
        file.write_text(text)
        return CliRunner().invoke(main, ["rules", *arguments, str(file)])

    return run


def objects(result):
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_list_names_the_rules_that_ship():
    rules = objects(CliRunner().invoke(main, ["rules", "list"]))
    assert {"sqli-tautology", "message-flood"} <= {rule["rule"] for rule in rules}
    assert {rule["judges"] for rule in rules} == {"message", "handshake", "frame", "correlation"}


def test_show_tells_all_of_one_rule(run):
    [shown] = objects(run("show", "example"))
    assert (shown["title"], shown["level"], shown["tests"]) == ("Example", "high", 2)
    assert shown["file"].endswith("rule.yml:1")


def test_show_of_no_rule_is_refused(run):
    result = run("show", "other")
    assert result.exit_code == 2
    assert result.stderr == "sockwarden: no rule of the name or id 'other'\n"


def test_check_measures_each_rule(run):
    [checked] = objects(run("check"))
    assert checked["rule"] == "example"
    assert 0 <= checked["ns_per_message"] < 1e6
    assert checked["slow"] is False


def test_check_tells_every_problem_with_its_place(run):
    text = RULE.replace("level: high", "level: loud").replace("condition: a", "condition: b")
    result = run("check", text=text)
    assert result.exit_code == 1
    told = [line.split("rule.yml:")[1].split(": ")[:2] for line in result.stderr.splitlines()]
    assert told == [["5", "level"], ["14", "detection.condition"]]


def test_check_of_a_pattern_without_a_literal_says_what_to_do(run):
    result = run("check", text=RULE.replace("contains: attack", "re: '[0-9]+'"))
    assert result.exit_code == 1
    assert "rule.yml:13: detection: '[0-9]+' has no literal to look for" in result.stderr
    assert "slow: true" in result.stderr


def test_test_runs_the_tests_of_the_rules(run):
    assert objects(run("test")) == [{"type": "tests", "run": 2, "failed": 0}]
    result = run("test", text=RULE.replace("- peace", "- attacks"))
    assert result.exit_code == 1
    assert "rule.yml:19: tests.no_match: the rule fires" in result.stderr


def test_a_missing_file_is_unreadable():
    result = CliRunner().invoke(main, ["rules", "check", "/nowhere/x.yml"])
    assert result.exit_code == 2
    assert result.stderr == "sockwarden: /nowhere/x.yml: no such file or folder\n"
