"""Echoes with asyncio's streams:  python asynchronous.py HOST PORT [CERTIFICATE KEY]"""

import asyncio
import ssl
import sys

from websockets.asyncio.server import ServerConnection, serve


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def main(host: str, port: str, *certificate_and_key: str) -> None:
    context = None
    if certificate_and_key:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate_and_key)
    # No pings: a test may leave its client alone for as long as the probe takes to start.
    async with serve(echo, host, int(port), ssl=context, ping_interval=None) as server:
        print(f"listening on {next(iter(server.sockets)).getsockname()[1]}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(*sys.argv[1:]))
