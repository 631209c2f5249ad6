"""Threads beside the network: frames are decoded ahead, and drawn and written behind, with bounded queues.
"""
import contextlib
import queue
import threading

import torch
from threadpoolctl import threadpool_limits

_END = object()
_PATIENCE = 0.2


class Ahead:
    """An iterator that a thread runs ahead of its consumer by at most `depth` items."""

    def __init__(self, items, depth):
        self._queue, self._stop, self._error = queue.Queue(depth), threading.Event(), None
        self._thread = threading.Thread(target=self._run, args=(items,), daemon=True)
        self._thread.start()

    def _run(self, items):
        _compute_alone()
        try:
            for item in items:
                if not _put(self._queue, item, self._stop):
                    return
        except BaseException as error:  # raised in the consumer's thread
            self._error = error
        _put(self._queue, _END, self._stop)

    def __iter__(self):
        while (item := self._queue.get()) is not _END:
            yield item
        if self._error is not None:
            raise self._error

    def end(self):
        """Stop the thread. Items that are ready are lost."""
        self._stop.set()
        self._thread.join()


class Behind:
    """Calls `work(item)` for each item in a thread, at most `depth` items behind. An error is raised at the next call.
    """

    def __init__(self, work, depth):
        self._work, self._queue, self._stop, self._error = work, queue.Queue(depth), threading.Event(), None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        _compute_alone()
        while (item := self._queue.get()) is not _END:
            try:
                self._work(item)
            except BaseException as error:  # raised in the producer's thread
                self._error = error
                self._stop.set()
                return

    def __call__(self, item):
        if not _put(self._queue, item, self._stop):
            raise self._error

    def wait(self):
        """Wait until all work is done. Raises the error of the thread."""
        self.end()
        if self._error is not None:
            raise self._error

    def end(self):
        """Wait until all work is done or has failed."""
        _put(self._queue, _END, self._stop)
        self._thread.join()
        self._stop.set()


def _compute_alone():
    """Use one OpenMP thread for computations in this thread; more would compete with the network's. The network's own
    number of threads does not change."""
    torch.get_num_threads()  # torch sets this thread's number on the first query; it must not do so later
    threadpool_limits(1, user_api='openmp')


def _put(into, item, stop):
    """Put an item unless `stop` is set during the wait -> whether it was put."""
    while not stop.is_set():
        with contextlib.suppress(queue.Full):
            into.put(item, timeout=_PATIENCE)
            return True
    return False
