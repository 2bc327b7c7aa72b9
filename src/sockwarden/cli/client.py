"""The way to the collector: where it is, with which credentials, and what its errors mean.

Flags go before the environment, that before `~/.config/sockwarden/cli.toml`, that before
the unix socket of a collector on this host.  Without TLS only unix sockets and loopback
are spoken to.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import grpc
import msgspec

from sockwarden.daemon.config import Address, ConfigError, Section, load
from sockwarden.proto.v1.query_pb2_grpc import QueryServiceStub

CALL_S = 15.0
_DEFAULT_ADDRESS = Address("unix:/run/sockwarden/query.sock")
_MESSAGE_BYTES = 64 << 20

F = TypeVar("F", bound=Callable[..., Any])


class Settings(Section, frozen=True):
    """The keys of cli.toml."""

    collector: Address = _DEFAULT_ADDRESS
    ca: str = ""
    certificate: str = ""
    key: str = ""


class Failure(click.ClickException):
    exit_code = 2


class NotFound(Failure):
    exit_code = 1


def collector_options(function: F) -> F:
    """The options by which every query command finds its collector."""
    for name, what in (
        ("key", "Private key of this client."),
        ("certificate", "Certificate of this client."),
        ("ca", "Certificate authority of the collector."),
        ("collector", "Address: unix:/PATH or HOST:PORT."),
    ):
        function = click.option(
            f"--{name}",
            envvar=f"SOCKWARDEN_{name.upper()}",
            metavar="ADDRESS" if name == "collector" else "FILE",
            help=what,
        )(function)
    return function


@contextmanager
def querying(given: dict[str, str | None]) -> Iterator[QueryServiceStub]:
    """A stub for the block; a failed call ends the command with one line."""
    settings = _settings(given)
    with _channel(settings) as channel:
        try:
            yield QueryServiceStub(channel)
        except grpc.RpcError as error:
            raise failure(error, settings.collector) from error


def address(given: dict[str, str | None]) -> str:
    return _settings(given).collector


def failure(error: grpc.RpcError, where: str) -> Failure:
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        if "Permission denied" in details:
            return Failure(f"{where}: no permission: join the group of that socket")
        return Failure(
            f"{where}: the collector does not answer ({_reason(details)}): is it running "
            "(systemctl status sockwarden-collector)? another address: --collector"
        )
    if code is grpc.StatusCode.NOT_FOUND:
        return NotFound(_first(details))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Failure(f"{where}: no answer in time: narrow the query, for example by --since")
    return Failure(f"{where}: {_first(details)}")


def _reason(details: str) -> str:
    """The system's word at the end of gRPC's chain of them."""
    return _first(details).rpartition("error: ")[2] or "no reason given"


def _first(details: str) -> str:
    return details.partition("\n")[0][:300]


def _settings(given: dict[str, str | None]) -> Settings:
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = folder / "sockwarden" / "cli.toml"
    try:
        filed = load(path, Settings) if path.exists() else Settings()
    except ConfigError as error:
        raise Failure(str(error)) from error
    changes = {name: value for name, value in given.items() if value is not None}
    try:
        if "collector" in changes:
            changes["collector"] = Address.parse(changes["collector"])
    except ValueError as error:
        raise Failure(f"--collector: {error}") from error
    return msgspec.structs.replace(filed, **changes)


def _channel(settings: Settings) -> grpc.Channel:
    target = settings.collector
    options = (("grpc.max_receive_message_length", _MESSAGE_BYTES),)
    if settings.ca:
        ca, key, certificate = (
            _pem(path) if path else None
            for path in (settings.ca, settings.key, settings.certificate)
        )
        credentials = grpc.ssl_channel_credentials(ca, key, certificate)
        return grpc.secure_channel(target, credentials, options)
    if not target.is_local:
        raise Failure(f"{target}: TLS is needed for another host: give --ca and its companions")
    return grpc.insecure_channel(target, options)


def _pem(path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error
