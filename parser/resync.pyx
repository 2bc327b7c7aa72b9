"""A frame's beginning is proven by the frames that follow it.

Each octet may be the first of a frame.  Where a header is possible, a chain begins: the header
says where the next one must be, and so on.  Chains are followed side by side in the order of the
stream, those that meet are one from there on.  A chain ends where it breaks a rule; while it
lives, each header and payload adds the bits of evidence.pyx.

What is proven.  A chain starts with a debt that grows with its distance from the gap's end, for
the number of places where it might have started.  As bits are a likelihood ratio, less than one
of 2^32 searches in random octets (masked, compressed or encrypted ones) ever sees a chain with
REPORT_BITS more than its debt.  The frame that brings it there is the first to be reported, and
it is once the chain has TRUST_BITS and a header behind that frame.  To come out wrong, a false
chain must reach REPORT_BITS by chance and then TRUST_BITS too, or run into a true boundary by
chance, which about 2^-6 to 2^-10 of them do: the rate is about 2^-40 a gap.  The frames before
are not reported, though they mostly are true.

What is not trusted.  Octets that repeat (runs of one value, of one pixel, of one sample) make
chains of equal frames: a frame that is equal to one of the last few counts nothing, unless the
last frame before the gap had the same header.
Where two chains live side by side that both have RIVAL_BITS, their octets are not random: both
start anew from where they are.  And a chain is not trusted while another one lives that is better
than its debt.  So frames inside the payload of a frame whose header was seen wait for that frame's
end.

The limit.  Where the header of a frame is lost whose payload holds whole frames, not masked, as
many as a proof takes, nothing in the stream tells them from the server's own: they are reported.
Who can write such a payload and make the right octets be lost can show a wrong message here, and
only in the direction from the server, as a client's masking hides what it carries.

Bounds.  A search holds KEPT_BYTES and CHAINS chains.  Messages that were pushed out before
their boundary was proven are lost; the search goes on.  Work is linear: an octet costs at most one
new chain, a look at payloads is paid by octets that came, and where chains are too many the
weakest are given up and nothing before their next header is trusted.  The outcome depends on the
stream and its gaps alone, not on the pieces in which it came.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

from sockwarden.parser.buffer cimport buffer_release, buffer_reserve
from sockwarden.parser.events cimport BINARY, Deflate, Direction
from sockwarden.parser.evidence cimport (
    CHECKED_BYTES, IMPOSSIBLE, NO_FRAME, NOT_WHOLE, STAND_TORN, STAND_UNKNOWN, form_of,
    frame_begins, header_evidence, payload_evidence, sender_free)
from sockwarden.parser.header cimport OPCODE, Header
from sockwarden.parser.workspace cimport Workspace, workspace_get

cdef extern from *:
    unsigned int leading_zeros "__builtin_clzll"(unsigned long long value) nogil

cdef enum:
    REPORT_BITS = 32
    TRUST_BITS = 40
    TRUST_FRAMES = 3
    RIVAL_BITS = 16      # more than chance gives
    LAST_RIVAL_BITS = 8  # of one that cannot go on, where the octets end
    END_BITS = 6         # a frame ends where the octets do
    DEBT_BITS = 4        # of a chain that does not start right behind the gap
    CREDIT_BYTES = 16    # of payload to look at, earned by an octet


cdef Search *search_new(uint64_t start, Direction direction, const Deflate *deflate,
                        const Header *last, uint8_t open_first) noexcept nogil:
    cdef Search *self = <Search *>calloc(1, sizeof(Search))
    cdef uint8_t opcode = last.first & OPCODE
    if self == NULL:
        return NULL
    self.base = self.start = self.next = start
    self.sender.direction = direction
    self.sender.deflate = deflate[0]
    self.sender.manner.stand = STAND_TORN if open_first else STAND_UNKNOWN
    if opcode <= BINARY:
        self.sender.manner.usual = open_first if open_first else last.first
        self.sender.manner.form = form_of(last.length)
        self.sender.first = last.first
        self.sender.length = last.length
    return self


# --- the heap of chains ---

cdef void sift_up(Search *self, uint32_t at) noexcept nogil:
    cdef Chain chain = self.chains[at]
    while at and self.chains[(at - 1) // 2].at > chain.at:
        self.chains[at] = self.chains[(at - 1) // 2]
        at = (at - 1) // 2
    self.chains[at] = chain


cdef void sift_down(Search *self, uint32_t at) noexcept nogil:
    cdef Chain chain = self.chains[at]
    cdef uint32_t child = 2 * at + 1
    while child < self.count:
        if child + 1 < self.count and self.chains[child + 1].at < self.chains[child].at:
            child += 1
        if self.chains[child].at >= chain.at:
            break
        self.chains[at] = self.chains[child]
        at = child
        child = 2 * at + 1
    self.chains[at] = chain


cdef void drop(Search *self, uint32_t at) noexcept nogil:
    self.count -= 1
    if at < self.count:
        self.chains[at] = self.chains[self.count]
        sift_down(self, at)
        sift_up(self, at)


cdef void give_up_weakest(Search *self) noexcept nogil:
    cdef uint32_t at, weakest = 0
    for at in range(1, self.count):
        if self.chains[at].score < self.chains[weakest].score:
            weakest = at
    self.blind = max(self.blind, self.chains[weakest].at)
    drop(self, weakest)


cdef void push(Search *self, const Chain *chain) noexcept nogil:
    if self.count == CHAINS:
        give_up_weakest(self)
    self.chains[self.count] = chain[0]
    self.count += 1
    sift_up(self, self.count - 1)


# The best score of a chain that is alive.
cdef int best_score(const Search *self) noexcept nogil:
    cdef int best = IMPOSSIBLE
    cdef uint32_t at
    for at in range(self.count):
        best = max(best, self.chains[at].score)
    return best


# --- a chain ---

# The weights 2^-debt of all places sum to about 1 or 2.
cdef int debt(const Search *self, uint64_t at) noexcept nogil:
    if at <= self.start:
        return 0
    return DEBT_BITS + 63 - <int>leading_zeros(at - self.start)


# What is behind `at` is to be proven without what is before.
cdef void earn_anew(const Search *self, Chain *chain, uint64_t at) noexcept nogil:
    chain.earned = -debt(self, at)
    chain.frames = 0
    chain.reportable = False


cdef const uint8_t *octets(const Search *self, uint64_t at) noexcept nogil:
    return self.kept.data + (at - self.base)


# FNV-1a of a frame, as far as it is looked at
cdef uint32_t mark_of(const uint8_t *data, size_t size) noexcept nogil:
    cdef uint32_t mark = 2166136261
    cdef size_t at
    for at in range(size):
        mark = (mark ^ data[at]) * 16777619
    return mark


# An equal one was among the chain's last frames, and none before the gap was like it.
cdef bint is_repeated(const Search *self, Chain *chain, const Header *header) noexcept nogil:
    cdef uint32_t mark = mark_of(octets(self, chain.begun), <size_t>min(
        chain.at - chain.begun, <uint64_t>CHECKED_BYTES))
    cdef uint32_t at
    for at in range(REMEMBERED):
        if chain.marks[at] == mark:
            return (header.first != self.sender.first
                    or header.length != self.sender.length)
    chain.marks[chain.marked] = mark
    chain.marked = (chain.marked + 1) % REMEMBERED
    return False


# Its open frame ends here.  False: it was none.
cdef bint end_frame(Search *self, Workspace *space, Chain *chain) noexcept nogil:
    cdef Header header
    cdef uint64_t size
    cdef int bits = 0
    if chain.begun >= self.base:
        frame_begins(&self.sender, octets(self, chain.begun),
                     <size_t>(chain.at - chain.begun), &header)
        size = min(header.length, <uint64_t>CHECKED_BYTES)
        if size <= self.credit:
            self.credit -= size
            if is_repeated(self, chain, &header):
                bits = -max(chain.given, 0)
            else:
                bits = payload_evidence(&self.sender, space, &header,
                                        octets(self, chain.begun) + header.size,
                                        <size_t>header.length)
                if bits == IMPOSSIBLE:
                    return False
    chain.score += bits
    chain.earned += bits
    if chain.reportable and chain.report < self.base:
        chain.reportable = False
    if (not chain.reportable and chain.earned >= REPORT_BITS
            and chain.begun >= max(self.base, self.blind)):
        chain.reportable = True
        chain.report = chain.begun
    return True


# Takes the header at `at`.  False: it cannot follow.
cdef bint begin_frame(Chain *chain, uint64_t at, const Header *header) noexcept nogil:
    cdef int bits = header_evidence(&chain.manner, header)
    if bits == IMPOSSIBLE:
        return False
    chain.begun = at
    chain.at = at + header.size + header.length
    chain.given = bits
    chain.score += bits
    chain.earned += bits
    chain.frames += 1
    return True


# Two chains are one from `at` on: the better one goes on, with what both agree on.
cdef void join(const Search *self, Chain *chain, const Chain *other, uint64_t at) noexcept nogil:
    cdef Chain better = other[0] if other.earned > chain.earned else chain[0]
    if min(chain.score, other.score) >= 0:
        earn_anew(self, &better, at)
    better.score = max(chain.score, other.score)
    if chain.manner.stand != other.manner.stand:
        better.manner.stand = STAND_UNKNOWN
    chain[0] = better


# --- the search ---

cdef bint is_trusted(const Chain *chain) noexcept nogil:
    return (chain.reportable and chain.earned >= TRUST_BITS and chain.frames >= TRUST_FRAMES)


# The chains that lead to `at`, joined with the one that begins there.  False: no header is there
# that any of them can go on with.
cdef bint meet(Search *self, Workspace *space, uint64_t at, const Header *header,
               Chain *met) noexcept nogil:
    cdef bint any = False
    cdef Chain chain
    while self.count and self.chains[0].at == at:
        chain = self.chains[0]
        drop(self, 0)
        if not end_frame(self, space, &chain) or not begin_frame(&chain, at, header):
            continue
        if any:
            join(self, met, &chain, at)
        else:
            met[0] = chain
            any = True
    return any


# Chains that lead to `at` end there.
cdef void break_chains(Search *self, uint64_t at) noexcept nogil:
    while self.count and self.chains[0].at <= at:
        drop(self, 0)


cdef void fresh(const Search *self, Chain *chain, uint64_t at) noexcept nogil:
    chain.at = chain.begun = at
    memset(chain.marks, 0, sizeof(chain.marks))
    chain.marked = 0
    chain.score = -debt(self, at)
    chain.given = 0
    chain.manner = self.sender.manner
    if at > self.start:
        chain.manner.stand = STAND_UNKNOWN
    earn_anew(self, chain, at)


# A header is at `at`.  True: what led there is proven.
cdef bint follow(Search *self, Workspace *space, uint64_t at, const Header *header,
                 uint64_t *boundary) noexcept nogil:
    cdef Chain chain, begun
    cdef int rival
    fresh(self, &begun, at)
    begin_frame(&begun, at, header)
    if not meet(self, space, at, header, &chain):
        push(self, &begun)
        return False
    if begun.earned > chain.earned:
        begun.score = max(begun.score, chain.score)
        chain = begun
    rival = IMPOSSIBLE
    if chain.score >= RIVAL_BITS:
        rival = best_score(self)
        if rival >= RIVAL_BITS:
            earn_anew(self, &chain, at)
    if rival < 0 and is_trusted(&chain):
        boundary[0] = chain.report
        return True
    push(self, &chain)
    return False


# Goes on through what is kept, as far as headers are whole.
cdef bint look(Search *self, Workspace *space, uint64_t *boundary) noexcept nogil:
    cdef uint64_t end = self.base + self.kept.size
    cdef Header header
    cdef int size
    while self.next < end:
        size = frame_begins(&self.sender, octets(self, self.next), <size_t>(end - self.next),
                            &header)
        if size == NOT_WHOLE:
            return False
        if size == NO_FRAME:
            break_chains(self, self.next)
        elif follow(self, space, self.next, &header, boundary):
            return True
        self.next += 1
        self.credit += CREDIT_BYTES
    return False


# Forgets the older half of what is kept.
cdef void slide(Search *self) noexcept nogil:
    cdef size_t half = self.kept.size // 2
    self.kept.size -= half
    memmove(self.kept.data, self.kept.data + half, self.kept.size)
    self.base += half
    self.undecoded += half


cdef bint search_feed(Search *self, const uint8_t *data, size_t size, size_t *used,
                      uint64_t *boundary) noexcept nogil:
    cdef Workspace *space = workspace_get()
    cdef size_t some
    used[0] = 0
    while used[0] < size:
        if self.kept.size == KEPT_BYTES:
            slide(self)
        some = min(size - used[0], <size_t>KEPT_BYTES - self.kept.size)
        if space == NULL or not buffer_reserve(&self.kept, self.kept.size + some):
            search_gap(self, size - used[0])
            used[0] = size
            return False
        memcpy(self.kept.data + self.kept.size, data + used[0], some)
        self.kept.size += some
        used[0] += some
        if look(self, space, boundary):
            return True
    return False


cdef bint search_settle(Search *self, uint64_t *boundary) noexcept nogil:
    cdef uint64_t end = self.base + self.kept.size
    cdef Workspace *space = workspace_get()
    cdef Chain *chain
    cdef uint32_t at, best = CHAINS
    if space == NULL:
        return False
    for at in range(self.count):
        chain = &self.chains[at]
        if chain.at == end:
            if end_frame(self, space, chain):
                chain.score += END_BITS
                chain.earned += END_BITS
                chain.frames += 1
            else:
                chain.score = chain.earned = IMPOSSIBLE
        if is_trusted(chain) and (best == CHAINS or chain.score > self.chains[best].score):
            best = at
    for at in range(self.count):
        if at != best and self.chains[at].score >= LAST_RIVAL_BITS:
            return False
    if best == CHAINS or self.chains[best].report < self.base:
        return False
    boundary[0] = self.chains[best].report
    return True


cdef void search_gap(Search *self, uint64_t size) noexcept nogil:
    cdef uint64_t end = self.base + self.kept.size + size
    self.undecoded += self.kept.size
    self.kept.size = 0
    self.base = self.start = self.next = end
    if self.count:
        break_chains(self, end - 1)


cdef size_t search_memory(const Search *self) noexcept nogil:
    return 0 if self == NULL else sizeof(Search) + self.kept.room


cdef void search_free(Search *self) noexcept nogil:
    if self != NULL:
        buffer_release(&self.kept)
        sender_free(&self.sender)
        free(self)
