# distutils: include_dirs = parser
"""The way of one message, top to bottom: from a record of the probe to a verdict.

    record        a piece of one call's bytes, in the order of the ring
    connections   whose bytes are they?
    parser        handshake, then frames, then whole messages: unmasked, joined, inflated
    rules         the literal gate, Vectorscan, boolean programs, counters of the connection
    findings      what hit waits in an arena
    deliver       Python makes alerts of it: names, redaction, the sink

Everything down to the findings runs without the GIL, without a Python object and without an
allocation per message.  Python is entered once when a connection opens, once for its handshake,
and once a batch for what was found.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from sockwarden.agent.connections cimport (
    Watched, table_add, table_find, table_free, table_init, table_remove, table_victim)
from sockwarden.agent.findings cimport (
    FOUND_ANOMALY, FOUND_CLOSE, FOUND_CONTROL, FOUND_HIT, FOUND_MESSAGE, Finding, findings_add,
    findings_clear, findings_evidence, findings_free, findings_init, findings_room)
from sockwarden.agent.lines cimport Lines
from sockwarden.agent.ring cimport Ring
from sockwarden.agent.rules.engine cimport Facts, Hit, RuleSet, Scratch, Verdict
from sockwarden.parser.connection cimport (
    Losses, connection_end, connection_feed, connection_free, connection_losses,
    connection_midstream, connection_new)
from sockwarden.parser.contexts cimport contexts_usage
from sockwarden.parser.events cimport (
    ANOMALY_COUNT, BINARY, C2S, CONTINUATION, DIGEST_ALL, DIGEST_NONE, INFLATED_BYTES, S2C,
    Anomaly, ControlEvent, Direction, Handler, HandshakeEvent, MessageEvent)
from sockwarden.parser.records cimport (
    SW_CLIENT, SW_CLOSE, SW_DATA, SW_EXIT, SW_IPV4, SW_IPV6, SW_MIDSTREAM, SW_OPEN, SW_SOCKET,
    SW_UNIX, SW_WRITE, sw_close, sw_open, sw_record)

import hashlib

from sockwarden.agent import endpoint
from sockwarden.agent.reporter import Reporter
from sockwarden.parser.events import ANOMALY_KINDS

# What one connection may make Python do: beyond, it is counted and not told one by one.
cdef enum:
    HITS_PER_SECOND = 100
    ANOMALIES_OF_A_KIND = 16
    RELEASE_EVERY = 32            # records, then the kernel gets their room back
    GOES_ON_WITHIN_NS = 1_000_000_000
    UNPROVEN_BYTES = 256 << 10

cdef uint64_t SECOND_NS = 1_000_000_000


# The collector of cycles must not take the rules away before __dealloc__ has used them.
@cython.no_gc_clear
cdef class Pipeline:
    # ---------------------------------------------------------------- 0. from the kernel's ring

    cpdef uint64_t drain(self, Ring ring, uint64_t most) except? 0:
        """Takes up to `most` records from the kernel's ring; returns how many."""
        cdef const sw_record *header
        cdef size_t size
        cdef uint64_t taken = 0
        with nogil:
            while taken < most:
                header = ring.next(&size)
                if header == NULL:
                    break
                self.record(header, <const uint8_t *>(header + 1))
                taken += 1
                if taken % RELEASE_EVERY == 0:
                    ring.release()
            ring.release()
        return taken

    # ---------------------------------------------------------------- 1. a record

    cdef void record(self, const sw_record *header, const uint8_t *data) noexcept nogil:
        cdef Watched *watched
        self.records += 1
        self.now_ns = header.time_ns
        watched = table_find(&self.table, header.connection)
        if header.kind == SW_OPEN:
            if watched == NULL and header.captured == sizeof(sw_open):
                self.open(header, <const sw_open *>data)
            else:
                self.bad_records += 1
        elif header.kind == SW_EXIT:
            self.exit(header.process)
        elif watched == NULL:
            self.unknown_records += 1
        elif header.kind == SW_DATA:
            self.data(watched, header, data)
        elif header.kind == SW_CLOSE and header.captured == sizeof(sw_close):
            self.close(watched, <const sw_close *>data)
        else:
            self.bad_records += 1

    # ---------------------------------------------------------------- 2. whose is it

    cdef void open(self, const sw_record *header, const sw_open *open_) noexcept nogil:
        cdef Handler handler
        cdef Watched *watched = self.place(header.connection)
        if watched == NULL:
            self.connections_refused += 1
            return
        handler.user = watched
        handler.request = on_request
        handler.handshake = on_handshake
        handler.message = on_message
        handler.control = on_control
        handler.anomaly = on_anomaly
        watched.parser = connection_new(&self.limits, &handler)
        if watched.parser == NULL:
            self.connections_refused += 1
            table_remove(&self.table, watched)
            return
        watched.pipeline = <void *>self
        watched.opened_ns = watched.seen_ns = header.time_ns
        watched.process = header.process
        watched.role = header.role
        watched.tls = header.source != SW_SOCKET
        if open_.flags & SW_MIDSTREAM:
            connection_midstream(watched.parser)
            watched.unproven = 1
        with gil:
            self.meet(watched, header, open_)

    cdef Watched *place(self, uint64_t connection) noexcept nogil:
        """Where a new connection goes; the table's longest silent makes way if it is full."""
        cdef Watched *victim
        if self.table.count >= self.table.limit:
            victim = table_victim(&self.table)
            if victim != NULL:
                self.connections_evicted += 1
                self.forget(victim)
        return table_add(&self.table, connection)

    cdef void data(self, Watched *watched, const sw_record *header,
                   const uint8_t *data) noexcept nogil:
        watched.seen_ns = header.time_ns
        watched.process = header.process
        if watched.left_ns:
            watched.left_ns = 0
            self.left -= 1
        if watched.hidden:
            self.hidden_bytes += header.captured
            self.release_parser(watched)
            return
        if watched.unproven and not self.may_be_frames(watched, header.captured):
            return
        connection_feed(watched.parser, direction_of(watched, header.flow), header.position,
                        data, header.captured)

    cdef bint may_be_frames(self, Watched *watched, uint32_t size) noexcept nogil:
        """What the kernel took for a WebSocket by a few bytes in its middle need not be one."""
        watched.unproven += size
        if watched.unproven <= UNPROVEN_BYTES:
            return True
        watched.hidden = True
        self.midstream_given_up += 1
        with gil:
            self.give_up(watched)
        return False

    cdef void close(self, Watched *watched, const sw_close *ends) noexcept nogil:
        if watched.parser != NULL:
            connection_end(watched.parser, direction_of(watched, 0), ends.end[0])
            connection_end(watched.parser, direction_of(watched, 1), ends.end[1])
        self.forget(watched)

    cdef void exit(self, uint32_t process) noexcept nogil:
        """A process has ended: the kernel closes what it had open without a call.

        A socket may have been another process's too (fork, exec, SCM_RIGHTS), which goes on.
        """
        cdef size_t at
        cdef Watched *watched
        for at in range(self.table.mask + 1):
            watched = self.table.slots[at]
            if watched != NULL and watched.process == process and not watched.left_ns:
                watched.left_ns = self.now_ns
                self.left += 1

    cpdef void expire(self, uint64_t now_ns) noexcept:
        cdef size_t at = 0
        cdef Watched *watched
        cdef sw_close unknown
        unknown.end[0] = unknown.end[1] = 0
        with nogil:
            while self.left and at <= self.table.mask:
                watched = self.table.slots[at]
                if watched != NULL and watched.left_ns and (
                        now_ns - watched.left_ns >= GOES_ON_WITHIN_NS):
                    self.close(watched, &unknown)  # another may take its place
                else:
                    at += 1

    cdef void forget(self, Watched *watched) noexcept nogil:
        if watched.left_ns:
            self.left -= 1
        self.add_finding(watched, FOUND_CLOSE)
        self.release_parser(watched)
        table_remove(&self.table, watched)

    cdef void release_parser(self, Watched *watched) noexcept nogil:
        cdef Losses losses
        if watched.parser != NULL:
            losses = connection_losses(watched.parser)
            self.undecoded_bytes += losses.undecoded_bytes[0] + losses.undecoded_bytes[1]
            self.withheld_messages += losses.withheld_messages[0] + losses.withheld_messages[1]
            connection_free(watched.parser)
            self.rules.state_free(watched.state)
        watched.parser = NULL
        watched.state = NULL

    # ---------------------------------------------------------------- 3. a whole message

    cdef void take_message(self, Watched *watched, Direction direction,
                           const MessageEvent *event) noexcept nogil:
        cdef Facts facts
        if watched.hidden:
            return
        watched.unproven = 0
        facts.opcode = event.opcode
        if event.opcode == CONTINUATION:  # of nothing: no message, but judged
            facts.opcode = BINARY
        else:
            self.tell_message(watched, direction, event)
        facts.length = event.length
        facts.wire_length = event.wire_length
        facts.fragments = event.fragments
        facts.compressed = event.compressed
        facts.after_close = event.after_close
        facts.complete = event.complete
        self.judge(watched, direction, &facts, event.payload, event.size)

    cdef void tell_message(self, Watched *watched, Direction direction,
                           const MessageEvent *event) noexcept nogil:
        cdef Finding *finding
        self.messages += 1
        self.message_bytes += event.length
        if self.trace_messages:
            finding = self.add_finding(watched, FOUND_MESSAGE)
            finding.direction = direction
            finding.opcode = event.opcode
            finding.length = event.length
            finding.count = event.fragments
            finding.compressed = event.compressed
            finding.after_close = event.after_close
            finding.has_sha256 = event.sha256 != NULL
            if finding.has_sha256:
                memcpy(finding.sha256, event.sha256, 32)

    cdef void take_control(self, Watched *watched, Direction direction,
                           const ControlEvent *event) noexcept nogil:
        cdef Finding *finding
        cdef Facts facts
        if watched.hidden:
            return
        watched.unproven = 0
        if self.trace_controls:
            finding = self.add_finding(watched, FOUND_CONTROL)
            finding.direction = direction
            finding.opcode = event.opcode
            finding.length = event.length
            finding.code = event.code
            finding.has_code = event.has_code
        facts.opcode = event.opcode
        facts.length = facts.wire_length = event.length
        facts.fragments = 1
        facts.compressed = False
        facts.after_close = event.after_close
        facts.complete = event.size == event.length
        self.judge(watched, direction, &facts, event.payload, event.size)

    # ---------------------------------------------------------------- 4. the rules

    cdef void judge(self, Watched *watched, Direction direction, Facts *facts,
                    const uint8_t *payload, size_t size) noexcept nogil:
        cdef Verdict verdict
        cdef uint32_t i
        watched.messages[<int>direction] += 1
        watched.payload_bytes[<int>direction] += facts.length
        facts.time_ns = self.now_ns
        facts.age_ns = self.now_ns - watched.opened_ns if self.now_ns > watched.opened_ns else 0
        facts.messages = watched.messages[<int>direction]
        facts.connection_bytes = watched.payload_bytes[<int>direction]
        facts.direction = direction
        facts.tls = watched.tls
        facts.loopback = watched.loopback
        self.rules.judge_message(self.scratch, &watched.state, facts, payload, size, &verdict)
        self.hits_suppressed += verdict.dropped
        for i in range(verdict.count):
            self.hit(watched, facts, &verdict.hits[i], payload, size)

    cdef void hit(self, Watched *watched, const Facts *facts, const Hit *hit,
                  const uint8_t *payload, size_t size) noexcept nogil:
        cdef Finding *finding
        cdef uint64_t second = self.now_ns // SECOND_NS
        if second != watched.hits_second:
            watched.hits_second = second
            watched.hits = 0
        watched.hits += 1
        if watched.hits > HITS_PER_SECOND:
            self.hits_suppressed += 1
            return
        finding = self.add_finding(watched, FOUND_HIT)
        finding.direction = facts.direction
        finding.opcode = facts.opcode
        finding.rule = hit.rule
        finding.count = hit.count
        if hit.view:
            payload = self.rules.view(self.scratch, hit.view, &size)
        findings_evidence(&self.findings, finding, payload, size, hit.start, hit.end)

    cdef void take_anomaly(self, Watched *watched, Direction direction, Anomaly kind,
                           uint64_t offset) noexcept nogil:
        cdef Finding *finding
        if watched.hidden:
            return
        self.anomalies[<int>kind] += 1
        watched.anomalies[<int>kind] += 1
        if self.trace or watched.anomalies[<int>kind] <= ANOMALIES_OF_A_KIND:
            finding = self.add_finding(watched, FOUND_ANOMALY)
            finding.direction = direction
            finding.opcode = <uint8_t>kind
            finding.length = offset

    # ---------------------------------------------------------------- 5. findings

    cdef Finding *add_finding(self, Watched *watched, int kind) noexcept nogil:
        cdef Finding *finding
        if not findings_room(&self.findings):
            with gil:
                self.empty_findings()
        finding = findings_add(&self.findings)
        finding.connection = watched.connection
        finding.time_ns = self.now_ns
        finding.kind = <uint8_t>kind
        return finding

    # ---------------------------------------------------------------- 6. Python hears of it

    cdef void meet(self, Watched *watched, const sw_record *header,
                   const sw_open *open_) noexcept:
        """A connection opens: its names are resolved while its process is still there."""
        self.empty_findings()
        try:
            ends = endpoints_of(open_)
            watched.loopback = ends.loopback
            wanted = self.reporter.meet(watched.connection, header.role, header.source, ends,
                                        header.process, open_.process_start_ns)
            if open_.flags & SW_MIDSTREAM:  # no handshake decides it
                watched.hidden = not wanted
        except Exception as error:
            self.failure = self.failure or error

    cdef void give_up(self, Watched *watched) noexcept:
        try:
            if self.unwanted is not None:
                self.unwanted(watched.connection)
        except Exception as error:
            self.failure = self.failure or error

    cdef void request(self, Watched *watched, const uint8_t *head, size_t size) noexcept:
        """The request's head is whole: the other end of this connection is known by its key."""
        try:
            self.reporter.request(watched.connection, head[:size])
        except Exception as error:
            self.failure = self.failure or error

    cdef void handshake(self, Watched *watched, const HandshakeEvent *event) noexcept:
        """Both heads are whole: is it judged here, and what do the handshake rules say?"""
        cdef bytes request = b"", response = b""
        self.empty_findings()
        try:
            if event.request != NULL:
                request = event.request[:event.request_size]
            if event.response != NULL:
                response = event.response[:event.response_size]
            watched.hidden = not self.reporter.handshake(
                watched.connection, self.epoch_ns(self.now_ns),
                request, response, bool(event.upgraded),
            )
        except Exception as error:
            self.failure = self.failure or error

    cdef empty_findings(self):
        """Tells what waits in the arena; what the sink raises is kept for `deliver`."""
        cdef size_t i
        for i in range(self.findings.count):
            try:
                self.tell(&self.findings.items[i])
            except Exception as error:
                self.failure = self.failure or error
        findings_clear(&self.findings)

    cdef tell(self, const Finding *found):
        if found.kind == FOUND_HIT:
            self.reporter.hit(
                found.connection, self.epoch_ns(found.time_ns), found.direction, found.opcode,
                found.rule, found.bytes[:found.size], (found.start, found.end), found.count,
            )
        elif found.kind == FOUND_ANOMALY:
            self.reporter.anomaly(found.connection, self.epoch_ns(found.time_ns),
                                  found.direction, found.opcode, found.length)
        elif found.kind in (FOUND_MESSAGE, FOUND_CONTROL) and self.lines is not None:
            self.lines.add(self.number_of(found), found)
        elif found.kind == FOUND_MESSAGE:
            self.reporter.message(
                found.connection, found.direction, found.opcode, found.length,
                found.sha256[:32].hex() if found.has_sha256 else None,
                bool(found.compressed) if found.count else None, found.count or None,
                bool(found.after_close),
            )
        elif found.kind == FOUND_CONTROL:
            self.reporter.control(found.connection, found.direction, found.opcode, found.length,
                                  found.code if found.has_code else None)
        else:
            self.reporter.forget(found.connection)

    cdef uint32_t number_of(self, const Finding *found) except 0:
        """Of the finding's connection, in reports; the connection may be over."""
        cdef Watched *watched = table_find(&self.table, found.connection)
        if watched == NULL:
            return self.reporter.number(found.connection)
        if not watched.number:
            watched.number = self.reporter.number(found.connection)
        return watched.number

    cdef uint64_t epoch_ns(self, uint64_t time_ns) noexcept nogil:
        return <uint64_t>(<int64_t>time_ns + self.clock_offset_ns)

    cpdef int deliver(self) except -1:
        """Hands over what was found, in its order; raises what a sink raised meanwhile."""
        self.empty_findings()
        if self.lines is not None:
            try:
                self.lines.flush()
            except Exception as error:
                self.failure = self.failure or error
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return 0

    # ---------------------------------------------------------------- other ways in

    def feed(self, const uint8_t[::1] records not None):
        """Records as in parser/records.h, one behind the other, each padded to 8 bytes."""
        cdef size_t at = 0, size = records.shape[0]
        cdef const sw_record *header
        while at + sizeof(sw_record) <= size:
            header = <const sw_record *>&records[at]
            if header.captured > size - at - sizeof(sw_record):
                raise ValueError(f"the record at byte {at} is cut")
            with nogil:
                self.record(header, <const uint8_t *>(header + 1))
            at += (sizeof(sw_record) + header.captured + 7) & ~<size_t>7
        if at < size:
            raise ValueError(f"the record at byte {at} is cut")

    def message(self, uint64_t connection, uint64_t time_ns, int flow, int opcode,
                const uint8_t[::1] payload not None):
        """A whole message whose frames nobody kept (HAR): judged like any other."""
        cdef MessageEvent event
        cdef Watched *watched = table_find(&self.table, connection)
        if watched == NULL:
            self.unknown_records += 1
            return
        digest = hashlib.sha256(payload).digest()
        event.payload = &payload[0] if payload.shape[0] else NULL
        event.size = event.length = event.wire_length = payload.shape[0]
        event.offset = 0
        event.sha256 = digest
        event.fragments = 0
        event.opcode = <uint8_t>opcode
        event.compressed = event.after_close = False
        event.valid_utf8 = event.complete = True
        self.now_ns = watched.seen_ns = time_ns
        with nogil:
            self.take_message(watched, direction_of(watched, flow), &event)

    # ---------------------------------------------------------------- made and unmade

    def __cinit__(self, RuleSet rules not None, *args, size_t connections=65_536, **kwargs):
        self.rules = rules
        self.scratch = rules.scratch_new()
        if not table_init(&self.table, connections) or not findings_init(&self.findings):
            raise MemoryError("the table of connections")

    def __init__(self, RuleSet rules, sink, *, bint trace, str agent=None,
                 uint32_t head_bytes=16_384, uint64_t message_bytes=1 << 20,
                 uint64_t inflated_bytes=INFLATED_BYTES,
                 size_t connections=65_536, process=None, wanted=None, unwanted=None,
                 Lines lines=None, bytes redaction_key=b"", int64_t clock_offset_ns=0):
        self.unwanted = unwanted
        self.trace = trace
        self.trace_messages = trace and (lines is None or lines.messages)
        self.trace_controls = trace and (lines is None or lines.controls)
        self.lines = lines
        self.clock_offset_ns = clock_offset_ns
        self.limits.head_bytes = head_bytes
        self.limits.message_bytes = message_bytes
        self.limits.inflated_bytes = inflated_bytes
        self.limits.digest = DIGEST_ALL if self.trace_messages else DIGEST_NONE
        self.reporter = Reporter(
            rules, sink, trace=trace, agent=agent, redaction_key=redaction_key, process=process,
            wanted=wanted,
        )

    def __dealloc__(self):
        cdef size_t i
        if self.table.slots != NULL:
            for i in range(self.table.mask + 1):
                if self.table.slots[i] != NULL:
                    self.release_parser(self.table.slots[i])
            table_free(&self.table)
        findings_free(&self.findings)
        if self.scratch != NULL:
            self.rules.scratch_free(self.scratch)

    # ---------------------------------------------------------------- what it is asked

    def replace_rules(self, RuleSet rules not None):
        """From the next message on; counters of correlations begin anew."""
        cdef size_t i
        cdef Scratch *scratch = rules.scratch_new()
        self.empty_findings()
        for i in range(self.table.mask + 1):
            if self.table.slots[i] != NULL:
                self.rules.state_free(self.table.slots[i].state)
                self.table.slots[i].state = NULL
        self.rules.scratch_free(self.scratch)
        self.rules, self.scratch = rules, scratch
        self.reporter.use(rules)

    @property
    def counters(self):
        """Totals since the start, by the names that the manual explains."""
        return {
            "records": self.records,
            "records_bad": self.bad_records,
            "records_of_unknown_connections": self.unknown_records,
            "connections_open": self.table.count,
            "connections_refused": self.connections_refused,
            "connections_evicted": self.connections_evicted,
            "duplicate_end": self.reporter.duplicate_ends,
            "hidden_bytes": self.hidden_bytes,
            "midstream_given_up": self.midstream_given_up,
            "messages": self.messages,
            "message_bytes": self.message_bytes,
            "alerts": self.reporter.alerts,
            "hits_suppressed": self.hits_suppressed,
            "undecoded_bytes": self.undecoded_bytes,
            "withheld_messages": self.withheld_messages,
            "contexts_evicted": contexts_usage().evicted,
        } | {
            f"anomaly.{ANOMALY_KINDS[i]}": self.anomalies[i]
            for i in range(<int>ANOMALY_COUNT) if self.anomalies[i]
        }


