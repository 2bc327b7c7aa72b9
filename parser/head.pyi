def split(head: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], set[str]]:
    """First line, fields (names lower-case), and faults: bare_lf, folded_header, bad_header."""

def status(head: bytes) -> int | None:
    """Of a response; None: its first line is not a status line of HTTP/1.x."""
