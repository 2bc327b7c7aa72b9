DEFAULT_LIMIT_BYTES: int

def limit(limit_bytes: int) -> None:
    """Bounds what the contexts of all connections of this process may hold."""

def usage() -> dict[str, int]:
    """`limit_bytes`, `held_bytes`, and `evicted`: how many were lost since the start."""
