"""Sliding windows against a list of all events."""

from hypothesis import given
from hypothesis import strategies as st

from sockwarden.agent.rules.detectors.window import Windows

SPAN_NS = 3200
SLACK_NS = SPAN_NS // 32


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(1, 5)), max_size=80), st.integers(1, 20))
def test_a_window_never_counts_too_much_nor_misses_a_burst(steps, threshold):
    windows = Windows()
    events, now, quiet_until = [], 0, 0
    for step, amount in steps:
        now += step
        events.append((now, amount))
        total = windows.add("key", now, SPAN_NS, amount, threshold)
        at_most = sum(size for time, size in events if time > now - SPAN_NS)
        at_least = sum(size for time, size in events if time > now - SPAN_NS + SLACK_NS)
        if total:
            assert threshold <= total <= at_most
            assert now >= quiet_until
            quiet_until = now + SPAN_NS
        elif now >= quiet_until:
            assert at_least < threshold


def test_time_that_runs_backwards_counts_for_now():
    windows = Windows()
    assert windows.add("key", 10_000, SPAN_NS, 1, 2) == 0
    assert windows.add("key", 9_000, SPAN_NS, 1, 2) == 2


def test_a_long_pause_empties_the_window():
    windows = Windows()
    assert windows.add("key", 0, SPAN_NS, 9, 10) == 0
    assert windows.add("key", 2**63, SPAN_NS, 9, 10) == 0


def test_keys_are_bounded_and_the_least_used_gives_way():
    windows = Windows(2)
    for key in ("a", "b", "a", "c"):
        windows.add(key, 0, SPAN_NS, 1, 3)
    assert (len(windows), windows.evicted) == (2, 1)
    assert windows.add("a", 0, SPAN_NS, 1, 3) == 3
    assert windows.add("b", 0, SPAN_NS, 2, 3) == 0
