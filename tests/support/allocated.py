"""How much of the C heap is in use: what a test compares to find leaks."""

import ctypes


class _Heap(ctypes.Structure):
    """struct mallinfo2 of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
            "fordblks", "keepcost",
        )
    ]  # fmt: skip


_mallinfo = ctypes.CDLL(None).mallinfo2
_mallinfo.restype = _Heap


def allocated_bytes() -> int:
    """Bytes that malloc has given out, its own headers included; not Python's small objects."""
    heap = _mallinfo()
    return int(heap.uordblks + heap.hblkhd)
