"""An alert that `append` returned is read back, once, in order, whatever happened in between."""

import errno
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from agent_alerts import make_alert
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sockwarden.agent import spool as spool_module
from sockwarden.agent.alert import Alert, Level
from sockwarden.agent.spool import Spool, SpoolError


class Limits(msgspec.Struct, frozen=True):
    limit_bytes: int = 1 << 20
    segment_bytes: int = 4096


def fill(spool: Spool, count: int) -> list[Alert]:
    alerts = [spool.append(make_alert(f"alert {number}")) for number in range(count)]
    assert None not in alerts
    taken = [alert for alert in alerts if alert is not None]
    await_durable(spool)
    return taken


def await_durable(spool: Spool) -> None:
    assert spool.last_sequence == 0 or spool.wait(spool.last_sequence - 1, 10)


def read_all(spool: Spool, after: int = 0, step: int = 7) -> list[Alert]:
    alerts: list[Alert] = []
    while True:
        part = spool.read(after, step)
        if part.last == after:
            return alerts
        alerts += part.alerts
        after = part.last


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    spools: list[Spool] = []

    def open_spool(directory: Path = tmp_path / "spool", limits: Limits | None = None) -> Spool:
        spools.append(Spool(directory, limits or Limits()))
        return spools[-1]

    yield open_spool
    for spool in spools:
        spool.close()


def test_alerts_come_back_with_sequence_and_id(opened: Callable[..., Spool]) -> None:
    spool = opened()
    taken = fill(spool, 100)
    assert [alert.sequence for alert in taken] == list(range(1, 101))
    assert len({alert.id for alert in taken}) == 100
    assert read_all(spool) == taken
    assert read_all(spool, after=42) == taken[42:]


def test_restart_keeps_alerts_number_and_count(opened: Callable[..., Spool]) -> None:
    first = opened()
    taken = fill(first, 60)
    first.ack(25)
    number = first.number
    first.close()
    second = opened()
    assert second.number == number
    assert second.acknowledged_sequence == 25
    assert read_all(second, 25) == taken[25:]
    more = second.append(make_alert())
    assert more is not None
    assert more.sequence == 61


def test_acknowledged_segments_are_deleted(opened: Callable[..., Spool], tmp_path: Path) -> None:
    spool = opened()
    fill(spool, 200)
    before = spool.size_bytes
    spool.ack(200)
    assert len(list((tmp_path / "spool").glob("*.seg"))) == 1
    assert spool.size_bytes < before
    assert spool.size_bytes == sum(p.stat().st_size for p in (tmp_path / "spool").glob("*.seg"))
    assert spool.depth == 0


def test_all_acknowledged_and_cursor_lost_still_never_reuses_a_number(
    opened: Callable[..., Spool], tmp_path: Path
) -> None:
    spool = opened()
    fill(spool, 50)
    spool.ack(50)
    spool.close()
    for _ in range(3):
        (tmp_path / "spool/cursor").unlink(missing_ok=True)
        again = opened()
        assert again.last_sequence == 50
        again.close()


def test_ack_of_more_than_is_there_frees_what_is(opened: Callable[..., Spool]) -> None:
    spool = opened()
    fill(spool, 3)
    spool.ack(1 << 60)
    assert spool.acknowledged_sequence == 3


def test_second_user_is_refused(opened: Callable[..., Spool]) -> None:
    opened()
    with pytest.raises(SpoolError, match="in use by another agent"):
        opened()


@pytest.mark.parametrize("name", ["notes.seg", "1.seg"])
def test_directory_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SpoolError, match="not a segment"):
        Spool(tmp_path, Limits())


def test_low_levels_are_refused_first_and_counted(opened: Callable[..., Spool]) -> None:
    spool = opened(limits=Limits(limit_bytes=64 << 10))
    taken: dict[Level, int] = {}
    for level in (Level.LOW, Level.MEDIUM, Level.CRITICAL):
        taken[level] = 0
        while spool.append(make_alert("y" * 100, level=level)):
            taken[level] += 1
        assert spool.counters[f"spool_refused.{level}"] == 1
    assert all(taken.values())
    assert spool.size_bytes <= 64 << 10
    await_durable(spool)
    kept = read_all(spool)
    assert len(kept) == sum(taken.values())
    assert kept[0].sequence == 1
    spool.ack(kept[-1].sequence or 0)
    assert spool.append(make_alert("y", level=Level.LOW)) is not None


