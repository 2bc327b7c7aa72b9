"""Lines of JSON for messages and control frames, written where they are found.

There is one for each message, millions in a file, so no Python object is made for them: they are
put together in a buffer, as agent/alert.py's Message and Control are encoded.  Lines of the rarer
reports are encoded in Python and take their turn in the same buffer.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, strlen

from sockwarden.agent.findings cimport FOUND_MESSAGE, Finding
from sockwarden.parser.digest cimport SHA256_BYTES

cdef enum:
    BUFFER_BYTES = 256 * 1024
    LINE_BYTES = 512  # more than any line that `add` writes

cdef const char *HEX = b"0123456789abcdef"


cdef inline char *put(char *at, const char *text) noexcept nogil:
    cdef size_t size = strlen(text)
    memcpy(at, text, size)
    return at + size


cdef inline char *put_number(char *at, uint64_t value) noexcept nogil:
    cdef char digits[20]
    cdef size_t first = sizeof(digits)
    while True:
        first -= 1
        digits[first] = <char>(c"0" + value % 10)
        value //= 10
        if not value:
            break
    memcpy(at, digits + first, sizeof(digits) - first)
    return at + (sizeof(digits) - first)


cdef inline char *put_hex(char *at, const uint8_t *octets) noexcept nogil:
    cdef int i
    for i in range(<int>SHA256_BYTES):
        at[2 * i] = HEX[octets[i] >> 4]
        at[2 * i + 1] = HEX[octets[i] & 15]
    return at + 2 * SHA256_BYTES


cdef inline char *put_beginning(char *at, const char *kind, uint32_t number,
                                const Finding *found) noexcept nogil:
    at = put(at, kind)
    at = put_number(at, number)
    at = put(at, b',"dir":"s2c","opcode":' if found.direction else b',"dir":"c2s","opcode":')
    at = put_number(at, found.opcode)
    at = put(at, b',"length":')
    return put_number(at, found.length)


cdef char *put_message(char *at, uint32_t number, const Finding *found) noexcept nogil:
    at = put_beginning(at, b'{"type":"message","conn":', number, found)
    if found.has_sha256:
        at = put_hex(put(at, b',"sha256":"'), found.sha256)
        at = put(at, b'"')
    else:
        at = put(at, b',"sha256":null')
    if not found.count:  # nobody kept its frames
        at = put(at, b',"compressed":null,"fragments":null')
    else:
        at = put(at, b',"compressed":true' if found.compressed else b',"compressed":false')
        at = put_number(put(at, b',"fragments":'), found.count)
    if found.after_close:
        at = put(at, b',"after_close":true')
    return put(at, b"}\n")


cdef char *put_control(char *at, uint32_t number, const Finding *found) noexcept nogil:
    at = put_beginning(at, b'{"type":"control","conn":', number, found)
    if found.has_code:
        at = put_number(put(at, b',"code":'), found.code)
    else:
        at = put(at, b',"code":null')
    return put(at, b"}\n")


cdef class Lines:
    def __cinit__(self, stream, only):
        self._stream = stream
        self.messages = "message" in only
        self.controls = "control" in only
        self._buffer = <char *>malloc(BUFFER_BYTES)
        if self._buffer == NULL:
            raise MemoryError("the buffer of lines")

    def __dealloc__(self):
        free(self._buffer)

    cdef int add(self, uint32_t number, const Finding *found) except -1:
        cdef char *at
        if BUFFER_BYTES - self._used < LINE_BYTES:
            self._drain()
        at = self._buffer + self._used
        if found.kind == FOUND_MESSAGE:
            at = put_message(at, number, found)
        else:
            at = put_control(at, number, found)
        self._used = at - self._buffer
        return 0

    cpdef int write(self, bytes line) except -1:
        cdef size_t size = len(line)
        if BUFFER_BYTES - self._used < size:
            self._drain()
        if size > BUFFER_BYTES:
            write_all(self._stream, line)
            return 0
        memcpy(self._buffer + self._used, <const char *>line, size)
        self._used += size
        return 0

    cpdef int flush(self) except -1:
        self._drain()
        self._stream.flush()
        return 0

    cdef int _drain(self) except -1:
        cdef size_t used = self._used
        if used:
            self._used = 0  # of a stream that fails, too: what it did not take is lost
            write_all(self._stream, <const char[:used]>self._buffer)
        return 0


cdef write_all(stream, data):
    """An unbuffered stream may take a part only."""
    view = memoryview(data).cast("B")
    while view:
        view = view[stream.write(view):]
