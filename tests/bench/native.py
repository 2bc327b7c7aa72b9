"""Builds consumer.pyx into build/bench, against the parser that is installed, where it is stale."""

import importlib.util
import sysconfig
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
BUILT = HERE.parents[1] / "build" / "bench"


def is_current(built: Path, parser: Path) -> bool:
    """The consumer holds the parser's structs: it is as old as their layout."""
    if not built.exists():
        return False
    sources = [HERE / "consumer.pyx", *parser.glob("*.pxd"), *parser.glob("*.so")]
    return all(source.stat().st_mtime <= built.stat().st_mtime for source in sources)


def build(parser: Path) -> None:
    from Cython.Build import cythonize  # noqa: PLC0415 -- seconds, and seldom needed
    from setuptools import Distribution, Extension  # noqa: PLC0415

    extension = Extension(
        "consumer",
        [str(HERE / "consumer.pyx")],
        include_dirs=[str(parser)],
        extra_compile_args=["-O3", "-Wno-unused-function"],
    )
    modules = cythonize(
        [extension],
        build_dir=str(BUILT),
        include_path=[str(parser.parents[1])],
        compiler_directives={"language_level": 3, "cdivision": True},
        force=True,
        quiet=True,
    )
    distribution = Distribution({"ext_modules": modules})
    command = distribution.get_command_obj("build_ext")
    command.build_lib = str(BUILT)
    command.build_temp = str(BUILT / "temp")
    command.force = True
    distribution.run_command("build_ext")


def consumer() -> ModuleType:
    """The compiled consumer."""
    found = importlib.util.find_spec("sockwarden.parser")
    if found is None or found.origin is None:
        raise SystemExit("sockwarden is not installed in this Python; run `make test` first")
    parser = Path(found.origin).parent
    built = BUILT / f"consumer{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not is_current(built, parser):
        build(parser)
    spec = importlib.util.spec_from_file_location("consumer", built)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{built} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
