from collections.abc import Collection
from typing import BinaryIO

class Lines:
    """What was written waits until `flush`, or until the buffer is full.

    Args:
        stream: where the lines go, in UTF-8.
        only: the types of reports that are wanted.
    """

    messages: bool
    controls: bool
    def __init__(self, stream: BinaryIO, only: Collection[str]) -> None: ...
    def write(self, line: bytes) -> int:
        """A whole line of another kind, in its turn."""
    def flush(self) -> int:
        """Hands all of it to the stream, and on."""
