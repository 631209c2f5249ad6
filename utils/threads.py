"""Thread pools: where there are as many workers as cores, or a thousand small operations, one thread is fastest."""
import contextlib

import cv2
import torch
from threadpoolctl import threadpool_limits


def use_one_thread():
    """Limit torch, OpenCV and the linear algebra below numpy and scipy to one thread in this process, for good."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    threadpool_limits(1)


@contextlib.contextmanager
def one_torch_thread(when=True):
    """One torch thread within, if `when`: small operations that two threads share wait for each other."""
    before = torch.get_num_threads()
    if when:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if when:
            torch.set_num_threads(before)
