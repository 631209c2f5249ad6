"""Rows of the table of benchmarks; one that fails says why and leaves the others alone."""
from dataclasses import dataclass, replace

from benchmarks.peak_memory import peak_mib, reset_peak
from utils.errors import ProjectError

HEADER = ('| part | ms an image | floor | ms an image | ratio | aim | peak MiB |\n'
          '| --- | ---: | --- | ---: | ---: | ---: | ---: |')


@dataclass
class Row:
    """One line: milliseconds an image of the part and of its floor; aim: the ratio to stay below, or None;
    peak: MiB of the process, or of the GPU, at the peak of the measurement that the row belongs to, or None."""
    part: str
    took: float
    floor_name: str
    floor: float
    aim: float | None = None
    peak: float | None = None

    @property
    def ratio(self):
        return self.took / self.floor

    def __str__(self):
        aim = '' if self.aim is None else f'{self.aim:.2f}'
        peak = '' if self.peak is None else f'{self.peak:.0f}'
        return (f'| {self.part} | {self.took:.2f} | {self.floor_name} | {self.floor:.2f} | {self.ratio:.2f} | {aim} | '
                f'{peak} |')


@dataclass
class FailedRow:
    """One line in the place of what could not be measured."""
    part: str
    error: Exception

    def __str__(self):
        return f'| {self.part} | failed: {one_line(self.error)} | | | | | |'


def rows_of(part, measure):
    """Yield the rows of `measure()` with their peak memory. Where it raises, a FailedRow follows those before."""
    reset_peak()
    try:
        for row in measure():
            yield row if isinstance(row, FailedRow) or row.peak is not None else replace(row, peak=peak_mib())
    except Exception as error:  # whatever it is, the other parts have nothing to do with it
        yield FailedRow(part, error)


def one_line(error):
    """An error in one line that a table can hold."""
    text = ' '.join(str(error).strip().split('\n')[0].split()).replace('|', '/')
    if isinstance(error, ProjectError):
        return text
    return f'{type(error).__name__}: {text}' if text else type(error).__name__
