/* load PORT ws|http plain|tls CONNECTIONS BYTES: keeps a server on 127.0.0.1 busy.
 *
 * Opens all connections, says "open" and reads numbers from the standard input: for each it has so
 * many messages echoed (ws: text of BYTES bytes, masked), or pages fetched (http), one at a time on
 * each connection, and says "done".  It ends with its input. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_BYTES = 60000, EVENTS = 64 };

struct connection {
    int fd;
    SSL *ssl;
    size_t got; /* bytes of the answer at hand */
};

static char request[MAX_BYTES + 16], buffer[1 << 17];
static size_t request_bytes, answer_bytes;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void put(struct connection *c, const void *data, size_t size)
{
    ssize_t put = c->ssl ? SSL_write(c->ssl, data, size) : send(c->fd, data, size, 0);
    if (put != (ssize_t)size)
        fail("write");
}

static size_t get(struct connection *c)
{
    ssize_t got = c->ssl ? SSL_read(c->ssl, buffer, sizeof buffer - 1)
                         : recv(c->fd, buffer, sizeof buffer - 1, 0);
    if (got <= 0)
        fail("read");
    buffer[got] = 0;
    return got;
}

static void dial(struct connection *c, int port, SSL_CTX *context)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to))
        fail("connect");
    if (!context)
        return;
    c->ssl = SSL_new(context);
    SSL_set_fd(c->ssl, c->fd);
    if (SSL_connect(c->ssl) != 1)
        fail("TLS handshake");
}

/* One frame, and how long its echo is: without a mask. */
static void make_frame(size_t size)
{
    unsigned char *at = (unsigned char *)request;
    *at++ = 0x81;
    *at++ = 0x80 | (size < 126 ? size : 126);
    if (size >= 126) {
        *at++ = size >> 8;
        *at++ = size;
    }
    memcpy(at, "\1\2\3\4", 4);
    at += 4;
    for (size_t i = 0; i < size; i++)
        *at++ = ('a' + i % 26) ^ (1 + i % 4);
    request_bytes = at - (unsigned char *)request;
    answer_bytes = request_bytes - 4;
}

/* The first page says how long all are. */
static void fetch_first(struct connection *c)
{
    request_bytes = sprintf(request, "GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n");
    put(c, request, request_bytes);
    size_t got = get(c);
    char *length = strstr(buffer, "Content-Length: "), *end = strstr(buffer, "\r\n\r\n");
    if (!length || !end)
        fail("no length in the answer");
    answer_bytes = end + 4 - buffer + atol(length + 16);
    while (got < answer_bytes)
        got += get(c);
}

static void run(int poll, struct connection *all, int connections, long messages)
{
    long sent = 0, done = 0;
    struct epoll_event events[EVENTS];
    for (; sent < connections && sent < messages; sent++)
        put(&all[sent], request, request_bytes);
    while (done < messages) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            do
                c->got += get(c);
            while (c->ssl && SSL_pending(c->ssl));
            if (c->got < answer_bytes)
                continue;
            c->got -= answer_bytes;
            done++;
            if (sent < messages) {
                put(c, request, request_bytes);
                sent++;
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    int port = atoi(argv[1]), ws = !strcmp(argv[2], "ws"), connections = atoi(argv[4]);
    size_t size = atol(argv[5]);
    SSL_CTX *context = strcmp(argv[3], "tls") ? NULL : SSL_CTX_new(TLS_client_method());
    struct connection *all = calloc(connections, sizeof *all);
    int poll = epoll_create1(0);
    if (!all || size > MAX_BYTES)
        return 2;
    for (int i = 0; i < connections; i++) {
        dial(&all[i], port, context);
        if (ws) {
            const char *ask = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                              "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            put(&all[i], ask, strlen(ask));
            get(&all[i]);
            if (strncmp(buffer, "HTTP/1.1 101", 12))
                fail("no WebSocket");
        } else {
            fetch_first(&all[i]);
        }
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].fd, &event);
    }
    if (ws)
        make_frame(size);
    puts("open");
    fflush(stdout);
    for (long messages; scanf("%ld", &messages) == 1;) {
        run(poll, all, connections, messages);
        puts("done");
        fflush(stdout);
    }
    return 0;
}
