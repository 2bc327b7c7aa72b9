"""The compiled parser and the plain one tell the same of any bytes, however they are cut."""

import zlib

import oracle
import pytest
import wire
from hypothesis import given, settings
from hypothesis import strategies as st

from sockwarden.parser import DeflateParameters, FrameDecoder

OPCODES = st.sampled_from([0, 0, 1, 1, 1, 2, 2, 8, 9, 10, 3, 7, 11, 15])
TEXTS = st.one_of(
    st.text(max_size=40).map(str.encode),
    st.binary(max_size=40),
    st.binary(min_size=120, max_size=140),
    st.sampled_from(
        [b"", b"\x03", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", b"\xed\xa0", b"\xf4\x8f"]
    ),
)


@st.composite
def frames(draw, sender):
    opcode = draw(OPCODES)
    payload = draw(TEXTS)
    usual = draw(st.integers(0, 9)) > 0
    masked = (sender == "client") == usual
    rsv = draw(st.sampled_from([0, 0, 0, 0, 4, 1, 2]))
    if rsv & 4 and draw(st.booleans()):
        payload = draw(st.sampled_from([wire.Deflater(), wire.Deflater(no_context_takeover=True)]))(
            payload
        )
    return wire.frame(
        opcode,
        payload,
        key=draw(st.binary(min_size=4, max_size=4)) if masked else None,
        fin=draw(st.sampled_from([True, True, True, False])),
        rsv=rsv,
        form=draw(st.sampled_from([None, None, None, 2, 8])) if len(payload) < 126 else None,
    )


@st.composite
def streams(draw, sender):
    """Frames, some octets of them changed, and cut where it hurts."""
    stream = bytearray(b"".join(draw(st.lists(frames(sender), max_size=6))))
    for _ in range(draw(st.integers(0, 2))):
        if stream:
            stream[draw(st.integers(0, len(stream) - 1))] = draw(st.integers(0, 255))
    return (
        bytes(stream[: draw(st.integers(0, len(stream)))]) if draw(st.booleans()) else bytes(stream)
    )


@st.composite
def pieces_of(draw, stream):
    """Chunks, and numbers of missing octets, that make up the stream."""
    places = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=6)))
    pieces = []
    for start, end in zip([0, *places], [*places, len(stream)], strict=True):
        missing = draw(st.integers(0, 7)) == 0 and start != end
        if missing and not (pieces and isinstance(pieces[-1], int)):
            pieces.append(end - start)
        else:
            pieces.append(stream[start:end])
    # A gap ends where octets come: two in a row are one.
    return [piece for piece in pieces if piece]


def told(sender, pieces, takeover):
    deflate = None if takeover is None else DeflateParameters(no_context_takeover=not takeover)
    decoder = FrameDecoder(sender, deflate)
    events = []
    for piece in pieces:
        events += decoder.gap(piece) if isinstance(piece, int) else decoder.feed(piece)
    return [oracle.as_tuple(event) for event in events + decoder.end()]


@given(st.data(), st.sampled_from(["client", "server"]), st.sampled_from([None, True, False]))
@settings(max_examples=600, deadline=None)
def test_any_stream_in_any_pieces(data, sender, takeover):
    pieces = data.draw(pieces_of(data.draw(streams(sender))))
    expected = oracle.read(sender, pieces, takeover)
    events = told(sender, pieces, takeover)
    assert oracle.agrees(events, expected), (events, expected.events)


def test_a_block_whose_beginning_is_refused_before_its_end():
    pieces = [bytes.fromhex("8000 c102 0400")]
    expected = oracle.read("client", pieces, True)
    events = told("client", pieces, True)
    assert events[-1] == ("anomaly", "inflate_error", 2)
    assert oracle.agrees(events, expected)


@given(st.binary(max_size=200), st.sampled_from(["client", "server"]))
@settings(max_examples=200, deadline=None)
def test_any_octets(octets, sender):
    assert told(sender, [octets], None) == oracle.decode(sender, [octets])


@given(st.data(), st.sampled_from(["client", "server"]), st.booleans())
@settings(max_examples=30, deadline=None)
def test_every_cut(data, sender, takeover):
    stream = data.draw(streams(sender))[:120]
    expected = oracle.read(sender, [stream], takeover)
    whole = told(sender, [stream], takeover)
    assert oracle.agrees(whole, expected), (whole, expected.events)
    for pieces in wire.cuts(stream):
        assert told(sender, pieces, takeover) == whole


@pytest.mark.parametrize("takeover", [True, False])
@given(st.lists(st.text(alphabet="ab\u00e9\u20ac", max_size=300), max_size=5), st.data())
@settings(max_examples=50, deadline=None)
def test_compressed_conversations(takeover, texts, data):
    deflater = wire.Deflater(no_context_takeover=not takeover)
    stream = b"".join(wire.frame(1, deflater(text.encode()), key=wire.KEY, rsv=4) for text in texts)
    pieces = data.draw(pieces_of(stream))
    events = told("client", pieces, takeover)
    expected = oracle.read("client", pieces, takeover)
    assert oracle.as_far_as_known(events, expected) == expected.events
    if not any(isinstance(piece, int) for piece in pieces):
        assert [event[2].decode() for event in events] == texts


def test_the_oracle_inflates_like_zlib():
    final = zlib.compressobj(wbits=-15)
    packed = final.compress(b"Hello") + final.flush() + b"\x00"
    events = oracle.decode("server", [wire.frame(1, packed, rsv=4)], True)
    assert [event[2] for event in events] == [b"Hello"]
