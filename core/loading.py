"""Batches from a DataLoader. Whatever befalls its workers ends in one line, and between two batches.

torch raises the death of a worker wherever the main process happens to be, in the middle of a step too. Here it is
raised only while a batch is waited for, so that a run can be saved as it stood after its last step.
"""
import atexit
import os
import shutil
import signal
import threading
from multiprocessing import active_children
from multiprocessing.connection import wait

from core.training.interrupts import leave_interrupts_to_the_main_process
from datasets.image_dataset import init_worker
from utils.errors import ProjectError
from utils.threads import usable_cores

_awaited = []  # the workers of the iterator that is being waited on, for the signal handler
_GRACE = 5.0  # seconds that a killed process may take to be gone


class LoaderError(ProjectError):
    """The loader's processes died, hung or could not be started."""


class _Woken(Exception):
    """Raised by a signal handler, out of the wait for a batch."""


def worker_options(cfg, most=None):
    """DataLoader's arguments about its processes: TRAIN.NUM_WORKERS of them, `most` at most, and no more than cores."""
    workers = min(cfg.TRAIN.NUM_WORKERS, usable_cores(), *(() if most is None else (most,)))
    return {'num_workers': workers, 'worker_init_fn': _init_worker,
            'timeout': cfg.TRAIN.LOADER_TIMEOUT if workers else 0}


def _init_worker(worker_id):
    leave_interrupts_to_the_main_process()
    init_worker(worker_id)


def batches_of(loader):
    """Yields the loader's batches. A ProjectError of a worker process, which torch wraps in its traceback, is raised
    again with its own message alone; a worker that died or a batch that does not come in time is a LoaderError. Closing
    the generator ends the workers."""
    iterator = _started(loader)
    workers = list(getattr(iterator, '_workers', ()))
    try:
        while True:
            try:
                batch = _next(iterator, workers)
            except StopIteration:
                return
            except ProjectError as error:
                raise _unwrapped(error) from None
            except (RuntimeError, OSError, EOFError, _Woken) as error:
                told = _explained(error, loader, workers)
                if told is None and not isinstance(error, _Woken):
                    raise
                _kill(workers)  # one that hangs would be waited for
                if told is None:
                    return
                raise LoaderError(told) from None
            yield batch
    finally:
        del iterator  # the loader's workers end with it
        _kill(workers)


def stop_waiting():
    """For signal handlers: end the batches that are being waited for, which may take as long as a disk does."""
    if _awaited:
        raise _Woken


def _started(loader):
    try:
        iterator = iter(loader)
    except OSError as error:
        raise LoaderError(f'{loader.num_workers} loader processes cannot be started ({error.strerror}); {_shared()}'
                          ) from None
    # torch's own handler raises wherever the main process is. Windows has no such signal.
    if loader.num_workers and hasattr(signal, 'SIGCHLD') and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, _on_child_exit)
    return iterator


def _next(iterator, workers):
    _awaited.append(workers)
    try:
        _on_child_exit()  # one may have died since the last batch
        return next(iterator)
    finally:
        _awaited.pop()


def _on_child_exit(*_):
    if _awaited and _dead(_awaited[-1]):
        raise _Woken


def _dead(workers):
    """(pid, exit status) of the processes that ended in error."""
    return [(worker.pid, worker.exitcode) for worker in workers if worker.exitcode]


def _kill(workers):
    """End what still runs; SIGTERM, with which torch ends its workers, does not reach those of a training."""
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join(_GRACE)


@atexit.register
def _kill_those_left():
    """The workers of a generator that nobody closed: at exit multiprocessing waits for them, for ever."""
    _kill([child for child in active_children() if child.daemon])


def _explained(error, loader, workers):
    """One line about a failure of the loader's processes; None where the error is something else."""
    if not workers:
        return None
    text = str(error)
    if isinstance(error, (EOFError, ConnectionError)):  # a worker's end of a pipe closes before its death is known
        for sentinel in wait([worker.sentinel for worker in workers], _GRACE):
            next(worker for worker in workers if worker.sentinel == sentinel).join(_GRACE)
    dead = _dead(workers)
    how = {status: signal.Signals(-status).name for _, status in dead if status < 0}
    if 'SIGBUS' in how.values() or 'shared memory' in text or 'No space left' in text:
        return f'a loader process ran out of shared memory; {_shared()}'
    if dead:
        pid, status = dead[0]
        why = '; was there too little memory? Lower TRAIN.NUM_WORKERS' if how.get(status) == 'SIGKILL' else ''
        return f'loader process {pid} ' + (f'was killed by {how[status]}{why}' if status < 0 else
                                           f'ended with status {status}')
    if 'timed out' in text:
        return (f'no batch came within TRAIN.LOADER_TIMEOUT = {loader.timeout:g} seconds; is the disk of the pictures '
                'within reach?')
    if 'Too many open files' in text or 'ancdata' in text:
        return 'too many open files for the loader\'s processes; raise `ulimit -n` or lower TRAIN.NUM_WORKERS'
    ended = isinstance(error, (EOFError, ConnectionError)) or text.startswith('DataLoader worker')
    return 'a loader process ended unexpectedly' if ended else None


def _shared():
    advice = 'lower TRAIN.NUM_WORKERS (0 needs none) or TRAIN.BATCH_SIZE'
    if not os.path.isdir('/dev/shm'):
        return advice
    return f'/dev/shm has {shutil.disk_usage("/dev/shm").free / 2 ** 20:.0f} MiB free: give it more, or {advice}'


def _unwrapped(error):
    kind = type(error)
    *traceback, last = str(error).strip().splitlines()
    return kind(last.split(f'{kind.__name__}: ', 1)[-1]) if traceback else error
