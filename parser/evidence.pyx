# distutils: libraries = z
"""Weighs headers and payloads; see evidence.pxd.

The weights come from a model of what peers send: the next message mostly begins like the last
one, a length mostly has the form of the last one's, fragments mostly go on.  Each set of
weights belongs to probabilities that sum to no more than 1, so that the sum along a chain is a
likelihood ratio: at random octets it reaches b bits with a probability of at most 2^-b.

Text weighs little, since the octets around a false frame may be text as well.  From the server
it weighs nothing where it is not ASCII: in the middle of other alphabets' characters are octets
that headers begin with.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.stdlib cimport calloc, free

from sockwarden.parser.events cimport BINARY, C2S, CLOSE, CONTINUATION, PONG, TEXT
from sockwarden.parser.header cimport (
    CONTROL, CONTROL_BYTES, FIN, LENGTH, LENGTH_16, LENGTH_64, MASK, OPCODE, RSV1, RSV23, Header,
    header_read)
from sockwarden.parser.masking cimport unmask
from sockwarden.parser.utf8 cimport Utf8, utf8_feed
from sockwarden.parser.workspace cimport SW_SCRATCH_BYTES, Workspace
from sockwarden.parser.zlib cimport (
    AT_BLOCK_END, MAX_WBITS, Z_BUF_ERROR, Z_OK, Z_STREAM_END, Z_SYNC_FLUSH, inflate, inflateEnd,
    inflateInit2, inflateReset, inflateSetDictionary, z_stream)

cdef extern from *:
    """
    static const unsigned char sw_zeros[1 << 15];
    """
    const uint8_t *sw_zeros

cdef enum:
    WINDOW_BYTES = 1 << 15
    LONGEST_BYTES = 1 << 30  # no frame is longer
    MASK_BITS = 1            # the mask bit is as it must be
    ZEROS_BITS = 16          # leading zeros of a 64-bit length; structured data has such runs too
    TEXT_BITS = 12           # of a text payload at most, half a bit an octet
    CODE_BITS = 4            # a code that a Close may have
    USUAL_CODE_BITS = 10     # 1000 to 1014
    CLEAN_BITS = 10          # a compressed payload that ends with its last block
    BEGUN_BITS = 4           # one that is right as far as it was looked at
    SHORT_PACKED_BYTES = 8   # below, a clean end says less

# RFC 7692 section 7.2.2
cdef const uint8_t *TAIL = [0x00, 0x00, 0xFF, 0xFF]

# By first octet: 1 where a frame may begin with it, 2 where only with permessage-deflate.
cdef uint8_t BEGINS[256]


def _fill_table():
    cdef int first, opcode
    for first in range(256):
        opcode = first & OPCODE
        if first & RSV23 or opcode > PONG or BINARY < opcode < CONTROL:
            continue
        if opcode & CONTROL and (not first & FIN or first & RSV1):
            continue
        if opcode == CONTINUATION and first & RSV1:
            continue
        BEGINS[first] = 2 if first & RSV1 else 1


_fill_table()


cdef int frame_begins(const Sender *self, const uint8_t *data, size_t have,
                      Header *header) noexcept nogil:
    cdef uint8_t kind = BEGINS[data[0]], length
    cdef uint8_t mask_bit = MASK if self.direction == C2S else 0
    cdef size_t size
    if not kind or kind == 2 and not self.deflate.enabled:
        return NO_FRAME
    if have < 2:
        return NOT_WHOLE
    length = data[1] & LENGTH
    if data[1] & MASK != mask_bit or data[0] & CONTROL and length > CONTROL_BYTES:
        return NO_FRAME
    size = 2 + (4 if mask_bit else 0)
    size += 2 if length == LENGTH_16 else 8 if length == LENGTH_64 else 0
    if have < size:
        return NOT_WHOLE
    if not header_read(header, data, have) or header.length > LONGEST_BYTES:
        return NO_FRAME
    return <int>size


# --- headers ---

# Bits for what may come next, by Stand: the weights 2^(bits - 8) of all first octets sum to less
# than 1.  There are three other beginnings of a whole message and four of a fragmented one.
cdef enum Next:
    NEXT_USUAL
    NEXT_WHOLE
    NEXT_FRAGMENTED
    NEXT_GOES_ON
    NEXT_ENDS
    NEXT_PING
    NEXT_CLOSE

cdef int[5][7] BITS = [
    # usual, whole, fragmented, goes on, ends, ping, close
    [7, 4, 2, 3, 3, 3, 2],                                                  # unknown
    [6, 3, 1, 6, 5, 2, 1],                                                  # torn
    [7, 4, 2, IMPOSSIBLE, IMPOSSIBLE, 3, 2],                                # outside
    [IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE, 7, 6, 4, 2],                       # inside
    [IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE],  # closed
]


cdef int first_evidence(Manner *manner, uint8_t first) noexcept nogil:
    cdef uint8_t opcode = first & OPCODE, stand = manner.stand
    cdef Next following
    if opcode & CONTROL:
        following = NEXT_CLOSE if opcode == CLOSE else NEXT_PING
        if opcode == CLOSE:
            manner.stand = STAND_CLOSED
        return BITS[stand][<int>following]
    manner.stand = STAND_OUTSIDE if first & FIN else STAND_INSIDE
    if opcode == CONTINUATION:
        following = NEXT_ENDS if first & FIN else NEXT_GOES_ON
    elif first == manner.usual:
        following = NEXT_USUAL
    else:
        following = NEXT_WHOLE if first & FIN else NEXT_FRAGMENTED
        manner.usual = first
    return BITS[stand][<int>following]


# 3/4 for the form of the last one, 1/8 for each of the others; its number uniform.
cdef int length_evidence(Manner *manner, const Header *header) noexcept nogil:
    cdef uint8_t form = form_of(header.length)
    cdef bint same = form == manner.form
    cdef int bits
    if header.first & CONTROL:
        return 0
    if form == 0:
        bits = -1 if same else -3
    else:
        bits = 6 if same else 4
    manner.form = form
    return bits + (ZEROS_BITS if form == LENGTH_64 else 0)


cdef int header_evidence(Manner *manner, const Header *header) noexcept nogil:
    cdef int bits = first_evidence(manner, header.first)
    if bits == IMPOSSIBLE:
        return IMPOSSIBLE
    bits += MASK_BITS + length_evidence(manner, header)
    if not header.length and not header.first & FIN:
        return min(bits, 0)  # runs of zeros are such frames
    return bits


# --- payloads ---

cdef bint is_plain(const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t at
    for at in range(size):
        if data[at] < 0x20 and data[at] not in b"\t\n\r" or data[at] >= 0x7F:
            return False
    return True


cdef bint has_control(const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t at
    for at in range(size):
        if data[at] < 0x20 and data[at] not in b"\t\n\r":
            return True
    return False


cdef int text_evidence(const Sender *self, const uint8_t *data, size_t size,
                       bint whole) noexcept nogil:
    cdef Utf8 state = Utf8(0, 0, 0, False)
    if utf8_feed(&state, data, size) < size or whole and state.need:
        return IMPOSSIBLE
    if self.direction == C2S:
        if has_control(data, size):
            return 0
    elif not is_plain(data, size):
        return 0
    return <int>min(size // 2, <size_t>TEXT_BITS)


cdef int close_evidence(const uint8_t *data, size_t size) noexcept nogil:
    cdef Utf8 state = Utf8(0, 0, 0, False)
    cdef uint16_t code
    if size == 0:
        return 0
    if size == 1:
        return IMPOSSIBLE
    code = <uint16_t>(data[0] << 8 | data[1])
    if (not (1000 <= code <= 1014 or 3000 <= code <= 4999)
            or utf8_feed(&state, data + 2, size - 2) < size - 2 or state.need):
        return IMPOSSIBLE
    return USUAL_CODE_BITS if code <= 1014 else CODE_BITS


cdef bint ready(Sender *self) noexcept nogil:
    if self.zlib == NULL:
        self.zlib = <z_stream *>calloc(1, sizeof(z_stream))
        if self.zlib != NULL and inflateInit2(self.zlib, -MAX_WBITS) != Z_OK:
            free(self.zlib)
            self.zlib = NULL
    elif inflateReset(self.zlib) != Z_OK:
        sender_free(self)
    return self.zlib != NULL and (
        self.deflate.no_context_takeover
        or inflateSetDictionary(self.zlib, sw_zeros, WINDOW_BYTES) == Z_OK)


# What a window held before does not change how the octets are to be read.
cdef int packed_evidence(Sender *self, Workspace *space, uint8_t *data, size_t size,
                         bint whole) noexcept nogil:
    cdef int result
    if not size or not ready(self):
        return 0
    if whole:
        for result in range(4):
            data[size + <size_t>result] = TAIL[result]
        size += 4
    self.zlib.next_in = data
    self.zlib.avail_in = <unsigned int>size
    self.zlib.next_out = space.scratch
    self.zlib.avail_out = SW_SCRATCH_BYTES
    result = inflate(self.zlib, Z_SYNC_FLUSH)
    if result == Z_STREAM_END:
        return 0  # rare (RFC 7692 7.2.3.4)
    if result not in (Z_OK, Z_BUF_ERROR):
        return IMPOSSIBLE
    if not whole or not self.zlib.avail_out:
        return BEGUN_BITS
    if not self.zlib.data_type & AT_BLOCK_END:
        return IMPOSSIBLE
    return CLEAN_BITS if size >= SHORT_PACKED_BYTES + 4 else BEGUN_BITS


cdef int payload_evidence(Sender *self, Workspace *space, const Header *header,
                          const uint8_t *data, size_t size) noexcept nogil:
    cdef uint8_t opcode = header.first & OPCODE
    cdef bint whole = size <= CHECKED_BYTES
    size = min(size, <size_t>CHECKED_BYTES)
    unmask(space.packed, data, size, header.key)
    if header.first & RSV1:
        return packed_evidence(self, space, space.packed, size, whole and header.first & FIN)
    if opcode == TEXT:
        return text_evidence(self, space.packed, size, whole and header.first & FIN)
    if opcode == CLOSE:
        return close_evidence(space.packed, size)
    return 0


cdef void sender_free(Sender *self) noexcept nogil:
    if self.zlib != NULL:
        inflateEnd(self.zlib)
        free(self.zlib)
        self.zlib = NULL
