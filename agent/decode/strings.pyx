# cython: language_level=3
"""Writes the strings of a message in a binary format as if it were JSON; see strings.pxd."""

from libc.stdint cimport UINT64_MAX, uint8_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    QUOTE = 34
    COMMA = 44
    COLON = 58


cdef inline void put(Walk *walk, uint8_t byte) noexcept nogil:
    if walk.made < walk.capacity:
        walk.out[walk.made] = byte
        walk.made += 1


cdef void close(Walk *walk) noexcept nogil:
    walk.depth -= 1
    put(walk, 125 if walk.open[walk.depth].is_map else 93)


cdef void item_ends(Walk *walk, bint visible) noexcept nogil:
    """Behind an item: a separator if the item is to be seen, and the ends of what it ends."""
    cdef Open *top
    while walk.depth:
        top = &walk.open[walk.depth - 1]
        top.left -= 1
        if top.is_map and top.left & 1:
            put(walk, COLON)  # it was a key
            return
        if top.left or top.is_endless:
            break
        close(walk)
        visible = True
    if visible:
        put(walk, COMMA)


cdef void walk_begin(Walk *walk, uint8_t *out, size_t capacity) noexcept nogil:
    walk.out = out
    walk.capacity = capacity
    walk.made = 0
    walk.strings = 0
    walk.depth = 0


cdef void walk_string(Walk *walk, const uint8_t *text, size_t size) noexcept nogil:
    walk.strings += 1
    put(walk, QUOTE)
    if size > walk.capacity - walk.made:
        size = walk.capacity - walk.made
    memcpy(walk.out + walk.made, text, size)
    walk.made += size
    put(walk, QUOTE)
    item_ends(walk, True)


cdef void walk_scalar(Walk *walk) noexcept nogil:
    item_ends(walk, False)


cdef bint walk_open(Walk *walk, uint64_t items, bint is_map) noexcept nogil:
    put(walk, 123 if is_map else 91)
    if not items:
        put(walk, 125 if is_map else 93)
        item_ends(walk, True)
        return True
    if walk.depth == NESTING_MAX:
        return False
    walk.open[walk.depth].is_endless = items == UINT64_MAX
    # Even, so that of a map's items the odd ones are keys.
    walk.open[walk.depth].left = 2 * items if is_map else items
    walk.open[walk.depth].is_map = is_map
    walk.depth += 1
    return True


cdef bint walk_break(Walk *walk) noexcept nogil:
    cdef const Open *top
    if not walk.depth:
        return False
    top = &walk.open[walk.depth - 1]
    if not top.is_endless or (top.is_map and top.left & 1):
        return False
    close(walk)
    item_ends(walk, True)
    return True
