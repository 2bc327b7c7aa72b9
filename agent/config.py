"""The agent's configuration: every key, its default and its range, in one place.

`packaging/conf/agent.toml` shows the same to people; a test compares the two.
"""

import re
import socket
from pathlib import Path
from typing import Annotated

import msgspec

from sockwarden.daemon.config import Address, ConfigError, Section, Size, load, require
from sockwarden.daemon.journal import LevelName
from sockwarden.proto import limits

DEFAULT_PATH = Path("/etc/sockwarden/agent.toml")

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

_NAME = re.compile(limits.AGENT_PATTERN, re.ASCII)


class Agent(Section, frozen=True):
    """`name` is the agent's id in the fleet; empty: the host's name."""

    name: str = ""
    user: str = "sockwarden"
    state_directory: str = "/var/lib/sockwarden-agent"

    def __post_init__(self) -> None:
        require(
            not self.name or _NAME.fullmatch(self.name) is not None,
            "name",
            "expected letters, digits, '.', '_', ':' and '-', at most 255",
        )
        require(bool(self.user), "user", "must not be empty")
        require(self.state_directory.startswith("/"), "state_directory", "must be an absolute path")


class Capture(Section, frozen=True):
    """`capture_limit_bytes` is what one call of a watched program may hand over at most."""

    sockets: bool = True
    tls: bool = True
    ring_bytes: Size = Size(16 * MIB)
    capture_limit_bytes: Size = Size(MIB)

    def __post_init__(self) -> None:
        ring = self.ring_bytes
        require(
            64 * KIB <= ring <= GIB and ring & (ring - 1) == 0,
            "ring_bytes",
            "must be a power of two between 64 KiB and 1 GiB",
        )
        require(
            4 * KIB <= self.capture_limit_bytes <= 64 * MIB,
            "capture_limit_bytes",
            "must be between 4 KiB and 64 MiB",
        )


class Parser(Section, frozen=True):
    head_bytes: Size = Size(16 * KIB)
    message_bytes: Size = Size(MIB)
    inflated_bytes: Size = Size(GIB)
    context_bytes: Size = Size(256 * MIB)
    connections: Annotated[int, msgspec.Meta(ge=16, le=1 << 20)] = 65_536

    def __post_init__(self) -> None:
        require(
            KIB <= self.head_bytes <= 64 * KIB, "head_bytes", "must be between 1 KiB and 64 KiB"
        )
        require(
            4 * KIB <= self.message_bytes <= 64 * MIB,
            "message_bytes",
            "must be between 4 KiB and 64 MiB",
        )
        require(
            self.message_bytes <= self.inflated_bytes <= 64 * GIB,
            "inflated_bytes",
            "must be between message_bytes and 64 GiB",
        )
        require(
            MIB <= self.context_bytes <= 64 * GIB,
            "context_bytes",
            "must be between 1 MiB and 64 GiB",
        )


class Rules(Section, frozen=True):
    """`directories` come on top of the shipped rules; `disabled` are names or ids of rules."""

    directories: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(
            all(directory.startswith("/") for directory in self.directories),
            "directories",
            "must be absolute paths",
        )


class Spool(Section, frozen=True):
    limit_bytes: Size = Size(256 * MIB)
    segment_bytes: Size = Size(4 * MIB)

    def __post_init__(self) -> None:
        require(
            MIB <= self.limit_bytes <= 1024 * GIB,
            "limit_bytes",
            "must be between 1 MiB and 1 TiB",
        )
        require(
            64 * KIB <= self.segment_bytes <= self.limit_bytes // 4,
            "segment_bytes",
            "must be between 64 KiB and a quarter of limit_bytes",
        )


class Uplink(Section, frozen=True):
    """No collector: alerts stay in the spool.  Collectors are tried in turn."""

    collectors: tuple[Address, ...] = ()
    ca: str = ""
    certificate: str = ""
    key: str = ""
    insecure_loopback: bool = False

    def __post_init__(self) -> None:
        if not self.collectors:
            return
        for collector in self.collectors:
            require(
                collector.is_unix or collector.port > 0,
                "collectors",
                f"{collector}: needs a port between 1 and 65535",
            )
        files = (self.ca, self.certificate, self.key)
        if self.insecure_loopback:
            require(
                all(collector.is_local for collector in self.collectors),
                "insecure_loopback",
                "allowed only where every collector is on loopback or a unix socket",
            )
            require(not any(files), "insecure_loopback", "excludes ca, certificate and key")
        else:
            for name, file in zip(("ca", "certificate", "key"), files, strict=True):
                require(bool(file), name, "is required to reach a collector")


class Metrics(Section, frozen=True):
    """Empty: no metrics are served."""

    listen: str = ""

    def __post_init__(self) -> None:
        if self.listen:
            try:
                unix = Address.parse(self.listen).is_unix
            except ValueError as error:
                raise ValueError(f"listen: {error}") from None
            require(not unix, "listen", "expected host:port, not a unix socket")


class Log(Section, frozen=True):
    level: LevelName = "info"


class Config(Section, frozen=True):
    agent: Agent = Agent()
    capture: Capture = Capture()
    parser: Parser = Parser()
    rules: Rules = Rules()
    spool: Spool = Spool()
    uplink: Uplink = Uplink()
    metrics: Metrics = Metrics()
    log: Log = Log()

    @property
    def name(self) -> str:
        """The agent's id in the fleet."""
        return self.agent.name or host_name()


def host_name() -> str:
    """This host's name as an agent's id; raises `ConfigError` where it cannot be one."""
    name = socket.gethostname()
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"agent.name: the host's name {name!a} cannot be used; set one")
    return name


def read(path: str | Path = DEFAULT_PATH) -> Config:
    """Raises `ConfigError`."""
    return load(path, Config)
