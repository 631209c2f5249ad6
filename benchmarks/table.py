"""Rows of the table of benchmarks. A row that fails gives the reason, and the other rows are still measured."""
from dataclasses import dataclass

from utils.errors import ProjectError

HEADER = '| part | ms an image | floor | ms an image | ratio | aim |\n| --- | ---: | --- | ---: | ---: | ---: |'


@dataclass
class Row:
    """One line: milliseconds an image of the part and of its floor. aim: highest ratio wanted, or None."""
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
    """One line for a part that could not be measured."""
    part: str
    error: Exception

    def __str__(self):
        return f'| {self.part} | failed: {one_line(self.error)} | | | | |'


def rows_of(part, measure):
    """Yield the rows of `measure()`. If it raises, a FailedRow follows the rows so far."""
    try:
        yield from measure()
    except Exception as error:  # of any kind; the other parts do not depend on it
        yield FailedRow(part, error)


def one_line(error):
    """An error as one line of a table cell."""
    text = ' '.join(str(error).strip().split('\n')[0].split()).replace('|', '/')
    if isinstance(error, ProjectError):
        return text
    return f'{type(error).__name__}: {text}' if text else type(error).__name__
