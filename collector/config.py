"""The collector's configuration: one TOML file, read into these structures.

They are the one place of every default; `packaging/conf/collector.toml` shows them with
their reasons.
"""

from typing import Annotated

from msgspec import Meta, field

from sockwarden.daemon.config import Address, Duration, Section, Size, require
from sockwarden.daemon.journal import LevelName

Positive = Annotated[int, Meta(ge=1)]

_SECOND_NS = 10**9
_SMALLEST_STORE_BYTES = 1 << 20


class Listen(Section, frozen=True, kw_only=True):
    address: Address = Address("0.0.0.0:7443")
    query: Address = Address("unix:/run/sockwarden/query.sock")
    ca: str = ""
    certificate: str = ""
    key: str = ""
    insecure_loopback: bool = False


class Store(Section, frozen=True, kw_only=True):
    engine: str = "sqlite"
    path: str = "/var/lib/sockwarden-collector/alerts.db"
    limit_bytes: Size = Size(10 << 30)

    def __post_init__(self) -> None:
        require(self.limit_bytes >= _SMALLEST_STORE_BYTES, "limit_bytes", "must be at least 1 MiB")


class Retention(Section, frozen=True, kw_only=True):
    days: Positive = 90


class Limits(Section, frozen=True, kw_only=True):
    hosts: Positive = 10_000
    streams: Positive = 4_096
    alerts_per_second: Positive = 10_000
    silence: Duration = Duration(60 * _SECOND_NS)
    tails: Positive = 64
    query_time: Duration = Duration(10 * _SECOND_NS)

    def __post_init__(self) -> None:
        require(self.silence >= _SECOND_NS, "silence", "must be at least 1s")
        require(self.query_time >= _SECOND_NS, "query_time", "must be at least 1s")

    @property
    def silence_s(self) -> float:
        return self.silence / _SECOND_NS

    @property
    def query_s(self) -> float:
        return self.query_time / _SECOND_NS


class Log(Section, frozen=True, kw_only=True):
    level: LevelName = "info"


class Metrics(Section, frozen=True, kw_only=True):
    """Empty: no metrics are served."""

    listen: str = ""

    def __post_init__(self) -> None:
        if self.listen:
            try:
                Address.parse(self.listen)
            except ValueError as error:
                raise ValueError(f"listen: {error}") from None


class Config(Section, frozen=True, kw_only=True):
    listen: Listen = field(default_factory=Listen)
    store: Store = field(default_factory=Store)
    retention: Retention = field(default_factory=Retention)
    limits: Limits = field(default_factory=Limits)
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)
