"""The facts of a message that rules may ask for, beside its payload."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


# The fields of a message-category rule, beside the payload itself.
cdef struct Facts:
    uint64_t time_ns
    uint64_t length            # true length of the payload, inflated
    uint64_t wire_length       # before inflation
    uint64_t age_ns            # of the connection
    uint64_t messages          # of this direction so far, this one included
    uint64_t connection_bytes  # payload bytes of this direction so far, inflated
    uint32_t fragments
    uint8_t direction          # parser.events.Direction
    uint8_t opcode             # TEXT, BINARY; CLOSE, PING, PONG for control frames
    bint compressed
    bint after_close
    bint complete
    bint tls
    bint loopback              # both ends are on loopback

# `fact`: index into FACTS.
cdef uint64_t fact_value(const Facts *facts, int fact) noexcept nogil

# A whole, plain text message of a client, but for what is given by name.
cdef Facts make_facts(size_t size, dict given)
