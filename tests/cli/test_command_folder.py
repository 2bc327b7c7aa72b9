"""The group finds its command modules and imports only the one that is run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import sockwarden
from sockwarden import cli


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cli, "_FOLDER", tmp_path)
    return tmp_path


def test_help_shows_commands_without_importing_them(folder: Path) -> None:
    (folder / "one.py").write_text('raise RuntimeError\ndef command():\n    """Does one."""\n')
    (folder / "two").mkdir()
    (folder / "two" / "__init__.py").write_text('"""Does two."""\ncommand = object()\n')
    (folder / "helper.py").write_text('"""No command."""\ndef run(): ...\n')
    (folder / "_private.py").write_text('def command():\n    """Hidden."""\n')
    shown = CliRunner().invoke(cli.main, ["--help"])
    assert shown.exit_code == 0
    assert "Does one." in shown.output
    assert "Does two." in shown.output
    assert "helper" not in shown.output
    assert "Hidden" not in shown.output


def test_unknown_command_and_helper_modules_are_bad_usage(folder: Path) -> None:
    (folder / "helper.py").write_text("value = 1\n")
    for name in ("helper", "nothing"):
        refused = CliRunner().invoke(cli.main, [name])
        assert refused.exit_code == 2
        assert "No such command" in refused.output


def test_version() -> None:
    shown = CliRunner().invoke(cli.main, ["--version"])
    assert shown.output == f"sockwarden, version {sockwarden.__version__}\n"


def test_help_loads_no_heavy_library() -> None:
    script = (
        "import json, sys\n"
        "from sockwarden.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(json.dumps([m for m in ('grpc', 'rich', 'google.protobuf') if m in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert "collector" in done.stdout


@pytest.mark.parametrize("daemon", ["agent", "collector"])
def test_daemon_commands_hand_over_all_arguments(
    daemon: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _program, argv: seen.append(argv))
    done = CliRunner().invoke(cli.main, [daemon, "--config", "F", "--check-config", "--help"])
    assert done.exit_code == 0
    assert seen[0][1:] == [
        "-P", "-m", f"sockwarden.{daemon}", "--config", "F", "--check-config", "--help",
    ]  # fmt: skip
