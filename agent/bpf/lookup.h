/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What is known of a descriptor, an SSL object or a socket.
 */

static __always_inline void ignore(const struct who *who, u64 why)
{
    known.update((struct who *)who, &why);
}

static __always_inline struct connection *connection_at(const struct who *key)
{
    struct connection *connection = connections.lookup((struct who *)key);
    if (!connection)
        connection = candidates.lookup((struct who *)key);
    return connection;
}

/* A socket that is known by another descriptor: a copy of it (dup), or inherited (fork), or passed
 * on (SCM_RIGHTS).  An address that another socket had is not it. */
static __always_inline int is_known_socket(const struct who *key, u32 inode)
{
    struct connection *connection = connections.lookup((struct who *)key);
    if (connection && connection->inode != inode) {
        end((struct who *)key, connection);
        connection = 0;
    }
    if (connection)
        return 1;
    connection = candidates.lookup((struct who *)key);
    if (!connection)
        return 0;
    if (connection->inode == inode)
        return 1;
    candidates.delete((struct who *)key);
    return 0;
}

/* Of a connection: never the same twice. */
static __always_inline u64 new_number(void)
{
    return bpf_ktime_get_boot_ns() << 8 | (bpf_get_smp_processor_id() & 0xff);
}

/* Another process than before has moved bytes of it. */
static __always_inline void adopt(struct connection *connection, u64 process)
{
    u8 one = 1;
    connection->process = process;
    if (connection->number)
        websocket_processes.update(&process, &one);
}
