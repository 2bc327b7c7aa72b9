"""What both sides of a connection say, and a connection that hears it."""

from wire import KEY, TEXT, frame

from sockwarden.parser import Anomaly, ConnectionDecoder, Handshake, Message

REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
ACCEPT = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)
RESPONSE = ACCEPT + b"\r\n"
REFUSAL = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno"
CLIENT = frame(TEXT, b"from the client", key=KEY)
SERVER = frame(TEXT, b"from the server")


class Conversation:
    """Feeds a connection by direction, and keeps the positions."""

    def __init__(self, **limits):
        self.decoder = ConnectionDecoder(**limits)
        self.position = {"c2s": 1000, "s2c": 1 << 40}
        self.events = []

    def say(self, direction, *pieces):
        for piece in pieces:
            if isinstance(piece, bytes):
                self.events += self.decoder.feed(direction, self.position[direction], piece)
            self.position[direction] += piece if isinstance(piece, int) else len(piece)
        return self

    def end(self, *directions):
        for direction in directions or ("c2s", "s2c"):
            self.events += self.decoder.end(direction, self.position[direction])
        return self

    def messages(self):
        return [(each.dir, each.payload) for each in self.events if isinstance(each, Message)]

    def kinds(self):
        return [(e.dir, e.kind, e.offset) for e in self.events if isinstance(e, Anomaly)]

    def handshakes(self):
        return [each for each in self.events if isinstance(each, Handshake)]


# Requests before the one that asks for the upgrade, with their responses
EARLIER = [
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/"),
    (
        b"POST / HTTP/1.1\r\nContent-Length: 25\r\n\r\nUpgrade: websocket\r\n\r\nGET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"a;x=1\r\n0123456789\r\n2\r\n\r\n\r\n0\r\nTrailer: x\r\n\r\n",
    ),
    (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1A\r\n"
        + b"U" * 26
        + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ),
]
