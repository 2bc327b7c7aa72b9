def valid_prefix(*chunks: bytes) -> tuple[int, bool]:
    """How many octets some UTF-8 text can begin with, and whether all the chunks are such text."""
