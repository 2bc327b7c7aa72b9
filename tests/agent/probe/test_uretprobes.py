"""Whether uretprobes are harmless is asked of the kernel, not of its version."""

import os
import platform

import pytest

from sockwarden.agent.probe import uretprobes

GETPID = 39  # a call that returns, and that a filter sees


def test_this_kernel() -> None:
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    if not (6, 11) <= release < (6, 14):
        assert uretprobes.are_harmless()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the call is of x86-64")
@pytest.mark.parametrize(
    ("unfiltered", "filtered", "harmless"),
    [(False, False, True), (True, False, False), (True, True, True)],
)
def test_verdict(
    monkeypatch: pytest.MonkeyPatch, unfiltered: bool, filtered: bool, harmless: bool
) -> None:
    outcomes = {False: unfiltered, True: filtered}
    monkeypatch.setattr(uretprobes, "_ends_by_signal", lambda *, filtered: outcomes[filtered])
    assert uretprobes.are_harmless() is harmless


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the number is of x86-64")
def test_a_call_that_returns_is_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uretprobes, "_SYS_URETPROBE", GETPID)
    assert not uretprobes._ends_by_signal(filtered=False)
    assert not uretprobes._ends_by_signal(filtered=True)
