"""A WebSocket server for the demo that knows nothing of Sockwarden.

    python -m sockwarden.cli.demo.server SECRET_FILE [CERTIFICATE KEY]

It prints its port on 127.0.0.1 and serves until its standard input closes, so that it never
outlives the demo.  The last part of the request's path says what it does with a message:
`ordinary` sends it back, `leak` answers with the secret file, anything else takes it silently.
With a certificate and key it speaks TLS, by asyncio's `ssl` on OpenSSL.
"""

import asyncio
import ssl
import sys
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve


async def serve_until_input_closes(secret: str, context: ssl.SSLContext | None) -> None:
    async def answer(connection: ServerConnection) -> None:
        path = connection.request.path if connection.request else ""
        action = path.rpartition("/")[2]
        async for message in connection:
            if action == "ordinary":
                await connection.send(message)
            elif action == "leak":
                await connection.send(secret)

    async with serve(answer, "127.0.0.1", 0, ssl=context) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main(secret_file: str, *certificate_and_key: str) -> None:
    context = None
    if certificate_and_key:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate_and_key)
    asyncio.run(serve_until_input_closes(Path(secret_file).read_text(), context))


if __name__ == "__main__":
    main(*sys.argv[1:])
