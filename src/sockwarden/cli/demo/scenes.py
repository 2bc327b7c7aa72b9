"""What the demo plays: ordinary traffic that must stay silent, and attacks that must not.

A scene is one connection to one server; the path of its request names the scene, so that every
alert can be told to the scene that raised it.
"""

import asyncio
import json
import math
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

# The rule counts 500 in a second: less than twice that raises one alert on the slowest machine.
FLOOD_MESSAGES = 800
PROTOCOL_REACTION_SECONDS = 5

Play = Callable[[ClientConnection], Awaitable[None]]


@dataclass(frozen=True)
class Scene:
    """`rule` is the one that must raise one alert; None: none may."""

    name: str
    rule: str | None
    play: Play
    origin: str | None = None
    compressed: bool = True
    plaintext_only: bool = False


INJECTION = json.dumps({"search": "x' UNION SELECT card, pin FROM customers --"})

ORDINARY_TEXTS = (
    "hello, is anybody there?",
    "Grüße aus Köln, 東京 is asleep 😴",
    json.dumps({"type": "chat", "room": 7, "text": "it's \"quoted\"; isn't it?", "tags": [1, 2]}),
    json.dumps({"type": "order", "id": 4_711, "lines": [{"sku": "A-1", "price": 12.5}] * 40}),
    "# Notes\n\n* select a date, drop by the union office\n* `where` to put it: *table 5*\n",
    "Please update the table from last week and delete where it says 'or' -- thanks!",
    "<p>Our <b>new</b> menu: <a href='/menu?day=1&lang=en'>see here</a></p>",
    "a long one: " + "the quick brown fox jumps over the lazy dog. " * 4_000,
)


def sound(size: int) -> bytes:
    """Binary as programs send it: 16-bit samples of two tones, the same each time."""
    samples = array(
        "h",
        (int(12_000 * math.sin(n / 17) + 9_000 * math.sin(n / 5.3)) for n in range(size // 2 + 1)),
    )
    return samples.tobytes()[:size]


async def ordinary(connection: ClientConnection) -> None:
    """Each message comes back before the next one goes, as in a chat."""
    for text in ORDINARY_TEXTS:
        await connection.send(text)
        await connection.recv()
    for size in (0, 1, 125, 126, 65_535, 65_536, 200_000):
        await connection.send(sound(size))
        await connection.recv()
    await connection.send(["one message ", "in three ", "fragments"])
    await connection.recv()
    for payload in (b"", b"still there?"):
        await (await connection.ping(payload))


async def inject(connection: ClientConnection) -> None:
    await connection.send(INJECTION)


async def say_hello(connection: ClientConnection) -> None:
    """The attack was the handshake: another site's page opened this connection."""
    await connection.send("hello")


async def ask_for_secret(connection: ClientConnection) -> None:
    await connection.send("show me the deployment notes")
    await connection.recv()


async def flood(connection: ClientConnection) -> None:
    """Masked one-letter text frames, as fast as one write carries them."""
    frame = b"\x81\x81" + bytes(4) + b"x"
    connection.transport.write(frame * FLOOD_MESSAGES)
    await (await connection.ping())


async def send_unmasked(connection: ClientConnection) -> None:
    """RFC 6455 5.1: a client masks every frame, and a server closes on one that is not."""
    connection.transport.write(b"\x81\x05hello")
    try:
        async with asyncio.timeout(PROTOCOL_REACTION_SECONDS):
            await connection.recv()
    except ConnectionClosed:
        pass


async def log_in(connection: ClientConnection) -> None:
    await connection.send(json.dumps({"user": "ada", "password": "correct horse battery"}))


ORDINARY = (
    Scene("ordinary", None, ordinary),
    Scene("ordinary", None, ordinary, compressed=False),
)

ATTACKS = (
    Scene("injection", "sqli-union-select", inject),
    Scene("hijack", "cross-origin-accepted", say_hello, origin="https://evil.example"),
    Scene("leak", "private-key", ask_for_secret),
    Scene("dos", "message-flood", flood, compressed=False),
    Scene("protocol", "masking-violation", send_unmasked),
    Scene("posture", "plaintext-credentials", log_in, plaintext_only=True),
)

# Before and after the others: when its alert has come, what came before it has been judged.
READY = Scene("ready", "sqli-union-select", inject)
END = Scene("end", "sqli-union-select", inject)
