"""Names of the two ends of a connection, from the addresses in a record."""

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoints:
    """As the observed process sees them; None: not known."""

    local: str | None
    remote: str | None
    loopback: bool


UNKNOWN = Endpoints(None, None, loopback=False)
UNIX = Endpoints("unix", "unix", loopback=True)


def inet(local: bytes, local_port: int, remote: bytes, remote_port: int) -> Endpoints:
    """From packed addresses of 4 or 16 bytes: "10.9.0.1:20000", "[2001:db8::1]:443".

    Port 0 is no port: that end is not known (a browser's file tells the server's end only).
    """
    ends = [ipaddress.ip_address(packed) for packed in (local, remote)]
    names = [
        None if not port else f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
        for address, port in zip(ends, (local_port, remote_port), strict=True)
    ]
    return Endpoints(names[0], names[1], loopback=all(address.is_loopback for address in ends))
