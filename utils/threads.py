"""Thread pools: one thread is fastest with as many workers as cores, or for many small operations."""
import contextlib
import os

import cv2
import torch
from threadpoolctl import threadpool_limits


def usable_cores():
    """Number of cores that this process may use."""
    # macOS and Windows have no sched_getaffinity.
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def use_one_thread():
    """Limit torch, OpenCV and the linear algebra of numpy and scipy to one thread in this process, permanently."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    threadpool_limits(1)


@contextlib.contextmanager
def one_torch_thread(when=True):
    """Use one torch thread inside, if `when`: in small operations, several threads wait for each other."""
    before = torch.get_num_threads()
    if when:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if when:
            torch.set_num_threads(before)
