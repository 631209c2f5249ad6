"""A dataset's evaluation shared out over processes, and put together again in the dataset's order."""
import torch

from utils.distributed import gathered, rank, world_size


def share_of(length):
    """Places of a dataset that this process evaluates: every world-th, from its rank on."""
    return range(rank(), length, world_size())


class ErrorTable:
    """Errors of one process's share, sample by sample.

    `joined` puts all processes' together, in the dataset's order: ({metric: [N, stages]}, [group of each sample]). A
    row that two processes met (it stood in for an unreadable picture) counts once.
    """

    def __init__(self):
        self._batches, self._groups, self._places, self._rows, self._done = [], [], [], [], 0
        self._unique = None  # unknown while nothing is added

    def add(self, errors, groups, fresh, rows):
        """A batch's {metric: [B, stages]}, B groups, which rows count [B], and the B rows' numbers in the annotation
        file, or None where rows may come again on purpose. B is a multiple of the batch's samples where those are
        groups of views; views of a sample follow each other."""
        places = range(self._done, self._done + len(fresh))
        self._done += len(fresh)
        kept = fresh.tolist()
        self._batches.append({name: values[fresh] for name, values in errors.items()})
        self._groups += [group for group, keep in zip(groups, kept) if keep]
        self._places += [place for place, keep in zip(places, kept) if keep]
        self._rows += [row for row, keep in zip(rows or places, kept) if keep]
        self._unique = rows is not None

    def running(self):
        """This process's errors so far."""
        return _concatenated(self._batches)

    def joined(self, rows_per_sample=1):
        """All processes' errors; rows_per_sample: views in a sample. Every process must call it."""
        if world_size() == 1:
            return _concatenated(self._batches), self._groups
        parts = gathered((_concatenated(self._batches), self._groups, self._places, self._rows, self._unique))
        unique = any(part[-1] for part in parts)  # None where a process had no share
        entries = sorted(((place // rows_per_sample * len(parts) + process, place % rows_per_sample), process, number)
                         for process, (_, _, places, *_) in enumerate(parts) for number, place in enumerate(places))
        if unique:
            first = {parts[process][3][number]: (process, number) for _, process, number in reversed(entries)}
            entries = [entry for entry in entries if first[parts[entry[1]][3][entry[2]]] == entry[1:]]
        start = torch.tensor([0] + [len(groups) for _, groups, *_ in parts]).cumsum(0)
        order = torch.tensor([int(start[process]) + number for _, process, number in entries])
        errors = _concatenated([errors for errors, *_ in parts if errors])
        groups = [group for _, groups, *_ in parts for group in groups]
        return {name: values[order] for name, values in errors.items()}, [groups[place] for place in order]


def _concatenated(batches):
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]} if batches else {}
