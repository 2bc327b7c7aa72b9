"""Echoes on blocking sockets, a thread each:  python threads.py HOST PORT [CERTIFICATE KEY]

Requests for /refuse are answered with 426.
"""

import http
import socket
import ssl
import sys

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def admit(connection: ServerConnection, request: Request) -> Response | None:
    if not request.path.startswith("/refuse"):
        return None
    return Response(http.HTTPStatus.UPGRADE_REQUIRED, "Upgrade Required", Headers(), b"no\n")


def main(host: str, port: str, *certificate_and_key: str) -> None:
    context = None
    if certificate_and_key:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate_and_key)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with serve(echo, host, int(port), family=family, ssl=context, process_request=admit) as server:
        print(f"listening on {server.socket.getsockname()[1]}", flush=True)
        server.serve_forever()


main(*sys.argv[1:])
