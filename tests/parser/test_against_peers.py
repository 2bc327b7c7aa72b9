"""Right streams decode as in the `websockets` and `wsproto` libraries."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.protocol import CLIENT, SERVER, Protocol, State
from wsproto.connection import Connection, ConnectionType
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate

from sockwarden.parser import Control, DeflateParameters, FrameDecoder, Message

FRAGMENT = st.text(alphabet="ab\u00e9\u20ac\U0001f600", max_size=60)
OCTETS = st.one_of(st.binary(max_size=200), st.sampled_from([b"", b"the same words " * 300]))
CONTROL = st.one_of(
    st.tuples(st.just("ping"), st.binary(max_size=125)),
    st.tuples(st.just("pong"), st.binary(max_size=125)),
)
# A message: its fragments, and what stands before each of them but the first
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("text"),
            st.lists(st.tuples(FRAGMENT, st.none() | CONTROL), min_size=1, max_size=3),
        ),
        st.tuples(
            st.just("binary"),
            st.lists(st.tuples(OCTETS, st.none() | CONTROL), min_size=1, max_size=3),
        ),
        CONTROL,
    ),
    max_size=8,
)


def spoken_by_websockets(sender, steps, deflate):
    """The wire bytes of the steps, and a Close."""
    protocol = Protocol(CLIENT if sender == "client" else SERVER, state=State.OPEN)
    if deflate:
        flag = deflate.no_context_takeover
        bits = deflate.window_bits
        protocol.extensions = [PerMessageDeflate(flag, flag, bits, bits)]
    for kind, content in steps:
        if kind in ("ping", "pong"):
            getattr(protocol, f"send_{kind}")(content)
            continue
        for at, (part, before) in enumerate(content):
            octets = part.encode() if kind == "text" else part
            fin = at == len(content) - 1
            if at and before:
                getattr(protocol, f"send_{before[0]}")(before[1])
            if at:
                protocol.send_continuation(octets, fin=fin)
            elif kind == "text":
                protocol.send_text(octets, fin=fin)
            else:
                protocol.send_binary(octets, fin=fin)
    protocol.send_close(1001, "bye")
    return b"".join(protocol.data_to_send())


def spoken_by_wsproto(sender, steps, deflate):
    extensions = []
    if deflate:
        flag = deflate.no_context_takeover
        bits = deflate.window_bits
        extension = WsprotoDeflate(flag, bits, flag, bits)
        extension._enabled = True
        extensions.append(extension)
    kind = ConnectionType.CLIENT if sender == "client" else ConnectionType.SERVER
    peer = Connection(kind, extensions)
    wire = b""
    events = {"text": TextMessage, "binary": BytesMessage, "ping": Ping, "pong": Pong}
    for kind, content in steps:
        if kind in ("ping", "pong"):
            wire += peer.send(events[kind](payload=content))
            continue
        for at, (part, before) in enumerate(content):
            if at and before:
                wire += peer.send(events[before[0]](payload=before[1]))
            wire += peer.send(events[kind](data=part, message_finished=at == len(content) - 1))
    return wire + peer.send(CloseConnection(code=1001, reason="bye"))


CONTROLS = {"ping": 9, "pong": 10}


def meant(steps):
    for kind, content in steps:
        if kind in CONTROLS:
            yield CONTROLS[kind], content, 1
            continue
        for _, before in content[1:]:
            if before:
                yield CONTROLS[before[0]], before[1], 1
        parts = [part.encode() if kind == "text" else part for part, _ in content]
        yield 1 if kind == "text" else 2, b"".join(parts), len(parts)
    yield 8, b"\x03\xe9bye", 1


@pytest.mark.parametrize("spoken_by", [spoken_by_websockets, spoken_by_wsproto])
@pytest.mark.parametrize("sender", ["client", "server"])
@pytest.mark.parametrize("packed", [False, True])
@given(STEPS, st.integers(1, 50), st.integers(9, 15), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_a_peer_sends(spoken_by, sender, packed, steps, size, bits, alone):
    deflate = DeflateParameters(bits, no_context_takeover=alone) if packed else None
    wire = spoken_by(sender, steps, deflate)
    decoder = FrameDecoder(sender, deflate)
    events = []
    for at in range(0, len(wire), size):
        events += decoder.feed(wire[at : at + size])
    assert decoder.end() == []
    assert all(isinstance(event, Message | Control) for event in events)
    told = [(event.opcode, event.payload, getattr(event, "fragments", 1)) for event in events]
    assert told == list(meant(steps))
