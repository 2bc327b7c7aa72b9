# cython: language_level=3
# distutils: sources = agent/rules/simd/plain.c agent/rules/simd/vbmi.c
"""The first stage: which patterns may match a text, told by the literals that they need.

`literals` says what each pattern needs, `buckets` how the tables are laid out, simd/gate.h how
they are searched.  A benign message costs a walk through the part that is always asked; where
the text holds a byte that some patterns need, their part is asked too.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr

from array import array

from sockwarden.agent.rules import buckets
from sockwarden.agent.rules.regex import ANY

cdef extern from "agent/rules/simd/gate.h" nogil:
    ctypedef struct Kernel "sw_gate_kernel":
        const char *name
        int (*supported)() noexcept
        scan_function scan
    const Kernel sw_gate_plain, sw_gate_vbmi

cdef const Kernel *KERNELS[2]
KERNELS[0] = &sw_gate_vbmi
KERNELS[1] = &sw_gate_plain

assert buckets.PARTS_MAX == PARTS_MAX
assert buckets.BUCKETS == BUCKETS
assert buckets.WINDOW_BYTES == WINDOW_BYTES


def variants():
    return tuple(kernel.name.decode() for kernel in KERNELS if kernel.supported())


cdef const Kernel *kernel_named(str variant) except NULL:
    cdef const Kernel *kernel
    for kernel in KERNELS:
        if kernel.supported() and variant in (None, kernel.name.decode()):
            return kernel
    raise ValueError(f"no variant {variant!r} on this processor; there are {variants()}")


def octets_of(mask):
    return [octet for octet in range(256) if mask >> octet & 1]


cdef inline bint needs_met(const Needs *needs, const uint8_t *text, size_t size) noexcept nogil:
    cdef uint32_t i, j
    cdef bint met
    for i in range(needs.count):
        met = False
        for j in range(needs.sizes[i]):
            if memchr(text, needs.octets[i][j], size) is not NULL:
                met = True
                break
        if not met:
            return False
    return True


cdef class Gate:
    def __cinit__(self, requirements, variant=None, layout=None):
        """`requirements` by pattern number; `variant` of the kernel, for tests."""
        self.scan = kernel_named(variant).scan
        self.kept = []
        self.lay_out_needs(requirements)
        found = buckets.lay_out(requirements) if layout is None else layout
        self.parts = <CPart *> calloc(len(found), sizeof(CPart))
        if self.parts is NULL:
            raise MemoryError
        self.part_count = len(found)
        for number, part in enumerate(found):
            self.literal_count += len(part.users)
            lay_out_part(&self.parts[number], part, self.kept)
            if number:
                for octet in octets_of(part.asked_by):
                    add_class(&self.parts[0], octet, 1 << (number - 1))

    def __dealloc__(self):
        free(self.parts)
        free(self.needs)
        free(self.always)

    def lay_out_needs(self, requirements):
        cdef Needs *needs
        self.pattern_count = max(requirements, default=-1) + 1
        self.needs = <Needs *> calloc(self.pattern_count + 1, sizeof(Needs))
        self.always = <uint32_t *> calloc(self.pattern_count + 1, sizeof(uint32_t))
        if self.needs is NULL or self.always is NULL:
            raise MemoryError
        for number, requirement in requirements.items():
            if requirement.slow:
                self.always[self.always_count] = number
                self.always_count += 1
            needs = &self.needs[<uint32_t> number]
            needs.count = len(requirement.needs)
            for i, octets in enumerate(requirement.needs):
                needs.sizes[<int> i] = len(octets)
                for j, octet in enumerate(octets):
                    needs.octets[<int> i][<int> j] = octet

    cdef void search(self, const uint8_t *text, size_t size, Found *found) noexcept nogil:
        cdef uint32_t asked = self.scan(&self.parts[0], text, size, found)
        cdef uint32_t i, number
        cdef uint32_t kept = 0
        for i in range(1, self.part_count):
            if asked >> (i - 1) & 1:
                self.scan(&self.parts[i], text, size, found)
        for i in range(self.always_count):
            found.list[found.count] = self.always[i]
            found.bits[self.always[i] >> 6] |= (<uint64_t> 1) << (self.always[i] & 63)
            found.count += 1
        for i in range(found.count):
            number = found.list[i]
            if needs_met(&self.needs[number], text, size):
                found.list[kept] = number
                kept += 1
            else:
                found.bits[number >> 6] &= ~((<uint64_t> 1) << (number & 63))
        found.count = kept

    def count(self, list texts):
        """How many candidates the texts have in all: for benchmarks."""
        cdef Found found
        cdef const uint8_t *start
        cdef size_t size
        cdef uint64_t total = 0
        cdef bytes text
        cdef uint32_t i
        found.bits = <uint64_t *> calloc(self.pattern_count // 64 + 1, sizeof(uint64_t))
        found.list = <uint32_t *> calloc(self.pattern_count + 1, sizeof(uint32_t))
        try:
            for text in texts:
                start = text
                size = len(text)
                found.count = 0
                self.search(start, size, &found)
                total += found.count
                for i in range(found.count):
                    found.bits[found.list[i] >> 6] = 0
        finally:
            free(found.bits)
            free(found.list)
        return total

    def candidates(self, bytes text):
        """Numbers of the patterns that may match the text."""
        cdef Found found
        cdef const uint8_t *start = text
        cdef size_t size = len(text)
        found.count = 0
        found.bits = <uint64_t *> calloc(self.pattern_count // 64 + 1, sizeof(uint64_t))
        found.list = <uint32_t *> calloc(self.pattern_count + 1, sizeof(uint32_t))
        try:
            if found.bits is NULL or found.list is NULL:
                raise MemoryError
            with nogil:
                self.search(start, size, &found)
            return sorted(found.list[i] for i in range(found.count))
        finally:
            free(found.bits)
            free(found.list)


cdef void add_class(CPart *part, uint8_t octet, uint8_t bit) noexcept:
    part.classes[octet] |= bit
    if octet < 128:
        part.ascii_classes[octet] |= bit
    else:
        part.above_classes |= bit


cdef void add_passing(CPart *part, int place, uint8_t octet, int bucket) noexcept:
    cdef int half = bucket >> 3
    cdef uint8_t bit = 1 << (bucket & 7)
    part.passing[place][octet] |= 1 << bucket
    if octet < 128:
        part.ascii[half][place][octet] |= bit
    else:
        part.above[half][place] |= bit


cdef int lay_out_part(CPart *part, object plan, list kept) except -1:
    """Fills the tables; the arrays that they point into are put into `kept`."""
    placed = sorted(plan.placed, key=lambda one: one.bucket)
    numbers = {mask: number for number, mask in enumerate(
        sorted({mask for one in placed for mask in one.literal} | {ANY}))}
    if len(numbers) > 0xFFFF:
        raise ValueError(f"{len(numbers)} different sets of bytes; at most 65535 are compiled")
    cdef bytearray sets = bytearray(b"".join(mask.to_bytes(32, "little") for mask in numbers))
    cdef bytearray literals = bytearray(len(placed) * sizeof(CLiteral) + 1)
    users = array("I", [number for one in placed for number in plan.users[one.literal]] or [0])
    cdef CLiteral *entry = <CLiteral *> <char *> literals
    cdef uint32_t first_user = 0
    for one in placed:
        entry.size = len(one.literal)
        entry.offset = one.offset
        for i, mask in enumerate(one.literal):
            entry.sets[<int> i] = numbers[mask]
        entry.first_user = first_user
        entry.user_count = len(plan.users[one.literal])
        first_user += entry.user_count
        entry += 1
    cdef const uint32_t[::1] users_view = users
    part.users = &users_view[0]
    part.literals = <CLiteral *> <char *> literals
    part.sets = <Set *> <char *> sets
    kept += [sets, literals, users]
    first = 0
    for bucket in range(BUCKETS):
        members = [one for one in placed if one.bucket == bucket]
        part.buckets[<int> bucket].first = first
        lay_out_bucket(part, bucket, members, kept)
        first += len(members)
    return 0


cdef int lay_out_bucket(CPart *part, int bucket, list members, list kept) except -1:
    words = (len(members) + 63) // 64
    fits = array("Q", [0]) * (3 * 256 * words + 1)
    for number, one in enumerate(members):
        for i, mask in enumerate(one.window):
            for octet in octets_of(mask):
                add_passing(part, i, octet, bucket)
                fits[(i * 256 + octet) * words + number // 64] |= 1 << number % 64
    cdef const uint64_t[::1] view = fits
    part.buckets[bucket].fits = &view[0]
    part.buckets[bucket].words = words
    kept.append(fits)
    return 0
