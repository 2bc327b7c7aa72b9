# distutils: include_dirs = parser
"""Reader of a BPF ring buffer; ring.pxd is its contract.

The kernel's layout (kernel/bpf/ringbuf.c): a page with the consumer's position, a page with the
producer's, then the data, mapped twice in a row so that no record wraps.  A record has a head of
eight bytes: its length with two flags, and an offset for the kernel's own use.
"""

import mmap
import os

from libc.stdint cimport uint32_t, uint64_t, uint8_t

from sockwarden.parser.records cimport sw_record

cdef extern from "<sys/mman.h>" nogil:
    void *c_mmap "mmap"(void *address, size_t size, int protection, int flags, int fd,
                        long offset)
    int munmap(void *address, size_t size)
    void *MAP_FAILED
    int PROT_READ, PROT_WRITE, MAP_SHARED

cdef extern from *:
    """
    #define SW_LOAD_ACQUIRE(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define SW_STORE_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    """
    uint64_t load_position "SW_LOAD_ACQUIRE"(const uint64_t *at) noexcept nogil
    uint32_t load_head "SW_LOAD_ACQUIRE"(const uint32_t *at) noexcept nogil
    void store_position "SW_STORE_RELEASE"(uint64_t *at, uint64_t value) noexcept nogil

cdef enum:
    HEAD_BYTES = 8  # BPF_RINGBUF_HDR_SZ

cdef uint32_t BUSY = 1u << 31     # BPF_RINGBUF_BUSY_BIT: still being written
cdef uint32_t DISCARDED = 1u << 30


cdef class Ring:
    def __cinit__(self, int fd, size_t size=0):
        """Takes the descriptor over.  `size` is found by trying where it is not given."""
        cdef size_t page = mmap.PAGESIZE
        self._fd = fd
        self._consumer = NULL
        self._producer = NULL
        self._size = size or ring_size(fd)
        self._mask = self._size - 1
        self._page = page
        self._consumer = <uint64_t *>c_mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        if <void *>self._consumer == MAP_FAILED:
            self._consumer = NULL
            raise OSError("the ring's descriptor cannot be mapped")
        self._producer = <uint64_t *>c_mmap(NULL, page + 2 * self._size, PROT_READ, MAP_SHARED,
                                            fd, <long>page)
        if <void *>self._producer == MAP_FAILED:
            self._producer = NULL
            raise OSError(f"a ring of {self._size} bytes cannot be mapped")
        self._data = <const uint8_t *>self._producer + page
        self._position = load_position(self._consumer)

    def __dealloc__(self):
        if self._producer != NULL:
            munmap(self._producer, self._page + 2 * self._size)
        if self._consumer != NULL:
            munmap(self._consumer, self._page)

    cdef const sw_record *next(self, size_t *size) noexcept nogil:
        cdef uint64_t end = load_position(self._producer)
        cdef const uint8_t *at
        cdef const sw_record *record
        cdef uint32_t head, length
        while self._position < end:
            at = self._data + (self._position & self._mask)
            head = load_head(<const uint32_t *>at)
            if head & BUSY:
                return NULL
            length = head & ~(BUSY | DISCARDED)
            self._position += (HEAD_BYTES + length + 7) & ~<uint64_t>7
            if head & DISCARDED:
                continue
            record = <const sw_record *>(at + HEAD_BYTES)
            if length < sizeof(sw_record) or record.captured > length - sizeof(sw_record):
                self.malformed += 1
                continue
            size[0] = length
            return record
        return NULL

    cdef void release(self) noexcept nogil:
        store_position(self._consumer, self._position)

    cpdef uint64_t backlog(self) noexcept:
        return load_position(self._producer) - self._position

    def fileno(self):
        return self._fd

    def read(self, size_t most=1 << 20):
        """Up to `most` records as bytes, their heads (struct sw_record) included."""
        cdef const sw_record *record
        cdef size_t size = 0
        records = []
        while len(records) < most:
            record = self.next(&size)
            if record == NULL:
                break
            size = sizeof(sw_record) + record.captured
            records.append((<const uint8_t *>record)[:size])
        self.release()
        return records

    def close(self):
        """Closes the descriptor; what is mapped goes with the object."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def ring_size(int fd):
    """From what the kernel tells of the map in /proc."""
    with open(f"/proc/self/fdinfo/{fd}") as info:
        for line in info:
            name, _, value = line.partition(":")
            if name == "max_entries":
                return int(value)
    raise OSError(f"descriptor {fd} is not a BPF ring buffer")
