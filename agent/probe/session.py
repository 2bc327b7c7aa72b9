"""The probe as the helper holds it: loaded, attached, and what is missing said in sentences.

`open_probe` goes on with what this machine allows, sockets only or TLS only, and raises
`ProbeError` where nothing is left to watch.  Everything it attached is held by descriptors of
this process: closing them, or dying, detaches.
"""

import os
import re
import struct
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from sockwarden.agent.probe import attach, programs, tls, uretprobes
from sockwarden.agent.probe.attach import AttachError, Link
from sockwarden.agent.probe.maps import MapError
from sockwarden.agent.probe.programs import Loaded, LoadError

# What carries bytes; the other tracepoints keep the tables of both sources true.
SOCKET_CALLS: Final = frozenset(
    f"sys_exit_{call}"
    for call in ("read", "write", "recvfrom", "sendto", "recvmsg", "sendmsg", "readv", "writev")
)


class ProbeError(Exception):
    """Nothing can be watched here; the text says why and what to do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """As [capture] of the configuration."""

    sockets: bool = True
    tls: bool = True
    ring_bytes: int = 16 << 20
    capture_limit_bytes: int = 1 << 20


class Links:
    """Attachments that end together."""

    def __init__(self) -> None:
        self._links: list[Link] = []

    def add(self, link: Link) -> None:
        self._links.append(link)

    def close(self) -> None:
        while self._links:
            self._links.pop().close()


class Session:
    """The helper's side of the kernel's (see `Probe` in agent/probe/helper.py)."""

    def __init__(self, loaded: Loaded, links: Links, impairments: Iterable[str], tls: bool) -> None:
        self._loaded, self._links = loaded, links
        self.impairments = tuple(impairments)
        self.watches_tls = tls

    @property
    def rings(self) -> tuple[int, ...]:
        return self._loaded.rings

    def attach_library(self, library: tls.Library, offsets: Mapping[str, int], file: int) -> Links:
        """Attaches to an open file, by its inode.

        Returns come first: an entry that is seen without its return would leave its arguments
        behind.

        Raises:
            AttachError: the kernel refused one; none is left attached.
        """
        links = Links()
        path = f"/proc/self/fd/{file}"
        try:
            for function in library.functions:
                offset = offsets.get(function.symbol)
                if offset is None:
                    continue
                for program, returning in ((function.exit, True), (function.enter, False)):
                    if program:
                        fd = self._loaded.programs[program]
                        links.add(attach.attach_uprobe(fd, path, offset, returning=returning))
        except AttachError:
            links.close()
            raise
        return links

    def leave_out(self, pid: int) -> None:
        self._loaded.maps["left_out"].set(_u32(pid), b"\1")

    def take_in(self, pid: int) -> None:
        self._loaded.maps["left_out"].delete(_u32(pid))

    def counters(self) -> dict[str, int]:
        counters = self._loaded.maps["counters"]
        values = {}
        for index, name in enumerate(counter_names()):
            raw = counters.get(_u32(index)) or b""
            values[name] = sum(value for (value,) in struct.iter_unpack("=Q", raw))
        return values

    def close(self) -> None:
        self._links.close()
        self._loaded.close()


@cache
def counter_names() -> tuple[str, ...]:
    """By index, from the definition that the BPF programs compile."""
    # Not through the package: it would load the parser into this process.
    records = Path(__file__).resolve().parents[2] / "parser" / "records.h"
    _, _, counters = records.read_text().partition("SW_COUNTERS(X)")
    return tuple(re.findall(r"\bX\((\w+),", counters))


def open_probe(settings: Settings) -> Session:
    """Loads and attaches; to be called before there are threads.

    Raises:
        ProbeError: nothing is watched.
    """
    if not settings.sockets and not settings.tls:
        raise ProbeError("capture.sockets and capture.tls are both off: nothing is left to watch")
    tls_refused = None
    if settings.tls and not uretprobes.are_harmless():
        tls_refused = (
            f"TLS is not watched: return probes of Linux {os.uname().release} kill programs"
            " under seccomp; 6.14 and late 6.12 are mended"
        )
    attach.mount_file_systems()
    try:
        loaded = programs.load(
            programs.Settings(
                ring_bytes=settings.ring_bytes,
                capture_limit_bytes=settings.capture_limit_bytes,
            )
        )
    except (LoadError, MapError) as error:
        raise ProbeError(str(error)) from error
    links = Links()
    sockets_refused = _attach_tracepoints(loaded, links, sockets=settings.sockets)
    watches_tls = settings.tls and tls_refused is None
    impairments = [text for text in (sockets_refused, tls_refused) if text]
    if not watches_tls and (sockets_refused or not settings.sockets):
        links.close()
        loaded.close()
        raise ProbeError("; ".join(impairments))
    session = Session(loaded, links, impairments, watches_tls)
    session.leave_out(os.getpid())
    return session


def _attach_tracepoints(loaded: Loaded, links: Links, *, sockets: bool) -> str | None:
    """What is not watched for it, in a sentence."""
    try:
        for category, name, program in programs.TRACEPOINTS:
            if sockets or name not in SOCKET_CALLS:
                links.add(attach.attach_tracepoint(loaded.programs[program], category, name))
    except AttachError as error:
        return f"plaintext sockets are not watched: {error.strerror}"
    return None


def _u32(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)
