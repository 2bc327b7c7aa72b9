"""Old alerts go: by the age of their arrival, a few at a time, so that new ones never wait long.

The age is that of the arrival, not of the event: an agent whose clock is wrong must not
see its alerts vanish as soon as they come.
"""

import asyncio
import logging
import time

from sockwarden.collector.async_store import AsyncStore
from sockwarden.collector.errors import StoreError

_log = logging.getLogger(__name__)

_DAY_NS = 86_400 * 10**9
_PAUSE_S = 600.0
_CHUNK_ALERTS = 1_000


async def expire(store: AsyncStore, days: int) -> int:
    """Everything that is too old now; how many alerts that was."""
    before_ns = time.time_ns() - days * _DAY_NS
    gone = 0
    while chunk := await store.expire(before_ns, _CHUNK_ALERTS):
        gone += chunk
    return gone


async def keep(store: AsyncStore, days: int) -> None:
    """Runs until it is cancelled."""
    while True:
        try:
            if gone := await expire(store, days):
                _log.info("%d alerts older than %d days expired", gone, days)
        except StoreError as error:
            _log.error("alerts could not expire: %s", error)
        await asyncio.sleep(_PAUSE_S)
