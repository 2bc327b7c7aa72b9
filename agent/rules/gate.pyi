from collections.abc import Mapping

from sockwarden.agent.rules.buckets import Part
from sockwarden.agent.rules.literals import Requirement

def variants() -> tuple[str, ...]: ...

class Gate:
    literal_count: int
    always_count: int
    def __init__(
        self,
        requirements: Mapping[int, Requirement],
        variant: str | None = None,
        layout: list[Part] | None = None,
    ) -> None:
        """By pattern number; `layout`: what `buckets.lay_out` makes of them."""
    def candidates(self, text: bytes) -> list[int]:
        """Numbers of the patterns that may match the text."""
    def count(self, texts: list[bytes]) -> int:
        """How many candidates the texts have in all: for benchmarks."""
