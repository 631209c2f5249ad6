"""Thread pools of worker processes: where there are as many workers as cores, each library must use one thread."""
import cv2
import torch
from threadpoolctl import threadpool_limits


def use_one_thread():
    """Limit torch, OpenCV and the linear algebra below numpy and scipy to one thread in this process, for good."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    threadpool_limits(1)
