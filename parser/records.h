/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the probe tells of one connection: the one definition of a record,
 * included by the BPF programs (agent/bpf, through BCC) and by Cython
 * (parser/records.pxd).  A record is a `struct sw_record` and `captured` bytes
 * behind it.  Every source speaks this language: the kernel's ring, and the
 * readers of capture files.
 *
 * A connection is one attempt to open a WebSocket: SW_OPEN (data: `struct
 * sw_open`), then SW_DATA in both directions, at last SW_CLOSE (data: `struct
 * sw_close`).  A second request on a kept-alive HTTP connection is a new
 * connection with a new `connection` number and the next generation.
 *
 * Fixed-width types only, fields in descending size, no padding: the layout is
 * the same for BPF, x86-64 and arm64.
 */
#ifndef SOCKWARDEN_RECORDS_H
#define SOCKWARDEN_RECORDS_H

#ifdef SW_BPF /* BCC brings u8..s64 by the header shim */
#define SW_U8 u8
#define SW_U16 u16
#define SW_U32 u32
#define SW_U64 u64
#define SW_S32 s32
#else
#include <stdint.h>
#define SW_U8 uint8_t
#define SW_U16 uint16_t
#define SW_U32 uint32_t
#define SW_U64 uint64_t
#define SW_S32 int32_t
#endif

enum sw_kind {
    SW_OPEN = 1,
    SW_DATA = 2,
    SW_CLOSE = 3,
    SW_EXIT = 4, /* `process` has ended, and with it all its connections; no data */
};

/* As the observed process sees it. */
enum sw_flow { SW_READ = 0, SW_WRITE = 1 };

/* Where the plaintext was taken.  New sources go to the end. */
enum sw_source { SW_SOCKET = 0, SW_OPENSSL = 1, SW_GNUTLS = 2, SW_NSS = 3, SW_FILE = 4 };

/* What the observed process is on this connection. */
enum sw_role { SW_UNKNOWN = 0, SW_SERVER = 1, SW_CLIENT = 2 };

enum sw_flag {
    SW_MIDSTREAM = 1, /* the connection was open before the probe was */
};

enum sw_family { SW_NO_ADDRESS = 0, SW_UNIX = 1, SW_IPV4 = 2, SW_IPV6 = 10 };

struct sw_record {
    SW_U64 connection; /* unique on this host since boot, never 0 */
    SW_U64 time_ns;    /* CLOCK_BOOTTIME (kernel), CLOCK_REALTIME (files) */
    SW_U64 position;   /* of the first byte behind this header in its direction's stream */
    SW_U64 length;     /* bytes of the call from `position` to the call's end; what is
                          missing behind `captured` follows in the next record or is lost */
    SW_U32 captured;   /* bytes behind this header */
    SW_U32 generation; /* counts the connections of one socket or one SSL pointer */
    SW_U32 process;    /* thread group id, in the initial pid namespace */
    SW_U8 kind;        /* enum sw_kind */
    SW_U8 flow;        /* enum sw_flow */
    SW_U8 source;      /* enum sw_source */
    SW_U8 role;        /* enum sw_role */
};

/* Data of SW_OPEN.  Ports in host order; an IPv4 address in the first four bytes. */
struct sw_open {
    SW_U64 process_start_ns; /* CLOCK_BOOTTIME: with `process` it names a process for good */
    SW_U64 handle;           /* the kernel's struct sock, or the SSL pointer */
    SW_U32 uid;
    SW_S32 fd;               /* -1: not known */
    SW_U16 family;           /* enum sw_family; SW_NO_ADDRESS: "endpoint unknown" */
    SW_U16 flags;            /* enum sw_flag */
    SW_U16 local_port;
    SW_U16 remote_port;
    SW_U8 local[16];
    SW_U8 remote[16];
};

/* Data of SW_CLOSE: the length of both streams, so that a loss at the end shows. */
struct sw_close {
    SW_U64 end[2]; /* by enum sw_flow */
};

/* What the probe counts; the index of each is its place in the `counters` map.
 * The part behind the name is what the heartbeat and the manual say. */
#define SW_COUNTERS(X)                                                              \
    X(captured_records, "records written to the ring")                              \
    X(captured_bytes, "bytes written to the ring")                                  \
    X(connections, "WebSocket handshakes passed on, refused ones too")              \
    X(lost_ring_full, "bytes lost because the ring was full")                       \
    X(lost_capture_limit, "bytes of a call beyond the capture limit")               \
    X(lost_unreadable, "bytes in user pages that could not be read")                \
    X(lost_vector_limit, "bytes in a vector beyond the entries that are followed")  \
    X(lost_unknown_connection, "bytes whose connection could not be told")          \
    X(gate_stash_evicted, "request heads that another took the place of")           \
    X(gate_head_too_long, "request heads beyond what the gate keeps")               \
    X(map_full, "connections not watched because a table was full")                 \
    X(calls_unmatched, "TLS calls whose entry was not seen")

#define SW_COUNTER_ID(name, meaning) SW_COUNT_##name,
enum sw_counter { SW_COUNTERS(SW_COUNTER_ID) SW_COUNTER_COUNT };

#endif
