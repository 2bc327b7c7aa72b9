"""The id of an alert: 26 characters, unique in the fleet, sorted by time.

The form is that of a ULID: 48 bits of milliseconds, then 80 bits, in Crockford's base 32.  The
80 bits are a hash of (agent, spool, sequence), so that an alert sent again keeps its id.
"""

import hashlib

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26

_HASH_BITS = 80
_TIME_BITS = 48
_NS_PER_MS = 1_000_000


def alert_id(agent: str, spool: int, sequence: int, time_ns: int) -> str:
    identity = b"%s\0%d\0%d" % (agent.encode("utf-8", "surrogatepass"), spool, sequence)
    digest = hashlib.blake2b(identity, digest_size=_HASH_BITS // 8).digest()
    milliseconds = min(max(time_ns, 0) // _NS_PER_MS, (1 << _TIME_BITS) - 1)
    number = milliseconds << _HASH_BITS | int.from_bytes(digest, "big")
    return "".join(ALPHABET[number >> 5 * place & 31] for place in reversed(range(LENGTH)))
