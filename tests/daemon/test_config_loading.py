"""Each way in which a configuration can be wrong gives one line: file, key, reason."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwarden.daemon.config import (
    Address,
    ConfigError,
    Duration,
    Section,
    Size,
    load,
    parse,
    require,
)


class Part(Section, frozen=True):
    size: Size = Size(4096)
    wait: Duration = Duration(10**9)
    address: Address = Address("localhost:1")
    flag: bool = False

    def __post_init__(self) -> None:
        require(self.size >= 16, "size", "must be at least 16 bytes")


class Whole(Section, frozen=True):
    part: Part = Part()


def read(text: str) -> Whole:
    return parse(text.encode(), Whole, "x.toml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[part]\nsyze = 1", "x.toml: part.syze: unknown key"),
        ("other = 1", "x.toml: other: unknown key"),
        ("[part]\nflag = 1", "x.toml: part.flag: expected bool, got int"),
        ("part = 1", "x.toml: part: expected a table, got int"),
        ("[part]\nsize = 15", "x.toml: part.size: must be at least 16 bytes"),
        ("[part]\nsize = true", 'x.toml: part.size: expected bytes as in 65536 or "64 KiB"'),
        ('[part]\nsize = "4 kb"', 'x.toml: part.size: expected bytes as in 65536 or "64 KiB"'),
        (
            "[part]\nwait = 5",
            'x.toml: part.wait: expected a duration as in "500ms", "10s", "5min", "2h" or "30d"',
        ),
        ("[part]\n\nflag = no", "x.toml:3:8: not TOML: invalid value"),
        ('"a\\nb" = 1', "x.toml: a\\nb: unknown key"),
    ],
)
def test_error_names_file_key_and_reason(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(text)
    assert str(error.value) == expected


def test_sizes_and_durations_carry_their_units() -> None:
    part = read('[part]\nsize = "64 KiB"\nwait = "500ms"').part
    assert part.size == 65_536
    assert part.wait == 500_000_000


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:7443", True),
        ("127.9.9.9:1", True),
        ("[::1]:7443", True),
        ("localhost:7443", True),
        ("unix:/run/x.sock", True),
        ("0.0.0.0:7443", False),
        ("[::]:7443", False),
        ("collector.example:7443", False),
        ("localhost.example:7443", False),
    ],
)
def test_address_knows_whether_it_stays_on_this_host(address: str, local: bool) -> None:
    assert Address.parse(address).is_local is local


@pytest.mark.parametrize("address", ["host", "host:", "host:70000", "unix:x", "::1:443", "a b:1"])
def test_address_that_cannot_be_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"^x\.toml: part\.address: expected "):
        read(f'[part]\naddress = "{address}"')


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot read the configuration: No such"):
        load(tmp_path / "none.toml", Whole)


def test_text_that_is_not_utf8_is_placed_by_line() -> None:
    with pytest.raises(ConfigError, match=r"^x\.toml:2: not UTF-8"):
        parse(b"[part]\n# \xff\n", Whole, "x.toml")


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_give_a_value_or_one_line(raw: bytes) -> None:
    line = ""
    try:
        parse(raw, Whole, "x.toml")
    except ConfigError as error:
        line = str(error)
    assert len(line.splitlines()) <= 1
