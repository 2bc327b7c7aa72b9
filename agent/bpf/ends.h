/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The end of a descriptor, an SSL object, a socket.
 *
 * A socket may have several descriptors, in several processes.  It ends with the last reference to
 * its file.  Where another thread's call holds one for a moment longer, or the last close is not
 * seen, TCP's own end decides; what has neither is swept (agent/probe/maps.py).
 */

static __always_inline void end(struct who *key, const struct connection *connection)
{
    if (connection->number)
        emit_close(connection);
    connections.delete(key);
}

/* SSL_free: the pointer is soon used again. */
static __always_inline void end_ssl(struct who *who)
{
    if (!known.delete(who)) /* it was ignored */
        return;
    struct connection *connection = connections.lookup(who);
    if (connection)
        end(who, connection);
    else
        candidates.delete(who);
}

/* A descriptor is closed, and `last`: with it its socket. */
static __always_inline void let_go(struct who *who, int last)
{
    u64 *sock = known.lookup(who);
    if (!sock)
        return;
    struct who key = {0, *sock};
    known.delete(who);
    if (key.handle <= TLS_RECORDS_NO_MORE) {
        unbind_descriptor(who);
        return;
    }
    struct connection *connection = connections.lookup(&key);
    if (!connection) {
        if (last)
            candidates.delete(&key);
    } else if (last || connection->over) {
        end(&key, connection);
    } else {
        connection->let_go = 1;
    }
}
