"""The collector's configuration: one TOML file, read into these structures.

They are the one place of every default; `packaging/conf/collector.toml` shows them with
their reasons.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

Positive = Annotated[int, Meta(ge=1)]


class Listen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    address: str = "0.0.0.0:7443"
    query: str = "unix:/run/sockwarden/query.sock"
    ca: str = ""
    certificate: str = ""
    key: str = ""
    insecure_loopback: bool = False


class StoreSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    engine: str = "sqlite"
    path: str = "/var/lib/sockwarden-collector/alerts.db"
    limit_bytes: Annotated[int, Meta(ge=1 << 20)] = 10 << 30


class Retention(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    days: Positive = 90


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    hosts: Positive = 10_000
    streams: Positive = 4_096
    alerts_per_second: Positive = 10_000
    silence_s: Positive = 60
    tails: Positive = 64
    query_s: Positive = 10


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    level: str = "info"


class Metrics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: str = ""


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: Listen = field(default_factory=Listen)
    store: StoreSettings = field(default_factory=StoreSettings)
    retention: Retention = field(default_factory=Retention)
    limits: Limits = field(default_factory=Limits)
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)
