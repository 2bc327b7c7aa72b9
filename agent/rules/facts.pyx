# cython: language_level=3
"""The facts of a message that rules may ask for, beside its payload."""

from libc.stdint cimport uint64_t
from libc.string cimport memset

cdef uint64_t NS_PER_MS = 1_000_000

# Names of the facts that rules may ask for; `fact_value` knows them by their place here.
FACTS = (
    "direction",
    "opcode",
    "length",
    "wire_length",
    "fragments",
    "inflate_ratio",
    "compressed",
    "after_close",
    "complete",
    "tls",
    "loopback",
    "messages",
    "connection_bytes",
    "age_ms",
)


cdef uint64_t fact_value(const Facts *facts, int fact) noexcept nogil:
    if fact == 0:
        return facts.direction
    if fact == 1:
        return facts.opcode
    if fact == 2:
        return facts.length
    if fact == 3:
        return facts.wire_length
    if fact == 4:
        return facts.fragments
    if fact == 5:
        return facts.length // facts.wire_length if facts.wire_length else 0
    if fact == 6:
        return facts.compressed
    if fact == 7:
        return facts.after_close
    if fact == 8:
        return facts.complete
    if fact == 9:
        return facts.tls
    if fact == 10:
        return facts.loopback
    if fact == 11:
        return facts.messages
    if fact == 12:
        return facts.connection_bytes
    return facts.age_ns // NS_PER_MS


cdef Facts make_facts(size_t size, dict given):
    """A whole, plain text message of a client, but for what is given."""
    cdef Facts facts
    memset(&facts, 0, sizeof(Facts))
    facts.time_ns = given.pop("time_ns", 0)
    facts.length = given.pop("length", size)
    facts.wire_length = given.pop("wire_length", facts.length)
    facts.age_ns = given.pop("age_ns", 0)
    facts.messages = given.pop("messages", 1)
    facts.connection_bytes = given.pop("connection_bytes", facts.length)
    facts.fragments = given.pop("fragments", 1)
    facts.direction = given.pop("direction", 0)
    facts.opcode = given.pop("opcode", 1)
    facts.compressed = given.pop("compressed", False)
    facts.after_close = given.pop("after_close", False)
    facts.complete = given.pop("complete", True)
    facts.tls = given.pop("tls", False)
    facts.loopback = given.pop("loopback", False)
    if given:
        raise TypeError(f"no such facts: {', '.join(sorted(given))}")
    return facts
