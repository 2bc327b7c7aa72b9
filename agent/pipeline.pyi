from collections.abc import Callable

from sockwarden.agent.alert import Process
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.sink import Sink

class Pipeline:
    """From records to verdicts; see pipeline.pyx."""

    def __init__(
        self,
        rules: RuleSet,
        sink: Sink,
        *,
        trace: bool,
        agent: str | None = None,
        head_bytes: int = 16_384,
        message_bytes: int = 1 << 20,
        connections: int = 65_536,
        process: Callable[[int, int], Process | None] | None = None,
    ) -> None: ...
    def feed(self, records: bytes | bytearray | memoryview) -> None:
        """Records as in parser/records.h, one behind the other, each padded to 8 bytes."""
    def message(
        self, connection: int, time_ns: int, flow: int, opcode: int, payload: bytes
    ) -> None: ...
    def deliver(self) -> int: ...
    def replace_rules(self, rules: RuleSet) -> None: ...
    @property
    def counters(self) -> dict[str, int]: ...
