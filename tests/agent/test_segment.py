"""The form of the spool's files: what other msgpack readers get, and bytes of any kind."""

import google_crc32c
import msgpack
import pytest
from agent_alerts import make_alert
from hypothesis import example, given
from hypothesis import strategies as st

from sockwarden.agent import segment

ALERT = make_alert("é\x00\U0001f600", sequence=7, server=None)


def test_a_record_is_as_it_is_described() -> None:
    record = segment.encode(7, ALERT)
    assert record[:4] == bytes.fromhex("f5535752")
    length, crc, sequence = (
        int.from_bytes(record[4:8], "little"),
        int.from_bytes(record[8:12], "little"),
        int.from_bytes(record[12:20], "little"),
    )
    assert (length, sequence) == (len(record) - 20, 7)
    assert crc == google_crc32c.value(record[12:])
    fields = msgpack.unpackb(record[20:])
    assert (fields["level"], fields["evidence"], fields["tags"]) == ("high", "é\0😀", ["cwe.89"])
    assert fields["process"]["exe"] == "/usr/bin/node"
    assert segment.decode(record[20:]) == ALERT


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x91" * 100_000)  # nested
@example(b"\xdf\xff\xff\xff\xff")  # four thousand million fields
@example(b"\xc7\x01\x05x")  # an extension type
@example(b"\x81\xa1a\xa1\xff")  # no UTF-8
@example(msgpack.packb({"agent": 1}))
@example(segment.encode(1, ALERT)[20:-1])
@example(segment.encode(1, ALERT)[20:] + b"\xc0")
def test_what_is_no_alert_is_told_as_that(body: bytes) -> None:
    with pytest.raises(segment.NotAnAlertError):
        segment.decode(body)


def test_evidence_cannot_plant_a_record() -> None:
    planted = segment.encode(9, ALERT).decode("latin-1")
    record = segment.encode(8, make_alert(planted))
    assert record.count(b"\xf5SWR") == 1
