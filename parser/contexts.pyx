"""The budget of contexts, and who makes way; see contexts.pxd.

Victims are found by the clock algorithm: a context that was used since the hand passed it last is
spared once.  The hand passes a bounded number of contexts; then it takes the next idle one.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from sockwarden.parser.workspace cimport inflate_state

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *mutex, const void *attributes)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)

cdef extern from * nogil:
    """
    #define sw_load(at) __atomic_load_n(at, __ATOMIC_RELAXED)
    #define sw_store(at, value) __atomic_store_n(at, value, __ATOMIC_RELAXED)
    #define sw_is_marked(at) __atomic_load_n(at, __ATOMIC_RELAXED)
    #define sw_mark(at, value) __atomic_store_n(at, value, __ATOMIC_RELAXED)
    #define sw_add(at, value) __atomic_add_fetch(at, value, __ATOMIC_RELAXED)
    #define sw_subtract(at, value) __atomic_sub_fetch(at, value, __ATOMIC_RELAXED)
    #define sw_release(at, value) __atomic_store_n(at, value, __ATOMIC_RELEASE)

    static int sw_exchange(uint8_t *at, uint8_t from, uint8_t to)
    {
        return __atomic_compare_exchange_n(at, &from, to, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
    }
    """
    uint64_t sw_load(uint64_t *at)
    void sw_store(uint64_t *at, uint64_t value)
    bint sw_is_marked(uint8_t *at)
    void sw_mark(uint8_t *at, uint8_t value)
    uint64_t sw_add(uint64_t *at, uint64_t value)
    uint64_t sw_subtract(uint64_t *at, uint64_t value)
    void sw_release(uint8_t *at, uint8_t value)
    bint sw_exchange(uint8_t *at, uint8_t before, uint8_t after)

cdef enum:
    LEAST_WINDOW = 1 << 10  # octets, then doubled
    SPARED = 64             # contexts that the hand passes at most before it spares none

DEFAULT_LIMIT_BYTES = 256 << 20

cdef uint64_t limit_bytes = DEFAULT_LIMIT_BYTES
cdef uint64_t held_bytes = 0
cdef uint64_t evicted = 0

# Under the lock: the ring of all contexts that may be lost.
cdef pthread_mutex_t lock
cdef Context *hand = NULL
cdef uint64_t count = 0

if pthread_mutex_init(&lock, NULL):
    raise MemoryError("no mutex for the contexts of compressed streams")


# --- the budget ---

cdef void link(Context *self) noexcept nogil:
    global hand, count
    if hand == NULL:
        self.next = self.before = self
        hand = self
    else:
        # Behind the hand: it is met last.
        self.next = hand
        self.before = hand.before
        self.before.next = self
        hand.before = self
    count += 1


cdef void unlink(Context *self) noexcept nogil:
    global hand, count
    if hand == self:
        hand = self.next if self.next != self else NULL
    self.before.next = self.next
    self.next.before = self.before
    self.next = self.before = NULL
    count -= 1


# What hangs on it.
cdef void drop(Context *self) noexcept nogil:
    sw_subtract(&held_bytes, self.room + (sizeof(inflate_state) if self.open != NULL else 0))
    free(self.window)
    free(self.open)
    self.window = NULL
    self.open = NULL
    self.room = self.seen = 0


# Makes room until the budget is kept, or there is no more to be had.
cdef bint evict() noexcept nogil:
    global hand
    cdef Context *at
    cdef uint64_t steps, most
    pthread_mutex_lock(&lock)
    most = count + SPARED
    steps = 0
    while sw_load(&held_bytes) > sw_load(&limit_bytes) and hand != NULL and steps < most:
        at = hand
        hand = at.next
        steps += 1
        if steps <= SPARED and sw_is_marked(&at.recent):
            sw_mark(&at.recent, False)
        elif (at.room or at.open != NULL) and sw_exchange(&at.hold, CONTEXT_IDLE, CONTEXT_LOST):
            unlink(at)
            drop(at)
            sw_add(&evicted, 1)
    pthread_mutex_unlock(&lock)
    return sw_load(&held_bytes) <= sw_load(&limit_bytes)


cdef bint reserve(size_t size) noexcept nogil:
    if sw_add(&held_bytes, size) <= sw_load(&limit_bytes) or evict():
        return True
    sw_subtract(&held_bytes, size)
    sw_add(&evicted, 1)  # the one that asks
    return False


# --- one context ---

cdef Context *context_new() noexcept nogil:
    cdef Context *self = <Context *>calloc(1, sizeof(Context))
    if self != NULL:
        sw_add(&held_bytes, sizeof(Context))
        pthread_mutex_lock(&lock)
        link(self)
        pthread_mutex_unlock(&lock)
    return self


cdef void context_free(Context *self) noexcept nogil:
    if self == NULL:
        return
    pthread_mutex_lock(&lock)
    if self.next != NULL:
        unlink(self)
    pthread_mutex_unlock(&lock)
    drop(self)
    sw_subtract(&held_bytes, sizeof(Context))
    free(self)


cdef bint context_take(Context *self) noexcept nogil:
    return sw_exchange(&self.hold, CONTEXT_IDLE, CONTEXT_TAKEN)


cdef void context_give(Context *self) noexcept nogil:
    sw_mark(&self.recent, True)
    sw_release(&self.hold, CONTEXT_IDLE)


# While it is not full, a window lies in order from its first octet on.
cdef bint grow(Context *self, size_t need, size_t window) noexcept nogil:
    cdef size_t room = max(<size_t>self.room, <size_t>LEAST_WINDOW)
    cdef uint8_t *larger
    while room < need:
        room *= 2
    room = min(room, window)
    if not reserve(room - self.room):
        return False
    larger = <uint8_t *>malloc(room)
    if larger == NULL:
        sw_subtract(&held_bytes, room - self.room)
        return False
    if self.seen:
        memcpy(larger, self.window, self.seen)
    free(self.window)
    self.window = larger
    self.room = <uint32_t>room
    return True


cdef bint context_remember(Context *self, const uint8_t *data, size_t size,
                           size_t window) noexcept nogil:
    cdef size_t begin, first
    if size > window:
        data += size - window
        size = window
    if not size:
        return True
    if (self.room < self.seen + size and self.room < window
            and not grow(self, min(self.seen + size, window), window)):
        return False
    begin = self.at if self.seen == window else self.seen
    first = min(size, window - begin)
    memcpy(self.window + begin, data, first)
    memcpy(self.window, data + first, size - first)
    self.seen = <uint32_t>min(self.seen + size, window)
    self.at = <uint32_t>((begin + size) & (window - 1))
    return True


cdef size_t context_recall(const Context *self, uint8_t *out) noexcept nogil:
    cdef size_t at = self.at if self.seen == self.room else 0
    if self.seen:
        memcpy(out, self.window + at, self.seen - at)
        memcpy(out + self.seen - at, self.window, at)
    return self.seen


cdef bint context_park(Context *self, inflate_state *state) noexcept nogil:
    if not reserve(sizeof(inflate_state)):
        return False
    self.open = state
    return True


cdef inflate_state *context_resume(Context *self) noexcept nogil:
    cdef inflate_state *state = self.open
    self.open = NULL
    sw_subtract(&held_bytes, sizeof(inflate_state))
    return state


cdef size_t context_memory(const Context *self) noexcept nogil:
    if self == NULL:
        return 0
    return (sizeof(Context) + self.room
            + (sizeof(inflate_state) if self.open != NULL else 0))


# --- the process ---

cdef void contexts_limit(uint64_t bound) noexcept nogil:
    sw_store(&limit_bytes, bound)


cdef ContextUsage contexts_usage() noexcept nogil:
    return ContextUsage(sw_load(&limit_bytes), sw_load(&held_bytes), sw_load(&evicted))


def limit(uint64_t bound):
    contexts_limit(bound)


def usage():
    return contexts_usage()
