"""`sockwarden alerts`: what the fleet's rules found."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import click
import grpc

from sockwarden.cli import output
from sockwarden.cli.client import CALL_S, Failure, address, collector_options, failure, querying
from sockwarden.cli.filters import filter_options, take_filter
from sockwarden.proto.v1.query_pb2 import (
    AlertFilter,
    GetAlertRequest,
    ListAlertsRequest,
    StoredAlert,
    TailAlertsRequest,
)
from sockwarden.proto.v1.query_pb2_grpc import QueryServiceStub

_PAGE = 1_000
_POSITION_KEY = "sockwarden-position"
_RETRY_FIRST_S = 0.5
_RETRY_LAST_S = 10.0


@click.group()
def command() -> None:
    """Lists, follows and shows alerts."""


@command.command("list")
@filter_options
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@click.option("--oldest-first", is_flag=True, help="Otherwise the newest come first.")
@output.json_option
@collector_options
def list_alerts(limit: int, oldest_first: bool, as_json: bool, **options: Any) -> None:
    """Alerts of the past, by the time of their event."""
    chosen = take_filter(options)
    with querying(options) as stub:
        pages = _pages(stub, chosen, limit, oldest_first)
        if output.wants_json(as_json):
            for stored in pages:
                output.write_json(output.alert_object(stored))
            return
        found = list(pages)
    console = output.console()
    if found:
        console.print(output.alert_table(found, console.width))
    else:
        console.print("no alerts match")


def _pages(
    stub: QueryServiceStub, chosen: AlertFilter, limit: int, oldest_first: bool
) -> Iterator[StoredAlert]:
    request = ListAlertsRequest(filter=chosen, oldest_first=oldest_first)
    while limit > 0:
        request.page_size = min(limit, _PAGE)
        page = stub.ListAlerts(request, timeout=CALL_S)
        yield from page.alerts
        limit -= len(page.alerts)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return


@command.command()
@filter_options
@click.option("--limit", type=click.IntRange(1), help="End after so many.")
@output.json_option
@collector_options
def tail(limit: int | None, as_json: bool, **options: Any) -> None:
    """Alerts as they are stored, until interrupted.

    With --since those that are stored already come first.  When the collector goes away,
    the tail waits for it and goes on where it was.
    """
    chosen = take_filter(options)
    console = None if output.wants_json(as_json) else output.console()
    try:
        for stored in itertools.islice(_follow(chosen, options), limit):
            if console is None:
                output.write_json(output.alert_object(stored))
            else:
                console.print(output.alert_line(stored), overflow="ellipsis", no_wrap=True)
    except KeyboardInterrupt:
        return


def _follow(chosen: AlertFilter, options: dict[str, Any]) -> Iterator[StoredAlert]:
    request = TailAlertsRequest(filter=chosen)
    if chosen.HasField("since"):
        request.after = 0
    pause_s = _RETRY_FIRST_S
    reached = False
    while True:
        try:
            with querying(options) as stub:
                call = stub.TailAlerts(request)
                for key, value in call.initial_metadata():
                    if key == _POSITION_KEY:
                        request.after = int(value)
                        reached, pause_s = True, _RETRY_FIRST_S
                for response in call:
                    yield response.alert
                    request.after = response.alert.position
        except Failure as error:
            cause = error.__cause__
            away = isinstance(cause, grpc.RpcError) and (
                cause.code() is grpc.StatusCode.UNAVAILABLE
            )
            if not (reached and away):
                raise
        click.echo(f"sockwarden: {address(options)}: the collector is away, waiting", err=True)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _RETRY_LAST_S)


@command.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@output.json_option
@collector_options
def show(ids: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Everything about alerts, by their ids."""
    missing: Failure | None = None
    with querying(options) as stub:
        for alert_id in ids:
            try:
                stored = stub.GetAlert(GetAlertRequest(id=alert_id), timeout=CALL_S).alert
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
                if missing is not None:
                    click.echo(f"sockwarden: {missing.message}", err=True)
                missing = failure(error, address(options))
                continue
            if output.wants_json(as_json):
                output.write_json(output.alert_object(stored))
            else:
                console = output.console()
                console.print(output.alert_sheet(stored))
                console.print()
    if missing is not None:
        raise missing
