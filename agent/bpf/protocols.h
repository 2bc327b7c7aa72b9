/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What bytes look like: the first four tell HTTP, the PROXY protocol and TLS apart.
 */

/* "GET ", "POST", ... as little-endian words: what an HTTP/1.1 request may begin with. */
static __always_inline int is_method(u32 word)
{
    return word == 0x20544547 /* GET  */ || word == 0x54534f50 /* POST */ ||
           word == 0x20545550 /* PUT  */ || word == 0x44414548 /* HEAD */ ||
           word == 0x454c4544 /* DELE */ || word == 0x4954504f /* OPTI */ ||
           word == 0x43544150 /* PATC */ || word == 0x4e4e4f43 /* CONN */ ||
           word == 0x43415254 /* TRAC */;
}

enum {
    WORD_HTTP = 0x50545448, /* "HTTP" */
    WORD_101 = 0x31303120,  /* " 101" */
    WORD_CONN = 0x4e4e4f43, /* "CONN" */
};

/* A PROXY protocol header, version 1 ("PROXY ") or 2 (its signature). */
static __always_inline int is_proxy_header(u32 word)
{
    return word == 0x584f5250 /* PROX */ || word == 0x0a0d0a0d /* \r\n\r\n */;
}

/* The head of a TLS record (RFC 8446 5.1): content type 20..24, version 3.x. */
static __always_inline int is_tls_record(u32 word)
{
    u8 type = word;
    return type >= 20 && type <= 24 && (u8)(word >> 8) == 3 && (u8)(word >> 16) <= 4;
}

/* A whole PROXY header and nothing else (version 1 is one line of at most 107 bytes). */
static __always_inline int is_lone_proxy_header(const struct stash *stash, u64 size)
{
    const u8 *data = stash->data;
    if (*(u32 *)data == 0x0a0d0a0d)
        return size == 16 + (data[14] << 8 | data[15]);
    if (size < 8 || size > 107)
        return 0;
    u64 end = size - 3;
    asm volatile("" : "+r"(end)); /* Linux 6.1 wants the bound on the register that is used */
    end &= 127;
    return data[end + 2] == '\n' && data[end] != '\n';
}
