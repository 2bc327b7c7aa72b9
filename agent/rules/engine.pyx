# cython: language_level=3
# distutils: libraries = hs
"""Judges messages: the gate a view, then the few patterns that may match, then their rules.

The way of a message: its payload as it came is view 0; each rung of the ladder adds a decoded
view where it finds something to decode.  On every view the gate tells which patterns may match;
mostly none.  A rule is looked at only if one of those could make it hold (or if it may hold
without any: then on view 0 alone), and its condition is then judged on that view and the facts.
A pattern is searched when a condition asks for it, alone; where there are many candidates, all
patterns are searched at once.  `not` is judged here, after the search.  A rule holds at most
once a message.  Where it holds, its expression is run again for the evidence and the verifier;
then it goes into the windows of its correlations.

Nothing is allocated for a message, except that buffers of a thread grow to what the largest
decoded view needed, and that a connection gets its windows once.
"""

import itertools
from collections import Counter

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp

from sockwarden.agent.decode import decoders
from sockwarden.agent.decode.decoder cimport Decoder, room
from sockwarden.agent.decode.marks cimport text_marks
from sockwarden.agent.rules.detectors.window cimport Window, window_add
from sockwarden.agent.rules.facts cimport Facts, fact_value
from sockwarden.agent.rules.gate cimport Gate
from sockwarden.agent.rules.pattern cimport (
    Expression,
    Pattern,
    Span,
    compile_database,
    find,
    found_in,
)
from sockwarden.agent.rules.program cimport (
    AND,
    EQ,
    FACT,
    GT,
    GTE,
    LT,
    NOT,
    PATTERN,
    Decoding,
    Feed,
    Program,
    Step,
)
from sockwarden.agent.rules.vectorscan cimport (
    HS_SUCCESS,
    hs_alloc_scratch,
    hs_database_t,
    hs_free_database,
    hs_free_scratch,
    hs_scan,
)
from sockwarden.agent.rules.verify cimport verifier

cdef enum:
    # Of a decoded view, and of what of the view before it is decoded.
    VIEW_MAX_BYTES = 4 << 20
    VIEW_MIN_BYTES = 4 << 10
    SCAN_MAX_BYTES = 0xFFFFFFFF  # of the payload: Vectorscan's lengths are 32 bits
    COUNT_MAX = 0xFFFFFFFF       # of Hit.count
    # Of all decoded views of one message; the rungs beyond are left out.
    DECODED_MAX_BYTES = 16 << 20
    LADDER_ROUNDS = 2            # what is decoded may be encoded anew, JSON in base64 say
    # So many candidates are searched one by one: all patterns at once cost about as much.
    ALONE_MAX = 8

_identities = itertools.count(1)


cdef inline bint compare(uint64_t left, uint8_t operator, uint64_t right) noexcept nogil:
    if operator == EQ:
        return left == right
    if operator == GT:
        return left > right
    if operator == GTE:
        return left >= right
    if operator == LT:
        return left < right
    return left <= right


cdef inline bint has_bit(const uint64_t *bits, uint32_t number) noexcept nogil:
    return bits[number >> 6] >> (number & 63) & 1


cdef inline void set_bit(uint64_t *bits, uint32_t number) noexcept nogil:
    bits[number >> 6] |= (<uint64_t> 1) << (number & 63)


cdef int on_pattern(unsigned int pattern, unsigned long long start, unsigned long long end,
                    unsigned int flags, void *matched) noexcept nogil:
    set_bit(<uint64_t *> matched, pattern)
    return 0


cdef void add_hit(Verdict *verdict, const Hit *hit) noexcept nogil:
    if verdict.count == MAX_HITS:
        verdict.dropped += 1
        return
    verdict.hits[verdict.count] = hit[0]
    verdict.count += 1


cdef bint decode_view(Scratch *scratch, const Decoding *rung, const View *source,
                      View *target) noexcept nogil:
    """Whether the rung made something new of `source`."""
    cdef size_t size = source.size
    cdef size_t wanted
    if size > VIEW_MAX_BYTES:
        size = VIEW_MAX_BYTES
        scratch.views_cut += 1
    if target.capacity < room(size):
        wanted = VIEW_MIN_BYTES
        while wanted < room(size):
            wanted *= 2
        free(target.buffer)
        target.capacity = 0
        target.buffer = <uint8_t *> malloc(wanted)
        if target.buffer is NULL:
            scratch.views_cut += 1
            return False
        target.capacity = wanted
    target.text = target.buffer
    if not rung.decode(source.text, size, target.buffer, target.capacity, &target.size):
        return False
    return target.size != source.size or memcmp(target.text, source.text, target.size) != 0


