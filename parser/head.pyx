"""Reads heads without copying them; see head.pxd.

Strict in what it takes for a field, and it never gives up: what is wrong becomes a
fault and the next line is read.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memchr, strlen


cdef inline bint is_blank(uint8_t octet) noexcept nogil:
    return octet == b" " or octet == b"\t"


cdef inline uint8_t lower(uint8_t octet) noexcept nogil:
    return octet | 0x20 if b"A" <= octet <= b"Z" else octet


# RFC 9110 section 5.6.2
cdef bint is_token(Text text) noexcept nogil:
    cdef size_t at
    cdef uint8_t octet
    for at in range(text.size):
        octet = lower(text.data[at])
        if not (b"a" <= octet <= b"z" or b"0" <= octet <= b"9" or octet in b"!#$%&'*+-.^_`|~"):
            return False
    return text.size > 0


# RFC 9110 section 5.5
cdef bint is_value(Text text) noexcept nogil:
    cdef size_t at
    for at in range(text.size):
        if text.data[at] < 0x20 and text.data[at] != b"\t" or text.data[at] == 0x7F:
            return False
    return True


cdef Text strip(Text text) noexcept nogil:
    while text.size and is_blank(text.data[0]):
        text.data += 1
        text.size -= 1
    while text.size and is_blank(text.data[text.size - 1]):
        text.size -= 1
    return text


cdef bint equals(Text text, const char *lower_case) noexcept nogil:
    cdef size_t at
    if text.size != strlen(lower_case):
        return False
    for at in range(text.size):
        if lower(text.data[at]) != <uint8_t>lower_case[at]:
            return False
    return True


cdef size_t head_scan(HeadState *state, const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t at
    cdef uint8_t octet
    cdef HeadState now = state[0]
    for at in range(size):
        octet = data[at]
        if now == HEAD_START and octet in b"\r\n":
            continue
        if octet == b"\n":
            now = HEAD_WHOLE if now in (HEAD_LF, HEAD_LF_CR) else HEAD_LF
        elif octet == b"\r" and now == HEAD_LF:
            now = HEAD_LF_CR
        else:
            now = HEAD_LINE
        if now == HEAD_WHOLE:
            state[0] = now
            return at + 1
    state[0] = now
    return size


cdef bint head_line(Text *rest, Text *line, unsigned int *faults) noexcept nogil:
    cdef const uint8_t *end
    if not rest.size:
        return False
    line.data = rest.data
    end = <const uint8_t *>memchr(rest.data, b"\n", rest.size)
    line.size = rest.size if end == NULL else <size_t>(end - rest.data)
    rest.data += line.size + (end != NULL)
    rest.size -= line.size + (end != NULL)
    if line.size and line.data[line.size - 1] == b"\r":
        line.size -= 1
    elif end != NULL:
        faults[0] |= BARE_LF
    return True


cdef bint head_field(Text *rest, Text *name, Text *value, unsigned int *faults) noexcept nogil:
    cdef Text line
    cdef const uint8_t *colon
    while head_line(rest, &line, faults):
        if not line.size:
            return False
        if is_blank(line.data[0]):
            faults[0] |= FOLDED_HEADER
            continue
        colon = <const uint8_t *>memchr(line.data, b":", line.size)
        if colon == NULL:
            faults[0] |= BAD_HEADER
            continue
        name.data = line.data
        name.size = <size_t>(colon - line.data)
        value.data = colon + 1
        value.size = line.size - name.size - 1
        value[0] = strip(value[0])
        if not is_value(value[0]):
            faults[0] |= BAD_HEADER
        if is_token(name[0]):
            return True
        faults[0] |= BAD_HEADER
    return False


cdef bint list_next(Text *rest, uint8_t separator, Text *element) noexcept nogil:
    cdef size_t at = 0
    cdef bint quoted = False
    if not rest.size:
        return False
    while at < rest.size and (quoted or rest.data[at] != separator):
        if rest.data[at] == b'"':
            quoted = not quoted
        elif quoted and rest.data[at] == b"\\" and at + 1 < rest.size:
            at += 1
        at += 1
    element.data = rest.data
    element.size = at
    element[0] = strip(element[0])
    at = min(at + 1, rest.size)
    rest.data += at
    rest.size -= at
    return True


cdef bint head_find(Text head, const char *name, const char *token, Text *value) noexcept nogil:
    cdef Text rest = head, field, line, elements, element
    cdef unsigned int faults = 0
    head_line(&rest, &line, &faults)
    while head_field(&rest, &field, value, &faults):
        if not equals(field, name):
            continue
        if token == NULL:
            return True
        elements = value[0]
        while list_next(&elements, b",", &element):
            if equals(element, token):
                return True
    return False


cdef bint contains(Text text, const char *lower_case) noexcept nogil:
    cdef size_t at, size = strlen(lower_case)
    if text.size < size:
        return False
    for at in range(text.size - size + 1):
        if equals(Text(text.data + at, size), lower_case):
            return True
    return False


cdef bint head_asks(Text head) noexcept nogil:
    cdef Text rest = head, line
    cdef const uint8_t *colon
    cdef unsigned int faults = 0
    cdef bint is_upgrade = False
    head_line(&rest, &line, &faults)
    while head_line(&rest, &line, &faults):
        if not line.size or not is_blank(line.data[0]):
            colon = <const uint8_t *>memchr(line.data, b":", line.size)
            is_upgrade = colon != NULL and equals(
                strip(Text(line.data, <size_t>(colon - line.data))), b"upgrade")
        if is_upgrade and contains(line, b"websocket"):
            return True
    return False


cdef uint16_t head_status(Text head) noexcept nogil:
    cdef const uint8_t *text = head.data
    cdef size_t at
    cdef uint16_t status = 0
    # HTTP/1.x NNN
    if (head.size < 12 or not equals(Text(text, 7), b"http/1.")
            or not b"0" <= text[7] <= b"9" or text[8] != b" "):
        return 0
    if head.size > 12 and text[12] not in b" \r\n":
        return 0
    for at in range(9, 12):
        if not b"0" <= text[at] <= b"9":
            return 0
        status = 10 * status + text[at] - <uint16_t>b"0"
    return status


FAULTS = {"bare_lf": BARE_LF, "folded_header": FOLDED_HEADER, "bad_header": BAD_HEADER}


def split(bytes head):
    cdef Text rest = Text(<const uint8_t *><const char *>head, len(head))
    cdef Text line = Text(NULL, 0), name, value
    cdef unsigned int faults = 0
    fields = []
    head_line(&rest, &line, &faults)
    while head_field(&rest, &name, &value, &faults):
        fields.append((
            (<const char *>name.data)[:name.size].lower(),
            (<const char *>value.data)[:value.size],
        ))
    return (
        (<const char *>line.data)[:line.size] if line.size else b"",
        fields,
        {fault for fault, bit in FAULTS.items() if faults & bit},
    )


def status(bytes head):
    return head_status(Text(<const uint8_t *><const char *>head, len(head))) or None
