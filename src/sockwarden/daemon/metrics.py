"""Numbers for Prometheus, over HTTP, from the counters that a daemon keeps anyway.

A daemon hands over a callable that gives its numbers by name, as in the heartbeat: "messages",
"lost.ring_full".  What follows the dot becomes the label `kind`, so that a family is one
metric: `sockwarden_agent_lost_total{kind="ring_full"}`.  Names carry their unit ("_bytes").
The registry is our own: nothing of the Python process is exported by accident.
"""

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sockwarden.daemon.config import Address, ConfigError

Numbers = Callable[[], Mapping[str, int]]


class _Numbers(Collector):
    def __init__(self, prefix: str, counters: Numbers, gauges: Numbers) -> None:
        self._prefix = prefix
        self._counters = counters
        self._gauges = gauges

    def describe(self) -> Iterable[Metric]:
        """Empty: names are known when asked, and registering must not ask."""
        return []

    def collect(self) -> Iterable[Metric]:
        yield from self._families(self._counters(), CounterMetricFamily)
        yield from self._families(self._gauges(), GaugeMetricFamily)

    def _families(
        self,
        numbers: Mapping[str, int],
        make: type[CounterMetricFamily] | type[GaugeMetricFamily],
    ) -> Iterable[Metric]:
        families: dict[tuple[str, bool], CounterMetricFamily | GaugeMetricFamily] = {}
        for name in sorted(numbers):
            head, dot, kind = name.partition(".")
            metric = f"{self._prefix}_{re.sub('[^a-zA-Z0-9_]', '_', head)}"
            text = f"Counter {head} of the heartbeat."
            family = families.get((head, bool(dot)))
            if family is None:
                family = make(metric, text, labels=["kind"] if dot else [])
                families[head, bool(dot)] = family
            family.add_metric([kind] if dot else [], numbers[name])
        return families.values()


class Exporter:
    """Serves the numbers at http://`listen`/metrics until `close`."""

    def __init__(self, listen: Address, prefix: str, counters: Numbers, gauges: Numbers) -> None:
        if listen.is_unix:
            raise ConfigError("metrics.listen: expected host:port, not a unix socket")
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Numbers(prefix, counters, gauges))
        server: WSGIServer
        thread: threading.Thread
        try:
            server, thread = start_http_server(listen.port, listen.host, registry)
        except OSError as error:
            raise ConfigError(f"metrics.listen: {listen}: {error.strerror or error}") from None
        self._server = server
        self._thread = thread

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
