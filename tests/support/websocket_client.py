"""A WebSocket client for plain code, on one thread and one loop."""

import asyncio
import ssl
from typing import Any, Self

from patience import patient
from websockets.asyncio.client import connect as connect_soon


def anyone() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    """A client for plain code, on one thread: before 3.13 Python's ssl does not guard one
    thread that reads while another writes, which websockets' own synchronous client does."""

    def __init__(self, url: str, **options: Any) -> None:
        async def connected() -> Any:
            return await connect_soon(url, **options)

        self._loop = asyncio.Runner()
        try:
            self._connection = self._loop.run(connected())
        except BaseException:
            self._loop.close()
            raise
        self.local_address = self._connection.local_address

    def send(self, message: Any, **options: Any) -> None:
        self._loop.run(self._connection.send(message, **options))

    def ping(self) -> None:
        """And waits for the pong."""

        async def answered() -> None:
            await asyncio.wait_for(await self._connection.ping(), patient(5))

        self._loop.run(answered())

    def recv(self, timeout: float | None = None) -> Any:
        return self._loop.run(asyncio.wait_for(self._connection.recv(), timeout))

    def close(self) -> None:
        try:
            self._loop.run(self._connection.close())
        finally:
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def opened(
    port: int, target: str, *, tls: bool = True, host: str = "127.0.0.1", deflate: bool = True
) -> Client:
    shown = f"[{host}]" if ":" in host else host
    return Client(
        f"{'wss' if tls else 'ws'}://{shown}:{port}{target}",
        ssl=anyone() if tls else None,
        compression="deflate" if deflate else None,
        proxy=None,
        open_timeout=patient(10),
    )


def address(connection: Client) -> str:
    host, port = connection.local_address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
