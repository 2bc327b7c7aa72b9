"""What systemd is told (sd_notify(3)); each call does nothing where systemd did not ask.

What cannot be told is not told: a manager that is gone ends no daemon.

The watchdog is for the caller to ping, and only when work progressed: a daemon that is alive
but stuck must be restarted.
"""

import contextlib
import os
import time

_NS_PER_US = 1_000


def ready(status: str) -> None:
    _send("READY=1", f"STATUS={_line(status)}")


def reloading() -> None:
    """`ready` ends it.  Type=notify-reload wants the time on CLOCK_MONOTONIC."""
    _send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // _NS_PER_US}")


def stopping(status: str) -> None:
    _send("STOPPING=1", f"STATUS={_line(status)}")


def status(text: str) -> None:
    _send(f"STATUS={_line(text)}")


def extend_start(limit_ns: int) -> None:
    """A start that takes long, but moves: systemd waits that much longer from now on."""
    _send(f"EXTEND_TIMEOUT_USEC={limit_ns // _NS_PER_US}")


def watchdog() -> None:
    _send("WATCHDOG=1")


def watchdog_interval_ns() -> int | None:
    """How long systemd waits for `watchdog`; None: it does not (sd_watchdog_enabled(3))."""
    limit_us = os.environ.get("WATCHDOG_USEC", "")
    process = os.environ.get("WATCHDOG_PID")
    if not limit_us.isdecimal() or int(limit_us) == 0:
        return None
    if process is not None and process != str(os.getpid()):
        return None
    return int(limit_us) * _NS_PER_US


def _send(*lines: str) -> None:
    if not os.environ.get("NOTIFY_SOCKET"):
        return
    from systemd.daemon import notify  # noqa: PLC0415 - only a service needs it

    with contextlib.suppress(OSError):
        notify("\n".join(lines))


def _line(text: str) -> str:
    return " ".join(text.split())
