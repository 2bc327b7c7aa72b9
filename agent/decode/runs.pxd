"""What decoders of base64 and hexadecimal digits share: the text around a run stays."""

from libc.stdint cimport uint8_t

# Decodes the run that begins at `place`: bytes written to `out`, at most `capacity`; `end` is set
# behind what was read.  0: it is no text, and `end` is not set.
ctypedef size_t (*decode_run_t)(const uint8_t *text, size_t size, size_t place, uint8_t *out,
                                size_t capacity, size_t *end) noexcept nogil

# Whether any run was decoded.
cdef bint replace_runs(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                       size_t *written, decode_run_t decode_run) noexcept nogil

# Whether the first bytes are text but for one, or `strict`ly all; UTF-16 is text too.
cdef bint looks_like_text(const uint8_t *sample, size_t size, bint strict) noexcept nogil
