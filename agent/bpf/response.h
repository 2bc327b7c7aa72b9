/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What a server says to a request that asks: its status decides.
 */
enum { STATUS_BYTES = 12, STATUS_ENTRIES = 4 };

/* A call's bytes begin with "HTTP/1.x 101": the answer to the upgrade among pipelined requests,
 * behind the answers to those before it. */
static __always_inline int is_switching(struct iovec64 buffer)
{
    struct {
        u32 name;
        u32 version;
        u32 status;
    } line = {};
    if (buffer.size < sizeof line)
        return 0;
    if (read_user(&line, sizeof line, (void *)buffer.base))
        return 0;
    return line.name == WORD_HTTP && line.status == WORD_101;
}

/* The response's status line, "HTTP/1.1 101 ...", which may come in pieces.  True: all is known. */
static __always_inline int see_status(struct connection *connection, u64 buffer, u64 size)
{
    u64 at = connection->status_seen;
    if (at >= STATUS_BYTES)
        return 1;
    asm volatile("" : "+r"(size));
    if (size > STATUS_BYTES)
        size = STATUS_BYTES;
    if (!size || read_user(&connection->status[at], size, (void *)buffer))
        return 0;
    connection->status_seen = at + size;
    if (at + size < STATUS_BYTES)
        return 0;
    const u8 *line = connection->status;
    int http = *(u32 *)line == WORD_HTTP && line[8] == ' ';
    if (http && line[9] == '1' && line[10] == '0' && line[11] == '1') {
        connection->state = OPEN;
    } else if (http && line[9] == '1') { /* 100, 103: the response is still to come */
        connection->status_seen = 0;
        connection->interim = 1;
    } else if (connection->interim && !http) {
        connection->state = OPEN; /* both came in one call: user space sees the status */
    } else {
        connection->state = REFUSED;
        connection->passing[0] = connection->passing[1] = PASSING_BYTES;
        connection->last_flow = connection->requester == SW_READ ? SW_WRITE : SW_READ;
    }
    return 1;
}

/* The response to a request that asks.  A vector's status line may be in several entries. */
static __always_inline void see_response(struct connection *connection,
                                         const struct moved *moved, int vector)
{
    for (u32 n = 0; n < (vector ? STATUS_ENTRIES : 1); n++) {
        struct iovec64 part = nth_buffer(moved, n);
        if (see_status(connection, part.base, part.size))
            break;
    }
}
