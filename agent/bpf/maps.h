/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the programs remember.  Sizes come as -D definitions (agent/probe/source.py).
 */
#include <asm/unistd.h>
#include <linux/ptrace.h>

#include "records.h"

/* bpf_probe_read_user and bpf_probe_read_kernel by names of ours: for those names BCC reads all of
 * /proc/kallsyms, to see if the kernel is as old as 5.4.  That took as long as all the rest. */
static long (*read_user)(void *to, u32 size, const void *from) =
    (void *)BPF_FUNC_probe_read_user;
static long (*read_kernel)(void *to, u32 size, const void *from) =
    (void *)BPF_FUNC_probe_read_kernel;

enum { FLOW_NONE = 2, PASSING_BYTES = 4096 };

/* A process until it ends or executes another program, and one of its descriptors or SSL
 * objects; or no process, and one of the kernel's sockets. */
struct who {
    u64 process;
    u64 handle;
};

enum state {
    LEARNING = 0, /* fewer than four bytes seen: cannot tell yet */
    HTTP = 1,     /* may ask for a WebSocket at any request */
    ASKED = 2,    /* asked; the response has not said yes or no */
    OPEN = 3,     /* 101: every byte is passed on */
    REFUSED = 4,  /* the next bytes are passed on, then HTTP */
    HIDDEN = 5,   /* the agent wants no more of it */
};

/* What may have TLS behind it, on a connection that began with plaintext. */
enum tunnel {
    NO_TUNNEL = 0,
    PROXY_HEADER = 1, /* in the next call */
    CONNECT = 2,      /* behind the response */
};

/* The first four fields are known to agent/probe/maps.py too. */
struct connection {
    u64 number;        /* of the last WebSocket asked for; 0: none yet */
    u64 process;       /* that moved bytes last */
    u8 state;          /* enum state */
    u8 let_go;         /* a descriptor of it was closed; there may be others */
    u8 over;           /* TCP is done with it; there may be bytes to read */
    u8 source;         /* enum sw_source */
    u8 requester;      /* the flow that requests come on */
    u8 last_flow;
    u8 tunnel;         /* enum tunnel */
    u8 overflowed;     /* the request at hand is longer than the stash */
    u64 position[2];   /* bytes so far, by enum sw_flow */
    u64 sock;          /* the kernel's struct sock; 0: not known */
    u64 stash_start;   /* position of the stash's first byte */
    u32 inode;         /* of the socket, whose address may be another's tomorrow */
    u32 generation;
    u32 stashed;       /* bytes of the request at hand that are in the stash */
    u32 passing[2];    /* REFUSED: bytes still passed on, by flow */
    s32 fd;
    u8 status_seen;    /* bytes in `status` */
    u8 interim;        /* a 1xx response came already */
    u8 midway;         /* it was there before the probe */
    u8 status[24];     /* the first bytes of the response; 12 are wanted */
};

/* One call that has moved bytes, for the programs that share the work by tail calls. */
struct call {
    struct who who;    /* whose connection */
    struct who user;   /* the process and its descriptor or SSL object */
    u64 buffer;    /* of one buffer, or of the vector's entry at hand */
    u64 left;      /* bytes of `buffer` not yet passed on */
    u64 total;     /* bytes of the call not yet passed on, all buffers */
    u64 limit;     /* bytes that may still be passed on */
    u64 position;
    u64 vector;    /* the next struct iovec; 0: none */
    u64 message;   /* bytes of the entries of the message at hand, or of the call's only vector */
    u64 messages;  /* the next struct mmsghdr */
    u32 entries;   /* from `vector` on */
    u32 more;      /* messages from there on */
    u32 searched;  /* where the search for the header goes on */
    u8 flow;
    u8 source;
    u8 decoys;     /* lines "Upgrade:" without "websocket" */
    u8 keeps;      /* runs of the gate */
};

