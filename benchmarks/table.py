"""Rows of the table of benchmarks; one that fails says why and leaves the others alone."""
from dataclasses import dataclass

from utils.errors import ProjectError

HEADER = '| part | ms an image | floor | ms an image | ratio | aim |\n| --- | ---: | --- | ---: | ---: | ---: |'


@dataclass
class Row:
    """One line: milliseconds an image of the part and of its floor; aim: the ratio to stay below, or None."""
    part: str
    took: float
    floor_name: str
    floor: float
    aim: float | None = None

    @property
    def ratio(self):
        return self.took / self.floor

    def __str__(self):
        aim = '' if self.aim is None else f'{self.aim:.2f}'
        return f'| {self.part} | {self.took:.2f} | {self.floor_name} | {self.floor:.2f} | {self.ratio:.2f} | {aim} |'


@dataclass
class FailedRow:
    """One line in the place of what could not be measured."""
    part: str
    error: Exception

    def __str__(self):
        return f'| {self.part} | failed: {one_line(self.error)} | | | | |'


def rows_of(part, measure):
    """Yield the rows that `measure()` yields; where it raises, what came before and a FailedRow."""
    try:
        yield from measure()
    except Exception as error:  # whatever it is, the other parts have nothing to do with it
        yield FailedRow(part, error)


def one_line(error):
    """An error in one line that a table can hold."""
    text = ' '.join(str(error).strip().split('\n')[0].split()).replace('|', '/')
    if isinstance(error, ProjectError):
        return text
    return f'{type(error).__name__}: {text}' if text else type(error).__name__
