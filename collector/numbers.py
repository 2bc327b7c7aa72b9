"""What the collector counts, by the names under which Prometheus gets it.

Called by the exporter's thread; a number that cannot be had in time is left out.
"""

from sockwarden.collector.async_store import AsyncStore
from sockwarden.collector.errors import StoreError
from sockwarden.collector.ingest import Roster
from sockwarden.collector.store import Store

_BUDGET_S = 1.0


def counters(store: AsyncStore) -> dict[str, int]:
    totals = store.totals
    return {
        "alerts.stored": totals.stored,
        "alerts.repeated": totals.repeated,
        "alerts.refused": totals.refused,
        "alerts.expired": totals.expired,
    }


def gauges(store: Store, roster: Roster) -> dict[str, int]:
    known = {"agents_connected": len(roster)}
    try:
        usage = store.usage(budget_s=_BUDGET_S)
    except StoreError:
        return known
    return known | {
        "store_alerts": usage.alerts,
        "store_used_bytes": usage.used_bytes,
        "store_limit_bytes": usage.limit_bytes,
    }
