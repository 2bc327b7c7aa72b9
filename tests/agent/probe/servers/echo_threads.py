"""websockets over blocking sockets, a thread a connection: `echo_threads.py [CERTIFICATE KEY]`."""

import ssl
import sys
import threading

from websockets.sync.server import ServerConnection, serve


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


context = None
if sys.argv[1:]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[1:])
server = serve(echo, "127.0.0.1", 0, ssl=context)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.socket.getsockname()[1], flush=True)
sys.stdin.read()
