"""The command line of both daemons: --config, --check-config, --version.

What is wrong with it is one line on stderr and exit status 2.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import sockwarden

STATUS_BAD_USAGE = 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}; see {self.prog} --help\n")
        sys.exit(STATUS_BAD_USAGE)


class Options(argparse.Namespace):
    config: Path
    check_config: bool


def parse(program: str, description: str, config: Path, arguments: Sequence[str] | None) -> Options:
    """`config` is the file that is read where none is named."""
    parser = _Parser(prog=program, description=description)
    parser.add_argument(
        "--config", type=Path, default=config, metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument(
        "--check-config", action="store_true", help="judge the configuration and exit"
    )
    parser.add_argument(
        "--version", action="version", version=f"sockwarden {sockwarden.__version__}"
    )
    return parser.parse_args(arguments, namespace=Options())
