"""Memory that a process frees and asks for again.

glibc gives every large block back to the system as it is freed, and the system clears its pages when it gives them
out again: on a CPU this takes a third of a training step of 32 pictures (docs/scaling.md). Pages of 2 MiB instead of
4 KiB make what is left of it quick, and reading and writing too.
"""
import ctypes
import os
from functools import lru_cache

# From malloc.h and mman.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _MADV_HUGEPAGE = -1, -3, -4, 14
_LARGEST_KEPT = 2 ** 30  # bytes; a block above this is rarer than a layer's output
_LARGE_PAGE = 2 ** 21
_MOST_RESERVED = 2 ** 33


@lru_cache
def keep_freed_memory():
    """Let malloc keep what this process frees, for its next allocations -> whether the C library can do so.

    The process then stays as large as it ever was. mallopt(3), glibc alone.
    """
    try:
        libc = ctypes.CDLL(None)
        mallopt = libc.mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return False
    # Older versions refuse so high a threshold; they can do without such blocks altogether.
    kept = mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT) or mallopt(_M_MMAP_MAX, 0)
    if not (kept and mallopt(_M_TRIM_THRESHOLD, -1)):
        return False
    _ask_for_large_pages(libc)
    return True


def _ask_for_large_pages(libc):
    """Extend the heap by addresses, which take no memory until they are written to, and have them on large pages."""
    libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    size, block = min(_MOST_RESERVED, os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 4), _LARGEST_KEPT // 2
    first = libc.sbrk(0)
    for pointer in [libc.malloc(block) for _ in range(size // block)]:
        libc.free(pointer)
    first = -(-first // _LARGE_PAGE) * _LARGE_PAGE
    last = libc.sbrk(0)
    if last > first:  # not where a limit forbids it
        libc.madvise(first, last - first, _MADV_HUGEPAGE)
