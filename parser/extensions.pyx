"""Reads the list of extensions; see extensions.pxd."""

from libc.stdint cimport uint8_t

from sockwarden.parser.events cimport C2S, S2C, Deflate
from sockwarden.parser.head cimport Text, equals, list_next, strip

cdef enum:
    LEAST_WINDOW_BITS = 8
    MOST_WINDOW_BITS = 15


# Cuts `name = value` into both; a quoted value loses its quotes.  False: there is no value.
cdef bint cut(Text parameter, Text *name, Text *value) noexcept nogil:
    cdef Text rest = parameter
    name[0] = value[0] = Text(NULL, 0)
    if not list_next(&rest, b"=", name) or name.size == parameter.size:
        return False
    value[0] = strip(rest)
    if value.size >= 2 and value.data[0] == b'"' and value.data[value.size - 1] == b'"':
        value.data += 1
        value.size -= 2
    return True


# RFC 7692 section 7.1.2: a decimal number from 8 to 15 without a leading zero.  0: not one.
cdef uint8_t window_bits(Text value) noexcept nogil:
    cdef uint8_t bits = 0
    cdef size_t at
    if not 1 <= value.size <= 2 or value.data[0] == b"0":
        return 0
    for at in range(value.size):
        if not b"0" <= value.data[at] <= b"9":
            return 0
        bits = <uint8_t>(10 * bits + value.data[at] - <uint8_t>b"0")
    return bits if LEAST_WINDOW_BITS <= bits <= MOST_WINDOW_BITS else 0


cdef bint agree_takeover(bint valued, Deflate *direction) noexcept nogil:
    if valued or direction.no_context_takeover:
        return False
    direction.no_context_takeover = True
    return True


cdef bint agree_window(Text value, Deflate *direction) noexcept nogil:
    cdef uint8_t bits = window_bits(value)
    if not bits or direction.window_bits:
        return False
    direction.window_bits = bits
    return True


# One parameter of the response's permessage-deflate.  False: it is bad.
cdef bint agree(Text parameter, Deflate *deflate) noexcept nogil:
    cdef Text name, value
    cdef bint valued = cut(parameter, &name, &value)
    if equals(name, b"client_no_context_takeover"):
        return agree_takeover(valued, &deflate[<int>C2S])
    if equals(name, b"server_no_context_takeover"):
        return agree_takeover(valued, &deflate[<int>S2C])
    if equals(name, b"client_max_window_bits"):
        return agree_window(value, &deflate[<int>C2S])
    if equals(name, b"server_max_window_bits"):
        return agree_window(value, &deflate[<int>S2C])
    return False


cdef unsigned int extensions_agreed(Text value, Deflate *deflate) noexcept nogil:
    cdef Text extension, part
    cdef unsigned int faults = 0
    cdef int direction
    while list_next(&value, b",", &extension):
        if not extension.size or not list_next(&extension, b";", &part):
            continue
        if not equals(part, b"permessage-deflate"):
            faults |= UNKNOWN_EXTENSION
            continue
        if deflate[0].enabled:  # twice
            faults |= BAD_PARAMETER
            continue
        while list_next(&extension, b";", &part):
            if not agree(part, deflate):
                faults |= BAD_PARAMETER
        for direction in range(2):
            deflate[direction].enabled = True
            if not deflate[direction].window_bits:
                deflate[direction].window_bits = MOST_WINDOW_BITS
    return faults


cdef bint extensions_offer_deflate(Text value) noexcept nogil:
    cdef Text extension, name
    while list_next(&value, b",", &extension):
        if list_next(&extension, b";", &name) and equals(name, b"permessage-deflate"):
            return True
    return False


cdef void extensions_presume_deflate(Deflate *deflate) noexcept nogil:
    deflate[0] = deflate[1] = Deflate(True, False, MOST_WINDOW_BITS)


def parse(bytes value):
    cdef Text rest = Text(<const uint8_t *><const char *>value, len(value))
    cdef Text extension, part, name, argument
    cdef bint valued
    extensions = []
    while list_next(&rest, b",", &extension):
        if not list_next(&extension, b";", &part) or not part.size:
            continue
        parameters = []
        extensions.append(((<const char *>part.data)[:part.size].lower(), parameters))
        while list_next(&extension, b";", &part):
            valued = cut(part, &name, &argument)
            parameters.append((
                (<const char *>name.data)[:name.size].lower() if name.size else b"",
                (<const char *>argument.data)[:argument.size] if valued else None,
            ))
    return extensions


# RFC 7692 section 7.1: a value that an offer may have, of a parameter that there is.
cdef bint may_offer(Text name, Text value, bint valued) noexcept nogil:
    if equals(name, b"client_max_window_bits"):
        return not valued or window_bits(value)
    if equals(name, b"server_max_window_bits"):
        return valued and window_bits(value)
    return not valued and (equals(name, b"client_no_context_takeover")
                           or equals(name, b"server_no_context_takeover"))


def offered_well(bytes value):
    cdef Text rest = Text(<const uint8_t *><const char *>value, len(value))
    cdef Text extension, part, name, argument
    cdef bint valued
    while list_next(&rest, b",", &extension):
        if not list_next(&extension, b";", &part) or not equals(part, b"permessage-deflate"):
            continue
        seen = set()
        while list_next(&extension, b";", &part):
            valued = cut(part, &name, &argument)
            known = (<const char *>name.data)[:name.size].lower() if name.size else b""
            if known in seen or not may_offer(name, argument, valued):
                return False
            seen.add(known)
    return True


def agreed(bytes value):
    cdef Deflate deflate[2]
    cdef unsigned int faults
    deflate[0] = deflate[1] = Deflate(False, False, 0)
    faults = extensions_agreed(
        Text(<const uint8_t *><const char *>value, len(value)), deflate)
    both = tuple(
        (direction.window_bits, bool(direction.no_context_takeover)) if direction.enabled else None
        for direction in deflate[:2]
    )
    return both[0], both[1], not faults & BAD_PARAMETER
