"""The embedded store: filters, pages and statistics against a plain-Python oracle; the file."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fleet
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sockwarden.collector.errors import QueryTimeout, StoreDamaged, StoreError, StoreFull
from sockwarden.collector.store import (
    EVERYTHING,
    Delivery,
    Filter,
    Page,
    Sighting,
    Store,
    engines,
    open_store,
)
from sockwarden.collector.store._sqlite_file import open_writer
from sockwarden.collector.store.sqlite import source_of
from sockwarden.proto.v1.alert_pb2 import Alert, Level
from sockwarden.proto.v1.query_pb2 import Dimension

BUDGET_S = 10.0
PROMISES = {"journal_mode": "wal", "synchronous": 2}  # 2: FULL
AGENTS = ["web-1", "web-2"]
RULES = ["sql-injection", "xss"]
SOURCES = ["10.9.0.1", "2001:db8::1"]
EXES = ["/usr/bin/node", "/opt/node", "/usr/bin/xnode"]
PATHS = ["/chat", "/chat/1", "/", "/c*"]
TEXTS = ["Or", "or 1", "%_é", "É%", "x\x00y"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store("sqlite", tmp_path / "alerts.db", 1 << 30)
    yield opened
    opened.close()


def pick(names: list[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(names)


alerts = st.lists(
    st.fixed_dictionaries(
        {
            "agent": pick(AGENTS),
            "time__nanos": st.integers(0, 5),
            "rule__id": pick(RULES),
            "rule__level": st.integers(1, 5),
            "rule__category": st.integers(1, 6),
            "rule__title": pick(TEXTS),
            "connection__client": pick(["10.9.0.1:1", "[2001:db8::1]:2", "unix:/run/a", ""]),
            "connection__path": pick(PATHS),
            "process__exe": pick([*EXES, ""]),
            "evidence": pick(TEXTS),
            "count": st.integers(1, 3),
        }
    ),
    max_size=25,
)
maybe_time = st.none() | st.integers(0, 6).map(lambda nanos: fleet.START_NS + nanos)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "since_ns": maybe_time,
    "until_ns": maybe_time,
    "agents": st.lists(pick([*AGENTS, "none"]), max_size=2).map(tuple),
    "rules": st.lists(pick([*RULES, "none"]), max_size=2).map(tuple),
    "minimum_level": st.integers(0, 5),
    "categories": st.lists(st.integers(1, 6), max_size=3).map(tuple),
    "source": pick([*SOURCES, "unix:/run/a"]),
    "process": pick([*EXES, "node"]),
    "path": pick([*PATHS, "/chat*", "*"]),
    "text": pick(TEXTS),
}
# Few at a time: with all of them set hardly anything would be left to compare.
filters = (
    st.sets(st.sampled_from(sorted(FIELDS)), max_size=2)
    .flatmap(lambda names: st.fixed_dictionaries({name: FIELDS[name] for name in sorted(names)}))
    .map(lambda fields: Filter(**fields))
)


def ascii_lower(text: str) -> str:
    return "".join(char.lower() if char.isascii() else char for char in text)


def matches(alert: Alert, chosen: Filter) -> bool:
    time_ns, rule = alert.time.ToNanoseconds(), alert.rule
    exe, path = alert.process.exe, alert.connection.path
    text = ascii_lower(chosen.text)
    return all(
        (
            chosen.since_ns is None or time_ns >= chosen.since_ns,
            chosen.until_ns is None or time_ns < chosen.until_ns,
            not chosen.agents or alert.agent in chosen.agents,
            not chosen.rules or rule.id in chosen.rules,
            rule.level >= chosen.minimum_level,
            not chosen.categories or rule.category in chosen.categories,
            not chosen.source or source_of(alert.connection.client) == chosen.source,
            not chosen.process
            or exe == chosen.process
            or ("/" not in chosen.process and exe.rpartition("/")[2] == chosen.process),
            not chosen.path
            or path == chosen.path
            or (chosen.path.endswith("*") and path.startswith(chosen.path[:-1])),
            text in ascii_lower(alert.evidence) or text in ascii_lower(rule.title),
        )
    )


def fill(store: Store, rows: list[dict[str, Any]]) -> list[Alert]:
    """In one commit, in the order of the rows."""
    sequences: Counter[str] = Counter()
    made = []
    for row in rows:
        changes = dict(row)
        agent = changes.pop("agent")
        sequences[agent] += 1
        changes["time__seconds"] = fleet.START_NS // 10**9
        made.append(fleet.make_alert(sequences[agent], agent, **changes))
    written = store.write([Delivery(alert.agent, 7, [alert]) for alert in made], [])
    assert (written.stored, written.position) == (len(made), len(made))
    return made


@given(rows=alerts, chosen=filters, size=st.integers(1, 7), oldest_first=st.booleans())
@hypothesis_settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_filters_pages_and_statistics_agree_with_the_oracle(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    chosen: Filter,
    size: int,
    oldest_first: bool,
) -> None:
    store = open_store("sqlite", tmp_path_factory.mktemp("store") / "alerts.db", 1 << 30)
    try:
        stored = fill(store, rows)
        expected = [alert for alert in stored if matches(alert, chosen)]
        tailed = store.since(0, len(stored), chosen, 1_000, budget_s=BUDGET_S)
        assert [found.alert for found in tailed] == expected

        ordered = sorted(
            enumerate(stored), key=lambda item: (item[1].time.ToNanoseconds(), item[0])
        )
        listed: list[Alert] = []
        after = None
        while True:
            page = Page(size, oldest_first, after)
            found = store.alerts(chosen, page, budget_s=BUDGET_S)
            listed += [one.alert for one in found]
            if len(found) < size:
                break
            after = (found[-1].alert.time.ToNanoseconds(), found[-1].position)
        wanted = [alert for _, alert in ordered if matches(alert, chosen)]
        assert listed == (wanted if oldest_first else wanted[::-1])

        by = [Dimension.DIMENSION_AGENT, Dimension.DIMENSION_LEVEL]
        counted = Counter(
            (alert.agent, Level.Name(alert.rule.level).removeprefix("LEVEL_").lower())
            for alert in expected
        )
        statistics = store.stats(chosen, by, 1_000, budget_s=BUDGET_S)
        assert {tuple(row.keys): row.alerts for row in statistics} == counted
        assert sum(row.events for row in statistics) == sum(alert.count for alert in expected)
    finally:
        store.close()


@pytest.mark.parametrize("text", ["sql inj", "Or 1=1", "SQL", "--"])
def test_text_is_part_of_title_or_evidence_in_either_case(store: Store, text: str) -> None:
    store.write([Delivery("web-1", 7, [fleet.make_alert(1)])], [])
    assert len(store.alerts(Filter(text=text), Page(10), budget_s=BUDGET_S)) == 1


def test_every_dimension_has_a_readable_key(store: Store) -> None:
    store.write([Delivery("web-1", 7, [fleet.make_alert(1)])], [])
    keys = {
        dimension: store.stats(EVERYTHING, [dimension], 1, budget_s=BUDGET_S)[0].keys[0]
        for dimension in Dimension.values()
        if dimension
    }
    assert list(keys.values()) == [
        "web-1", "sql-injection", "high", "injection", "10.9.0.1", "/chat", "/usr/bin/node",
        "2026-09-21T14:00:00Z",
    ]  # fmt: skip


def test_sources_have_no_port() -> None:
    assert source_of("10.9.0.1:20000") == "10.9.0.1"
    assert source_of("[2001:db8::1]:443") == "2001:db8::1"
    assert source_of("unix:/run/app.sock") == "unix:/run/app.sock"
    assert source_of("") == ""


def test_failed_write_leaves_nothing(store: Store) -> None:
    good = Delivery("web-1", 7, [fleet.make_alert(1)])
    bad = Delivery("web-2", 7, [fleet.make_alert(1 << 63, "web-2")])
    with pytest.raises((StoreError, OverflowError)):
        store.write([good, bad], [])
    assert store.position(budget_s=BUDGET_S) == 0
    assert store.hosts("", 10, budget_s=BUDGET_S) == []
    assert store.write([good], []).stored == 1


def test_read_ends_when_its_time_is_used_up(store: Store) -> None:
    rows = [fleet.make_alert(sequence) for sequence in range(1, 5_001)]
    store.write([Delivery("web-1", 7, rows)], [])
    with pytest.raises(QueryTimeout):
        store.alerts(Filter(text="nowhere"), Page(10), budget_s=0.0001)
    assert len(store.alerts(EVERYTHING, Page(10), budget_s=BUDGET_S)) == 10


def test_second_collector_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="another collector uses it"):
        open_store("sqlite", tmp_path / "alerts.db", 1 << 30)


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "alerts.db"
    open_store("sqlite", path, 1 << 30).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="newer sockwarden"):
        open_store("sqlite", path, 1 << 30)


def test_damage_after_a_crash_is_found_before_anything_is_served(tmp_path: Path) -> None:
    path = tmp_path / "alerts.db"
    store = open_store("sqlite", path, 1 << 30)
    store.write([Delivery("web-1", 7, [fleet.make_alert(n) for n in range(1, 500)])], [])
    store.close()
    with path.open("r+b") as file:  # the middle of the tables, not the header
        file.seek(8 * 4096)
        file.write(b"\xff" * 4096 * 8)
    (tmp_path / "alerts.db-wal").write_bytes(b"left by a crash")
    with pytest.raises(StoreDamaged, match=r"alerts\.db: damaged"):
        open_store("sqlite", path, 1 << 30)


def test_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "alerts.db"
    path.write_text("a letter to my grandmother\n" * 100)
    with pytest.raises(StoreDamaged):
        open_store("sqlite", path, 1 << 30)
    assert path.read_text().startswith("a letter")


def test_commits_survive_a_power_cut(tmp_path: Path) -> None:
    """As far as that can be seen from here: what SQLite was asked for."""
    path = tmp_path / "other.db"
    writer = open_writer(path, 1 << 30)
    asked = [writer.execute(f"PRAGMA {name}").fetchone()[0] for name in PROMISES]
    writer.close()
    assert asked == list(PROMISES.values())


def test_full_store_has_room_for_a_fleets_signs_of_life(tmp_path: Path) -> None:
    store = open_store("sqlite", tmp_path / "small.db", 1 << 20)
    sequence = 0
    with pytest.raises(StoreFull):  # noqa: PT012
        while True:
            batch = [fleet.make_alert(sequence + number) for number in range(1, 101)]
            store.write([Delivery("web-1", 7, batch)], [])
            sequence += 100
    sightings = [Sighting(f"host-{number}", fleet.START_NS) for number in range(1_000)]
    store.write([], sightings)
    assert len(store.hosts("", 2_000, budget_s=BUDGET_S)) == 1_001
    assert store.usage(budget_s=BUDGET_S).alerts == sequence
    store.close()


def test_file_is_its_owners_only(store: Store, tmp_path: Path) -> None:
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_unknown_engine_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    assert engines() == ["sqlite"]
    with pytest.raises(StoreError, match="known: sqlite"):
        open_store("_sqlite_file", tmp_path / "x", 1 << 20)
