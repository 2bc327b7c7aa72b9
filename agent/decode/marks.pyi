def variants() -> tuple[str, ...]: ...
def marks(text: bytes, variant: str | None = None) -> set[str]:
    """Names of the marks of the text: backslash, percent, ampersand, star, high, binary, run."""

def runs(text: bytes, variant: str | None = None) -> list[int]:
    """Where what may be base64 or hexadecimal digits begins."""
