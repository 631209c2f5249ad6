"""Memory that a process frees and asks for again.

glibc gives every large block back to the system as it is freed, and the system clears its pages when it gives them
out again: on a CPU this takes a third of a training step of 32 pictures (docs/scaling.md).
"""
import ctypes

# From malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_LARGEST_KEPT = 2 ** 30  # bytes; a block above this is rarer than a layer's output


def keep_freed_memory():
    """Let malloc keep what this process frees, for its next allocations -> whether the C library can do so.

    The process then stays as large as it ever was. mallopt(3), glibc alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return False
    # Older versions refuse so high a threshold; they can do without such blocks altogether.
    kept = mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT) or mallopt(_M_MMAP_MAX, 0)
    return bool(kept and mallopt(_M_TRIM_THRESHOLD, -1))
