"""The commented example is the manual of the defaults, and unsafe settings are refused."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from sockwarden.agent.config import Config, read
from sockwarden.daemon.config import ConfigError, parse

EXAMPLE = Path(__file__).parents[2] / "packaging/conf/agent.toml"


def test_example_equals_the_defaults() -> None:
    assert read(EXAMPLE) == Config()


def test_example_shows_every_key() -> None:
    shown = tomllib.loads(EXAMPLE.read_text())
    for section in msgspec.structs.fields(Config):
        table = getattr(Config(), section.name)
        assert set(shown[section.name]) == {f.name for f in msgspec.structs.fields(type(table))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[capture]\nring_bytes = "17 MiB"', "capture.ring_bytes: must be a power of two"),
        ('[agent]\nname = "a b"', "agent.name: expected letters"),
        ('[agent]\nstate_directory = "var"', "agent.state_directory: must be an absolute path"),
        ("[parser]\nconnections = 0", "parser.connections: expected int >= 16"),
        ('[spool]\nsegment_bytes = "1 GiB"', "spool.segment_bytes: must be between"),
        ('[uplink]\ncollectors = ["c.example:7443"]', "uplink.ca: is required"),
        (
            '[uplink]\ncollectors = ["c.example:7443"]\ninsecure_loopback = true',
            "uplink.insecure_loopback: allowed only where every collector is on loopback",
        ),
        ('[uplink]\ncollectors = ["c.example:0"]', "uplink.collectors: c.example:0: needs a port"),
        ('[metrics]\nlisten = "nowhere"', "metrics.listen: expected an address"),
        ('[log]\nlevel = "loud"', "log.level: invalid enum value"),
    ],
)
def test_bad_setting_is_refused_by_name(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match="^a.toml: " + re.escape(expected)):
        parse(text.encode(), Config, "a.toml")


def test_plaintext_is_allowed_on_loopback_when_asked_for() -> None:
    text = b'[uplink]\ncollectors = ["127.0.0.1:7443"]\ninsecure_loopback = true'
    assert parse(text, Config, "a.toml").uplink.insecure_loopback


def test_name_falls_back_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "db-7.example")
    assert Config().name == "db-7.example"
    monkeypatch.setattr("socket.gethostname", lambda: "bad host")
    with pytest.raises(ConfigError, match=r"^agent\.name: "):
        _ = Config().name
