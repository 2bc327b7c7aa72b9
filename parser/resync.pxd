"""Finds the next frame in octets of which nobody knows where frames begin."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from sockwarden.parser.buffer cimport Buffer
from sockwarden.parser.events cimport Deflate, Direction
from sockwarden.parser.evidence cimport Manner, Sender
from sockwarden.parser.header cimport Header

cdef enum:
    CHAINS = 256            # followed at a time
    REMEMBERED = 8          # frames of a chain: one that is equal to one of them says nothing new
    KEPT_BYTES = 256 << 10  # of what may turn out to be messages


# Frames of which each begins where the last one ends.
cdef struct Chain:
    uint64_t at        # where the next one begins
    uint64_t begun     # where the open one began
    uint64_t report    # where the first that counts as proven began
    int score          # bits for the whole chain
    int earned         # bits since nothing spoke for another one
    int given          # of these, for the open header
    uint32_t frames    # since then
    uint32_t marks[REMEMBERED]  # of its last frames
    uint8_t marked
    bint reportable    # `report` is set
    Manner manner


cdef struct Search:
    Buffer kept         # octets from `base` on
    uint64_t base       # positions are those of the direction's stream
    uint64_t start      # behind the gap
    uint64_t next       # not looked at yet
    uint64_t blind      # nothing before is proven: chains that lead there were given up
    uint64_t credit     # octets of payload that may be looked at
    uint64_t undecoded  # octets given up
    Sender sender
    uint32_t count
    Chain chains[CHAINS]  # a heap: the nearest first


# A search behind a gap that ends at `start`.  `last`: the header of the last frame before it.
# `open_first`: the first octet of the message that was open there, 0: none was.  NULL: no memory.
cdef Search *search_new(uint64_t start, Direction direction, const Deflate *deflate,
                        const Header *last, uint8_t open_first) noexcept nogil

# Looks at octets, and tells in `used` at how many.  True: a frame begins at `boundary`, which is
# proven; from there on the octets are in `kept`.
cdef bint search_feed(Search *self, const uint8_t *data, size_t size, size_t *used,
                      uint64_t *boundary) noexcept nogil

# No more octets come here: it is decided by those that came.  True: as above.
cdef bint search_settle(Search *self, uint64_t *boundary) noexcept nogil

# `size` octets are missing here.
cdef void search_gap(Search *self, uint64_t size) noexcept nogil

cdef size_t search_memory(const Search *self) noexcept nogil
cdef void search_free(Search *self) noexcept nogil
