"""Build steps that pyproject.toml cannot express: Cython modules and generated protobuf code.

A Cython module names its own libraries in `# distutils:` lines at its head.  What it chooses from
at run time, C code for one instruction set each, is in simd/MODULE_*.c beside it.
"""

import os
import shutil
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

SOURCE = Path("src")
PACKAGES = [
    "parser",
    "agent",
    "agent/rules",
    "agent/rules/detectors",
    "agent/decode",
    "agent/sources",
]


def extensions() -> list[Extension]:
    modules = [
        module
        for package in PACKAGES
        for module in sorted((SOURCE / "sockwarden" / package).glob("*.pyx"))
    ]
    headers = sorted(str(path) for top in ("parser", "agent") for path in Path(top).rglob("*.h"))
    return [
        Extension(
            ".".join(module.relative_to(SOURCE).with_suffix("").parts),
            [str(module), *map(str, sorted(module.parent.glob(f"simd/{module.stem}_*.c")))],
            include_dirs=["parser", "."],
            depends=headers,
            extra_compile_args=["-O3", "-fvisibility=hidden", "-Wno-unused-function"],
        )
        for module in modules
    ]


def generate_protobuf() -> None:
    """Writes the git-ignored `*_pb2*` files beside the protos; refuses on protoc's errors."""
    from grpc_tools import protoc  # noqa: PLC0415 -- the build requirement of build_py alone

    # In an isolated build the plugins are on PATH, in a plain venv beside the interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    plugins = [
        f"--plugin={name}={shutil.which(name, path=path)}"
        for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    wellknown = Path(protoc.__file__).with_name("_proto")
    protos = sorted(str(path) for path in (SOURCE / "sockwarden/proto/v1").glob("*.proto"))
    status = protoc.main(
        [
            "protoc",
            f"-I{SOURCE}",
            f"-I{wellknown}",
            *plugins,
            *(f"--{kind}_out={SOURCE}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")),
            *protos,
        ]
    )
    if status:
        sys.exit("protoc failed; see its message above")


class BuildWithProtobuf(build_py):
    def run(self) -> None:
        generate_protobuf()
        super().run()


class BuildExtensions(build_ext):
    """Compiles side by side, in place too (then with the protobuf code)."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.parallel = os.cpu_count()

    def run(self) -> None:
        if self.inplace:
            generate_protobuf()
        super().run()


setup(
    cmdclass={"build_py": BuildWithProtobuf, "build_ext": BuildExtensions},
    ext_modules=cythonize(
        extensions(),
        build_dir="build/cython",
        include_path=["src"],
        nthreads=os.cpu_count() or 1,
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
        },
    ),
)
