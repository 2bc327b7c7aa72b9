from collections.abc import Mapping

from sockwarden.agent.rules.compile import Plan
from sockwarden.agent.rules.detectors.window import Windows
from sockwarden.agent.rules.model import AnyRule, RuleHit
from sockwarden.agent.rules.session import Session

class RuleSet:
    """Made by `compile.compile_rules` from its plan."""

    rules: tuple[AnyRule, ...]
    views: tuple[str, ...]
    digest: str
    def __init__(self, plan: Plan) -> None: ...
    def session(self) -> Session:
        """A thread's scratch and a connection's state, for use from Python."""
    def matching(self, text: bytes, direction: int = 0) -> tuple[set[str], set[str]]:
        """Patterns that match the text: searched one by one, and all at once; for tests.

        Both are the same, or Vectorscan loses matches where it searches for many patterns.
        """
    def judge(self, payload: bytes, **facts: int) -> list[RuleHit]:
        """Hits of one message that stands alone.  Facts by their names in `Facts`."""
    def judge_handshake(
        self, fields: Mapping[str, object], windows: Windows | None = None, *, time_ns: int = 0
    ) -> list[RuleHit]:
        """Hits of one handshake, by the names in `fields.HANDSHAKE`.

        `windows` holds what correlations have counted; without it they do not count.
        """
    def judge_anomaly(
        self,
        kind: str,
        direction: str,
        fields: Mapping[str, object],
        windows: Windows | None = None,
        *,
        time_ns: int = 0,
    ) -> list[RuleHit]:
        """Hits of one anomaly of a connection; `fields` as for its handshake, and `offset`."""
