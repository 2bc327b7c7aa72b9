"""Mutual TLS: an agent is whom its certificate names."""

import socket
from pathlib import Path

import fleet
import grpc
import msgspec
import pytest
from authority import Authority

from sockwarden.collector.config import Config, Listen
from sockwarden.collector.errors import CollectorError
from sockwarden.collector.server import Collector
from sockwarden.daemon.config import Address
from sockwarden.proto.v1.ingest_pb2_grpc import IngestServiceStub


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
    with taken, pytest.raises(CollectorError, match="cannot listen here: Address already in use"):
        await Collector.start(settings)
    async with fleet.serving(settings):  # nothing of the failed start is left
        pass
