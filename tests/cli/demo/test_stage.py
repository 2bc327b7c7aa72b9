"""The demo's servers do what the scenes expect, and nothing of the stage outlives it."""

import asyncio
import os
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwarden.cli.demo.errors import DemoError
from sockwarden.cli.demo.perform import Playing, start_servers
from sockwarden.cli.demo.scenes import ATTACKS, ORDINARY, Scene
from sockwarden.cli.demo.show import Show
from sockwarden.cli.demo.stage import Stage, toml

VALUES = st.one_of(
    st.booleans(),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    st.lists(st.text("abc:/.\"'\\", max_size=5), max_size=3),
)
NAMES = st.text("abc_", min_size=1, max_size=6)


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=3))
def test_configuration_is_read_as_it_was_meant(tables: dict[str, dict[str, object]]) -> None:
    assert tomllib.loads(toml(tables)) == tables


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_every_scene_plays_on_every_server_and_all_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with Stage() as stage:
        await start_servers(stage, Show())
        assert {"ws", "wss"} <= {server.name for server in stage.servers}
        playing = Playing(stage)
        for server in stage.servers:
            for scene in (*ORDINARY, *ATTACKS):
                await playing.play(server, scene)
        assert len(playing.performances) == len(stage.servers) * (len(ORDINARY) + len(ATTACKS))
        assert len({one.path for one in playing.performances}) == len(stage.servers) * 7
        pids, folder = stage.pids, stage.folder
        assert all(map(alive, pids))
    assert not any(map(alive, pids))
    assert not folder.exists()
    assert "127.0.0.1:" in capsys.readouterr().out


async def test_a_server_that_is_gone_is_named() -> None:
    async def nothing(_connection: object) -> None: ...

    async with Stage() as stage:
        server = await stage.start_server(
            "ws", [sys.executable, "-m", "sockwarden.cli.demo.server"], tls=False
        )
        playing, scene = Playing(stage), Scene("quiet", None, nothing)
        await playing.play(server, scene)
        stage.stop()
        with pytest.raises(DemoError, match="ws: quiet could not be played"):
            await playing.play(server, scene)


async def check_for_ever(stage: Stage) -> None:
    async with asyncio.timeout(10):
        while True:
            stage.check()
            await asyncio.sleep(0.01)


async def test_a_process_that_ends_too_early_is_reported_with_its_last_words() -> None:
    async with Stage() as stage:
        with pytest.raises(DemoError, match="wss did not start") as failed:
            await stage.start_server(
                "wss", [sys.executable, "-c", "raise SystemExit('no tune today')"], tls=True
            )
        assert failed.value.log == "no tune today"
        with pytest.raises(DemoError, match="wss ended with status 1"):
            await check_for_ever(stage)


def test_the_key_is_for_root_alone() -> None:
    stage = Stage()
    try:
        assert stage.key.stat().st_mode & 0o077 == 0
        assert stage.folder.stat().st_mode & 0o777 == 0o711
        assert Path(stage.certificate).read_text().startswith("-----BEGIN CERTIFICATE")
    finally:
        stage.stop()