cdef void *zeroed(size_t count, size_t size) except NULL:
    cdef void *memory = calloc(count if count else 1, size)
    if memory is NULL:
        raise MemoryError
    return memory


cdef int fit_scratch(Scratch *scratch, const hs_database_t *database) except -1:
    if database is not NULL and hs_alloc_scratch(database, &scratch.vectorscan) != HS_SUCCESS:
        raise MemoryError
    return 0


cdef uint32_t *copy_numbers(object numbers) except NULL:
    cdef uint32_t *copy = <uint32_t *> zeroed(len(numbers), sizeof(uint32_t))
    cdef uint32_t number
    for i, number in enumerate(numbers):
        copy[i] = number
    return copy


cdef class RuleSet:
    """Made by `compile.compile_rules` from its plan."""

    def __cinit__(self, plan):
        self.identity = next(_identities)
        self.rules = plan.rules
        self.digest = plan.digest
        self.eager = plan.eager
        self.judge_fields = plan.judge_fields
        self.window_count = plan.window_count
        self.patterns = plan.patterns
        self.pattern_count = len(self.patterns)
        self.lay_out_ladder()
        self.lay_out_programs(plan)
        self.lay_out_patterns(plan)

    def __dealloc__(self):
        hs_free_database(self.databases[0])
        hs_free_database(self.databases[1])
        free(self.expressions)
        free(self.programs)
        free(self.steps)
        free(self.evidence)
        free(self.feeds)
        free(self.users)
        free(self.users_first)
        free(self.unprompted)

    def lay_out_ladder(self):
        cdef Decoder decoder
        cdef Decoding *rung
        names = ["raw"]
        counts = Counter()
        rungs = decoders()
        for number, decoder in itertools.product(range(LADDER_ROUNDS), rungs):
            for i in range(decoder.depth):
                if self.ladder_count + 1 >= MAX_VIEWS:
                    raise ValueError(f"the decoders make more than {MAX_VIEWS} views")
                rung = &self.ladder[self.ladder_count]
                rung.decode = decoder.decode
                rung.marks = decoder.marks
                rung.opens = decoder.opens
                rung.starts_round = number and decoder is rungs[0] and i == 0
                rung.next_decoder = self.ladder_count + decoder.depth - i
                self.ladder_count += 1
                counts[decoder.name] += 1
                count = counts[decoder.name]
                names.append(decoder.name if count == 1 else f"{decoder.name}/{count}")
        self.views = tuple(names)

    def lay_out_programs(self, plan):
        cdef Program *program
        cdef uint32_t i
        self.steps = <Step *> zeroed(len(plan.steps), sizeof(Step))
        for i, step in enumerate(plan.steps):
            self.steps[i].kind = step.kind
            self.steps[i].fact = step.fact
            self.steps[i].operator = step.operator
            self.steps[i].pattern = step.pattern
            self.steps[i].value = step.value
        self.feeds = <Feed *> zeroed(len(plan.feeds), sizeof(Feed))
        for i, feed in enumerate(plan.feeds):
            self.feeds[i].rule = feed.rule
            self.feeds[i].window = feed.window
            self.feeds[i].timespan_ns = feed.timespan_ns
            self.feeds[i].threshold = feed.threshold
            self.feeds[i].value_fact = feed.value_fact
        self.evidence = copy_numbers(plan.evidence)
        self.users = copy_numbers(plan.users)
        self.users_first = copy_numbers(plan.users_first)
        self.unprompted = copy_numbers(plan.unprompted)
        self.unprompted_count = len(plan.unprompted)
        self.programs = <Program *> zeroed(len(plan.programs), sizeof(Program))
        self.program_count = len(plan.programs)
        for i, source in enumerate(plan.programs):
            program = &self.programs[i]
            program.rule = source.rule
            program.first_step, program.step_count = source.steps
            program.first_evidence, program.evidence_count = source.evidence
            program.first_feed, program.feed_count = source.feeds
            program.opcodes = source.opcodes
            program.directions = source.directions
            program.raw = source.raw
            program.decoded = source.decoded
            program.alerts = source.alerts
            if source.verifier is not None:
                program.verify = verifier(source.verifier)
                program.parameter = source.parameter
            for direction in range(2):
                if source.directions >> direction & 1:
                    self.watched[direction] |= program.opcodes

    def lay_out_patterns(self, plan):
        """One database a direction: what only a server may say is not sought in a client's."""
        cdef Pattern pattern
        cdef uint32_t i
        self.expressions = <Expression *> zeroed(self.pattern_count, sizeof(Expression))
        for i, pattern in enumerate(self.patterns):
            self.expressions[i] = pattern.expression
        for i in range(2):
            numbers = plan.patterns_of_direction[i]
            requirements = {number: plan.requirements[number] for number in numbers}
            gate = Gate(requirements, layout=plan.derived.layout(requirements))
            if i:
                self.server_gate = gate
            else:
                self.client_gate = gate
            if self.eager and len(numbers) > ALONE_MAX:
                self.databases[i] = compile_database(
                    self.patterns, numbers, plan.derived.databases)

    cdef Scratch *scratch_new(self) except NULL:
        cdef Scratch *scratch = <Scratch *> zeroed(1, sizeof(Scratch))
        cdef size_t words = self.pattern_count // 64 + 1
        cdef uint32_t i
        try:
            scratch.candidates.bits = <uint64_t *> zeroed(words, sizeof(uint64_t))
            scratch.candidates.list = <uint32_t *> zeroed(self.pattern_count, sizeof(uint32_t))
            scratch.settled = <uint64_t *> zeroed(words, sizeof(uint64_t))
            scratch.matched = <uint64_t *> zeroed(words, sizeof(uint64_t))
            scratch.held = <uint64_t *> zeroed(self.program_count, sizeof(uint64_t))
            scratch.judged = <uint64_t *> zeroed(self.program_count, sizeof(uint64_t))
            for i in range(2):
                fit_scratch(scratch, self.databases[i])
            for i in range(self.pattern_count):
                fit_scratch(scratch, self.expressions[i].whether)
                fit_scratch(scratch, self.expressions[i].where)
        except MemoryError:
            self.scratch_free(scratch)
            raise
        return scratch

    cdef void scratch_free(self, Scratch *scratch) noexcept nogil:
        cdef uint32_t i
        if scratch is NULL:
            return
        hs_free_scratch(scratch.vectorscan)
        for i in range(MAX_VIEWS):
            free(scratch.views[i].buffer)
        free(scratch.candidates.bits)
        free(scratch.candidates.list)
        free(scratch.settled)
        free(scratch.matched)
        free(scratch.held)
        free(scratch.judged)
        free(scratch)

    cdef void state_free(self, State *state) noexcept nogil:
        free(state)

    cdef void judge_message(self, Scratch *scratch, State **state, const Facts *facts,
                            const uint8_t *payload, size_t size,
                            Verdict *verdict) noexcept nogil:
        cdef uint32_t number = 0
        cdef uint32_t latest = 0
        cdef uint32_t marks
        cdef size_t decoded = 0
        cdef bint opened = False
        cdef const Decoding *rung
        verdict.count = 0
        verdict.dropped = 0
        if not self.watched[facts.direction & 1] >> (facts.opcode & 15) & 1:
            return
        if size > SCAN_MAX_BYTES:
            size = SCAN_MAX_BYTES
            scratch.views_cut += 1
        scratch.message += 1
        scratch.views[0].text = payload
        scratch.views[0].size = size
        self.judge_view(scratch, state, facts, 0, verdict)
        marks = text_marks(payload, size)
        while number < self.ladder_count:
            rung = &self.ladder[number]
            if rung.starts_round:
                if not opened:
                    break
                opened = False
            if not (rung.marks & marks and decode_view(scratch, rung, &scratch.views[latest],
                                                       &scratch.views[number + 1])):
                number = rung.next_decoder
                continue
            number += 1
            latest = number
            scratch.views_decoded += 1
            opened |= rung.opens
            self.judge_view(scratch, state, facts, latest, verdict)
            marks = text_marks(scratch.views[latest].text, scratch.views[latest].size)
            decoded += scratch.views[latest].size
            if decoded > DECODED_MAX_BYTES:
                scratch.views_cut += 1
                break

    cdef void judge_view(self, Scratch *scratch, State **state, const Facts *facts,
                         uint32_t view, Verdict *verdict) noexcept nogil:
        cdef uint32_t i, j
        cdef uint32_t pattern
        scratch.view += 1
        self.find_candidates(scratch, &scratch.views[view], facts.direction & 1)
        if view == 0:
            for i in range(self.unprompted_count):
                self.judge_program(scratch, state, facts, view,
                                   &self.programs[self.unprompted[i]], verdict)
        for i in range(scratch.candidates.count):
            pattern = scratch.candidates.list[i]
            for j in range(self.users_first[pattern], self.users_first[pattern + 1]):
                self.judge_program(scratch, state, facts, view,
                                   &self.programs[self.users[j]], verdict)

    cdef void find_candidates(self, Scratch *scratch, const View *view,
                              int direction) noexcept nogil:
        cdef Found *candidates = &scratch.candidates
        cdef uint32_t i, word
        for i in range(candidates.count):  # of the view before
            word = candidates.list[i] >> 6
            candidates.bits[word] = scratch.settled[word] = scratch.matched[word] = 0
        candidates.count = 0
        if not view.size:
            return
        if direction:
            self.server_gate.search(view.text, view.size, candidates)
        else:
            self.client_gate.search(view.text, view.size, candidates)
        scratch.views_passed += candidates.count != 0
        if candidates.count <= ALONE_MAX or self.databases[direction] is NULL:
            return
        scratch.joint_searches += 1
        if hs_scan(self.databases[direction], <const char *> view.text,
                   <unsigned int> view.size, 0, scratch.vectorscan, on_pattern,
                   scratch.matched) != HS_SUCCESS:
            scratch.failures += 1
        for i in range(candidates.count):
            set_bit(scratch.settled, candidates.list[i])

    cdef bint matches(self, Scratch *scratch, const View *view, uint32_t pattern) noexcept nogil:
        if not has_bit(scratch.candidates.bits, pattern):
            return False
        if not has_bit(scratch.settled, pattern):
            set_bit(scratch.settled, pattern)
            scratch.searches += 1
            if found_in(&self.expressions[pattern], scratch.vectorscan, view.text, view.size):
                set_bit(scratch.matched, pattern)
        return has_bit(scratch.matched, pattern)

    cdef void judge_program(self, Scratch *scratch, State **state, const Facts *facts,
                            uint32_t view, const Program *program,
                            Verdict *verdict) noexcept nogil:
        cdef size_t number = program - self.programs
        cdef Hit hit
        if scratch.held[number] == scratch.message or scratch.judged[number] == scratch.view:
            return
        scratch.judged[number] = scratch.view
        if not (program.directions >> (facts.direction & 1) & 1
                and program.opcodes >> (facts.opcode & 15) & 1
                and (program.decoded if view else program.raw)
                and self.holds(scratch, facts, &scratch.views[view], program)):
            return
        hit.rule = program.rule
        hit.view = view
        hit.start = hit.end = 0
        hit.count = 1
        if not self.find_evidence(scratch, program, &hit):
            return
        scratch.held[number] = scratch.message
        if program.alerts:
            add_hit(verdict, &hit)
        if program.feed_count:
            self.feed_windows(scratch, state, facts, program, &hit, verdict)

    cdef bint holds(self, Scratch *scratch, const Facts *facts, const View *view,
                    const Program *program) noexcept nogil:
        cdef uint64_t stack = 0
        cdef uint64_t right
        cdef const Step *step = self.steps + program.first_step
        cdef const Step *end = step + program.step_count
        while step < end:
            if step.kind == PATTERN:
                stack = stack << 1 | self.matches(scratch, view, step.pattern)
            elif step.kind == FACT:
                stack = stack << 1 | compare(fact_value(facts, step.fact), step.operator,
                                             step.value)
            elif step.kind == NOT:
                stack ^= 1
            else:
                right = stack & 1
                stack >>= 1
                if step.kind == AND:
                    stack &= ~(<uint64_t> 1) | right
                else:
                    stack |= right
            step += 1
        return stack & 1

    cdef void locate(self, Scratch *scratch, uint32_t pattern) noexcept:
        cdef Pattern found = self.patterns[pattern]
        try:
            found.locate(&scratch.vectorscan)
        except (MemoryError, ValueError):
            scratch.failures += 1
        self.expressions[pattern] = found.expression

    cdef bint find_evidence(self, Scratch *scratch, const Program *program,
                            Hit *hit) noexcept nogil:
        """False: the rule's verifier accepted none of the matches."""
        cdef const View *view = &scratch.views[hit.view]
        cdef uint32_t i
        cdef uint32_t pattern
        cdef Span span
        for i in range(program.first_evidence, program.first_evidence + program.evidence_count):
            pattern = self.evidence[i]
            if not self.matches(scratch, view, pattern):
                continue
            if not self.eager:
                with gil:
                    self.locate(scratch, pattern)
            if find(&self.expressions[pattern], scratch.vectorscan, view.text, view.size,
                    program.verify, program.parameter, &span):
                hit.start = span.start
                hit.end = span.end
                return True
        return program.verify is NULL

    cdef void feed_windows(self, Scratch *scratch, State **state, const Facts *facts,
                           const Program *program, const Hit *hit,
                           Verdict *verdict) noexcept nogil:
        cdef uint32_t i
        cdef uint64_t amount
        cdef uint64_t total
        cdef const Feed *feed
        cdef Hit raised
        if state[0] is not NULL and state[0].owner != self.identity:
            free(state[0])
            state[0] = NULL
        if state[0] is NULL:
            state[0] = <State *> calloc(1, sizeof(State) + self.window_count * sizeof(Window))
            if state[0] is NULL:
                scratch.failures += 1
                return
            state[0].owner = self.identity
        for i in range(program.first_feed, program.first_feed + program.feed_count):
            feed = &self.feeds[i]
            amount = 1 if feed.value_fact < 0 else fact_value(facts, feed.value_fact)
            total = window_add(&state[0].windows[feed.window], facts.time_ns, feed.timespan_ns,
                               amount, feed.threshold)
            if total:
                raised = hit[0]
                raised.rule = feed.rule
                raised.count = COUNT_MAX
                if total < COUNT_MAX:
                    raised.count = <uint32_t> total
                add_hit(verdict, &raised)

    cdef const uint8_t *view(self, Scratch *scratch, uint32_t view, size_t *size) noexcept nogil:
        size[0] = scratch.views[view].size
        return scratch.views[view].text

    def session(self):
        """A thread's scratch and a connection's state, for use from Python."""
        from sockwarden.agent.rules.session import Session
        return Session(self)

    def matching(self, bytes text, int direction=0):
        """Patterns that match the text: searched one by one, and all at once; for tests.

        Both are the same, or Vectorscan loses matches where it searches for many patterns.
        """
        cdef Scratch *scratch = self.scratch_new()
        cdef Pattern pattern
        cdef uint32_t i
        cdef const uint8_t *start = text
        cdef hs_database_t *database = self.databases[direction & 1]
        try:
            if database is not NULL:
                hs_scan(database, <const char *> start, len(text), 0, scratch.vectorscan,
                        on_pattern, scratch.matched)
            alone = {
                pattern.regex for i, pattern in enumerate(self.patterns)
                if found_in(&self.expressions[i], scratch.vectorscan, start, len(text))
            }
            together = {
                pattern.regex for i, pattern in enumerate(self.patterns)
                if has_bit(scratch.matched, i)
            }
        finally:
            self.scratch_free(scratch)
        return alone, together

    def judge(self, bytes payload, **facts):
        """Hits of one message that stands alone.  Facts by their names in `Facts`."""
        return self.session().judge(payload, **facts)

    def judge_handshake(self, fields, windows=None, *, time_ns=0):
        """Hits of one handshake, by the names in `fields.HANDSHAKE`.

        `windows` holds what correlations have counted; without it they do not count.
        """
        return self.judge_fields.handshake(fields, windows, time_ns)

    def judge_anomaly(self, kind, direction, fields, windows=None, *, time_ns=0):
        """Hits of one anomaly of a connection; `fields` as for its handshake, and `offset`."""
        return self.judge_fields.anomaly(kind, direction, fields, windows, time_ns)
