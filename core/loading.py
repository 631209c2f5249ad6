"""Batches from a DataLoader, with errors of its workers as the one line that they were raised with."""
from utils.errors import ProjectError


def batches_of(loader):
    """Yields the loader's batches. A ProjectError of a worker process, which torch wraps in its traceback, is raised
    again with its own message alone. Closing the generator ends the workers."""
    iterator = iter(loader)
    try:
        while True:
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except ProjectError as error:
                raise _unwrapped(error) from None
            yield batch
    finally:
        del iterator  # the loader's workers end with it


def _unwrapped(error):
    kind = type(error)
    *traceback, last = str(error).strip().splitlines()
    return kind(last.split(f'{kind.__name__}: ', 1)[-1]) if traceback else error
