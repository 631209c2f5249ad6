"""Keeps memory that a process frees and allocates again.

glibc returns every large block to the system when it is freed, and the system clears its pages before the next use. On
a CPU this takes a third of a training step of 32 pictures (docs/scaling.md). Pages of 2 MiB instead of 4 KiB speed up
the remaining page faults, and memory access too.
"""
import ctypes
import os
from functools import lru_cache

# From malloc.h and mman.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _MADV_HUGEPAGE = -1, -3, -4, 14
_LARGEST_KEPT = 2 ** 30  # bytes; few layers' outputs are larger
_LARGE_PAGE = 2 ** 21
_MOST_RESERVED = 2 ** 33


@lru_cache
def keep_freed_memory():
    """Let malloc keep the memory that this process frees. Returns whether the C library supports it.

    The process then stays at its peak size. Uses mallopt(3), which only glibc has.
    """
    try:
        libc = ctypes.CDLL(None)
        mallopt = libc.mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return False
    # Older versions reject such a high threshold, but can be told not to use mmap at all.
    kept = mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT) or mallopt(_M_MMAP_MAX, 0)
    if not (kept and mallopt(_M_TRIM_THRESHOLD, -1)):
        return False
    _ask_for_large_pages(libc)
    return True


def _ask_for_large_pages(libc):
    """Extend the heap and request large pages for it. Its addresses take no memory until they are written."""
    libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    size, block = min(_MOST_RESERVED, os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 4), _LARGEST_KEPT // 2
    first = libc.sbrk(0)
    for pointer in [libc.malloc(block) for _ in range(size // block)]:
        libc.free(pointer)
    first = -(-first // _LARGE_PAGE) * _LARGE_PAGE
    last = libc.sbrk(0)
    if last > first:  # not so where a limit forbids it
        libc.madvise(first, last - first, _MADV_HUGEPAGE)
