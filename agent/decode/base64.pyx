# cython: language_level=3
"""Base64 in both alphabets (RFC 4648 sections 4 and 5), with and without padding, that holds text.

Identifiers, hashes, pictures and long numbers are base64 to the eye and no text when decoded: the
first bytes tell, and no more is done for them.
"""

from libc.stdint cimport int8_t, uint8_t, uint32_t
from libc.string cimport memset

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport make_decoder
from sockwarden.agent.decode.marks cimport in_alphabet
from sockwarden.agent.decode.runs cimport looks_like_text, replace_runs

cdef enum:
    LEAST_DIGITS = 2       # without padding
    SHORT_DIGITS = 16      # a shorter run is decoded if all of it is text
    SAMPLE_DIGITS = 16
    SAMPLE_BYTES = 12
    LINE_DIGITS = 64       # lines of PEM have 64, of MIME (RFC 2045 section 6.8) 76


cdef int8_t DIGITS[256]  # what each stands for, or -1


cdef void lay_out_digits(const uint8_t *alphabet) noexcept:
    cdef int i
    memset(DIGITS, -1, sizeof(DIGITS))
    for i in range(64):
        DIGITS[alphabet[i]] = <int8_t> i
    DIGITS[45] = 62  # - and _ of the second alphabet
    DIGITS[95] = 63


lay_out_digits(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


cdef inline bint may_be_text(uint8_t octet) noexcept nogil:
    return 32 <= octet < 127 or octet >= 0x80 or 9 <= octet <= 13 or octet == 0


cdef inline bint begins_as_text(const uint8_t *digits) noexcept nogil:
    """Whether the first three bytes may be text: of most identifiers they are not."""
    cdef int first = DIGITS[digits[0]]
    cdef int second = DIGITS[digits[1]]
    cdef int third = DIGITS[digits[2]]
    cdef int fourth = DIGITS[digits[3]]
    if (first | second | third | fourth) < 0:
        return False
    return (may_be_text(first << 2 | second >> 4) and may_be_text((second & 15) << 4 | third >> 2)
            and may_be_text((third & 3) << 6 | fourth))


cdef size_t run_end(const uint8_t *text, size_t size, size_t place) noexcept nogil:
    while place < size and in_alphabet(text[place]):
        place += 1
    return place


cdef size_t lines_end(const uint8_t *text, size_t size, size_t first) noexcept nogil:
    """The end of a run that may go on in further lines."""
    cdef size_t end = run_end(text, size, first)
    cdef size_t next_line
    while end - first >= LINE_DIGITS and end < size and (text[end] == 10 or text[end] == 13):
        next_line = end + 1
        if text[end] == 13 and next_line < size and text[next_line] == 10:
            next_line += 1
        if next_line >= size or not in_alphabet(text[next_line]):
            break
        first = next_line
        end = run_end(text, size, next_line)
    return end


cdef size_t decode_digits(const uint8_t *text, size_t size, uint8_t *out,
                          size_t capacity) noexcept nogil:
    """Bytes that the digits stand for; line ends between them count nothing."""
    cdef uint32_t bits = 0
    cdef int count = 0
    cdef int value
    cdef size_t made = 0
    cdef size_t i
    for i in range(size):
        value = DIGITS[text[i]]
        if value < 0:
            continue
        bits = bits << 6 | <uint32_t> value
        count += 6
        if count >= 8:
            if made == capacity:
                break
            count -= 8
            out[made] = <uint8_t> (bits >> count)
            made += 1
    return made


cdef size_t decode_run(const uint8_t *text, size_t size, size_t place, uint8_t *out,
                       size_t capacity, size_t *end) noexcept nogil:
    cdef uint8_t sample[SAMPLE_BYTES]
    cdef size_t last = place
    cdef size_t length
    cdef bint is_number = True
    if (size - place >= 4 and in_alphabet(text[place + 2]) and in_alphabet(text[place + 3])
            and not begins_as_text(text + place)):
        return 0
    while last < size and last - place < SAMPLE_DIGITS and in_alphabet(text[last]):
        is_number = is_number and 48 <= text[last] <= 57
        last += 1
    if is_number or last - place < LEAST_DIGITS:
        return 0
    length = decode_digits(text + place, last - place, sample, SAMPLE_BYTES)
    if not looks_like_text(sample, length, last - place < SHORT_DIGITS):
        return 0
    last = lines_end(text, size, place)
    length = decode_digits(text + place, last - place, out, capacity)
    while last < size and text[last] == 61:  # =
        last += 1
    end[0] = last
    return length


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    return replace_runs(text, size, out, capacity, written, decode_run)


DECODER = make_decoder("base64", 80, marks.RUN, decode, 1, True)
