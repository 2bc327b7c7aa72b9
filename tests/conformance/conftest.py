"""Makes the case tables, and the parser's `oracle` and `wire`, importable by the tests here."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "parser")]
