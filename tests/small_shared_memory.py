"""`python -m tests.small_shared_memory SIZE`: a DataLoader whose batches do not fit in a /dev/shm of SIZE bytes.

The exit status is 77 where no mount namespace can be made.
"""
import ctypes
import sys
from types import SimpleNamespace

import torch
from torch.utils.data import DataLoader

from core.loading import batches_of, worker_options
from utils.errors import run_main

_REC_PRIVATE, _NEW_NAMESPACE = 0x4000 | 0x40000, 0x00020000


def make_small(size):
    """Mount a /dev/shm that only this process sees."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NAMESPACE) or libc.mount(b'none', b'/', None, _REC_PRIVATE, None) or \
            libc.mount(b'tmpfs', b'/dev/shm', b'tmpfs', 0, f'size={size}'.encode()):
        sys.exit(77)


def main():
    make_small(int(sys.argv[1]))
    options = SimpleNamespace(TRAIN=SimpleNamespace(NUM_WORKERS=2, LOADER_TIMEOUT=60.0))
    samples = [torch.ones(2 ** 18) for _ in range(64)]  # of 1 MiB each
    print(len(list(batches_of(DataLoader(samples, 8, **worker_options(options))))))
    return 0


if __name__ == '__main__':
    run_main(main)
