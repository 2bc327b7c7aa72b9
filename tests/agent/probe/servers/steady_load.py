"""Serves ws, wss and HTTPS to itself as fast as it can:  steady_load.py CERTIFICATE KEY

Prints a line of JSON every so often, and a last one once its input ends: what was exchanged of each
kind, and every request that failed or whose answer was another one.  Threads also wait in SSL_read
for most of the time, as those of blocking servers do.
"""

import asyncio
import hashlib
import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

CLIENTS = 3
SIZES = (1, 125, 70_000, 0, 4_000)
REPORT_SECONDS = 0.05

exchanged: Counter[str] = Counter()
failed: list[str] = []
over = threading.Event()


def answer(path: str) -> bytes:
    """Long, and another one for each path."""
    return hashlib.shake_128(path.encode()).digest(20_000)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = answer(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def repeat(kind: str, once: Callable[[], bool]) -> None:
    try:
        while not over.is_set():
            if once():
                exchanged[kind] += 1
            else:
                failed.append(f"{kind}: another answer")
    except Exception as error:
        failed.append(f"{kind}: {error!r}")


def ask_https(port: int, context: ssl.SSLContext) -> None:
    client = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)

    def once() -> bool:
        path = f"/{threading.get_ident()}/{exchanged['https']}"
        client.request("GET", path)
        return client.getresponse().read() == answer(path)

    repeat("https", once)
    client.close()


def wait_in_read(server: ssl.SSLSocket, client: ssl.SSLSocket) -> None:
    def once() -> bool:
        time.sleep(0.02)
        sent = os.urandom(9)
        server.sendall(sent)
        return echoes.recv(9) == sent

    echoes, ours = socket.socketpair()

    def read() -> None:
        while data := client.recv(9):
            ours.sendall(data)

    threading.Thread(target=read, daemon=True).start()
    repeat("waiting", once)


async def ask(kind: str, port: int, context: ssl.SSLContext | None) -> None:
    scheme = "wss" if context else "ws"
    try:
        async with connect(
            f"{scheme}://localhost:{port}/{kind}", ssl=context, proxy=None
        ) as client:
            while not over.is_set():
                message = os.urandom(SIZES[exchanged[kind] % len(SIZES)])
                await client.send(message)
                if await asyncio.wait_for(client.recv(), 30) != message:
                    failed.append(f"{kind}: another answer")
                exchanged[kind] += 1
    except Exception as error:
        failed.append(f"{kind}: {error!r}")


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def report() -> None:
    print(json.dumps({"exchanged": exchanged, "failed": failed}), flush=True)


async def main(certificate: str, key: str) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    asking = ssl.create_default_context(cafile=certificate)
    https = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    https.socket = serving.wrap_socket(https.socket, server_side=True)
    threads = [
        threading.Thread(target=ask_https, args=(https.server_port, asking)) for _ in range(CLIENTS)
    ]
    threading.Thread(target=https.serve_forever, daemon=True).start()
    for _ in range(CLIENTS):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            plain = socket.create_connection(listener.getsockname())
            accepted, _ = listener.accept()
        server = asyncio.to_thread(serving.wrap_socket, accepted, server_side=True)
        client = asyncio.to_thread(asking.wrap_socket, plain, server_hostname="localhost")
        pair = await asyncio.gather(server, client)
        threads.append(threading.Thread(target=wait_in_read, args=pair))
    for thread in threads:
        thread.start()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    options = {"ping_interval": None, "max_size": None}
    async with (
        serve(echo, "127.0.0.1", 0, **options) as ws,
        serve(echo, "127.0.0.1", 0, ssl=serving, **options) as wss,
    ):
        ports = [server.sockets[0].getsockname()[1] for server in (ws, wss)]
        clients = [ask("ws", ports[0], None) for _ in range(CLIENTS)]
        clients += [ask("wss", ports[1], asking) for _ in range(CLIENTS)]
        talking = asyncio.gather(*clients)
        while not talking.done():
            report()
            await asyncio.wait([talking], timeout=REPORT_SECONDS)
    for thread in threads:
        await asyncio.to_thread(thread.join)
    report()


asyncio.run(main(*sys.argv[1:]))
