"""The compile child: `python -m sockwarden.agent.probe.compile FD SETTINGS`.

Imports BCC (and so LLVM), compiles agent/bpf, loads every program, hands the descriptors over the
socket FD and ends.  BCC writes its complaints to the standard error.
"""

import ctypes
import json
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from sockwarden.agent.probe import programs, source
from sockwarden.agent.probe.btf import BtfError, read_offsets


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
    kinds = (
        (module.TRACEPOINT, programs.TRACEPOINT_PROGRAMS),
        (module.KPROBE, programs.UPROBE_PROGRAMS),
    )
    try:
        loaded = {name: module.load_func(name, kind).fd for kind, names in kinds for name in names}
    except Exception as error:  # BCC raises plain Exception
        raise programs.ProbeError(f"this kernel refused the probe: {error}") from error
    for family in ("syscall", "tls"):
        jumps = module[f"{family}_jumps"]
        for index, jump in enumerate(programs.JUMPS):
            jumps[ctypes.c_int(index)] = ctypes.c_int(loaded[f"{family}_{jump}"])
    maps = {name: module[name].map_fd for name in programs.MAPS}
    # A program array is emptied when no process holds it: it goes along, though nobody asks it.
    maps |= {f"{family}_jumps": module[f"{family}_jumps"].map_fd for family in ("syscall", "tls")}
    handover = programs.Handover(programs=list(loaded), maps=list(maps))
    return handover, [*loaded.values(), *maps.values()]


if __name__ == "__main__":
    sys.exit(main())
