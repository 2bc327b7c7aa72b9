"""Every target runs for a short time, and again over the bytes of each bug that was found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORPUS = ROOT / "tests/corpus"
SECONDS = 30
NAMES = sorted(path.stem for path in HERE.glob("*.pyx"))


def run(*arguments: str, seconds: int = SECONDS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HERE / "run.py"), *arguments],
        env=os.environ | {"FUZZ_SECONDS": str(seconds)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_target_finds_anything() -> None:
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert sorted(results) == NAMES
    for name, result in results.items():
        assert result["executions"] > 0, name
        assert result["findings"] == 0, name


@pytest.mark.parametrize("name", [path.name for path in sorted(CORPUS.iterdir())])
def test_what_was_found_once_is_mended(name: str) -> None:
    files = sorted(map(str, (CORPUS / name).iterdir()))
    assert files
    done = run("replay", name, *files)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\nExecuted ") == len(files)
