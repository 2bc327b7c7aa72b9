"""Which watched connections are two ends of one, or the legs of a proxy.

A probe inside a host can see one connection twice: where a program opens it and where another
accepts it.  Then the accepting end is judged and the opening end is counted.  A proxy's legs are
two connections; both are judged and both are `proxied`.

Both questions are answered by the Sec-WebSocket-Key, a nonce of 16 random bytes (RFC 6455 4.1)
that both ends see and that proxies hand on, together with the addresses: the two ends of one
connection have the same pair, swapped.  A remote client that sends a key it saw elsewhere can
make its connection look proxied, but an accepting end is always judged.
"""

from dataclasses import dataclass

from sockwarden.agent.endpoint import Endpoints

MAX_KEYS = 65_536


@dataclass(slots=True, eq=False)
class End:
    """One watched connection, as far as its other ends matter."""

    key: str
    accepting: bool
    endpoints: Endpoints
    duplicate: bool = False


def _face_each_other(opening: End, accepting: End) -> bool:
    one, other = opening.endpoints, accepting.endpoints
    if None in (one.local, one.remote, other.local, other.remote):
        return True  # an address is not known: the nonce alone decides
    return one.local == other.remote and one.remote == other.local


class Ends:
    """The ends that are open now, by their key; at most `MAX_KEYS`, then new ones stay alone."""

    def __init__(self) -> None:
        self._by_key: dict[str, list[End]] = {}

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
            other.accepting and _face_each_other(end, other) for other in group
        )
        return end.duplicate

    def proxied(self, end: End) -> bool:
        group = self._by_key.get(end.key, [])
        return len(group) > 1 and sum(not other.duplicate for other in group) > 1

    def remove(self, end: End) -> None:
        group = self._by_key.get(end.key)
        if group and end in group:
            group.remove(end)
            if not group:
                del self._by_key[end.key]
