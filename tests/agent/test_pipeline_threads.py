"""Two pipelines at work at the same time share one bound of contexts, and tell nothing wrong."""

import hashlib
import threading
import zlib

import pytest
from probe_records import Conversation
from websocket_bytes import TEXT, frame, key_of, request, response

from sockwarden.agent.alert import Message
from sockwarden.agent.pipeline import Pipeline
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.rules.load import load_rules
from sockwarden.parser import contexts

CONNECTIONS, ROUNDS = 24, 60
RSV1 = 0x40
DEFLATE = "permessage-deflate"


class Sink:
    def __init__(self) -> None:
        self.seen: list[tuple[int, str | None]] = []

    def message(self, report: Message) -> None:
        self.seen.append((report.conn, report.sha256))

    def connection(self, report: object) -> None: ...

    control = anomaly = alert = connection


@pytest.fixture
def tight():
    """Room for a third of what two pipelines need."""
    contexts.limit(contexts.usage()["held_bytes"] + 2 * CONNECTIONS * (1 << 15) // 3)
    yield
    contexts.limit(contexts.DEFAULT_LIMIT_BYTES)


class Streams:
    """One pipeline's records, and the digests of what may be told of each connection."""

    def __init__(self, rules: RuleSet, first: int) -> None:
        self.sink = Sink()
        self.pipeline = Pipeline(rules, self.sink, trace=True, redaction_key=b"k" * 32)
        talks = [Conversation(number) for number in range(first, first + CONNECTIONS)]
        packers = [zlib.compressobj(1, wbits=-15) for _ in talks]
        records = bytearray()
        for talk in talks:
            key = key_of(talk.number)
            records += talk.open()
            records += talk.c2s(request("/", key=key, Sec_WebSocket_Extensions=DEFLATE))
            records += talk.s2c(response(key, Sec_WebSocket_Extensions=DEFLATE))
        self.right = set()
        for turn in range(ROUNDS):
            for talk, packer in zip(talks, packers, strict=True):
                payload = b"%d at %d, " % (talk.number, turn) * 150
                self.right.add(hashlib.sha256(payload).hexdigest())
                packed = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
                octets = frame(TEXT, packed[:-4], rsv=RSV1)
                cut = len(octets) // (1 + turn % 3)  # some messages in two records
                records += talk.s2c(octets[:cut])
                if octets[cut:]:
                    records += talk.s2c(octets[cut:])
        self.records = bytes(records)

    def run(self) -> None:
        self.pipeline.feed(self.records)
        self.pipeline.deliver()


def test_two_threads_under_a_tight_bound(tight):
    rules = load_rules(None)
    both = [Streams(rules, 1), Streams(rules, 1000)]
    evicted = contexts.usage()["evicted"]
    threads = [threading.Thread(target=streams.run) for streams in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contexts.usage()["evicted"] > evicted
    for streams in both:
        told = [digest for _, digest in streams.sink.seen]
        assert len(told) >= CONNECTIONS
        assert streams.right.issuperset(told)
        assert len(set(told)) == len(told)
