"""`sockwarden hosts`: the agents of the fleet, and whether they see what they should."""

import time
from collections.abc import Iterator
from typing import Any

import click
from rich.text import Text

from sockwarden.cli import output, times
from sockwarden.cli.client import CALL_S, collector_options, querying
from sockwarden.proto.v1.query_pb2 import Host, ListHostsRequest
from sockwarden.proto.v1.query_pb2_grpc import QueryServiceStub

_PAGE = 1_000
_LOST = "lost."


@click.command()
@output.json_option
@collector_options
def command(as_json: bool, **options: Any) -> None:
    """Shows the hosts, their state and what they lost."""
    with querying(options) as stub:
        found = list(_hosts(stub))
    if output.wants_json(as_json):
        for host in found:
            output.write_json(output.host_object(host))
        return
    console = output.console()
    if not found:
        console.print("no agent has connected yet")
        return
    made = output.table(
        "HOST", "STATE", "SEEN", "VERSION", "ALERTS", "SPOOL", "LOST", "CANNOT",
        elastic=["CANNOT"], right=["ALERTS", "SPOOL", "LOST"],
    )  # fmt: skip
    now_ns = time.time_ns()
    for host in found:
        beat = host.heartbeat
        state = Text("connected", "green") if host.connected else Text("away", "bold red")
        lost = sum(number for name, number in beat.counters.items() if name.startswith(_LOST))
        made.add_row(
            Text(output.safe(host.agent), "bold"),
            state,
            f"{times.age(host.last_seen.ToNanoseconds(), now_ns)} ago",
            Text(output.safe(host.version)),
            f"{host.alerts:,}",
            f"{beat.spool_depth:,}",
            Text(f"{lost:,}", "yellow" if lost else ""),
            Text(output.safe("; ".join(beat.impairments)), "yellow"),
        )
    console.print(made)


def _hosts(stub: QueryServiceStub) -> Iterator[Host]:
    request = ListHostsRequest(page_size=_PAGE)
    while True:
        page = stub.ListHosts(request, timeout=CALL_S)
        yield from page.hosts
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return
