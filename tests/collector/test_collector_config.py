"""The shipped configuration shows every default; what cannot work is refused in one line."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from sockwarden.collector import main
from sockwarden.collector.config import Config
from sockwarden.daemon.config import load

SHIPPED = Path(__file__).parents[2] / "packaging" / "conf" / "collector.toml"


def test_shipped_file_shows_every_key_with_its_default() -> None:
    assert load(SHIPPED, Config) == Config()
    shown = tomllib.loads(SHIPPED.read_text())
    known = msgspec.to_builtins(Config(), enc_hook=repr)
    assert {name: set(table) for name, table in shown.items()} == {
        name: set(table) for name, table in known.items()
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[listen]\nadress = 'x:1'", "listen.adress: unknown key"),
        ("[store]\nlimit_bytes = '1 KiB'", "store.limit_bytes: must be at least 1 MiB"),
        ("[limits]\nhosts = 0", "limits.hosts: "),
        ("[limits]\nsilence = '1ms'", "limits.silence: must be at least 1s"),
        ("", "listen.ca: not set, and 0.0.0.0:7443 needs TLS"),
        ("[listen]\ninsecure_loopback = true", "0.0.0.0:7443 is neither loopback"),
        ("[listen]\nca='/no'\ncertificate='/no'\nkey='/no'", "/no: cannot read the CA certificate"),
        ("[store]\nengine = 'papyrus'", "store.engine: there is no 'papyrus'; known: sqlite"),
    ],
)
def test_what_cannot_work_is_one_line(
    text: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "collector.toml"
    file.write_text(text)
    assert main.main(["--config", str(file), "--check-config"]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1


def test_what_works_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "collector.toml"
    file.write_text("[listen]\naddress = '127.0.0.1:7443'\ninsecure_loopback = true\n")
    assert main.main(["--config", str(file), "--check-config"]) == 0
    assert capsys.readouterr() == ("", "")
