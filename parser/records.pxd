"""The probe's records, as records.h defines them."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "records.h" nogil:
    enum sw_kind: SW_OPEN, SW_DATA, SW_CLOSE, SW_EXIT
    enum sw_flow: SW_READ, SW_WRITE
    enum sw_source: SW_SOCKET, SW_OPENSSL, SW_GNUTLS, SW_NSS, SW_FILE
    enum sw_role: SW_UNKNOWN, SW_SERVER, SW_CLIENT
    enum sw_flag: SW_MIDSTREAM
    enum sw_family: SW_NO_ADDRESS, SW_UNIX, SW_IPV4, SW_IPV6

    struct sw_record:
        uint64_t connection
        uint64_t time_ns
        uint64_t position
        uint64_t length
        uint32_t captured
        uint32_t generation
        uint32_t process
        uint8_t kind
        uint8_t flow
        uint8_t source
        uint8_t role

    struct sw_open:
        uint64_t process_start_ns
        uint64_t handle
        uint32_t uid
        int32_t fd
        uint16_t family
        uint16_t flags
        uint16_t local_port
        uint16_t remote_port
        uint8_t local[16]
        uint8_t remote[16]

    struct sw_close:
        uint64_t end[2]

    enum: SW_COUNTER_COUNT
