from collections.abc import Sequence

from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.rules.model import RuleHit

class Session:
    """One connection's messages, judged from Python.  For one thread at a time."""

    rules: RuleSet
    def __init__(self, rules: RuleSet) -> None: ...
    def use(self, rules: RuleSet) -> None:
        """Goes on with other rules, as a reload does in the midst of connections."""
    def judge(self, payload: bytes, **facts: int) -> list[RuleHit]:
        """Hits of the next message; what `facts` leaves out is a plain whole text message."""
    @property
    def dropped(self) -> int:
        """Hits of the last message beyond MAX_HITS."""
    def count(self, messages: Sequence[bytes], **facts: int) -> int:
        """How many hits the messages have in all; holds the GIL only to begin and end."""
    def timed(self, messages: Sequence[bytes], **facts: int) -> tuple[int, int]:
        """Hits of the messages in all, and nanoseconds of the processor's time."""
    @property
    def work(self) -> dict[str, int]:
        """What the messages so far took, beside the gate: counts by name."""
