"""TLS objects that a program feeds from memory: no system call of theirs tells their socket.

A program may receive for many of them before it feeds one, or feed them in another thread than
it receives in.  The socket is then told by the bytes, and where they cannot tell it, not at all.
"""

import ctypes
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from capture import (
    CLIENT,
    READ,
    REQUEST,
    SERVER,
    SWITCHING,
    WRITE,
    Certificate,
    Probe,
    both,
    connected,
    libssl,
    needs_kernel,
    receive,
)

pytestmark = needs_kernel

PAIRS = 4


class InPython:
    """The server's end of a connection, whose TLS reads from memory."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._shaken = False

    def feed(self, data: bytes) -> bytes:
        """What was received, to what it means."""
        self._in.write(data)
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            return self._tls.read(65_536)
        except ssl.SSLWantReadError:
            return b""

    def answer(self, plaintext: bytes = b"") -> None:
        if plaintext:
            self._tls.write(plaintext)
        if data := self._out.read():
            self.sock.sendall(data)


class Paired:
    """The same on a pair of BIOs, as Boost.Asio does it; its SSL object may be used again."""

    def __init__(self, sock: socket.socket, certificate: Certificate) -> None:
        self.sock = sock
        self._lib = ctypes.CDLL(libssl())
        self._buffer = ctypes.create_string_buffer(65_536)
        ours, theirs = ctypes.c_void_p(), ctypes.c_void_p()
        context = self._call("SSL_CTX_new", self._call("TLS_server_method"))
        self._call("SSL_CTX_use_certificate_file", context, certificate.certificate.encode(), 1)
        self._call("SSL_CTX_use_PrivateKey_file", context, certificate.key.encode(), 1)
        # What a client sends behind its Finished message is then the next thing to be read.
        self._call("SSL_CTX_set_num_tickets", context, ctypes.c_size_t(0))
        self._call("BIO_new_bio_pair", ctypes.byref(ours), None, ctypes.byref(theirs), None)
        self._tls, self._bio = self._call("SSL_new", context), theirs
        self._call("SSL_set_bio", self._tls, ours, ours)
        self._call("SSL_set_accept_state", self._tls)

    def _call(self, name: str, *arguments: object) -> ctypes.c_void_p:
        function = getattr(self._lib, name)
        function.restype = ctypes.c_void_p
        return ctypes.c_void_p(function(*arguments))

    def use_again(self, sock: socket.socket) -> None:
        self._call("SSL_clear", self._tls)
        self.sock = sock

    def feed(self, data: bytes) -> bytes:
        self._lib.BIO_write(self._bio, data, len(data))
        size = self._lib.SSL_read(self._tls, self._buffer, len(self._buffer))
        return self._buffer.raw[: max(size, 0)]

    def answer(self, plaintext: bytes = b"") -> None:
        if plaintext:
            self._lib.SSL_write(self._tls, plaintext, len(plaintext))
        size = self._lib.BIO_read(self._bio, self._buffer, len(self._buffer))
        if size > 0:
            self.sock.sendall(self._buffer.raw[:size])

    def free(self) -> None:
        self._call("SSL_free", self._tls)
        self._call("BIO_free", self._bio)


def ask(plain: socket.socket, context: ssl.SSLContext) -> None:
    """A client that asks for an upgrade; its connection stays open."""
    with context.wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(REQUEST)
        receive(client, len(SWITCHING))
        client.recv(1)


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    with ExitStack() as stack:
        yield [stack.enter_context(connected()) for _ in range(PAIRS)]


@pytest.fixture
def asking(
    pairs: list[tuple[socket.socket, socket.socket]], certificate: Certificate
) -> Iterator[list[socket.socket]]:
    """The servers' ends of connections whose clients ask for an upgrade each."""
    with ThreadPoolExecutor(PAIRS) as pool:
        clients = [pool.submit(ask, client, certificate.client()) for client, _ in pairs]
        yield [server for _, server in pairs]
        for _, server in pairs:
            server.close()
        for client in clients:
            client.exception()


