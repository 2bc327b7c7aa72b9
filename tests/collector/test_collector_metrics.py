"""What Prometheus gets: names with units, and what was stored, repeated and refused."""

import asyncio
import socket
import urllib.request
from pathlib import Path

import fleet
import msgspec
from prometheus_client.utils import floatToGoString

from sockwarden.collector.config import Metrics


def fetch(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode().splitlines()


async def test_numbers_are_exported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    metrics = Metrics(listen=f"127.0.0.1:{port}")
    settings = msgspec.structs.replace(fleet.config(tmp_path), metrics=metrics)
    async with fleet.serving(settings), fleet.agent(settings) as agent:
        await agent.hello()
        for _ in range(2):
            await agent.deliver(fleet.make_alert(1), fleet.make_alert(2))
        lines = await asyncio.to_thread(fetch, port)
    for line in (
        'sockwarden_collector_alerts_total{kind="stored"} 2.0',
        'sockwarden_collector_alerts_total{kind="repeated"} 2.0',
        'sockwarden_collector_alerts_total{kind="refused"} 0.0',
        "sockwarden_collector_agents_connected 1.0",
        "sockwarden_collector_store_alerts 2.0",
        f"sockwarden_collector_store_limit_bytes {floatToGoString(settings.store.limit_bytes)}",
    ):
        assert line in lines
