from typing import Final

DIRECTIONS: Final[tuple[str, str]]
"""By the Direction of events.pxd."""

ANOMALY_KINDS: Final[tuple[str, ...]]
"""By the Anomaly of events.pxd."""
