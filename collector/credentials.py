"""Which of the collector's addresses needs which credentials.

A unix socket is guarded by its file mode.  Any other address needs mutual TLS, or is on
loopback and its configuration says `insecure_loopback = true`.
"""

import grpc

from sockwarden.collector.config import Listen
from sockwarden.daemon import tls
from sockwarden.daemon.config import Address, ConfigError


def certified(listen: Listen, address: Address) -> bool:
    """Whether a caller of that address has shown a certificate."""
    return not address.is_unix and not listen.insecure_loopback


def server(listen: Listen, address: Address) -> grpc.ServerCredentials | None:
    """None: without TLS.  Raises `ConfigError`."""
    if not certified(listen, address):
        tls.refuse_remote(address, "listen.insecure_loopback")
        return None
    for name in ("ca", "certificate", "key"):
        if not getattr(listen, name):
            raise ConfigError(
                f"listen.{name}: not set, and {address} needs TLS "
                "(on loopback, insecure_loopback = true goes without)"
            )
    files = tls.load(listen.ca, listen.certificate, listen.key)
    return grpc.ssl_server_credentials(
        [(files.key, files.certificate)], root_certificates=files.ca, require_client_auth=True
    )
