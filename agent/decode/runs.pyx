# cython: language_level=3
"""Replaces runs of digits by the text that they hold, in quotes; see runs.pxd.

Where a run begins, simd/marks.h says: it fills a pair of quotes, or is padded, or is so long
that no word is.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from sockwarden.agent.decode.decoder cimport text_character
from sockwarden.agent.decode.marks cimport in_alphabet, next_run

cdef enum:
    NUL = 0
    QUOTE = 34
    BETWEEN_BYTES = 2


cdef bint looks_like_text(const uint8_t *sample, size_t size, bint strict) noexcept nogil:
    cdef size_t place = 0
    cdef size_t text = 0
    cdef size_t zeros[2]
    cdef size_t taken
    zeros[0] = zeros[1] = 0
    while place < size:
        taken = text_character(sample + place, size - place)
        if taken:
            text += taken
        else:
            zeros[place & 1] += sample[place] == NUL
            if size - place < 4 and sample[place] >= 0xC2:
                text += size - place  # a character that the sample cuts
                break
            taken = 1
        place += taken
    if size >= 6 and (zeros[0] == size // 2 or zeros[1] == size // 2):
        return True
    return text + (0 if strict else 1) >= size


cdef bint replace_runs(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                       size_t *written, decode_run_t decode_run) noexcept nogil:
    cdef size_t read = 0
    cdef size_t made = 0
    cdef size_t place = 0
    cdef size_t end, length
    cdef bint decoded = False
    cdef bint opened
    while True:
        place = next_run(text, size, place)
        if place >= size or made + (place - read) + BETWEEN_BYTES >= capacity:
            break
        # What lies before the run is copied only if the run is replaced.
        opened = place and text[place - 1] == QUOTE
        length = decode_run(text, size, place, out + made + (place - read) + (0 if opened else 1),
                            capacity - made - (place - read) - BETWEEN_BYTES, &end)
        if not length:
            while place < size and in_alphabet(text[place]):
                place += 1
            continue
        memcpy(out + made, text + read, place - read)
        made += place - read
        if not opened:
            out[made] = QUOTE
            made += 1
        made += length
        if end >= size or text[end] != QUOTE:
            out[made] = QUOTE
            made += 1
        read = place = end
        decoded = True
    if not decoded:
        return False
    length = min(size - read, capacity - made)
    memcpy(out + made, text + read, length)
    written[0] = made + length
    return True
