"""The probe as the helper holds it: loaded, attached, and what is missing said in sentences.

`open_probe` goes on with what this machine allows, sockets only or TLS only, and raises
`ProbeError` where nothing is left to watch.  Everything it attached is held by descriptors of
this process: closing them, or dying, detaches.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Final

from sockwarden.agent.config import Capture
from sockwarden.agent.probe import attach, earlier, maps, mounts, programs, tls, uretprobes
from sockwarden.agent.probe.attach import AttachError, Link
from sockwarden.agent.probe.programs import Loaded, ProbeError

# What carries bytes; the other tracepoints keep the tables of both sources true.
SOCKET_CALLS: Final = frozenset(
    point.name
    for point in programs.TRACEPOINTS
    if point.program in ("sys_exit_buffer", "sys_exit_vector", "sys_exit_messages")
)


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

    def __init__(
        self,
        loaded: Loaded,
        links: Links,
        impairments: Iterable[str],
        tls: bool,
        earlier_left_out: int = 0,
    ) -> None:
        self._loaded, self._links = loaded, links
        self._earlier_left_out = earlier_left_out
        self.impairments = tuple(impairments)
        self.watches_tls = tls
        self._sweeper = maps.Sweeper()

    @property
    def rings(self) -> tuple[int, ...]:
        return tuple(self._loaded.rings)

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
        maps.exclude(self._loaded.maps["excluded"], pid)

    def take_in(self, pid: int) -> None:
        maps.include(self._loaded.maps["excluded"], pid)

    def counters(self) -> dict[str, int]:
        return {
            **maps.read_counters(self._loaded.maps["counters"]),
            "earlier_sockets_left_out": self._earlier_left_out,
        }

    def ignore(self, connection: int) -> None:
        maps.hide(self._loaded.maps["connections"], connection)

    def sweep(self) -> None:
        self._sweeper.sweep(self._loaded.maps["connections"])

    def close(self) -> None:
        self._links.close()
        self._loaded.close()


def open_probe(capture: Capture) -> Session:
    """Loads and attaches; to be called before there are threads.

    Raises:
        ProbeError: nothing is watched.
    """
    if not capture.sockets and not capture.tls:
        raise ProbeError("capture.sockets and capture.tls are both off: nothing is left to watch")
    try:
        attach.library()
    except AttachError as error:
        raise ProbeError(str(error)) from error
    tls_refused = None
    if capture.tls and not uretprobes.are_harmless():
        tls_refused = (
            f"TLS is not watched: return probes of Linux {os.uname().release} kill programs"
            " under seccomp; 6.14 and late 6.12 are mended"
        )
    mounts.mount_missing()
    loaded = programs.load(
        programs.Settings(
            ring_bytes=capture.ring_bytes,
            capture_limit_bytes=capture.capture_limit_bytes,
        )
    )
    links = Links()
    sockets_refused = _attach_tracepoints(loaded, links, sockets=capture.sockets)
    watches_tls = capture.tls and tls_refused is None
    impairments = [text for text in (sockets_refused, tls_refused) if text]
    if not watches_tls and (sockets_refused or not capture.sockets):
        links.close()
        loaded.close()
        raise ProbeError("; ".join(impairments))
    # Now that new ones are seen: what is there from before.
    inodes, left_out = earlier.sockets()
    maps.list_earlier(loaded.maps["earlier"], inodes)
    return Session(loaded, links, impairments, watches_tls, left_out)


def _attach_tracepoints(loaded: Loaded, links: Links, *, sockets: bool) -> str | None:
    """What is not watched for it, in a sentence."""
    try:
        for point in programs.TRACEPOINTS:
            if not sockets and point.name in SOCKET_CALLS:
                continue
            program = loaded.programs[point.program]
            try:
                links.add(attach.attach_tracepoint(program, point.category, point.name))
            except AttachError:
                if not point.optional:
                    raise
    except AttachError as error:
        return f"plaintext sockets are not watched: {error}"
    return None
