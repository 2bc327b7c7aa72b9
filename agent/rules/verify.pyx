# cython: language_level=3
"""Second looks at a match: payment cards and the entropy of tokens.

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


cdef Verify verifier(str name):
    if name == "luhn":
        return luhn
    if name == "entropy":
        return entropy
    return NULL


# What a rule's `verify` may say, and whether it takes a number.
VERIFIERS = {"luhn": False, "entropy": True}


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