def serve_in_turns(servers: Sequence[InPython | Paired], *, elsewhere: bool = False) -> None:
    """Receives for all, then feeds all; `elsewhere`: in a thread that has received nothing."""
    left = list(servers)
    with ThreadPoolExecutor(1) as feeder:
        while left:
            received = [(one, one.sock.recv(65_536)) for one in left]
            for one, data in received:
                plaintext = feeder.submit(one.feed, data).result() if elsewhere else one.feed(data)
                one.answer(SWITCHING if plaintext else b"")
                if plaintext:
                    assert plaintext == REQUEST
                    left.remove(one)


def ends_of(probe: Probe, count: int = PAIRS) -> list[tuple[int, str, int]]:
    """The clients' addresses, once so many servers have told everything."""

    def told() -> bool:
        servers = probe.of(SERVER)
        return len(servers) == count and all(
            sum(map(len, seen.streams[WRITE].values())) >= len(SWITCHING) for seen in servers
        )

    probe.until(told)
    for seen in probe.of(SERVER):
        assert (seen.stream(READ), seen.stream(WRITE)) == (REQUEST, SWITCHING)
    return sorted(seen.remote for seen in probe.of(SERVER))


def peers(servers: list[socket.socket]) -> list[tuple[int, str, int]]:
    return sorted((2, *server.getpeername()) for server in servers)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_received_for_many_before_one_is_fed(
    tls_probe: Probe, certificate: Certificate, asking: list[socket.socket], elsewhere: bool
) -> None:
    expected = peers(asking)
    context = certificate.server()
    serve_in_turns([InPython(server, context) for server in asking], elsewhere=elsewhere)
    assert ends_of(tls_probe) == expected


def test_pairs_of_bios(
    tls_probe: Probe, certificate: Certificate, asking: list[socket.socket]
) -> None:
    expected = peers(asking)
    servers = [Paired(server, certificate) for server in asking]
    serve_in_turns(servers)
    assert ends_of(tls_probe) == expected
    for server in servers:
        server.free()


def test_an_object_that_is_used_again_is_another_connection(
    tls_probe: Probe, certificate: Certificate, asking: list[socket.socket]
) -> None:
    expected = peers(asking[:2])
    server = Paired(asking[0], certificate)
    serve_in_turns([server])
    asking[0].close()
    server.use_again(asking[1])
    serve_in_turns([server])
    assert ends_of(tls_probe, count=2) == expected
    server.free()


def test_a_read_before_anything_was_received_is_of_no_socket(
    tls_probe: Probe, certificate: Certificate, asking: list[socket.socket]
) -> None:
    """Node.js begins a client's handshake like this, while its thread receives for others."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with connected() as (plain, other_end):
        thread = threading.Thread(target=grant, args=(other_end, certificate.server()))
        thread.start()
        tls = certificate.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
        assert asking[0].recv(65_536)[0] == 22  # a ClientHello, that this object has no part in
        with pytest.raises(ssl.SSLWantReadError):
            tls.read(1)
        done = False
        while not done:
            plain.sendall(outgoing.read())
            incoming.write(plain.recv(65_536))
            with suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                done = True
        tls.write(REQUEST)
        plain.sendall(outgoing.read())
        answer = b""
        while answer != SWITCHING:
            incoming.write(plain.recv(65_536))
            with suppress(ssl.SSLWantReadError):
                answer += tls.read(65_536)
        both(tls_probe, REQUEST, SWITCHING)
        [client], [server] = tls_probe.of(CLIENT), tls_probe.of(SERVER)
        assert client.local == server.remote == (2, *plain.getsockname())
        plain.close()
        thread.join()


def grant(plain: socket.socket, context: ssl.SSLContext) -> None:
    with context.wrap_socket(plain, server_side=True) as server:
        receive(server, len(REQUEST))
        server.sendall(SWITCHING)
        with suppress(OSError):
            server.recv(1)
