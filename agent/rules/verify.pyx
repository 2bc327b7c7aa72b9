# cython: language_level=3
"""Second looks at a match: payment cards, the entropy of tokens, and whether it stands in text.

A verifier only ever takes a match away.  It reads within the text, in time linear in the
span, and allocates nothing.
"""

from libc.math cimport log2
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

cdef enum:
    CARD_MIN_DIGITS = 13  # ISO/IEC 7812-1 allows fewer; no network in use issues them
    CARD_MAX_DIGITS = 19
    TOKEN_MAX_BYTES = 256
    # What `text` looks at around the end of a match, and how much of it must be text.
    TEXT_BEFORE_BYTES = 48
    TEXT_BEHIND_BYTES = 32
    TEXT_QUARTERS = 3


cdef inline bint is_digit(uint8_t c) noexcept nogil:
    return c >= 48 and c <= 57


cdef inline bint is_token(uint8_t c) noexcept nogil:
    return (is_digit(c) or (c >= 65 and c <= 90) or (c >= 97 and c <= 122)
            or c == 43 or c == 45 or c == 47 or c == 95)  # + - / _


cdef bint issued(const uint8_t *digits, int count) noexcept nogil:
    """Whether a card network issues numbers with this prefix and length."""
    cdef int two = digits[0] * 10 + digits[1]
    cdef int three = two * 10 + digits[2]
    cdef int four = three * 10 + digits[3]
    if digits[0] == 4:  # Visa
        return count == 13 or count == 16 or count == 19
    if 51 <= two <= 55 or 2221 <= four <= 2720:  # Mastercard
        return count == 16
    if two == 34 or two == 37:  # American Express
        return count == 15
    if four == 6011 or two == 65 or 644 <= three <= 649:  # Discover
        return count >= 16
    if two == 62 or 3528 <= four <= 3589:  # UnionPay, JCB
        return count >= 16
    if two == 36 or two == 38 or two == 39 or 300 <= three <= 305:  # Diners Club
        return count >= 14
    return False


cdef bint luhn_holds(const uint8_t *digits, int count) noexcept nogil:
    """ISO/IEC 7812-1 annex B."""
    cdef int total = 0
    cdef int value
    cdef int i
    for i in range(count):
        value = digits[count - 1 - i]
        if i & 1:
            value *= 2
            if value > 9:
                value -= 9
        total += value
    return total % 10 == 0


cdef bint luhn(const uint8_t *text, size_t size, uint32_t *start, uint32_t *end,
               double parameter) noexcept nogil:
    """A card number begins within the span; digits may be grouped by single spaces or dashes."""
    cdef uint8_t digits[CARD_MAX_DIGITS]
    cdef size_t i = start[0]
    cdef size_t last
    cdef int count
    while i < end[0]:
        if not is_digit(text[i]):
            i += 1
            continue
        first = i
        last = i
        count = 0
        while i < size:
            if is_digit(text[i]):
                if count < CARD_MAX_DIGITS:
                    digits[count] = text[i] - 48
                count += 1
                last = i
            elif (text[i] != 32 and text[i] != 45) or i > last + 1:
                break
            i += 1
        if (CARD_MIN_DIGITS <= count <= CARD_MAX_DIGITS and issued(digits, count)
                and luhn_holds(digits, count)):
            start[0] = <uint32_t> first
            end[0] = <uint32_t> (last + 1)
            return True
    return False


cdef bint entropy(const uint8_t *text, size_t size, uint32_t *start, uint32_t *end,
                  double parameter) noexcept nogil:
    """The token that the span ends in has at least `parameter` bits of entropy a character."""
    cdef uint32_t counts[256]
    cdef size_t first = end[0]
    cdef size_t last = end[0]
    cdef double bits = 0.0
    cdef double share
    cdef size_t i
    while first > start[0] and is_token(text[first - 1]):
        first -= 1
    while last < size and last - first < TOKEN_MAX_BYTES and is_token(text[last]):
        last += 1
    if last == first:
        return False
    memset(counts, 0, sizeof(counts))
    for i in range(first, last):
        counts[text[i]] += 1
    for i in range(256):
        if counts[i]:
            share = <double> counts[i] / <double> (last - first)
            bits -= share * log2(share)
    if bits < parameter:
        return False
    end[0] = <uint32_t> last
    return True


cdef inline size_t character(const uint8_t *text, size_t left) noexcept nogil:
    """Bytes of the character of text at `text`, or 0.

    Text is printable ASCII, tab, line and form feed, return, and what is built like UTF-8: the
    overlong forms too, which RFC 3629 section 3 forbids and traversals of paths use.
    """
    cdef uint8_t first = text[0]
    cdef size_t size, i
    if first < 0x80:
        return (32 <= first < 127) or first == 9 or first == 10 or first == 12 or first == 13
    size = 0
    if 0xC0 <= first < 0xE0:
        size = 2
    elif 0xE0 <= first < 0xF0:
        size = 3
    elif 0xF0 <= first < 0xF5:
        size = 4
    if size > left:
        return 0
    for i in range(1, size):
        if text[i] & 0xC0 != 0x80:
            return 0
    return size


cdef bint in_text(const uint8_t *text, size_t size, uint32_t *start, uint32_t *end,
                  double parameter) noexcept nogil:
    """The span shares in an unbroken run of `parameter` bytes of text, those of the span counted
    twice, or what is around its end is text for the most part.

    Short patterns match random, compressed or encrypted data by chance.  There hardly half of
    the bytes pass for text, while strings stand together in messages of binary formats.  What
    lies further from the end is not asked: a match may begin in another string.
    """
    cdef size_t first = end[0] - TEXT_BEFORE_BYTES if end[0] > TEXT_BEFORE_BYTES else 0
    cdef size_t last = end[0] + TEXT_BEHIND_BYTES
    cdef size_t place, taken
    cdef size_t in_all = 0
    cdef size_t run = 0
    cdef Py_ssize_t shared
    cdef int _i
    if last > size:
        last = size
    for _i in range(3):
        if first and first < last and text[first] & 0xC0 == 0x80:
            first += 1  # the rest of a character that begins before
    place = first
    while place < last:
        taken = character(text + place, size - place)
        in_all += taken
        run = run + taken if taken else 0
        place += taken if taken else 1
        if run:
            shared = min(place, <size_t> end[0]) - max(place - run, <size_t> start[0])
            if shared > 0 and run + shared >= parameter:
                return True
    return 4 * in_all >= TEXT_QUARTERS * (place - first)


cdef Verify verifier(str name):
    if name == "luhn":
        return luhn
    if name == "entropy":
        return entropy
    if name == "text":
        return in_text
    return NULL


cdef bint accepts_many(Verify verify) noexcept nogil:
    return verify == in_text


# What a rule's `verify` may say, and whether it takes a number.
VERIFIERS = {"luhn": False, "entropy": True, "text": True}


def verify(str name, bytes text, uint32_t start, uint32_t end, double parameter=0.0):
    """The span that the verifier accepts, or None."""
    cdef Verify function = verifier(name)
    if function is NULL:
        raise ValueError(f"no verifier {name!r}; there are: {', '.join(VERIFIERS)}")
    if not start <= end <= <size_t> len(text):
        raise ValueError(f"span {start}..{end} is not within the {len(text)} bytes of the text")
    if function(text, len(text), &start, &end, parameter):
        return start, end
    return None