def test_crash_at_every_byte_of_the_tail(tmp_path: Path) -> None:
    """The file ends anywhere inside the last record: all before it are there, no number twice."""
    origin = tmp_path / "origin"
    with_last = Spool(origin, Limits(segment_bytes=1 << 20))
    taken = fill(with_last, 4)
    with_last.close()
    (segment,) = origin.glob("*.seg")
    size = segment.stat().st_size
    record = size - segment.read_bytes().rindex(b"\xf5SWR")
    for cut in range(1, record):
        directory = tmp_path / "crashed"
        shutil.copytree(origin, directory)
        os.truncate(directory / segment.name, size - cut)
        spool = Spool(directory, Limits(segment_bytes=1 << 20))
        assert read_all(spool) == taken[:3]
        assert spool.counters["spool_torn_bytes"] == record - cut
        new = spool.append(make_alert("new"))
        assert new is not None
        assert (new.sequence or 0) >= 4
        await_durable(spool)
        assert read_all(spool) == [*taken[:3], new]
        spool.close()
        shutil.rmtree(directory)


def test_garbage_tail_never_gives_a_number_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Limits(segment_bytes=1 << 20))
    taken = fill(spool, 20)
    spool.close()
    (segment,) = tmp_path.glob("*.seg")
    content = bytearray(segment.read_bytes())
    half = content.index(b"\xf5SWR", len(content) // 2)
    segment.write_bytes(content[:half] + bytes(len(content) - half))
    again = Spool(tmp_path, Limits(segment_bytes=1 << 20))
    kept = read_all(again)
    assert kept == taken[: len(kept)]
    new = again.append(make_alert("new"))
    assert new is not None
    assert (new.sequence or 0) > 20
    again.close()


def test_any_damaged_byte_costs_one_alert_and_is_counted(tmp_path: Path) -> None:
    chance = random.Random(7)
    origin = tmp_path / "origin"
    first = Spool(origin, Limits(segment_bytes=1 << 20))
    taken = fill(first, 10)
    first.close()
    (segment,) = origin.glob("*.seg")
    content = segment.read_bytes()
    end = content.rindex(b"\xf5SWR")
    for place in chance.sample(range(28, end), 150):
        directory = tmp_path / "damaged"
        shutil.copytree(origin, directory)
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(8)
        (directory / segment.name).write_bytes(damaged)
        spool = Spool(directory, Limits(segment_bytes=1 << 20))
        kept = read_all(spool)
        assert len(kept) == 9
        assert {alert.sequence for alert in kept} < {alert.sequence for alert in taken}
        assert spool.counters["spool_corrupt"] == 1
        assert read_all(spool) == kept
        assert spool.counters["spool_corrupt"] == 1
        spool.close()
        shutil.rmtree(directory)


def test_damaged_header_keeps_the_alerts(tmp_path: Path) -> None:
    first = Spool(tmp_path, Limits(segment_bytes=1 << 20))
    taken = fill(first, 5)
    first.ack(1)
    number = first.number
    first.close()
    (segment,) = tmp_path.glob("*.seg")
    segment.write_bytes(b"\0" * 28 + segment.read_bytes()[28:])
    second = Spool(tmp_path, Limits(segment_bytes=1 << 20))
    assert second.number == number
    assert read_all(second, 1) == taken[1:]
    second.close()


def test_full_disk_is_counted_and_leaves_no_half_record(
    opened: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened()
    taken = fill(spool, 3)
    real = os.pwrite

    def full(file: int, data: memoryview, offset: int) -> int:
        if len(data) > 10:
            return real(file, data[:10], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool_module.os, "pwrite", full)
    assert spool.append(make_alert()) is None
    assert spool.counters["spool_failed.write"] == 1
    monkeypatch.undo()
    more = spool.append(make_alert())
    assert more is not None
    assert more.sequence == 4
    await_durable(spool)
    assert read_all(spool) == [*taken, more]
    assert spool.counters["spool_corrupt"] == 0


def test_nothing_is_offered_before_fsync_succeeded(
    opened: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened()
    monkeypatch.setattr(spool_module, "_RETRY_S", 0.01)
    broken = True
    failed = threading.Event()
    real = os.fdatasync

    def fail(file: int) -> None:
        if broken:
            failed.set()
            raise OSError(errno.EIO, "Input/output error")
        real(file)

    monkeypatch.setattr(spool_module.os, "fdatasync", fail)
    taken = spool.append(make_alert())
    assert failed.wait(10)
    assert spool.read(0, 10).alerts == []
    broken = False
    assert spool.wait(0, 10)
    assert spool.read(0, 10).alerts == [taken]
    assert spool.counters["spool_failed.sync"] >= 1


def test_disk_that_hangs_costs_bounded_memory(
    opened: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    spool = opened(limits=Limits(limit_bytes=1 << 30, segment_bytes=1 << 20))
    monkeypatch.setattr(spool_module.os, "fdatasync", lambda file: released.wait(30))
    monkeypatch.setattr(spool_module, "MAX_PENDING_BYTES", 100_000)
    count = 0
    while spool.append(make_alert("z" * 500)):
        count += 1
    assert 100 < count < 200
    assert spool.counters["spool_failed.pending"] == 1
    released.set()
    await_durable(spool)
    assert len(read_all(spool)) == count


def test_alert_of_half_a_megabyte_survives(opened: Callable[..., Spool]) -> None:
    spool = opened(limits=Limits(limit_bytes=16 << 20))
    small, large = make_alert("a"), make_alert("b" * (500 << 10))
    taken = [spool.append(alert) for alert in (small, large, small, large, large, small)]
    await_durable(spool)
    assert read_all(spool) == taken
    assert spool.append(make_alert("b" * (600 << 10))) is None
    assert spool.counters["spool_failed.too_large"] == 1


def test_reader_beside_writer_sees_all_in_order(opened: Callable[..., Spool]) -> None:
    spool = opened(limits=Limits(limit_bytes=8 << 20, segment_bytes=2048))
    count = 3_000

    def write() -> None:
        for number in range(count):
            assert spool.append(make_alert(str(number))) is not None

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[str] = []
    after = 0
    while len(seen) < count:
        assert spool.wait(after, 10)
        part = spool.read(after, 100)
        seen += [alert.evidence for alert in part.alerts]
        after = part.last
        spool.ack(after)
    writer.join()
    assert seen == [str(number) for number in range(count)]
    assert spool.counters["spool_corrupt"] == 0


def test_numbers_that_the_collector_holds_are_not_given_again(opened: Callable[..., Spool]) -> None:
    spool = opened()
    spool.skip_to(41)
    taken = spool.append(make_alert())
    assert taken is not None
    assert taken.sequence == 42


class Model(RuleBasedStateMachine):
    """Append, read, acknowledge, restart and crash in any order, against a list."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(os.environ["SPOOL_MODEL"]) / str(random.getrandbits(64))
        self.limits = Limits(limit_bytes=64 << 10, segment_bytes=1024)
        self.spool = Spool(self.directory, self.limits)
        self.kept: list[Alert] = []
        self.acknowledged = 0
        self.highest = 0

    @rule(size=st.integers(0, 3000), level=st.sampled_from(Level))
    def append(self, size: int, level: Level) -> None:
        taken = self.spool.append(make_alert("m" * size, level=level))
        if taken is not None:
            assert taken.sequence is not None
            assert taken.sequence > self.highest
            self.highest = taken.sequence
            self.kept.append(taken)

    @precondition(lambda self: self.kept)
    @rule(share=st.floats(0, 1))
    def acknowledge(self, share: float) -> None:
        place = int(share * (len(self.kept) - 1))
        self.acknowledged = max(self.acknowledged, self.kept[place].sequence or 0)
        self.spool.ack(self.acknowledged)

    @rule(lose_cursor=st.booleans(), torn=st.binary(max_size=60))
    def restart(self, lose_cursor: bool, torn: bytes) -> None:
        self.spool.close()
        if lose_cursor:
            (self.directory / "cursor").unlink(missing_ok=True)
        with max(self.directory.glob("*.seg")).open("ab") as file:
            file.write(torn)
        self.spool = Spool(self.directory, self.limits)

    @invariant()
    def reads_what_was_kept(self) -> None:
        assert not self.kept or self.spool.wait((self.kept[-1].sequence or 0) - 1, 10)
        expected = [a for a in self.kept if (a.sequence or 0) > self.acknowledged]
        assert read_all(self.spool, self.acknowledged) == expected

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.directory)


def test_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOOL_MODEL", str(tmp_path))
    case = Model.TestCase
    case.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
    case("runTest").runTest()
