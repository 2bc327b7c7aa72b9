"""The shipped configuration shows every default."""

import tomllib
from pathlib import Path

import msgspec

from sockwarden.collector.config import Config

SHIPPED = Path(__file__).parents[2] / "packaging" / "conf" / "collector.toml"


def test_shipped_file_shows_every_key_with_its_default() -> None:
    shown = tomllib.loads(SHIPPED.read_text())
    assert shown == msgspec.to_builtins(Config())
    assert msgspec.convert(shown, Config) == Config()
