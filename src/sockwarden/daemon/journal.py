"""Logging of both daemons: to the journal with fields, to a terminal as plain lines.

Under systemd each message carries its fields (upper case, as journald wants them) and, where
it is one of the `Event`s, a MESSAGE_ID: `journalctl MESSAGE_ID=...` finds all of a kind and
a catalog can explain it.  Elsewhere the same text goes to stderr, one line each.

Captured bytes, evidence included, never go to the log: only names, counts and addresses.
"""

import logging
import os
import sys
from enum import Enum
from typing import Literal

LevelName = Literal["debug", "info", "warning", "error"]


class Event(Enum):
    """Kinds of event and their MESSAGE_IDs, which never change once released."""

    STARTED = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e01"
    STOPPED = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e02"
    RELOADED = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e03"
    DEVELOPMENT_MODE = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e04"
    IMPAIRED = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e05"
    LOST = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e06"
    SPOOL_RECOVERED = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e07"
    SPOOL_FULL = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e08"
    SPOOL_FAILED = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e09"
    UPLINK_CONNECTED = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e0a"
    UPLINK_LOST = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e0b"
    AGENT_CONNECTED = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e0c"
    AGENT_REFUSED = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e0d"
    STORE_FULL = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e0e"
    CHILD_FAILED = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e10"
    ALERT = "5d0b1b8a3c2f4c5f8e3c6a1f0b7d9e11"


class _Lines(logging.Formatter):
    """`sockwarden-agent: warning: text`: the level is said where it is not information."""

    def __init__(self, identifier: str) -> None:
        super().__init__()
        self._identifier = identifier

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        text = f"{self._identifier}: {level}{record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def set_up(identifier: str, level: LevelName = "info") -> None:
    """Sends the root logger's messages to the journal or to stderr; may be called again."""
    handler: logging.Handler
    if _stderr_is_journal():
        from systemd.journal import JournalHandler  # noqa: PLC0415 - only a service needs it

        handler = JournalHandler(SYSLOG_IDENTIFIER=identifier)
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Lines(identifier))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())


def say(
    logger: logging.Logger, level: int, text: str, event: Event | None = None, **fields: object
) -> None:
    """Logs `text` with journal fields (upper-case names), as `event` where it is one."""
    extra = {name: str(value) for name, value in fields.items() if value is not None}
    if event is not None:
        extra["MESSAGE_ID"] = event.value
    logger.log(level, "%s", text, extra=extra, stacklevel=2)


def _stderr_is_journal() -> bool:
    """JOURNAL_STREAM is inherited: what counts is that it names our own stderr (systemd.exec)."""
    named = os.environ.get("JOURNAL_STREAM")
    if not named:
        return False
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return named == f"{status.st_dev}:{status.st_ino}"
