"""The compile child: `python -m sockwarden.agent.probe.compile FD SETTINGS`.

Imports BCC (and so LLVM), compiles agent/bpf, loads every program, hands the descriptors over the
socket FD and ends.  BCC writes its complaints to the standard error.
"""

import ctypes
import json
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec

from sockwarden.agent.probe import programs, source
from sockwarden.agent.probe.btf import BtfError, read_offsets

JUMP_TABLES: Final = ("syscall_jumps", "tls_jumps")

# linux/bpf.h: struct bpf_insn, and the load of a map by its descriptor.
INSTRUCTION: Final = struct.Struct("<BBhi")  # operation, registers, offset, value
LOAD_64: Final = 0x18  # BPF_LD | BPF_IMM | BPF_DW
MAP_DESCRIPTOR: Final = 1  # BPF_PSEUDO_MAP_FD, in the place of a source register


def main() -> int:
    settings: dict[str, int] = json.loads(sys.argv[2])
    with socket.socket(fileno=int(sys.argv[1])) as helper:
        try:
            handover, descriptors = _build(settings)
        except (programs.ProbeError, BtfError, source.MissingHeadersError) as error:
            helper.send(msgspec.msgpack.encode(programs.Handover(error=str(error))))
            return 1
        socket.send_fds(helper, [msgspec.msgpack.encode(handover)], descriptors)
    return 0


def compiled(settings: dict[str, int]) -> Any:
    """All of agent/bpf as BCC's `BPF`, of which nothing is loaded yet but its maps."""
    offsets = read_offsets(source.FIELDS, optional=source.REFERENCES)
    with tempfile.TemporaryDirectory(prefix="sockwarden-") as folder:
        source.lay_headers(Path(folder))
        os.environ["BCC_KERNEL_SOURCE"] = folder
        try:
            from bcc import BPF  # noqa: PLC0415  (BCC reads the environment when imported)
        except (ImportError, OSError) as error:
            raise programs.ProbeError(
                f"BCC cannot be used ({error}): apt-get install python3-bpfcc"
            ) from error
        # What is wrong here BCC says on the standard error, where `programs.load` looks for it.
        return BPF(text=source.text(), cflags=source.flags(offsets, settings))


def _build(settings: dict[str, int]) -> tuple[programs.Handover, list[int]]:
    module = compiled(settings)
    hooks = [(name, module.TRACEPOINT) for name in programs.TRACEPOINT_PROGRAMS]
    hooks += [(name, module.KPROBE) for name in programs.UPROBE_PROGRAMS]
    maps = {name: module[name].map_fd for name in (*programs.MAPS, *JUMP_TABLES)}
    try:
        # The longest first: these keep the kernel's verifier busy.
        loaded = _load(module, [(name, module.TRACEPOINT) for name in programs.JUMPS] + hooks)
        _fill(module, "syscall_jumps", loaded)
        for name in programs.JUMPS:
            _retarget(module, name, maps["syscall_jumps"], maps["tls_jumps"])
        _fill(module, "tls_jumps", _load(module, [(n, module.KPROBE) for n in programs.JUMPS]))
    except Exception as error:  # BCC raises plain Exception
        raise programs.ProbeError(f"this kernel refused the probe: {error}") from error
    # A program array is emptied when no process holds it: it goes along, though nobody asks it.
    handed = {name: loaded[name] for name, _ in hooks}
    handover = programs.Handover(programs=list(handed), maps=list(maps))
    return handover, [*handed.values(), *maps.values()]


def _load(module: Any, wanted: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Descriptors by name.  The kernel verifies each on the processor that asks for it."""

    def load(item: tuple[str, int]) -> int:
        module.funcs.pop(item[0].encode(), None)  # else BCC gives what it has loaded before
        descriptor: int = module.load_func(*item).fd
        return descriptor

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return {name: fd for (name, _), fd in zip(wanted, pool.map(load, wanted), strict=True)}


def _fill(module: Any, table: str, loaded: Mapping[str, int]) -> None:
    for index, jump in enumerate(programs.JUMPS):
        module[table][ctypes.c_int(index)] = ctypes.c_int(loaded[jump])


def _retarget(module: Any, program: str, before: int, after: int) -> None:
    """In a compiled program: from now on it uses the map `after` in place of `before`."""
    from bcc import lib  # noqa: PLC0415  (after `compiled`)

    name = program.encode()
    size = lib.bpf_function_size(module.module, name)
    code = (ctypes.c_char * size).from_address(lib.bpf_function_start(module.module, name))
    for at in range(0, size, INSTRUCTION.size):
        operation, registers, offset, value = INSTRUCTION.unpack_from(code, at)
        if (operation, registers >> 4, value) == (LOAD_64, MAP_DESCRIPTOR, before):
            INSTRUCTION.pack_into(code, at, operation, registers, offset, after)


if __name__ == "__main__":
    sys.exit(main())
