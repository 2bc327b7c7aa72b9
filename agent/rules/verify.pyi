VERIFIERS: dict[str, bool]

def verify(
    name: str, text: bytes, start: int, end: int, parameter: float = 0.0
) -> tuple[int, int] | None:
    """The span that the verifier accepts, or None."""
