/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The end of a descriptor or an SSL object.
 */
static __always_inline void forget(struct who *who)
{
    if (!ignored.delete(who))
        return;
    struct connection *connection = connections.lookup(who);
    if (!connection)
        return;
    if (connection->number)
        emit_close(who, connection);
    connections.delete(who);
}
