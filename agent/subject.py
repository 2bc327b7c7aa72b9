"""What an alert says of its connection: who, where, over what."""

from dataclasses import dataclass, field, replace
from typing import Literal

from sockwarden.agent import redact
from sockwarden.agent.alert import Connection, Process
from sockwarden.agent.endpoint import Endpoints
from sockwarden.agent.ends import End
from sockwarden.parser.handshake import Handshake

# enum sw_role and enum sw_source of parser/records.h
ROLES: dict[int, Literal["server", "client"]] = {1: "server", 2: "client"}
TLS_LIBRARIES = {1: "openssl", 2: "gnutls", 3: "nss"}
CLIENT = 2
MAX_TARGET_CHARACTERS = 512


@dataclass(slots=True, kw_only=True)
class Subject:
    """One watched connection; what is not known is None."""

    role: int
    source: int
    endpoints: Endpoints
    pid: int | None
    process: Process | None
    number: int = 0  # in the order spoken of, from 1; 0: not yet
    handshake: Handshake | None = None
    end: End = field(init=False)

    def __post_init__(self) -> None:
        self.end = End(key="", accepting=self.role != CLIENT, endpoints=self.endpoints)

    def see_request(self, handshake: Handshake) -> None:
        self.handshake = handshake
        self.end = replace(self.end, key=handshake.key or "", duplicate=False, closed=False)

    def see_handshake(self, handshake: Handshake) -> None:
        self.handshake = handshake

    @property
    def client(self) -> str | None:
        return self.endpoints.local if self.role == CLIENT else self.endpoints.remote

    @property
    def server(self) -> str | None:
        return self.endpoints.remote if self.role == CLIENT else self.endpoints.local

    @property
    def tls(self) -> str | None:
        return TLS_LIBRARIES.get(self.source)

    @property
    def target(self) -> str | None:
        """Path and query as the client sent them: for this host's own eyes."""
        return self.handshake.target if self.handshake else None

    @property
    def alert_path(self) -> str | None:
        """Path and query as an alert may carry them off the host."""
        if self.target is None:
            return None
        return redact.target(self.target[:MAX_TARGET_CHARACTERS])

    @property
    def origin(self) -> str | None:
        return self.handshake.origin if self.handshake else None

    @property
    def subprotocol(self) -> str | None:
        return self.handshake.subprotocol if self.handshake else None

    @property
    def extensions(self) -> str | None:
        return self.handshake.extensions if self.handshake else None

    def fields(self) -> dict[str, object]:
        """For handshake and anomaly rules."""
        fields = self.handshake.fields() if self.handshake else {}
        return fields | {
            "tls": self.tls is not None,
            "loopback": self.endpoints.loopback,
            "client": self.client,
            "server": self.server,
            "role": ROLES.get(self.role),
        }

    def report(self) -> Connection:
        return Connection(
            conn=self.number,
            client=self.client,
            server=self.server,
            role=ROLES.get(self.role),
            path=self.target,
            origin=self.origin,
            subprotocol=self.subprotocol,
            extensions=self.extensions,
            tls=self.tls,
            pid=self.pid,
            exe=self.process.exe if self.process else None,
        )
