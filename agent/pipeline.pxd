"""What sources call, and what the pipeline holds; pipeline.pyx tells the way of one message."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from sockwarden.agent.connections cimport Table, Watched
from sockwarden.agent.findings cimport Finding, Findings
from sockwarden.agent.lines cimport Lines
from sockwarden.agent.ring cimport Ring
from sockwarden.agent.rules.engine cimport Facts, Hit, RuleSet, Scratch
from sockwarden.parser.events cimport (
    ANOMALY_COUNT, Anomaly, ControlEvent, Direction, HandshakeEvent, Limits, MessageEvent,
)
from sockwarden.parser.records cimport sw_close, sw_open, sw_record


cdef class Pipeline:
    cdef Table table
    cdef Findings findings
    cdef Limits limits
    cdef RuleSet rules
    cdef Scratch *scratch
    cdef uint64_t now_ns          # of the record at work
    cdef uint64_t left            # connections whose process has ended
    cdef bint trace               # report connections and anomalies too, not alerts only
    cdef bint trace_messages
    cdef bint trace_controls
    cdef Lines lines              # writes both of them; None: the sink does
    cdef object reporter          # sockwarden.agent.reporter.Reporter, used with the GIL only
    cdef object unwanted          # told of connections that are none
    cdef object failure           # the first error of a sink since the last `deliver`
    cdef public int64_t clock_offset_ns  # from the records' clock to the epoch
    # What happened, for the heartbeat.
    cdef uint64_t records, unknown_records, bad_records, connections_refused, connections_evicted
    cdef uint64_t midstream_given_up
    cdef uint64_t hidden_bytes, messages, message_bytes, hits_suppressed
    cdef uint64_t undecoded_bytes, withheld_messages  # of connections that have ended
    cdef uint64_t[ANOMALY_COUNT] anomalies

    # One record and the `header.captured` bytes behind it.  Safe to call without the GIL;
    # findings wait in the pipeline until `deliver`.
    cdef void record(self, const sw_record *header, const uint8_t *data) noexcept nogil
    # Takes up to `most` records from the kernel's ring; returns how many.
    cpdef uint64_t drain(self, Ring ring, uint64_t most) except? 0
    # Hands the findings so far to the sink, in their order.  Raises what the sink raised.
    cpdef int deliver(self) except -1

    # The stages of pipeline.pyx, in their order.
    cdef void open(self, const sw_record *header, const sw_open *open_) noexcept nogil
    cdef Watched *place(self, uint64_t connection) noexcept nogil
    cdef void data(self, Watched *watched, const sw_record *header,
                   const uint8_t *data) noexcept nogil
    cdef bint may_be_frames(self, Watched *watched, uint32_t size) noexcept nogil
    cdef void close(self, Watched *watched, const sw_close *ends) noexcept nogil
    cdef void exit(self, uint32_t process) noexcept nogil
    # Ends the connections that no process went on with.  Times are those of the records.
    cpdef void expire(self, uint64_t now_ns) noexcept
    cdef void forget(self, Watched *watched) noexcept nogil
    cdef void release_parser(self, Watched *watched) noexcept nogil
    cdef void take_message(self, Watched *watched, Direction direction,
                           const MessageEvent *event) noexcept nogil
    cdef void tell_message(self, Watched *watched, Direction direction,
                           const MessageEvent *event) noexcept nogil
    cdef void take_control(self, Watched *watched, Direction direction,
                           const ControlEvent *event) noexcept nogil
    cdef void judge(self, Watched *watched, Direction direction, Facts *facts,
                    const uint8_t *payload, size_t size) noexcept nogil
    cdef void hit(self, Watched *watched, const Facts *facts, const Hit *hit,
                  const uint8_t *payload, size_t size) noexcept nogil
    cdef void take_anomaly(self, Watched *watched, Direction direction, Anomaly kind,
                           uint64_t offset) noexcept nogil
    cdef Finding *add_finding(self, Watched *watched, int kind) noexcept nogil
    cdef void meet(self, Watched *watched, const sw_record *header,
                   const sw_open *open_) noexcept
    cdef void give_up(self, Watched *watched) noexcept
    cdef void request(self, Watched *watched, const uint8_t *head, size_t size) noexcept
    cdef void handshake(self, Watched *watched, const HandshakeEvent *event) noexcept
    cdef empty_findings(self)
    cdef tell(self, const Finding *finding)
    cdef uint32_t number_of(self, const Finding *finding) except 0
    cdef uint64_t epoch_ns(self, uint64_t time_ns) noexcept nogil
