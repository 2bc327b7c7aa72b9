/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * TLS on a descriptor that has begun with plaintext.
 */

/* TLS behind a PROXY header or a CONNECT: this is no HTTP any more, though the TLS library's
 * plaintext may be.  Only where nothing but TLS can follow: bytes like these in a body must not
 * make anyone look away. */
static __always_inline int goes_on_as_tls(struct connection *connection,
                                          const struct stash *stash, u64 before)
{
    u64 size = connection->stashed;
    u32 word = *(u32 *)&stash->data[before & (STASH_BYTES - 1)];
    u8 tunnel = connection->tunnel;
    if (tunnel == (before ? PROXY_HEADER : CONNECT) && size >= before + 4 && is_tls_record(word))
        return 1;
    if (before) {
        if (tunnel == PROXY_HEADER)
            connection->tunnel = NO_TUNNEL;
    } else if (word == WORD_CONN) {
        connection->tunnel = CONNECT;
    } else if (is_proxy_header(word) && is_lone_proxy_header(stash, size)) {
        connection->tunnel = PROXY_HEADER;
    } else {
        connection->tunnel = NO_TUNNEL;
    }
    return 0;
}
