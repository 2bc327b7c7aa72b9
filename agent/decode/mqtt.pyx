# cython: language_level=3
"""PUBLISH packets of MQTT 3.1.1 and 5: the topic and what is published, each in quotes.

A message may hold several packets (MQTT 3.1.1 section 6, MQTT 5 section 6: packets are not aligned
to frames); those of other types are left out.  Taken for MQTT is a message that is a row of whole
packets.  MQTT 5 puts properties before the payload; where such bytes stand they are skipped.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport is_text, make_decoder

cdef enum:
    PUBLISH = 3
    LENGTH_MAX_BYTES = 4
    QUOTE = 34
    COMMA = 44


cdef size_t packet(const uint8_t *text, size_t left, size_t *head) noexcept nogil:
    """Bytes of the packet at `text`, or 0; `head`: those of its fixed header."""
    cdef uint32_t length = 0
    cdef size_t i
    if text[0] < 0x10:
        return 0
    for i in range(1, min(left, <size_t> LENGTH_MAX_BYTES + 1)):
        length |= <uint32_t> (text[i] & 0x7F) << (7 * (i - 1))
        if not text[i] & 0x80:
            head[0] = i + 1
            return i + 1 + length if length <= left - i - 1 else 0
    return 0


cdef size_t put(const uint8_t *text, size_t size, uint8_t *out, size_t capacity) noexcept nogil:
    """The string in quotes, and a comma."""
    if size + 3 > capacity:
        return 0
    out[0] = QUOTE
    memcpy(out + 1, text, size)
    out[size + 1] = QUOTE
    out[size + 2] = COMMA
    return size + 3


cdef size_t publish(const uint8_t *text, size_t size, bint acknowledged, uint8_t *out,
                    size_t capacity) noexcept nogil:
    """What the variable header and the payload of a PUBLISH packet make."""
    cdef size_t topic, place
    cdef size_t made
    if size < 2:
        return 0
    topic = <size_t> text[0] << 8 | text[1]
    place = 2 + topic + (2 if acknowledged else 0)
    if place > size or not is_text(text + 2, topic):
        return 0
    made = put(text + 2, topic, out, capacity)
    # MQTT 5: a length below 128 and so many bytes of properties; no text begins with such a byte.
    if place < size and text[place] < 32 and text[place] < size - place and (
            text[place] < 9 or text[place] > 13):
        place += 1 + text[place]
    return made + put(text + place, size - place, out + made, capacity - made)


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    cdef size_t place = 0
    cdef size_t made = 0
    cdef size_t taken, head
    while place < size:
        taken = packet(text + place, size - place, &head)
        if not taken:
            return False
        if text[place] >> 4 == PUBLISH:
            made += publish(text + place + head, taken - head, text[place] & 6 != 0, out + made,
                            capacity - made)
        place += taken
    written[0] = made
    return made > 0


DECODER = make_decoder("mqtt", 16, marks.BINARY, decode)
