from collections.abc import Callable

from sockwarden.agent.alert import Process
from sockwarden.agent.lines import Lines
from sockwarden.agent.ring import Ring
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.sink import Sink
from sockwarden.agent.subject import Subject

class Pipeline:
    """From records to verdicts; see pipeline.pyx.

    Args:
        trace: report connections, messages, control frames and anomalies too, not alerts only.
        agent: the name that alerts carry.
        process: names a process by its number and start time (CLOCK_BOOTTIME, ns).
        wanted: asked for each connection when it opens; one that is not wanted is left alone.
        unwanted: told the number of a connection whose bytes turned out to be no frames.
        lines: writes messages and control frames itself, of those that it wants; the sink
            does not hear of them.
        redaction_key: of the hashes that stand for masked secrets.
        clock_offset_ns: from the records' clock to the epoch.
    """

    clock_offset_ns: int
    def __init__(
        self,
        rules: RuleSet,
        sink: Sink,
        *,
        trace: bool,
        agent: str | None = None,
        head_bytes: int = 16_384,
        message_bytes: int = 1 << 20,
        inflated_bytes: int = 1 << 30,
        connections: int = 65_536,
        process: Callable[[int, int], Process | None] | None = None,
        wanted: Callable[[Subject], bool] | None = None,
        unwanted: Callable[[int], None] | None = None,
        lines: Lines | None = None,
        redaction_key: bytes = b"",
        clock_offset_ns: int = 0,
    ) -> None: ...
    def drain(self, ring: Ring, most: int) -> int:
        """Takes up to `most` records from the kernel's ring; returns how many."""
    def feed(self, records: bytes | bytearray | memoryview) -> None:
        """Records as in parser/records.h, one behind the other, each padded to 8 bytes."""
    def message(
        self, connection: int, time_ns: int, flow: int, opcode: int, payload: bytes
    ) -> None:
        """A whole message whose frames nobody kept (HAR): judged like any other."""
    def expire(self, now_ns: int) -> None:
        """Ends the connections that no process went on with since theirs ended a second ago.

        Args:
            now_ns: the time of day of the records (CLOCK_BOOTTIME where the kernel writes them).
        """
    def deliver(self) -> int:
        """Hands over what was found, in its order; raises what a sink raised meanwhile."""
    def replace_rules(self, rules: RuleSet) -> None:
        """From the next message on; counters of correlations begin anew."""
    @property
    def counters(self) -> dict[str, int]:
        """Totals since the start, by the names that the manual explains."""