# -------------------------------------------------------------------- the parser's callbacks

cdef void on_request(void *user, const uint8_t *head, size_t size) noexcept nogil:
    cdef Watched *watched = <Watched *>user
    with gil:
        (<Pipeline>watched.pipeline).request(watched, head, size)


cdef void on_handshake(void *user, const HandshakeEvent *event) noexcept nogil:
    cdef Watched *watched = <Watched *>user
    with gil:
        (<Pipeline>watched.pipeline).handshake(watched, event)


cdef void on_message(void *user, Direction direction, const MessageEvent *event) noexcept nogil:
    cdef Watched *watched = <Watched *>user
    (<Pipeline>watched.pipeline).take_message(watched, direction, event)


cdef void on_control(void *user, Direction direction, const ControlEvent *event) noexcept nogil:
    cdef Watched *watched = <Watched *>user
    (<Pipeline>watched.pipeline).take_control(watched, direction, event)


cdef void on_anomaly(void *user, Direction direction, Anomaly kind,
                     uint64_t offset) noexcept nogil:
    cdef Watched *watched = <Watched *>user
    (<Pipeline>watched.pipeline).take_anomaly(watched, direction, kind, offset)


cdef inline Direction direction_of(const Watched *watched, int flow) noexcept nogil:
    """What a server reads and a client writes goes to the server."""
    return C2S if (flow == SW_WRITE) == (watched.role == SW_CLIENT) else S2C


cdef endpoints_of(const sw_open *open_):
    if open_.family == SW_IPV4:
        return endpoint.inet(open_.local[:4], open_.local_port, open_.remote[:4],
                             open_.remote_port)
    if open_.family == SW_IPV6:
        return endpoint.inet(open_.local[:16], open_.local_port, open_.remote[:16],
                             open_.remote_port)
    return endpoint.UNIX if open_.family == SW_UNIX else endpoint.UNKNOWN
