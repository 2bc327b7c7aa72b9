"""Certificates and keys from PEM files, checked before gRPC sees them.

gRPC takes bytes and reports a bad certificate as a handshake that never succeeds; here it is
one line that names the file.  This module reads and checks only: who may import grpc turns
`Credentials` into channel or server credentials.  Both ends are gRPC, whose TLS library
negotiates TLS 1.3; both ends show a certificate (mTLS).

Without TLS there is a development mode, on loopback and unix sockets only: `refuse_remote`.
"""

import re
import ssl
from pathlib import Path

import msgspec

from sockwarden.daemon.config import Address, ConfigError

MAX_PEM_BYTES = 1 << 20


class TlsError(ConfigError):
    """A certificate or key that cannot be used; names the file."""


class Credentials(msgspec.Struct, frozen=True):
    """PEM bytes; `ca` is whom to trust at the other end."""

    ca: bytes
    certificate: bytes
    key: bytes


def load(ca: str, certificate: str, key: str) -> Credentials:
    """Reads the three files; raises `TlsError`."""
    credentials = Credentials(
        _read(ca, "CA certificate"), _read(certificate, "certificate"), _read(key, "key")
    )
    _check_certificate(ca, "CA certificate", credentials.ca)
    _check_certificate(certificate, "certificate", credentials.certificate)
    _check_key(certificate, key, credentials.key)
    return credentials


def refuse_remote(address: Address, switch: str) -> None:
    """Raises where `switch`, the key that turns TLS off, would send plaintext over a network."""
    if not address.is_local:
        raise TlsError(
            f"{switch}: {address} is neither loopback nor a unix socket; "
            "give ca, certificate and key instead"
        )


def _read(path: str, what: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_PEM_BYTES + 1)
    except OSError as error:
        raise TlsError(f"{path}: cannot read the {what}: {error.strerror}") from None
    if len(content) > MAX_PEM_BYTES:
        raise TlsError(f"{path}: too large for a {what} in PEM form")
    return content


def _check_certificate(path: str, what: str, pem: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        if b"-----BEGIN CERTIFICATE-----" not in pem:
            raise ValueError
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise TlsError(f"{path}: not a {what} in PEM form") from None


def _check_key(certificate: str, path: str, pem: bytes) -> None:
    if not re.search(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----", pem):
        raise TlsError(f"{path}: not a private key in PEM form")
    if b"ENCRYPTED" in pem:
        raise TlsError(f"{path}: the key is encrypted; a daemon cannot ask for its passphrase")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty passphrase, so that OpenSSL never asks the terminal.
        context.load_cert_chain(certificate, path, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsError(f"{path}: the key does not belong to {certificate}") from None
        raise TlsError(f"{path}: not a usable private key in PEM form") from None
    except OSError as error:
        raise TlsError(f"{path}: cannot read the key: {error.strerror}") from None
