"""Writes records as parser/records.h lays them out."""

import ipaddress
import struct
from dataclasses import dataclass, field

OPEN, DATA, CLOSE, EXIT = 1, 2, 3, 4
READ, WRITE = 0, 1
SOCKET, OPENSSL = 0, 1
SERVER, CLIENT = 1, 2
MIDSTREAM = 1

HEADER = struct.Struct("<QQQQIIIBBBB")
OPENING = struct.Struct("<QQIiHHHH16s16s")
CLOSING = struct.Struct("<QQ")
FAMILIES = {4: 2, 6: 10}


def record(
    connection,
    kind,
    data=b"",
    *,
    time_ns=1,
    position=0,
    flow=READ,
    source=SOCKET,
    role=SERVER,
    process=0,
):
    header = HEADER.pack(
        connection, time_ns, position, len(data), len(data), 0, process, kind, flow, source, role
    )
    return header + data + bytes(-len(data) % 8)


def address(text):
    """ "10.0.0.1:80" -> (family, packed, port); None -> not known."""
    if text is None:
        return 0, b"", 0
    host, _, port = text.rpartition(":")
    ip = ipaddress.ip_address(host.strip("[]"))
    return FAMILIES[ip.version], ip.packed, int(port)


@dataclass
class Conversation:
    """The records of one connection, written call by call."""

    number: int
    local: str | None = "10.9.0.2:8080"
    remote: str | None = "10.9.0.1:20000"
    role: int = SERVER
    source: int = SOCKET
    process: int = 0
    time_ns: int = 1_000_000_000
    positions: list[int] = field(default_factory=lambda: [0, 0])

    def open(self, flags=0):
        family, local, local_port = address(self.local)
        _, remote, remote_port = address(self.remote)
        data = OPENING.pack(5, 6, 1000, 7, family, flags, local_port, remote_port, local, remote)
        return self._record(OPEN, data)

    def c2s(self, data):
        return self._data(READ if self.role != CLIENT else WRITE, data)

    def s2c(self, data):
        return self._data(WRITE if self.role != CLIENT else READ, data)

    def close(self):
        return self._record(CLOSE, CLOSING.pack(*self.positions))

    def _data(self, flow, data):
        position = self.positions[flow]
        self.positions[flow] += len(data)
        return self._record(DATA, data, position=position, flow=flow)

    def _record(self, kind, data, **fields):
        self.time_ns += 1_000_000
        return record(
            self.number,
            kind,
            data,
            time_ns=self.time_ns,
            source=self.source,
            role=self.role,
            process=self.process,
            **fields,
        )
