"""The demo from beginning to end: set the stage, play the scenes, judge what was seen.

Nothing waits a fixed time.  That a server is watched is known when an attack on it comes back as
an alert; that nothing more will come, when an attack that was played last has come back.
"""

import asyncio
import secrets
import signal
import ssl
import string
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin

from sockwarden.cli.demo.audience import Audience, Performance, Verdict, judge
from sockwarden.cli.demo.errors import DemoError
from sockwarden.cli.demo.scenes import ATTACKS, END, ORDINARY, READY, Scene
from sockwarden.cli.demo.show import Show
from sockwarden.cli.demo.stage import Server, Stage, find_node

DAEMONS_START_SECONDS = 300  # longer than the probe may take to compile: it tells what failed
WATCHED_WITHIN_SECONDS = 120
TRY_SECONDS = 1.0
ALERT_WITHIN_SECONDS = 60
POLL_SECONDS = 0.1


class Playing:
    """Plays scenes on servers and remembers what was played."""

    def __init__(self, stage: Stage) -> None:
        self.performances: list[Performance] = []
        # Letters only: nothing in the path may look like a token and be masked.
        self.run = "/demo-" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(6))
        self._context = ssl.create_default_context(cafile=stage.certificate)

    def path(self, server: Server, scene: Scene) -> str:
        return f"{self.run}/{server.name.replace(' ', '-')}/{scene.name}"

    async def play(self, server: Server, scene: Scene) -> None:
        scheme, context = ("wss", self._context) if server.tls else ("ws", None)
        authority, path = f"127.0.0.1:{server.port}", self.path(server, scene)
        site = "https" if server.tls else "http"
        self.performances.append(
            Performance(server.name, scene.name, scene.rule, path, time.monotonic_ns())
        )
        try:
            async with connect(
                f"{scheme}://{authority}{path}",
                ssl=context,
                origin=Origin(scene.origin or f"{site}://{authority}"),
                compression="deflate" if scene.compressed else None,
                proxy=None,
            ) as connection:
                await scene.play(connection)
        except (OSError, WebSocketException) as error:
            raise DemoError(f"{server.name}: {scene.name} could not be played: {error}") from error


async def until(condition: Callable[[], Awaitable[bool]], stage: Stage, what: str) -> None:
    deadline = time.monotonic() + DAEMONS_START_SECONDS
    while not await condition():
        stage.check()
        if time.monotonic() > deadline:
            words = "\n".join(stage.last_words(name) for name in stage.daemons)
            raise DemoError(f"{what} took longer than {DAEMONS_START_SECONDS} s", words)
        await asyncio.sleep(POLL_SECONDS)


async def start_servers(stage: Stage, show: Show) -> None:
    python = [sys.executable, "-P", "-m", "sockwarden.cli.demo.server"]
    await stage.start_server("ws", python, tls=False)
    await stage.start_server("wss", python, tls=True)
    node = await find_node()
    if node is None:
        show.say("Node.js is left out: no `node` here that finds its `ws` package")
    else:
        script = str(Path(__file__).with_name("server.cjs"))
        await stage.start_server("wss node", [node, script], tls=True)
    listening = ", ".join(f"{one.name} on 127.0.0.1:{one.port}" for one in stage.servers)
    show.say(f"servers that know nothing of Sockwarden: {listening}")


async def start_daemons(stage: Stage, audience: Audience, show: Show) -> None:
    stage.start_collector()

    await until(audience.answered, stage, "the collector's start")
    show.say("the collector answers")
    stage.start_agent()

    async def connected() -> bool:
        return any(host.connected for host in await audience.hosts())

    await until(connected, stage, "the agent's start")
    for host in await audience.hosts():
        show.say(f"the agent on {host.hostname} is connected")
        for impairment in host.heartbeat.impairments:
            show.say(f"  it cannot do everything here: {impairment}")


async def wait_until_watched(stage: Stage, playing: Playing, audience: Audience) -> None:
    for server in stage.servers:
        path, deadline = playing.path(server, READY), time.monotonic() + WATCHED_WITHIN_SECONDS
        while True:
            await playing.play(server, READY)
            if await audience.sees(path, TRY_SECONDS):
                break
            stage.check()
            if time.monotonic() > deadline:
                raise DemoError(
                    f"the traffic of {server.name} is not seen", stage.last_words("agent")
                )


async def play_all(stage: Stage, playing: Playing, audience: Audience, show: Show) -> Verdict:
    """Ordinary traffic before and after each server's attacks."""
    playing.performances.clear()
    for server in stage.servers:
        show.say(f"{server.name}: ordinary traffic and attacks")
        attacks = [scene for scene in ATTACKS if not (server.tls and scene.plaintext_only)]
        for scene in (*ORDINARY, *attacks, *ORDINARY):
            await playing.play(server, scene)
    for server in stage.servers:
        await playing.play(server, END)
    for server in stage.servers:
        await audience.sees(playing.path(server, END), ALERT_WITHIN_SECONDS)
    stage.check()
    return judge(playing.performances, audience.arrivals)


def say_how_to_look_around(stage: Stage, show: Show) -> None:
    sockwarden = Path(sys.executable).with_name("sockwarden")
    collector = f"--collector {stage.query_address}"
    show.say("all is left running; in another terminal try")
    for what in ("alerts list", "alerts tail", "hosts", "stats"):
        show.say(f"  {sockwarden} {what} {collector}")
    show.say(f"  {sockwarden} watch")
    for server in stage.servers:
        if not server.tls:
            url = f"ws://127.0.0.1:{server.port}/ordinary"
            show.say(f"  {sys.executable} -m websockets {url}")
    show.say("Ctrl-C ends it")


async def interrupted() -> None:
    """Returns at Ctrl-C: what was judged before stays the result."""
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, event.set)
    await event.wait()


@asynccontextmanager
async def listening(stage: Stage, show: Show) -> AsyncIterator[Audience]:
    audience = Audience(stage.query_address, show.arrived)
    try:
        yield audience
    finally:
        await audience.close()


async def perform(*, keep: bool) -> bool:
    """True: each expected alert came, once, and no other.  SIGTERM ends it in order, too."""
    show = Show()
    if (whole := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, whole.cancel)
    async with Stage() as stage, listening(stage, show) as audience:
        await start_servers(stage, show)
        await start_daemons(stage, audience, show)
        async with asyncio.TaskGroup() as group:
            listener = group.create_task(audience.listen())
            playing = Playing(stage)
            show.expects(playing.run)
            await wait_until_watched(stage, playing, audience)
            show.say("every server is watched: an attack on each came back as an alert")
            verdict = await play_all(stage, playing, audience, show)
            show.others()
            show.verdict(verdict)
            if keep:
                say_how_to_look_around(stage, show)
                await interrupted()
            listener.cancel()
    return verdict.good
