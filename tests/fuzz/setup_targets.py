"""Builds the targets, each .pyx beside this file, into the folder that is the argument."""

import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

lib = Path(sys.argv[1])
setup(
    script_args=["-q", "build_ext", "--build-lib", str(lib), "--build-temp", str(lib / "temp")],
    ext_modules=cythonize(
        [
            Extension(
                source.stem, [str(source)], include_dirs=[str(ROOT / "parser")], libraries=["z"]
            )
            for source in sorted(HERE.glob("*.pyx"))
        ],
        build_dir=str(lib / "cython"),
        include_path=[str(HERE), str(ROOT / "src")],
        compiler_directives={"language_level": 3, "cdivision": True},
        quiet=True,
    ),
)
