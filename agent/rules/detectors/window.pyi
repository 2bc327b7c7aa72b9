from collections.abc import Hashable

class Windows:
    """Windows by key, for what is judged in Python; the least recently used gives way."""

    capacity: int
    evicted: int
    def __init__(self, capacity: int = 16_384) -> None: ...
    def __len__(self) -> int: ...
    def add(self, key: Hashable, now_ns: int, span_ns: int, amount: int, threshold: int) -> int:
        """The sum where it reached `threshold` for the first time in this window, else 0."""
