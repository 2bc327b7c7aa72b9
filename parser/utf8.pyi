def variants() -> tuple[str, ...]:
    """What this processor can run, the best first."""

def use(variant: str) -> None:
    """Takes one of them from now on, in the whole process; the best one is taken at import."""

def valid_prefix(*chunks: bytes) -> tuple[int, bool]:
    """How many octets some UTF-8 text can begin with, and whether all the chunks are such text."""

def unmasked_prefix(
    masked: bytes, key: bytes, before: bytes = b"", mixed: bool = False
) -> tuple[bytes, int, bool]:
    """The bytes unmasked by a key of four, then the same of them, behind fine text, in one pass.

    `mixed`: text before was more than ASCII, and no time is spent on finding ASCII.
    """
