"""systemd takes the units as they are written."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"


@pytest.mark.parametrize("daemon", ["agent", "collector"])
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit(daemon: str, tmp_path: Path) -> None:
    """The command is not installed here, so the unit is checked with one that is."""
    text = (UNITS / f"sockwarden-{daemon}.service").read_text()
    assert f"ExecStart=/usr/bin/sockwarden {daemon} --config /etc/sockwarden/{daemon}.toml" in text
    unit = tmp_path / f"sockwarden-{daemon}.service"
    unit.write_text(text.replace("/usr/bin/sockwarden", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0


def test_only_the_helper_keeps_capabilities() -> None:
    collector = (UNITS / "sockwarden-collector.service").read_text().splitlines()
    assert "User=sockwarden" in collector
    assert "CapabilityBoundingSet=" in collector
