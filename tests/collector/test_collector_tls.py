"""Mutual TLS: an agent is whom its certificate names."""

import datetime
import socket
from pathlib import Path
from typing import Any

import fleet
import grpc
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sockwarden.collector.config import Config, Listen
from sockwarden.collector.errors import CollectorError
from sockwarden.collector.server import Collector
from sockwarden.daemon.config import Address
from sockwarden.proto.v1.ingest_pb2_grpc import IngestServiceStub


class Authority:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        self.ca = self._write("ca.pem", self._sign(self._key.public_key(), self._name, ca=True))

    def issue(self, *names: str) -> tuple[str, str]:
        """Files of a certificate for these names, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "leaf")])
        pem = self._sign(key.public_key(), subject, names=names)
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return self._write(f"{names[0]}.pem", pem), self._write(f"{names[0]}.key", secret)

    def _sign(
        self, key: Any, subject: x509.Name, *, names: tuple[str, ...] = (), ca: bool = False
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        return str(path)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def settings(authority: Authority, tmp_path: Path) -> Config:
    certificate, key = authority.issue("localhost")
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    plain = fleet.config(tmp_path)
    listen = Listen(
        address=Address(f"127.0.0.1:{port}"),
        query=plain.listen.query,
        ca=authority.ca,
        certificate=certificate,
        key=key,
    )
    return msgspec.structs.replace(plain, listen=listen)


def channel(settings: Config, ca: str, pair: tuple[str, str] | None) -> grpc.aio.Channel:
    certificate, key = pair or (None, None)
    credentials = grpc.ssl_channel_credentials(
        Path(ca).read_bytes(),
        Path(key).read_bytes() if key else None,
        Path(certificate).read_bytes() if certificate else None,
    )
    address = f"localhost:{settings.listen.address.port}"
    return grpc.aio.secure_channel(address, credentials)


async def test_agent_is_whom_its_certificate_names(settings: Config, authority: Authority) -> None:
    pair = authority.issue("web-1", "web-1.example")
    async with fleet.serving(settings), channel(settings, authority.ca, pair) as secure:
        for name in ("web-1", "web-1.example"):
            agent = fleet.ScriptedAgent(IngestServiceStub(secure).Deliver(), name, 7)
            await agent.hello()
            assert await agent.deliver(fleet.make_alert(1, name)) == 1
            agent.call.cancel()
        agent = fleet.ScriptedAgent(IngestServiceStub(secure).Deliver(), "web-2", 7)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await agent.hello()
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "is for web-1, web-1.example, not for web-2" in (refused.value.details() or "")


async def test_strangers_do_not_get_in(
    settings: Config, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").issue("web-1")
    async with fleet.serving(settings):
        for pair in (None, stranger):
            async with channel(settings, authority.ca, pair) as secure:
                agent = fleet.ScriptedAgent(IngestServiceStub(secure).Deliver(), "web-1", 7)
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await agent.hello()
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_address_in_use_is_said(settings: Config) -> None:
    taken = socket.create_server(("127.0.0.1", settings.listen.address.port))
    with taken, pytest.raises(CollectorError, match="cannot listen here"):
        await Collector.start(settings)
    async with fleet.serving(settings):  # nothing of the failed start is left
        pass
