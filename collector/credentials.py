"""Which of the collector's addresses needs which credentials.

A unix socket is guarded by its file mode.  Any other address needs mutual TLS, or is on
loopback and its configuration says `insecure_loopback = true`.
"""

import ipaddress
from pathlib import Path

import grpc

from sockwarden.collector.config import Listen
from sockwarden.collector.errors import CollectorError


def socket_path(address: str) -> Path | None:
    if not address.startswith("unix:"):
        return None
    return (
        Path("/" + address.removeprefix("unix:").lstrip("/"))
        if address.startswith("unix:/")
        else Path(address.removeprefix("unix:"))
    )


def certified(listen: Listen, address: str) -> bool:
    return socket_path(address) is None and not listen.insecure_loopback


def server(listen: Listen, address: str) -> grpc.ServerCredentials | None:
    """None: without TLS."""
    if socket_path(address) is not None:
        return None
    if listen.insecure_loopback:
        if not _loopback(address):
            raise CollectorError(
                f"{address}: insecure_loopback is for loopback addresses and unix sockets"
            )
        return None
    missing = [name for name in ("ca", "certificate", "key") if not getattr(listen, name)]
    if missing:
        raise CollectorError(
            f"{address}: listen.{missing[0]} is not set: TLS needs ca, certificate and key "
            "(on loopback, insecure_loopback = true goes without)"
        )
    ca, certificate, key = (
        Path(name).read_bytes() for name in (listen.ca, listen.certificate, listen.key)
    )
    return grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=ca, require_client_auth=True
    )


def _loopback(address: str) -> bool:
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
