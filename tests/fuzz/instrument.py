"""Builds into build/fuzz, where it is stale: the package and the targets, instrumented.

The package is built by setup.py as ever, but by `cc`, a clang with AddressSanitizer,
UndefinedBehaviorSanitizer and libFuzzer's coverage.  Its Python files are copied beside.  One
executable, made of harness.c, holds libFuzzer and a Python; each target is a module that it loads.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILT = ROOT / "build/fuzz"
PACKAGE = BUILT / "package"
TARGETS = BUILT / "targets"
HARNESS = BUILT / "harness"

CC = str(HERE / "cc")
ENVIRONMENT = os.environ | {"CC": CC, "LDSHARED": f"{CC} -shared", "CFLAGS": ""}


def build_package() -> None:
    where = ["--build-lib", str(PACKAGE), "--build-temp", str(BUILT / "temp")]
    call([sys.executable, "setup.py", "-q", "build_ext", *where])
    shutil.copytree(
        ROOT / "src/sockwarden",
        PACKAGE / "sockwarden",
        ignore=shutil.ignore_patterns("*.so", "*.pyx", "*.c", "__pycache__"),
        dirs_exist_ok=True,
    )


def build_targets() -> None:
    call([sys.executable, str(HERE / "setup_targets.py"), str(TARGETS)])


def build_harness() -> None:
    if HARNESS.exists() and HARNESS.stat().st_mtime >= (HERE / "harness.c").stat().st_mtime:
        return
    version = sysconfig.get_config_var("LDVERSION")
    call(
        [
            CC, str(HERE / "harness.c"), "-o", str(HARNESS), "-rdynamic",
            f"-I{sysconfig.get_path('include')}", f"-L{sysconfig.get_config_var('LIBDIR')}",
            f"-lpython{version}",
        ],
        FUZZ_ENGINE="fuzzer",
    )  # fmt: skip


def build() -> None:
    """Raises SystemExit with the compiler's words."""
    BUILT.mkdir(parents=True, exist_ok=True)
    build_package()
    build_targets()
    build_harness()


def call(command: list[str], **environment: str) -> None:
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT | environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")


if __name__ == "__main__":
    build()
