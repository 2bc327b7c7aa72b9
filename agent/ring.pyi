class Ring:
    """Maps the ring behind a descriptor, which it takes over."""

    malformed: int
    def __init__(self, fd: int, size: int = 0) -> None: ...
    def fileno(self) -> int: ...
    def backlog(self) -> int:
        """Bytes that wait, as far as the kernel has told."""
    def read(self, most: int = ...) -> list[bytes]:
        """Up to `most` records with their heads (struct sw_record)."""
    def close(self) -> None: ...
