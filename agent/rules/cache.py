"""Files that keep what loading the rules derived: see `derived`.

What is read here holds databases that Vectorscan runs as they are, so a file is code, and is used
only where nobody but this user or root could have written it: the folder and the file are theirs,
nobody else may write to either, neither is a link, and the content has the SHA-256 that stands
before it.  A file is written under another name and renamed, so there is no half of one, and the
oldest are removed.  Whatever is wrong, the rules are compiled anew: nothing here raises.
"""

import contextlib
import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

ENTRIES_MAX = 8
ENTRY_MAX_BYTES = 32 << 20

_SUFFIX = ".rules"
_HASH_BYTES = 32
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO in the place of a file must not make anybody wait.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FRESH_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Cache:
    """A folder of entries; it is made at the first `write`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._complained = False

    def read(self, key: str, parse: Callable[[bytes], T]) -> T | None:
        """What `parse` makes of the entry; None where there is none that can be used."""
        try:
            with _opened(self.folder) as folder:
                return parse(_content(key + _SUFFIX, folder))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._complain(f"the rules are compiled anew: {error}")
            return None

    def write(self, key: str, content: bytes) -> None:
        if len(content) > ENTRY_MAX_BYTES:
            return
        try:
            _make(self.folder)
            with _opened(self.folder) as folder:
                _put(key + _SUFFIX, sha256(content).digest() + content, folder)
                _remove_old(folder)
        except (OSError, ValueError) as error:
            self._complain(f"compiled rules are not kept: {error}")

    def _complain(self, text: str) -> None:
        if not self._complained:
            _log.warning("%s: %s", self.folder, text)
        self._complained = True


def user_cache() -> Cache | None:
    """In this user's folder for such files; None where it has none of its own."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = Path(os.path.expanduser("~"), ".cache")
    standing = next((path for path in (base, *base.parents) if os.path.exists(path)), base)
    try:
        owner = os.stat(standing).st_uid
    except OSError:
        return None
    # With sudo, the home may be that of another user.
    if not base.is_absolute() or owner not in (0, os.geteuid()) or not os.access(standing, os.W_OK):
        return None
    return Cache(base / "sockwarden")


def _make(folder: Path) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, _FOLDER_FLAGS)
    try:
        _check_owner(os.fstat(descriptor), "the folder")
        yield descriptor
    finally:
        os.close(descriptor)


def _check_owner(found: os.stat_result, what: str) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise ValueError(f"{what} belongs to user {found.st_uid}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError(f"others may write to {what}")


def _content(name: str, folder: int) -> bytes:
    with os.fdopen(os.open(name, _FILE_FLAGS, dir_fd=folder), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{name} is no file")
        _check_owner(found, name)
        data = file.read(_HASH_BYTES + ENTRY_MAX_BYTES + 1)
    content = data[_HASH_BYTES:]
    if len(content) > ENTRY_MAX_BYTES or sha256(content).digest() != data[:_HASH_BYTES]:
        raise ValueError(f"{name} is damaged")
    return content


def _put(name: str, data: bytes, folder: int) -> None:
    fresh = secrets.token_hex(8) + _SUFFIX
    descriptor = os.open(fresh, _FRESH_FLAGS, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(fresh, dir_fd=folder)
        raise


def _remove_old(folder: int) -> None:
    ages = {}
    for name in os.listdir(folder):
        if name.endswith(_SUFFIX):
            with contextlib.suppress(FileNotFoundError):
                ages[name] = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime_ns
    for name in sorted(ages, key=ages.__getitem__, reverse=True)[ENTRIES_MAX:]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
