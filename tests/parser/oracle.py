"""A second decoder, plain and slow, that the compiled one is compared with.

It sees the whole stream at once as a tape of octets, None for a missing one, and
reads it from left to right.  `decode` returns what the parser is to tell, as tuples:

    ("anomaly", kind, offset)
    ("message", opcode, payload, length, compressed, fragments, after_close, complete, valid,
     offset)
    ("control", opcode, payload, length, code, after_close, offset)
"""

import zlib
from itertools import product

MESSAGE, CONTROL = "message", "control"


class EndOfTapeError(Exception):
    pass


class LostError(Exception):
    """Nothing says where the next frame begins."""


class Window:
    """One inflater, and what it may copy from."""

    def __init__(self, window=b""):
        self.window = window
        self.final = False  # what came last ended with a final block
        self.zlib = zlib.decompressobj(-15, zdict=window)

    def inflate(self, packed):
        """Clear octets, and whether it went on; the octets before an error are told too."""
        clear = b""
        some = b"?"
        if packed:
            self.final = False
        while packed or some:
            try:
                some = self.zlib.decompress(packed, 1)
            except zlib.error:
                return clear, False
            clear += some
            self.window = (self.window + some)[-32768:]
            packed = self.zlib.unconsumed_tail
            if self.zlib.eof:  # a final block: the window goes on behind it
                packed = self.zlib.unused_data
                self.zlib = zlib.decompressobj(-15, zdict=self.window)
                self.final = not packed
                some = b""
        return clear, True

    def is_inside_block(self):
        """Octets that would end the data at once do not."""
        ending = self.zlib.copy()
        try:
            ending.decompress(b"\x03\x00")
        except zlib.error:
            return True
        return not ending.eof


class Context:
    """The receiving side of permessage-deflate."""

    def __init__(self, takeover):
        self.takeover = takeover
        self.reset()

    def reset(self):
        self.windows = [Window()]
        self.final = False  # what came last ended with a final block

    def lose(self):
        """What was sent before may have been anything."""
        if self.takeover:
            self.windows = [Window(bytes(32768)), Window(b"\xff" * 32768)]
            self.final = False

    def inflate(self, packed):
        """Clear octets, how many of them are the same whatever was lost, whether it went on."""
        clear, fine = zip(*[window.inflate(packed) for window in self.windows], strict=True)
        self.final = self.windows[0].final
        same = [len(set(octets)) == 1 for octets in zip(*clear, strict=True)]
        return clear[0], [*same, False].index(False), all(fine)


class Text:
    """UTF-8, octet by octet: an octet is bad if no octets behind it make a text again."""

    ENDINGS = tuple(
        bytes(ending)
        for size in range(1, 4)
        for ending in product(b"\x80\x90\xa0", *[b"\x80"] * (size - 1))
    )

    def __init__(self):
        self.pending = b""

    def decode(self, octets):
        for octet in octets:
            self.pending += bytes([octet])
            if self.is_text(self.pending):
                self.pending = b""
            elif not any(self.is_text(self.pending + ending) for ending in self.ENDINGS):
                raise UnicodeError

    @staticmethod
    def is_text(octets):
        try:
            octets.decode()
        except UnicodeDecodeError:
            return False
        return True


class Message:
    def __init__(self, opcode, compressed, offset):
        self.opcode = opcode
        self.compressed = compressed
        self.offset = offset
        self.payload = bytearray()
        self.fragments = 0
        self.missing = self.withheld = self.unsure = False
        self.valid = True
        self.wire = 0
        self.text = Text()


