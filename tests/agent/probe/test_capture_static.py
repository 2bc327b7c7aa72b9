"""OpenSSL within an executable: a full table of symbols tells it, or the dynamic one."""

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from capture import (
    OPENSSL,
    READ,
    REQUEST,
    SERVER,
    SWITCHING,
    WRITE,
    Certificate,
    Probe,
    needs_kernel,
    receive,
)

pytestmark = needs_kernel

PAYLOAD = b"\x82\x7e\x4e\x20" + b"s" * 20_000

# Agrees to an upgrade and sends PAYLOAD back; reads by pieces, so that records are cut.
SERVER_SOURCE = r"""
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate_file(context, arguments[1], SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(context, arguments[2], SSL_FILETYPE_PEM);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&at, size);
    listen(listener, 1);
    getsockname(listener, (struct sockaddr *)&at, &size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, accept(listener, 0, 0));
    if (SSL_accept(ssl) != 1)
        return 1;
    static char data[PAYLOAD_BYTES + 1000];
    SSL_read(ssl, data, sizeof data);
    SSL_write(ssl, SWITCHING, strlen(SWITCHING));
    size_t got = 0, more;
    while (got < PAYLOAD_BYTES && SSL_read_ex(ssl, data + got, 1000, &more))
        got += more;
    SSL_write_ex(ssl, data, got, &more);
    getchar();
    SSL_free(ssl);
    return 0;
}
"""


@pytest.mark.parametrize("options", [[], ["-rdynamic"]], ids=["symtab", "dynsym"])
def test_a_static_openssl(
    probe: Probe,
    detached_behind: None,
    certificate: Certificate,
    tmp_path: Path,
    options: list[str],
) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path / "server"
    (tmp_path / "server.c").write_text(SERVER_SOURCE)
    switching = SWITCHING.decode().replace("\r\n", "\\r\\n")
    command = [
        compiler, "-o", str(program), str(tmp_path / "server.c"), *options,
        f"-DPAYLOAD_BYTES={len(PAYLOAD)}", f'-DSWITCHING="{switching}"',
        "-Wl,-Bstatic", "-lssl", "-lcrypto", "-Wl,-Bdynamic", "-ldl", "-lpthread",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    if options:
        subprocess.run(["strip", str(program)], check=True)
    probe.attach_library(str(program))
    with subprocess.Popen(
        [program, certificate.certificate, certificate.key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdout
        port = int(server.stdout.readline())
        talk(probe, server.pid, port, certificate.client())
        server.kill()


def talk(probe: Probe, server: int, port: int, context: ssl.SSLContext) -> None:
    """What is told of the server is what was said to it."""
    plain = socket.create_connection(("127.0.0.1", port))
    with context.wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(REQUEST)
        receive(client, len(SWITCHING))
        client.sendall(PAYLOAD)
        assert receive(client, len(PAYLOAD)) == PAYLOAD
        probe.until(
            lambda: any(
                sum(map(len, seen.streams[WRITE].values())) >= len(SWITCHING + PAYLOAD)
                for seen in probe.of(SERVER, server)
            )
        )
        [told] = probe.of(SERVER, server)
        assert told.source == OPENSSL
        assert told.stream(READ) == REQUEST + PAYLOAD
        assert told.stream(WRITE) == SWITCHING + PAYLOAD
        assert told.remote == (2, *client.getsockname())
        assert told.local == (2, "127.0.0.1", port)
