"""A pipeline that only writes down what a source gives it."""

import struct
from dataclasses import dataclass, field
from io import BytesIO

from sockwarden.agent.sources import SourceError, read
from sockwarden.agent.sources.batch import RecordBatch

RECORD = struct.Struct("=QQQQIIIBBBB")
OPEN, DATA, CLOSE = 1, 2, 3
READ, WRITE = 0, 1


@dataclass
class Seen:
    """One connection."""

    open: bytes
    time_ns: int
    generation: int
    role: int
    # By flow: (position, octets), joined where they are contiguous
    runs: tuple[list[tuple[int, bytearray]], list[tuple[int, bytearray]]] = field(
        default_factory=lambda: ([], [])
    )
    messages: list[tuple[int, int, bytes]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    end: tuple[int, int] | None = None

    def stream(self, flow: int) -> bytes:
        """A direction without holes."""
        runs = self.runs[flow]
        places = [position for position, _ in runs]
        assert places in ([], [0]), f"runs at {places}"
        return bytes(runs[0][1]) if runs else b""

    @property
    def streams(self) -> tuple[bytes, bytes]:
        return self.stream(READ), self.stream(WRITE)


class Recorder:
    """Checks the records' form as it goes."""

    def __init__(self) -> None:
        self.connections: dict[int, Seen] = {}
        self.order: list[tuple[int, int, bytes]] = []

    def feed(self, records: memoryview) -> None:
        data = bytes(records)
        at = 0
        while at < len(data):
            (
                number,
                time_ns,
                position,
                length,
                captured,
                generation,
                process,
                kind,
                flow,
                source,
                role,
            ) = RECORD.unpack_from(data, at)
            at += RECORD.size
            body = data[at : at + captured]
            assert len(body) == captured
            at += -(-captured // 8) * 8
            assert (process, source) == (0, 4)
            assert length >= captured
            if kind == OPEN:
                assert number not in self.connections
                self.connections[number] = Seen(body, time_ns, generation, role)
                continue
            seen = self.connections[number]
            assert seen.end is None
            if kind == CLOSE:
                seen.end = struct.unpack("=QQ", body)
                continue
            assert kind == DATA
            runs = seen.runs[flow]
            seen.times.append(time_ns)
            self.order.append((number, flow, body))
            if runs and runs[-1][0] + len(runs[-1][1]) == position:
                runs[-1][1].extend(body)
            else:
                assert not runs or position > runs[-1][0] + len(runs[-1][1])
                runs.append((position, bytearray(body)))

    def message(
        self, connection: int, time_ns: int, flow: int, opcode: int, payload: bytes
    ) -> None:
        self.connections[connection].messages.append((flow, opcode, payload))
        self.connections[connection].times.append(time_ns)

    def deliver(self) -> int:
        return 0


@dataclass
class Result:
    connections: list[Seen]
    lost: dict[str, int]
    error: SourceError | None
    order: list[tuple[int, int, bytes]]

    @property
    def only(self) -> Seen:
        (connection,) = self.connections
        return connection


def analyze(content: bytes) -> Result:
    """What a file's records are; its error, if it has one, is part of the result."""
    recorder = Recorder()
    batch = RecordBatch(recorder)
    error = None
    try:
        read(BytesIO(content), batch)
    except SourceError as problem:
        error = problem
    return Result(list(recorder.connections.values()), batch.lost, error, recorder.order)
