"""What is kept of compiled rules: it spares the work, never changes a verdict, and is code only
where nobody else could have written it."""

import logging
import os
import threading
from hashlib import sha256

import msgspec
import pytest

from sockwarden.agent.rules import cache as cache_module
from sockwarden.agent.rules import derived
from sockwarden.agent.rules.cache import ENTRIES_MAX, Cache, user_cache
from sockwarden.agent.rules.load import load_rules, load_texts

RULE = b"""\
title: Example
id: 6c9a1a2e-6f1d-4b59-8d0c-3d4a0f9a7c11
name: example
description: For a test.
level: high
tags: [sockwarden.injection]
logsource: {product: websocket, category: message}
detection:
  a: {payload|re: 'union\\s+select[a-z]{2}', payload|contains: evil}
  b: {payload|contains: ['<script', 'onerror=']}
  condition: a or b
"""
# Each with whether the rule above holds.
MESSAGES = {
    b"evil: union  selectab": True,
    b"union  selectab": False,
    b"<script>": True,
    b"nothing": False,
}
SHIPPED = (
    b'{"q":"x\' UNION SELECT username, password FROM users -- "}',
    b"<script>alert(1)</script>; cat /etc/passwd; ../../etc/shadow ${jndi:ldap://x/a}",
    b'{"card":"4111111111111111"}',
    b'{"text":"hello"}',
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def load(folder, text=RULE, **how):
    return load_texts({"x.yml": text}, strict=False, cache=Cache(folder), **how)


def assert_right(rules):
    assert {text: bool(rules.judge(text)) for text in MESSAGES} == MESSAGES


@pytest.fixture
def compiled(monkeypatch):
    """Counts what is derived anew."""
    made = []
    original = derived.requirement

    def counted(*arguments, **options):
        made.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(derived, "requirement", counted)
    return made


@pytest.fixture
def entry(folder):
    """The file of the rule above."""
    assert_right(load(folder))
    [entry] = folder.iterdir()
    return entry


@pytest.mark.parametrize("eager", [False, True])
def test_the_second_load_derives_nothing_and_judges_the_same(folder, compiled, eager):
    first = load(folder, eager=eager)
    assert compiled
    compiled.clear()
    second = load(folder, eager=eager)
    assert not compiled
    assert second.digest == first.digest
    assert_right(first)
    assert_right(second)


def test_the_shipped_rules_judge_as_without(folder, shipped):
    load_rules(cache=Cache(folder))
    again = load_rules(cache=Cache(folder))
    assert again.digest == shipped.digest
    for text in SHIPPED:
        hits = [(hit.rule.name, hit.evidence) for hit in shipped.judge(text)]
        assert [(hit.rule.name, hit.evidence) for hit in again.judge(text)] == hits
        assert again.matching(text) == shipped.matching(text)


def test_other_rules_are_another_entry(folder, compiled):
    load(folder)
    compiled.clear()
    other = load(folder, RULE.replace(b"evil", b"good"))
    assert compiled
    assert other.judge(b"good: union  selectab")
    assert len(list(folder.iterdir())) == 2


def test_files_are_for_this_user_alone(entry):
    assert entry.stat().st_mode & 0o777 == 0o600
    assert entry.parent.stat().st_mode & 0o777 == 0o700


def flip(entry):
    data = bytearray(entry.read_bytes())
    data[len(data) // 2] ^= 1
    entry.write_bytes(data)


def cut(entry):
    entry.write_bytes(entry.read_bytes()[:-100])


def forge(entry):
    content = b"\x90 not what Derived reads"
    entry.write_bytes(sha256(content).digest() + content)


def link(entry):
    elsewhere = entry.parent.parent / "elsewhere"
    entry.rename(elsewhere)
    entry.symlink_to(elsewhere)


def link_folder(entry):
    elsewhere = entry.parent.parent / "elsewhere"
    entry.parent.rename(elsewhere)
    entry.parent.symlink_to(elsewhere)


def fifo(entry):
    entry.unlink()
    os.mkfifo(entry)


def open_file(entry):
    entry.chmod(0o620)


def open_folder(entry):
    entry.parent.chmod(0o702)


def too_large(entry):
    with entry.open("r+b") as file:
        file.truncate(cache_module.ENTRY_MAX_BYTES + 100)


FAULTS = [flip, cut, forge, link, link_folder, fifo, open_file, open_folder, too_large]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_as_it_was_left_is_not_used(folder, entry, compiled, caplog, fault):
    fault(entry)
    with caplog.at_level(logging.WARNING):
        assert_right(load(folder))
    assert compiled
    assert len(caplog.records) == 1
    assert str(folder) in caplog.text


@pytest.mark.parametrize("fault", [flip, cut, forge, link, fifo, open_file, too_large])
def test_a_bad_file_is_replaced(folder, entry, compiled, fault):
    fault(entry)
    load(folder)
    compiled.clear()
    assert_right(load(folder))
    assert not compiled
    assert not entry.is_symlink()
    assert entry.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("place", ["the folder", "rules"])
def test_what_belongs_to_another_user_is_not_used(
    folder, entry, compiled, caplog, monkeypatch, place
):
    original = os.fstat
    is_folder = place == "the folder"

    def foreign(descriptor):
        found = original(descriptor)
        if os.path.isdir(f"/proc/self/fd/{descriptor}") is not is_folder:
            return found
        fields = list(found)
        fields[4] = os.geteuid() + 1  # st_uid
        return os.stat_result(fields)

    monkeypatch.setattr(cache_module.os, "fstat", foreign)
    assert_right(load(folder))
    assert compiled
    assert f"belongs to user {os.geteuid() + 1}" in caplog.text


@pytest.mark.parametrize("built_for", ["5.4.12 0 4", "another processor"])
def test_another_library_or_processor_is_another_entry(
    folder, entry, compiled, monkeypatch, built_for
):
    monkeypatch.setattr(derived, "built_for", lambda: built_for)
    assert_right(load(folder))
    assert compiled
    assert len(list(folder.iterdir())) == 2


def test_databases_that_vectorscan_refuses_are_compiled(folder, entry):
    """Of another library, under the same key."""
    stored = msgspec.msgpack.decode(entry.read_bytes()[32:])
    stored[-1] = dict.fromkeys(stored[-1], b"of another version")
    broken = msgspec.msgpack.encode(stored)
    entry.write_bytes(sha256(broken).digest() + broken)
    assert_right(load(folder))
    assert entry.read_bytes()[32:] != broken


def test_no_more_than_so_many_are_kept(folder):
    for number in range(ENTRIES_MAX + 3):
        load(folder, RULE.replace(b"evil", b"evil%d" % number))
    assert len(list(folder.iterdir())) == ENTRIES_MAX


def test_loads_at_the_same_time_do_not_clash(folder, caplog):
    loaded = []
    threads = [threading.Thread(target=lambda: loaded.append(load(folder))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 8
    for rules in loaded:
        assert_right(rules)
    assert len(list(folder.iterdir())) == 1
    assert not caplog.records


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    assert_right(load(tmp_path / "file" / "cache"))
    assert len(caplog.records) == 1


def test_rules_that_are_wrong_leave_no_entry(folder):
    with pytest.raises(ValueError, match="cannot be used"):
        load(folder, RULE.replace(b"union", b"(?P=x)"))
    assert not folder.exists()


def test_the_folder_of_a_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert user_cache().folder == tmp_path / "xdg" / "sockwarden"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache().folder == tmp_path / ".cache" / "sockwarden"
    monkeypatch.setattr(cache_module.os, "access", lambda path, mode: False)
    assert user_cache() is None


def test_no_folder_in_the_home_of_another_user(tmp_path, monkeypatch):
    original = os.stat

    def foreign(path, **options):
        fields = list(original(path, **options))
        fields[4] = os.geteuid() + 1  # st_uid
        return os.stat_result(fields)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache_module.os, "stat", foreign)
    assert user_cache() is None
