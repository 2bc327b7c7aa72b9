# cython: language_level=3
"""Chooses the variant of the look once, at import; see simd/marks.h for what it sees."""

from libc.stdint cimport uint8_t, uint32_t

cdef extern from "agent/decode/simd/marks.h" nogil:
    struct sw_marks:
        const char *name
        int (*supported)() noexcept nogil
        marks_function marks
        next_run_function next_run
    const sw_marks sw_marks_plain, sw_marks_avx2

cdef const sw_marks *KERNELS[2]
KERNELS[0] = &sw_marks_avx2
KERNELS[1] = &sw_marks_plain

NAMES = {
    BACKSLASH: "backslash",
    PERCENT: "percent",
    AMPERSAND: "ampersand",
    STAR: "star",
    HIGH: "high",
    BINARY: "binary",
    RUN: "run",
}


def variants():
    return tuple(kernel.name.decode() for kernel in KERNELS if kernel.supported())


cdef const sw_marks *kernel_named(str variant) except NULL:
    cdef const sw_marks *kernel
    for kernel in KERNELS:
        if kernel.supported() and variant in (None, kernel.name.decode()):
            return kernel
    raise ValueError(f"no variant {variant!r} on this processor; there are {variants()}")


def marks(bytes text, str variant=None):
    """Names of the marks of the text."""
    cdef uint32_t found = kernel_named(variant).marks(text, len(text))
    return {name for mark, name in NAMES.items() if found & mark}


def runs(bytes text, str variant=None):
    """Where runs begin, each looked for behind the one before."""
    cdef const sw_marks *kernel = kernel_named(variant)
    cdef const uint8_t *data = text
    cdef size_t size = len(text)
    cdef size_t place = kernel.next_run(data, size, 0)
    found = []
    while place < size:
        found.append(place)
        while place < size and in_alphabet(data[place]):
            place += 1
        place = kernel.next_run(data, size, place)
    return found


cdef marks_function MARKS = kernel_named(None).marks
cdef next_run_function NEXT_RUN = kernel_named(None).next_run


cdef uint32_t text_marks(const uint8_t *text, size_t size) noexcept nogil:
    return MARKS(text, size)


cdef size_t next_run(const uint8_t *text, size_t size, size_t start) noexcept nogil:
    return NEXT_RUN(text, size, start)
