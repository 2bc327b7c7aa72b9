"""The BPF program as one text, and the header tree that BCC compiles it with.

BCC rewrites map accesses only in the text that it is given, so the files of agent/bpf are
joined.  What it otherwise wants of a kernel's headers comes from agent/bpf/shim and from the C
library's headers (linux-libc-dev): a kernel without its headers installed is the usual case on
a server.
"""

import platform
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from sockwarden.agent.probe.btf import BtfError

# In the order of definition before use.
FILES = (
    "maps.h",
    "wake.h",
    "identity.h",
    "emit.h",
    "carrier.h",
    "ends.h",
    "lookup.h",
    "vector.h",
    "pump.h",
    "openssl_bio.h",
    "tls_socket.h",
    "protocols.h",
    "tunnel.h",
    "response.h",
    "gate.h",
    "calls.h",
    "midway.h",
    "meet.h",
    "jumps.h",
    "sockets.h",
    "tls.h",
    "lifecycle.h",
)

# Fields of kernel structures that the program reads.
FIELDS = (
    ("task_struct", "group_leader"),
    ("task_struct", "start_boottime"),
    ("task_struct", "self_exec_id"),
    ("task_struct", "files"),
    ("task_struct", "signal"),
    ("signal_struct", "live"),
    ("files_struct", "fdt"),
    ("fdtable", "max_fds"),
    ("fdtable", "fd"),
    ("file", "f_inode"),
    ("file", "private_data"),
    ("inode", "i_mode"),
    ("inode", "i_ino"),
    ("socket", "sk"),
    ("sock_common", "skc_family"),
    ("sock_common", "skc_num"),
    ("sock_common", "skc_dport"),
    ("sock_common", "skc_daddr"),
    ("sock_common", "skc_rcv_saddr"),
    ("sock_common", "skc_v6_daddr"),
    ("sock_common", "skc_v6_rcv_saddr"),
)

# How many descriptors and calls hold a file: the name since Linux 6.13, where 0 is one, and before.
REFERENCES = (("file", "f_ref"), ("file", "f_count"))

_PACKAGE = "sockwarden.agent"
_USER_HEADERS = Path("/usr/include")


class MissingHeadersError(Exception):
    """The C library's headers for the kernel's interfaces are not installed."""


def text() -> str:
    """All of agent/bpf."""
    folder = resources.files(_PACKAGE) / "bpf"
    return "\n".join((folder / name).read_text() for name in FILES)


def flags(offsets: Mapping[str, int], settings: Mapping[str, int]) -> list[str]:
    """For the compiler: where the kernel's fields are, and how large everything is."""
    records = resources.files("sockwarden.parser")
    return [
        "-DSW_BPF",
        "-Wno-everything",  # BCC's own headers are full of warnings
        "-g0",  # BCC asks for debug information, which takes a sixth of the time
        f"-I{records}",
        *(f"-DOFFSET_{name}={offset}" for name, offset in offsets.items()),
        *_references(offsets),
        *(f"-D{name}={value}" for name, value in settings.items()),
    ]


def _references(offsets: Mapping[str, int]) -> tuple[str, str]:
    for value_of_one, (struct, field) in enumerate(REFERENCES):
        offset = offsets.get(f"{struct}_{field}")
        if offset is not None:
            return f"-DOFFSET_file_references={offset}", f"-DONE_REFERENCE={value_of_one}"
    raise BtfError("this kernel's struct file counts its references in no field that is known")


def lay_headers(folder: Path) -> None:
    """Makes a tree in `folder` that BCC takes for a kernel's (BCC_KERNEL_SOURCE).

    Raises:
        MissingHeadersError: with the package to install.
    """
    include = folder / "include"
    architecture = _USER_HEADERS / f"{platform.machine()}-linux-gnu" / "asm"
    for needed in (_USER_HEADERS / "linux", _USER_HEADERS / "asm-generic", architecture):
        if not needed.is_dir():
            raise MissingHeadersError(f"{needed} is missing: apt-get install linux-libc-dev")
    shim = resources.files(_PACKAGE) / "bpf" / "shim"
    for name in ("linux/kconfig.h", "linux/log2.h", "asm/page.h", "uapi/linux/ptrace.h"):
        place = include / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text((shim / name).read_text())
    uapi = include / "uapi"
    (uapi / "linux" / "bpf.h").touch()  # BCC brings its own
    for header in (_USER_HEADERS / "linux").iterdir():
        place = uapi / "linux" / header.name
        if not place.exists():
            place.symlink_to(header)
    (uapi / "asm").symlink_to(architecture)
    (uapi / "asm-generic").symlink_to(_USER_HEADERS / "asm-generic")
