"""Nothing in the programs is newer than Linux 5.15: so they need no second form for it.

A kernel refuses a program that calls a helper it does not know, and a map of a kind it does not
know.  Both are told from the compiled programs themselves.  What is newer needs a form without it,
and this test with that form.
"""

import json
import os
import struct
import subprocess
import sys
from textwrap import dedent
from typing import Any

import pytest

from sockwarden.agent.probe import programs

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="making maps needs root"),
]

# linux/bpf.h as of 5.15: the last helper and the last kind of map.
LAST_HELPER = 175  # BPF_FUNC_task_pt_regs
LAST_MAP = 29  # BPF_MAP_TYPE_TASK_STORAGE
INSTRUCTION = struct.Struct("<BBhi")  # code, registers, offset, immediate
CALL = 0x85  # BPF_JMP | BPF_CALL
PSEUDO_CALL, PSEUDO_KFUNC_CALL = 1, 2  # in the source register: no helper

COMPILE = """
    import ctypes, json, sys
    from sockwarden.agent.probe import compile, programs
    module = compile.compiled(programs.Settings().definitions())
    from bcc import libbcc  # reads the environment that `compiled` sets
    libbcc.lib.bpf_table_name.restype = ctypes.c_char_p
    names = (*programs.TRACEPOINT_PROGRAMS, *programs.UPROBE_PROGRAMS, *programs.JUMPS)
    maps = libbcc.lib.bpf_num_tables(module.module)
    json.dump({
        "programs": {name: module.dump_func(name).hex() for name in names},
        "maps": {
            libbcc.lib.bpf_table_name(module.module, index).decode():
                libbcc.lib.bpf_table_type_id(module.module, index)
            for index in range(maps)
        },
    }, sys.stdout)
"""


@pytest.fixture(scope="module")
def compiled() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", dedent(COMPILE)], capture_output=True, text=True, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_every_helper_is_known_to_the_oldest_kernel(compiled: dict[str, Any]) -> None:
    helpers: dict[int, set[str]] = {}
    for name, code in compiled["programs"].items():
        for operation, registers, _, immediate in INSTRUCTION.iter_unpack(bytes.fromhex(code)):
            if operation == CALL:
                assert registers >> 4 != PSEUDO_KFUNC_CALL, f"{name} calls a kernel function"
                if registers >> 4 != PSEUDO_CALL:
                    helpers.setdefault(immediate, set()).add(name)
    assert len(compiled["programs"]) > 20
    assert LAST_HELPER in helpers  # it is seen when one is called
    assert not {number: names for number, names in helpers.items() if number > LAST_HELPER}


def test_every_map_is_known_to_the_oldest_kernel(compiled: dict[str, Any]) -> None:
    assert set(programs.MAPS) <= set(compiled["maps"])
    assert not {name: kind for name, kind in compiled["maps"].items() if kind > LAST_MAP}
