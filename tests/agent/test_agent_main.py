"""`python -m sockwarden.agent`: what it accepts, and how it says what it does not."""

import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sockwarden.agent.main import prepare_state

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def agent(*arguments: str | Path, user: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sockwarden.agent", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        user=user,
    )


def config(directory: Path, text: str) -> Path:
    path = directory / "agent.toml"
    path.write_text(text)
    return path


def test_a_good_configuration(tmp_path: Path) -> None:
    result = agent("--check-config", "--config", config(tmp_path, "[capture]\ntls = false\n"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[capture]\ntlss = false\n", "capture.tlss: unknown key"),
        ("x = = 1", "agent.toml:1:5: not TOML"),
    ],
)
def test_a_bad_configuration_is_one_line(tmp_path: Path, text: str, reason: str) -> None:
    result = agent("--config", config(tmp_path, text))
    assert result.returncode == 2
    assert reason in result.stderr
    assert result.stderr.startswith("sockwarden agent: ")
    assert result.stderr.count("\n") == 1


def test_a_missing_configuration(tmp_path: Path) -> None:
    result = agent("--config", tmp_path / "none.toml")
    assert result.returncode == 2
    assert "none.toml" in result.stderr


@pytest.mark.parametrize("user", [None, NOBODY.pw_uid])
def test_what_cannot_start_is_one_line(tmp_path: Path, user: int | None) -> None:
    text = f"""
        [agent]
        state_directory = "{tmp_path}/state"
        [capture]
        sockets = false
        tls = false
    """
    path = config(tmp_path, text)
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    result = agent("--config", path, user=user)
    assert result.returncode == 2
    expected = "nothing is left to watch" if user is None else "needs root"
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '[uplink]\ncollectors = ["[::1]:1"]\nca = "/none"\ncertificate = "/c"\nkey = "/k"\n',
            "/none: cannot read the CA certificate: No such file",
        ),
    ],
)
def test_a_check_reads_what_a_start_reads(tmp_path: Path, text: str, reason: str) -> None:
    result = agent("--check-config", "--config", config(tmp_path, text))
    assert result.returncode == 2
    assert reason in result.stderr
    assert result.stderr.startswith("sockwarden agent: ")
    assert result.stderr.count("\n") == 1


def test_bad_usage_is_one_line() -> None:
    result = agent("--confg", "x")
    assert result.returncode == 2
    said = "sockwarden agent: unrecognized arguments: --confg x; see sockwarden agent --help\n"
    assert result.stderr == said


@as_root
def test_the_state_directory_is_the_agents_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    prepare_state(state, "no-such-user")
    assert (state.stat().st_uid, stat.S_IMODE(state.stat().st_mode)) == (NOBODY.pw_uid, 0o700)
    state.chmod(0o777)
    os.chown(state, 0, 0)
    prepare_state(state, "no-such-user")
    assert (state.stat().st_uid, stat.S_IMODE(state.stat().st_mode)) == (NOBODY.pw_uid, 0o700)


@as_root
def test_a_link_is_no_state_directory(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "etc")
    with pytest.raises(OSError, match="state"):
        prepare_state(tmp_path / "state", "no-such-user")
    assert (tmp_path / "etc").stat().st_uid == 0
