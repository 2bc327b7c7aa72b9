from typing_extensions import Buffer

def variants() -> tuple[str, ...]:
    """What this processor can run, the one in use first."""

def unmasked(data: Buffer, key: bytes, variant: str | None = None) -> tuple[bytes, bool]:
    """The unmasked bytes, and whether all are ASCII, by the variant in use or a named one."""
