def built_for() -> str:
    """The library and the processor that databases are compiled by and for."""

class Databases:
    """`known` are those of an earlier load."""

    used: dict[bytes, bytes]
    complete: bool  # whether nothing had to be compiled
    def __init__(self, known: dict[bytes, bytes] | None = None) -> None: ...
