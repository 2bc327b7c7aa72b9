"""Real peers over real sockets: what they say that they sent and received is what is told.

A relay between them writes down what passes, in its order; that becomes a capture.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from captures import Conversation, capture
from case import CLIENT, SERVER, Line, Peer
from lines import analyze
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

WORDS = "the quick brown fox jumps over the lazy dog; Δ€😀 " * 30
MESSAGES: list[str | bytes | list[str]] = [
    "", "Hello", b"\x00\xff" * 5000, WORDS, ["in ", "", "three"], b"", "x" * 200_000, WORDS,
]  # fmt: skip
SEGMENT_BYTES = 1448


@asynccontextmanager
async def relay(port: int, talk: Conversation) -> AsyncIterator[int]:
    """Passes both directions on, one piece at a time."""

    async def pump(
        direction: int, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(65_536):
            talk.send(direction, data)
            sink.write(data)
            await sink.drain()
        sink.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours, theirs = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(0, reader, theirs), pump(1, ours, writer))
        done.set()

    done = asyncio.Event()
    talk.open()
    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(done.wait(), 10)
    talk.close()


def lines_of(peer: Peer, packed: bool) -> list[Line]:
    lines = []
    for message in MESSAGES:
        parts = message if isinstance(message, list) else [message]
        payload = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
        opcode = 2 if isinstance(message, bytes) else 1
        # `websockets` ends a message of several fragments with an empty one
        fragments = len(parts) + (len(parts) > 1)
        lines.append(peer.message(opcode, payload, fragments, packed=packed))
    return lines


async def converse(
    play: Callable[[ClientConnection], Awaitable[None]],
    answer: Callable[[ServerConnection], Awaitable[None]],
    bits: int | None,
    keeps: tuple[bool, bool],
) -> Conversation:
    client_extensions = server_extensions = None
    if bits is not None:
        client_extensions = [ClientPerMessageDeflateFactory(not keeps[1], not keeps[0], bits, bits)]
        server_extensions = [ServerPerMessageDeflateFactory(not keeps[1], not keeps[0], bits, bits)]
    talk = Conversation(segment=SEGMENT_BYTES)
    async with (
        serve(answer, "127.0.0.1", 0, compression=None, extensions=server_extensions) as server,
        relay(next(iter(server.sockets)).getsockname()[1], talk) as port,
        connect(
            f"ws://127.0.0.1:{port}/peers", compression=None, extensions=client_extensions,
            proxy=None,
        ) as client,
    ):  # fmt: skip
        await play(client)
    return talk


@pytest.mark.parametrize(
    ("bits", "keeps"),
    [(None, (True, True))]
    + [(bits, (True, True)) for bits in range(9, 16)]
    + [
        (bits, keeps)
        for bits in (9, 15)
        for keeps in ((False, False), (True, False), (False, True))
    ],
)
async def test_an_echo_of_every_kind(
    tmp_path: Path, bits: int | None, keeps: tuple[bool, bool]
) -> None:
    async def play(client: ClientConnection) -> None:
        for message in MESSAGES:
            await client.send(message)
        await (await client.ping(b"are you there?"))
        for _ in MESSAGES:
            await client.recv()

    async def answer(server: ServerConnection) -> None:
        received = [await server.recv() for _ in MESSAGES]
        assert received[3] == WORDS
        for message in MESSAGES:
            await server.send(message)
        await server.wait_closed()

    talk = await converse(play, answer, bits, keeps)
    path = tmp_path / "capture"
    path.write_bytes(capture(talk.packets))
    opened, *lines, counters = analyze(path)
    assert opened["path"] == "/peers"
    assert (opened["extensions"] is not None) == (bits is not None)
    assert counters["lost"] == {}
    assert counters["messages"] == 2 * len(MESSAGES)
    for line in lines:
        del line["conn"]
    packed = bits is not None
    by_kind = [
        [line for line in lines if line["dir"] == peer.name and line["type"] == kind]
        for kind in ("message", "control", "anomaly")
        for peer in (CLIENT, SERVER)
    ]
    assert by_kind == [
        lines_of(CLIENT, packed),
        lines_of(SERVER, packed),
        [CLIENT.control(9, 14), CLIENT.control(8, 2, 1000)],
        [SERVER.control(10, 14), SERVER.control(8, 2, 1000)],
        [],
        [],
    ]
