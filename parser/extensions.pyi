from typing import TypeAlias

Parameters: TypeAlias = list[tuple[bytes, bytes | None]]
Window: TypeAlias = tuple[int, bool] | None

def parse(value: bytes) -> list[tuple[bytes, Parameters]]:
    """The extensions of a field, their names and their parameters' names lower-case."""

def offered_well(value: bytes) -> bool:
    """Whether each offer of permessage-deflate is one that a server may accept."""

def agreed(value: bytes) -> tuple[Window, Window, bool]:
    """permessage-deflate as a response's field sets it: (window bits, no context takeover) of
    client-to-server and of server-to-client, None without it; and whether each parameter is good.
    """
