"""Any file for `analyze`: pcap, pcapng or HAR, through the whole pipeline.

What can be wrong with a file is a SourceError; nothing else comes out.
"""

import secrets
import traceback
from io import BytesIO

from libc.stdint cimport uint8_t

from journal cimport fail

from everything import PIPELINES, settle
from sockwarden.agent.sources import SourceError, read
from sockwarden.agent.sources.batch import RecordBatch

# The same input must take the same way each time.
secrets.randbits = lambda bits: 0


cdef api int run(const uint8_t *data, size_t size) noexcept:
    cdef bytes content = data[:size]
    try:
        whole = PIPELINES[1]
        try:
            read(BytesIO(content), RecordBatch(whole))
        except SourceError as error:
            str(error)
        settle(whole)
    except Exception:
        traceback.print_exc()
        fail("an exception over a file")
    return 0
