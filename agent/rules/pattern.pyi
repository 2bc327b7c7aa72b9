from sockwarden.agent.rules.databases import Databases

CASELESS: int
DOTALL: int
MULTILINE: int

class Pattern:
    """Raises ValueError with Vectorscan's reason where it refuses the expression.

    Where it matches is compiled at the first question for it, unless `eager`.  What `databases`
    holds is not compiled, and what is compiled is put there.
    """

    regex: str
    flags: int
    def __init__(
        self,
        regex: str,
        flags: int = 0,
        *,
        eager: bool = True,
        databases: Databases | None = None,
    ) -> None: ...
    @property
    def knows_start(self) -> bool:
        """False: too large for start offsets; a match begins somewhere before its end."""
    def search(self, text: bytes) -> tuple[int, int] | None:
        """Span of the first match, or None.  Not for two threads at once."""
