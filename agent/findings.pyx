"""The arena between the pipeline and Python; findings.pxd is its contract."""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cdef enum:
    FINDINGS = 4096
    BEFORE_BYTES = 256   # context, so that redaction sees the name before a secret
    MATCH_BYTES = 512
    AFTER_BYTES = 256
    EVIDENCE_BYTES = BEFORE_BYTES + MATCH_BYTES + AFTER_BYTES
    ARENA_BYTES = 1 << 20


cdef bint findings_init(Findings *self) noexcept nogil:
    self.items = <Finding *>calloc(FINDINGS, sizeof(Finding))
    self.bytes = <uint8_t *>malloc(ARENA_BYTES)
    self.count = self.bytes_used = 0
    return self.items != NULL and self.bytes != NULL


cdef void findings_free(Findings *self) noexcept nogil:
    free(self.items)
    free(self.bytes)


cdef bint findings_room(const Findings *self) noexcept nogil:
    return self.count < FINDINGS and self.bytes_used + EVIDENCE_BYTES <= ARENA_BYTES


cdef void findings_clear(Findings *self) noexcept nogil:
    self.count = self.bytes_used = 0


cdef Finding *findings_add(Findings *self) noexcept nogil:
    cdef Finding *finding = &self.items[self.count]
    memset(finding, 0, sizeof(Finding))
    self.count += 1
    return finding


cdef void findings_evidence(Findings *self, Finding *finding, const uint8_t *payload, size_t size,
                            size_t start, size_t end) noexcept nogil:
    cdef size_t first, last
    end = min(end, size)
    start = min(start, end)
    end = min(end, start + MATCH_BYTES)
    first = start - min(start, <size_t>BEFORE_BYTES)
    last = min(size, end + AFTER_BYTES)
    finding.bytes = self.bytes + self.bytes_used
    finding.size = last - first
    finding.start = <uint32_t>(start - first)
    finding.end = <uint32_t>(end - first)
    if finding.size:
        memcpy(self.bytes + self.bytes_used, payload + first, finding.size)
    self.bytes_used += finding.size
