"""The budget of contexts, and who makes way; see contexts.pxd.

The parser knows no clock.  Time is counted in reservations of memory, which are what victims are
needed for; a context bears the time at which it was used last.  A victim is the longest silent one
of a few, so that its search is short however many there are.
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
    #define sw_hold(at) __atomic_load_n(at, __ATOMIC_RELAXED)
    #define sw_tick(at) __atomic_load_n(at, __ATOMIC_RELAXED)
    #define sw_set_tick(at, value) __atomic_store_n(at, value, __ATOMIC_RELAXED)
    #define sw_next_tick(at) __atomic_fetch_add(at, 1, __ATOMIC_RELAXED)
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
    uint8_t sw_hold(uint8_t *at)
    uint32_t sw_tick(uint32_t *at)
    void sw_set_tick(uint32_t *at, uint32_t value)
    void sw_next_tick(uint32_t *at)
    uint64_t sw_add(uint64_t *at, uint64_t value)
    uint64_t sw_subtract(uint64_t *at, uint64_t value)
    void sw_release(uint8_t *at, uint8_t value)
    bint sw_exchange(uint8_t *at, uint8_t before, uint8_t after)

cdef enum:
    LEAST_WINDOW = 1 << 10  # octets, then doubled
    CANDIDATES = 32
    MOST_VICTIMS = 256      # for one that asks

DEFAULT_LIMIT_BYTES = 256 << 20

cdef uint64_t limit_bytes = DEFAULT_LIMIT_BYTES
cdef uint64_t held_bytes = 0
cdef uint64_t evicted = 0
cdef uint32_t ticks = 0

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


# The longest idle of the next few.  NULL: none of them can make way.
cdef Context *victim() noexcept nogil:
    global hand
    cdef Context *oldest = NULL
    cdef uint32_t now = sw_tick(&ticks), silent, longest = 0
    cdef uint64_t _
    for _ in range(min(count, <uint64_t>CANDIDATES)):
        hand = hand.next
        silent = now - sw_tick(&hand.used)
        if sw_hold(&hand.hold) == CONTEXT_IDLE and silent >= longest and (
                hand.room or hand.open != NULL):
            oldest = hand
            longest = silent
    return oldest


# Makes room until the budget is kept, or there is no more to be had.
cdef bint evict() noexcept nogil:
    cdef Context *at
    cdef int _
    pthread_mutex_lock(&lock)
    for _ in range(<int>MOST_VICTIMS):
        if sw_load(&held_bytes) <= sw_load(&limit_bytes):
            break
        at = victim()
        if at != NULL and sw_exchange(&at.hold, CONTEXT_IDLE, CONTEXT_LOST):
            unlink(at)
            drop(at)
            sw_add(&evicted, 1)
    pthread_mutex_unlock(&lock)
    return sw_load(&held_bytes) <= sw_load(&limit_bytes)


cdef bint reserve(size_t size) noexcept nogil:
    sw_next_tick(&ticks)
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
    sw_set_tick(&self.used, sw_tick(&ticks))
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

cdef bint contexts_borrow(size_t size) noexcept nogil:
    if sw_add(&held_bytes, size) <= sw_load(&limit_bytes):
        return True
    sw_subtract(&held_bytes, size)
    return False


cdef void contexts_repay(size_t size) noexcept nogil:
    sw_subtract(&held_bytes, size)


cdef void contexts_limit(uint64_t bound) noexcept nogil:
    sw_store(&limit_bytes, bound)


cdef ContextUsage contexts_usage() noexcept nogil:
    return ContextUsage(sw_load(&limit_bytes), sw_load(&held_bytes), sw_load(&evicted))


def limit(uint64_t bound):
    contexts_limit(bound)


def usage():
    return contexts_usage()
