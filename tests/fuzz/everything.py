"""Pipelines with the shipped rules and all that hangs on them, for targets that feed them.

To make one takes longer than to run an input: the same are used again, and each input ends its
connections.
"""

import struct

from sockwarden.agent import ends
from sockwarden.agent.pipeline import Pipeline
from sockwarden.agent.rules.load import load_rules

CONNECTIONS = 16  # few, so that some are evicted
NUMBERS = range(1, 257)  # those that an input may use
CLOSE = 3
ends.MAX_CLOSED = 64  # what is remembered on purpose must not look like a leak

RECORD = struct.Struct("=QQQQIIIBBBB")
CLOSINGS = b"".join(
    RECORD.pack(number, 0, 0, 16, 16, 0, 0, CLOSE, 0, 0, 0) + bytes(16) for number in NUMBERS
)


class Sink:
    """Reads all of each report, and keeps none."""

    def _take(self, report):
        repr(report)

    connection = message = control = anomaly = alert = _take


def made(*, trace: bool) -> Pipeline:
    return Pipeline(
        RULES, Sink(), trace=trace, agent="fuzzed", redaction_key=bytes(32), head_bytes=4096,
        message_bytes=8192, inflated_bytes=1 << 20, connections=CONNECTIONS,
    )  # fmt: skip


RULES = load_rules(None)
PIPELINES = (made(trace=False), made(trace=True))


def settle(pipeline: Pipeline) -> None:
    """Ends all connections.  All is told then, without an error of ours, and nothing is held."""
    pipeline.feed(CLOSINGS)
    pipeline.deliver()
    assert not pipeline.counters["connections_open"]
