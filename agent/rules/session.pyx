# cython: language_level=3
"""The engine from Python: one connection's messages, for tests, benchmarks and tools."""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from posix.time cimport CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

from sockwarden.agent.rules.engine cimport Hit, RuleSet, Scratch, State, Verdict
from sockwarden.agent.rules.facts cimport Facts, make_facts

from sockwarden.agent.rules.model import RuleHit


cdef class Session:
    """One connection's messages, judged from Python.  For one thread at a time."""

    cdef readonly RuleSet rules
    cdef Scratch *scratch
    cdef State *state
    cdef Verdict verdict

    def __cinit__(self, RuleSet rules not None):
        self.rules = rules
        self.scratch = rules.scratch_new()

    def __dealloc__(self):
        if self.rules is not None:
            self.rules.scratch_free(self.scratch)
            self.rules.state_free(self.state)

    def use(self, RuleSet rules not None):
        """Goes on with other rules, as a reload does in the midst of connections."""
        cdef Scratch *scratch = rules.scratch_new()
        self.rules.scratch_free(self.scratch)
        self.scratch = scratch
        self.rules = rules

    def judge(self, bytes payload, **facts):
        """Hits of the next message; what `facts` leaves out is a plain whole text message."""
        cdef Facts given = make_facts(len(payload), facts)
        cdef const uint8_t *text = payload
        cdef size_t size = len(payload)
        with nogil:
            self.rules.judge_message(self.scratch, &self.state, &given, text, size,
                                     &self.verdict)
        return [self.describe(&self.verdict.hits[i]) for i in range(self.verdict.count)]

    @property
    def dropped(self):
        """Hits of the last message beyond MAX_HITS."""
        return self.verdict.dropped

    def count(self, messages, **facts):
        """How many hits the messages have in all; holds the GIL only to begin and end."""
        return self.timed(messages, **facts)[0]

    def timed(self, messages, **facts):
        """Hits of the messages in all, and nanoseconds of the processor's time."""
        cdef list kept = [bytes(message) for message in messages]
        cdef size_t number = len(kept)
        cdef const uint8_t **texts = <const uint8_t **> calloc(number + 1, sizeof(void *))
        cdef size_t *sizes = <size_t *> calloc(number + 1, sizeof(size_t))
        cdef Facts given
        cdef uint64_t hits = 0
        cdef size_t i
        cdef timespec began, ended
        try:
            if texts is NULL or sizes is NULL:
                raise MemoryError
            given = make_facts(0, facts)
            for i in range(number):
                texts[i] = <const uint8_t *> <bytes> kept[i]
                sizes[i] = len(<bytes> kept[i])
            with nogil:
                clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began)
                for i in range(number):
                    given.length = given.wire_length = sizes[i]
                    self.rules.judge_message(self.scratch, &self.state, &given, texts[i],
                                             sizes[i], &self.verdict)
                    hits += self.verdict.count + self.verdict.dropped
                clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended)
        finally:
            free(texts)
            free(sizes)
        return hits, (ended.tv_sec - began.tv_sec) * 10**9 + ended.tv_nsec - began.tv_nsec

    @property
    def work(self):
        """What the messages so far took, beside the gate: counts by name."""
        return {
            "views_decoded": self.scratch.views_decoded,
            "views_passed": self.scratch.views_passed,
            "searches": self.scratch.searches,
            "joint_searches": self.scratch.joint_searches,
        }

    cdef object describe(self, const Hit *hit):
        cdef size_t size
        cdef const uint8_t *text = self.rules.view(self.scratch, hit.view, &size)
        evidence = text[hit.start:hit.end] if hit.end > hit.start else b""
        return RuleHit(
            rule=self.rules.rules[hit.rule],
            evidence=evidence.decode(errors="backslashreplace"),
            count=hit.count,
            view=self.rules.views[hit.view],
        )
