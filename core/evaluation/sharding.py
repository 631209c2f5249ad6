"""Splits an evaluation over processes and joins their results in the order of the dataset."""
import torch

from utils.distributed import gathered, rank, world_size


def share_of(length):
    """Indices of the samples of this process: every world-th, from its rank on."""
    return range(rank(), length, world_size())


class ErrorTable:
    """Errors of the samples of one process.

    `joined` returns those of all processes in the order of the dataset: ({metric: [N, stages]}, [group of each
    sample]). A row that two processes evaluated (it replaced an unreadable picture) counts once.
    """

    def __init__(self):
        self._batches, self._groups, self._places, self._rows, self._done = [], [], [], [], 0
        self._unique = None  # None: no batch yet

    def add(self, errors, groups, fresh, rows):
        """Add a batch.

        errors: {metric: [B, stages]}. groups: B names. fresh [B]: the rows that count. rows: numbers of the B rows in
        the annotation file, or None if rows repeat on purpose. A sample of several views is several adjacent rows.
        """
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
        """The errors of all processes. Every process must call it. rows_per_sample: views per sample."""
        if world_size() == 1:
            return _concatenated(self._batches), self._groups
        parts = gathered((_concatenated(self._batches), self._groups, self._places, self._rows, self._unique))
        unique = any(part[-1] for part in parts)  # None: the process had no samples
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