/* The head of a request, until it is known whether it asks for a WebSocket. */
enum { STASH_BYTES = 16384, STASH_STEP = 4096 };
struct stash {
    u8 data[STASH_BYTES + STASH_STEP];
};

/* A thread that uses TLS, its call into a TLS library that has not returned, and how far below its
 * stack a nested one's is. */
enum { NESTING_BYTES = 65536 };
enum received { SEVERAL = -1 /* it is not known which */, NOTHING_RECEIVED = -2 };
struct tls_thread {
    u64 ssl;
    u64 buffer;
    u64 size_pointer; /* of the _ex functions; else 0 */
    u64 stack;        /* the stack pointer at the entry; 0: no call is at work */
    s32 received;     /* the descriptor of the last receive of TLS, or enum received */
    u8 flow;
    u8 source;        /* enum sw_source: which library */
    u8 jumped;        /* another probed function was jumped to, and will return too */
};

/* How a received chunk of TLS begins: behind 11 bytes at most there are keys or ciphertext, which no
 * other connection has (RFC 8446 4.1.2, 5.2). */
enum { PREFIX_WORDS = 4 };
struct tls_receive {
    u64 process;
    u64 prefix[PREFIX_WORDS];
};

/* What is known of a descriptor or an SSL object: that it is none of ours, and why; or else the
 * address of its socket.  From TLS_RECORDS on receives are counted, as far as they are of use
 * (tls_socket.h). */
enum known { NOT_HTTP = 1, TLS_RECORDS = 2, TLS_RECORDS_NO_MORE = TLS_RECORDS + 8 };

/* What is found is written in place where possible: an update takes an entry from a list and gives
 * another back, which costs more than all that most calls need. */

BPF_RINGBUF_OUTPUT(ring, RING_PAGES);
BPF_PERCPU_ARRAY(counters, u64, SW_COUNTER_COUNT);
BPF_PERCPU_ARRAY(written_since_wake, u64, 1);
BPF_HASH(connections, struct who, struct connection, CONNECTIONS); /* by socket or SSL object */
BPF_TABLE("lru_hash", struct who, struct connection, candidates, CANDIDATES); /* plain HTTP yet */
BPF_TABLE("lru_hash", struct who, u64, known, IGNORED + CANDIDATES);
BPF_TABLE("lru_hash", struct who, struct stash, stashes, STASHES);
BPF_ARRAY(empty_stash, struct stash, 1);
BPF_TABLE("lru_hash", u64, struct call, calls, CALLS);     /* by thread */
BPF_HASH(earlier, u32, u8, CANDIDATES);                    /* tries left, by inode */
BPF_HASH(excluded, u32, u8, 64);                           /* process ids of our own */
BPF_TABLE("lru_hash", struct who, s32, ssl_descriptors, CONNECTIONS);
BPF_TABLE("lru_hash", struct who, u64, descriptor_ssls, CONNECTIONS);
BPF_TABLE("lru_hash", struct tls_receive, s32, tls_receives, CALLS);
BPF_TABLE("lru_hash", u64, u8, memory_bio_users, CALLS); /* processes */
BPF_TABLE("lru_hash", u64, struct tls_thread, tls_threads, CALLS);
BPF_TABLE("lru_hash", struct who, u64, unsent, CALLS); /* GnuTLS: data of the last call */
BPF_TABLE("lru_hash", u64, u8, websocket_processes, CONNECTIONS);

enum jump {
    JUMP_MEET = 0,
    JUMP_GATE,
    JUMP_SEARCH,
    JUMP_TOKEN,
    JUMP_BEGIN,
    JUMP_PUMP,
    JUMPS,
    STAY = JUMPS
};
BPF_PROG_ARRAY(syscall_jumps, JUMPS);
BPF_PROG_ARRAY(tls_jumps, JUMPS);

static __always_inline void count(u32 counter, u64 amount)
{
    u64 *value = counters.lookup(&counter);
    if (value)
        __sync_fetch_and_add(value, amount);
}