class Oracle:
    def __init__(self, sender, tape, takeover=None):
        self.tape = tape
        self.at = 0
        self.sender = sender
        self.context = None if takeover is None else Context(takeover)
        self.events = []
        self.message = None
        self.closed = self.close_told = False
        self.lost_at = None  # how many events came before nothing said where frames are
        self.inside_at = None  # how many came before a message that ended inside a block

    def tell(self, kind, offset):
        self.events.append(("anomaly", kind, offset))

    # --- the tape ---

    def octet(self):
        if self.at == len(self.tape):
            raise EndOfTapeError
        octet = self.tape[self.at]
        if octet is None:
            raise LostError
        self.at += 1
        return octet

    def missing_run(self):
        end = self.at
        while end < len(self.tape) and self.tape[end] is None:
            end += 1
        return end - self.at

    # --- frames ---

    def run(self):
        try:
            while self.at < len(self.tape):
                self.frame()
        except EndOfTapeError:
            self.tell_truncated(self.at)
            return self.events
        except LostError:
            self.lost()
            return self.events
        if self.message:
            self.tell_truncated(self.at)
        return self.events

    def tell_truncated(self, offset):
        if not (self.message and self.message.missing):
            self.tell("truncated", offset)

    def lost(self):
        if self.at < len(self.tape) and self.tape[self.at] is None:
            self.tell("gap", self.at)
        if self.message:
            self.tell_truncated(self.at)
        self.lost_at = len(self.events)
        in_gap = True
        for offset in range(self.at, len(self.tape)):
            if self.tape[offset] is None and not in_gap:
                self.tell("gap", offset)
            in_gap = self.tape[offset] is None

    def frame(self):
        start = self.at
        first = self.octet()
        fin, rsv, opcode = first >> 7, first >> 4 & 7, first & 15
        self.judge_first(start, fin, rsv, opcode)
        masked, length = self.lengths(opcode)
        key = bytes(self.octet() for _ in range(4)) if masked else bytes(4)
        if opcode in (0, 1, 2):
            self.data_frame(start, fin, rsv, opcode, key, length)
        elif opcode in (8, 9, 10):
            self.control_frame(start, opcode, key, length)
        else:
            for _ in self.payload(key, length):
                pass

    def judge_first(self, start, fin, rsv, opcode):
        if opcode not in (0, 1, 2, 8, 9, 10):
            self.tell("reserved_opcode", start)
        if rsv and not (rsv == 4 and self.context and opcode in (1, 2)):
            self.tell("rsv_bits", start)
        if opcode >= 8 and not fin:
            self.tell("control_fragmented", start)
        if opcode == 0 and not self.message:
            self.tell("unexpected_continuation", start)
        if opcode in (1, 2) and self.message:
            self.tell("expected_continuation", start)
            self.drop_message()
        if opcode in (0, 1, 2) and self.closed and not self.close_told:
            self.close_told = True
            self.tell("data_after_close", start)

    def drop_message(self):
        if self.message.compressed:
            self.context.lose()
        self.message = None

    def lengths(self, opcode):
        at = self.at
        second = self.octet()
        masked, length = second >> 7, second & 127
        if masked != (self.sender == "client"):
            self.tell("masked_server" if masked else "unmasked_client", at)
        if length < 126:
            return masked, length
        octets = 2 if length == 126 else 8
        length = 0
        told = False
        for n in range(octets):
            at = self.at
            length = length << 8 | self.octet()
            left = octets - n - 1
            if octets == 8 and length << 8 * left >= 1 << 53:
                self.tell("length_overflow", at)
                self.at = at
                raise LostError
            if opcode >= 8 and not told and length << 8 * left > 125:
                told = True
                self.tell("control_too_long", at)
            if (octets == 2 and n == 1 and length < 126) or (octets == 8 and n == 5 and not length):
                self.tell("length_not_minimal", at)
        return masked, length

    def payload(self, key, length):
        """(offset, octet) of a payload; (offset, None) once for a run of missing ones, whose
        size `self.run_size` tells."""
        end = self.at + length
        while self.at < end:
            if self.at == len(self.tape):
                raise EndOfTapeError
            run = self.missing_run()
            if run:
                if self.at + run > end:
                    raise LostError
                self.tell("gap", self.at)
                self.run_size = run
                offset, self.at = self.at, self.at + run
                yield offset, None
            else:
                octet = self.tape[self.at] ^ key[(length - (end - self.at)) % 4]
                self.at += 1
                yield self.at - 1, octet

    # --- data ---

    def data_frame(self, start, fin, rsv, opcode, key, length):
        if not self.message:
            compressed = bool(rsv & 4 and self.context and opcode in (1, 2))
            self.message = Message(opcode, compressed, start)
            if compressed and not self.context.takeover:
                self.context.reset()
        message = self.message
        message.fragments += 1
        for offset, octet in self.payload(key, length):
            message.wire += 1
            if octet is None:
                if not message.missing:
                    self.tell("truncated", offset)
                message.missing = True
                message.payload += bytes(self.run_size)
                if message.compressed and not message.withheld:
                    self.break_context()
            elif message.compressed:
                self.inflate(bytes([octet]), start)
            else:
                self.take(bytes([octet]), offset)
        if message.opcode == 0:  # it continues nothing
            self.message = None
        elif fin:
            self.finish(start)

    def break_context(self):
        self.message.withheld = True
        self.context.lose()

    def inflate(self, packed, start):
        if self.message.withheld:
            return
        clear, sure, fine = self.context.inflate(packed)
        if not self.message.unsure:
            self.take(clear[:sure], start)
        self.message.unsure |= sure < len(clear)
        if not fine:
            self.break_context()
            self.tell("inflate_error", start)

    def take(self, clear, offset):
        message = self.message
        message.payload += clear
        if message.opcode == 1 and message.valid and not message.missing:
            try:
                message.text.decode(clear)
            except UnicodeError:
                message.valid = False
                self.tell("invalid_utf8", offset)

    def finish(self, start):
        message = self.message
        if message.compressed and message.wire and not self.context.final:
            self.inflate(b"\x00\x00\xff\xff", start)
            if self.inside_at is None and self.context.windows[0].is_inside_block():
                self.inside_at = len(self.events)
        if not message.withheld and not message.unsure:
            if message.valid and not message.missing and message.text.pending:
                message.valid = False
                self.tell("invalid_utf8", start if message.compressed else self.at - 1)
            self.events.append(
                (
                    MESSAGE,
                    message.opcode,
                    bytes(message.payload),
                    len(message.payload),
                    message.compressed,
                    message.fragments,
                    self.closed,
                    not message.missing,
                    message.valid,
                    message.offset,
                )
            )
        self.message = None

    # --- control ---

    def control_frame(self, start, opcode, key, length):
        kept = bytearray()
        missing = faulty = False
        reason = Text()
        for offset, octet in self.payload(key, length):
            if octet is None:
                missing = True
            if missing or len(kept) == 125:
                continue
            kept.append(octet)
            if opcode != 8:
                continue
            if len(kept) == 2 and not self.may_be_sent(int.from_bytes(kept, "big")):
                self.tell("invalid_close_code", offset)
            if len(kept) > 2 and not faulty:
                try:
                    reason.decode(bytes([octet]))
                except UnicodeError:
                    faulty = True
                    self.tell("invalid_close_payload", offset)
        if opcode == 8 and not missing and not faulty:
            whole = length <= 125 and not reason.pending
            if length == 1 or (length <= 125 and not whole):
                self.tell("invalid_close_payload", self.at - 1)
        code = int.from_bytes(kept[:2], "big") if opcode == 8 and len(kept) >= 2 else None
        self.events.append((CONTROL, opcode, bytes(kept), length, code, self.closed, start))
        self.closed = self.closed or opcode == 8

    @staticmethod
    def may_be_sent(code):
        return code in {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


def decode(sender, pieces, takeover=None):
    """Events of a stream whose pieces are bytes, or a number of missing octets.

    `takeover`: of permessage-deflate; None: without the extension.
    """
    return read(sender, pieces, takeover).events


def read(sender, pieces, takeover=None):
    tape = []
    for piece in pieces:
        tape += [None] * piece if isinstance(piece, int) else piece
    oracle = Oracle(sender, tape, takeover)
    oracle.run()
    return oracle


def as_far_as_known(events, oracle):
    """Without what was told from behind a gap over a header, where the oracle tells only gaps."""
    if oracle.lost_at is None:
        return events
    return events[: oracle.lost_at] + [
        event for event in events[oracle.lost_at :] if event[:2] == ("anomaly", "gap")
    ]


def agrees(events, oracle):
    """zlib waits for the rest of a block that has begun, where the parser may refuse its beginning.
    It makes the octets before a fault, which the parser does not look at."""
    known = _without_text_of_bad_data(as_far_as_known(events, oracle))
    told = _without_text_of_bad_data(oracle.events)
    at = oracle.inside_at
    if at is not None:
        at -= len(oracle.events[:at]) - len(_without_text_of_bad_data(oracle.events[:at]))
        if known[:at] == told[:at] and known[at : at + 1] != told[at : at + 1]:
            return at < len(known) and known[at][:2] == ("anomaly", "inflate_error")
    return known == told


def _without_text_of_bad_data(events):
    kept, texts = [], []
    for event in events:
        if event[:2] == ("anomaly", "invalid_utf8"):
            texts.append(len(kept))
        elif event[:2] == ("anomaly", "inflate_error"):
            kept = [one for at, one in enumerate(kept) if at not in texts]
            texts = []
        elif event[0] == MESSAGE:
            texts = []
        kept.append(event)
    return kept


def as_tuple(event):
    """An event of the parser in the oracle's form."""
    kind = type(event).__name__
    if kind == "Anomaly":
        return "anomaly", event.kind, event.offset
    if kind == "Control":
        return (
            CONTROL,
            event.opcode,
            event.payload,
            event.length,
            event.code,
            event.after_close,
            event.offset,
        )
    return (
        MESSAGE,
        event.opcode,
        event.payload,
        event.length,
        event.compressed,
        event.fragments,
        event.after_close,
        event.complete,
        event.valid_utf8,
        event.offset,
    )
