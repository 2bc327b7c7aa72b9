"""Which watched connections are two ends of one, or the legs of a proxy.

A probe inside a host can see one connection twice: where a program opens it and where another
accepts it.  Then the accepting end is judged and the opening end is counted.  A proxy's legs are
two connections; both are judged and both are `proxied`.

Both questions are answered by the Sec-WebSocket-Key, a nonce of 16 random bytes (RFC 6455 4.1)
that both ends see and that proxies hand on, together with the addresses: the two ends of one
connection have the same pair, swapped.  A remote client that sends a key it saw elsewhere can
make its connection look proxied, but an accepting end is always judged.

A server that refuses closes at once, often before its client has read the answer: accepting ends
are remembered for a while after they closed.  An end that is not wanted (`watch --pid`) is not
judged, so it makes no other end a duplicate.
"""

from collections import deque
from dataclasses import dataclass

from sockwarden.agent.endpoint import Endpoints

MAX_KEYS = 65_536
MAX_CLOSED = 4_096


@dataclass(slots=True, eq=False)
class End:
    """One watched connection, as far as its other ends matter."""

    key: str
    accepting: bool
    endpoints: Endpoints
    wanted: bool = True
    duplicate: bool = False
    closed: bool = False


def _are_one(end: End, facing: End) -> bool:
    """Whether these are the two ends of one connection."""
    one, other = end.endpoints, facing.endpoints
    if end.accepting == facing.accepting:
        return False
    if None in (one.local, one.remote, other.local, other.remote):
        return True  # an address is not known: the nonce alone decides
    return one.local == other.remote and one.remote == other.local


class Ends:
    """The ends that are open now or were a moment ago, by their key; at most `MAX_KEYS`, then new
    ones stay alone."""

    def __init__(self) -> None:
        self._by_key: dict[str, list[End]] = {}
        self._closed: deque[End] = deque()

    def add(self, end: End) -> None:
        """Called when the request is seen: an accepting end comes before the 101 at the other."""
        if not end.key:
            return
        if end.key in self._by_key:
            self._by_key[end.key].append(end)
        elif len(self._by_key) < MAX_KEYS:
            self._by_key[end.key] = [end]

    def settle(self, end: End) -> bool:
        """Decides and remembers whether `end` is the other end of one that is judged."""
        group = self._by_key.get(end.key, [])
        end.duplicate = not end.accepting and any(
            other.accepting and other.wanted and _are_one(end, other) for other in group
        )
        return end.duplicate

    def proxied(self, end: End) -> bool:
        """Whether another connection of this host carries the same conversation."""
        return any(
            not (other is end or other.duplicate or other.closed or _are_one(end, other))
            for other in self._by_key.get(end.key, [])
        )

    def remove(self, end: End) -> None:
        """It has closed."""
        if end not in self._by_key.get(end.key, []):
            return
        end.closed = True
        self._closed.append(end)
        while len(self._closed) > MAX_CLOSED:
            self._forget(self._closed.popleft())

    def _forget(self, end: End) -> None:
        group = self._by_key[end.key]
        group.remove(end)
        if not group:
            del self._by_key[end.key]
