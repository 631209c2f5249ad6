"""Tables of an evaluation: on the console, as Markdown, CSV and JSON."""
import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from core.evaluation.protocols import METRIC_TITLES, METRIC_UNITS
from core.metrics import bootstrap_interval
from utils.errors import BadConfig, ProjectError
from utils.safe_io import atomic_write

FORMATS = ('.md', '.csv', '.json')
_INTERVAL_DRAWS = 1000


@dataclass(frozen=True)
class Score:
    """Mean of one metric over `count` samples, with its 95 % bootstrap interval (NaN if there is none)."""
    mean: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values):
        """Score of values [N]. NaN values (no ground truth) do not count."""
        values = values[~values.isnan()]
        low, high = bootstrap_interval(values, draws=_INTERVAL_DRAWS)
        return cls(float(values.mean()), low, high, len(values))


@dataclass(frozen=True)
class Row:
    """One line of a table. kind: 'stage', or the kind of group ('action', 'sequence'). scores: {metric: Score}."""
    kind: str
    name: str
    scores: dict


def title(metric):
    """Column title of a metric with its unit."""
    return f'{METRIC_TITLES[metric]}, {METRIC_UNITS[metric]}'


def markdown(evaluation):
    """Markdown tables: the stages with the intervals of the last one, then the groups."""
    rows = evaluation.rows()
    stages = [row for row in rows if row.kind == 'stage']
    groups = [row for row in rows if row.kind != 'stage']
    with_interval = any(score.low == score.low for score in stages[-1].scores.values())
    tables = [_markdown_table(evaluation.dataset, stages, with_interval)]
    if groups:
        tables.append(_markdown_table(f'{groups[0].kind}, {stages[-1].name}', groups, with_interval=False))
    return '\n\n'.join(tables)


def comparison(title_, evaluations):
    """Markdown table of the last stages of several evaluations, {label: Evaluation}."""
    rows = [Row('setting', label, [row for row in evaluation.rows() if row.kind == 'stage'][-1].scores)
            for label, evaluation in evaluations.items()]
    return _markdown_table(title_, rows, with_interval=False)


def _markdown_table(corner, rows, with_interval):
    metrics = list(rows[0].scores)
    lines = [[corner, *map(title, metrics)], ['---', *['---:'] * len(metrics)]]
    lines += [[row.name, *(_number(row.scores[m].mean) for m in metrics)] for row in rows]
    if with_interval:
        last = rows[-1].scores
        lines.append(['95 % interval', *(f'{_number(last[m].low)} to {_number(last[m].high)}' for m in metrics)])
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def console(evaluation):
    """The Markdown tables of an evaluation, aligned for the console."""
    return '\n\n'.join(aligned(table) for table in markdown(evaluation).split('\n\n'))


def aligned(table):
    """A Markdown table with its columns aligned for the console."""
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in table.splitlines()]
    del cells[1]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ['  '.join(cell.ljust(width) if i == 0 else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))) for row in cells]
    return '\n'.join([lines[0], '-' * len(lines[0]), *lines[1:]])


def as_csv(evaluation):
    """CSV with one line per row and metric: dataset, kind, name, metric, unit, mean, low, high, count."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator='\n')
    writer.writerow(['dataset', 'kind', 'name', 'metric', 'unit', 'mean', 'low', 'high', 'count'])
    for row in evaluation.rows():
        for metric, score in row.scores.items():
            writer.writerow([evaluation.dataset, row.kind, row.name, metric, METRIC_UNITS[metric],
                             score.mean, score.low, score.high, score.count])
    return stream.getvalue()


def as_json(evaluation):
    """The same rows as JSON. A mean over no sample is null."""
    rows = [{'kind': row.kind, 'name': row.name, 'scores': {
        metric: {key: None if value != value else value for key, value in vars(score).items()}
        for metric, score in row.scores.items()}} for row in evaluation.rows()]
    return json.dumps({'dataset': evaluation.dataset, 'rows': rows}, indent=1) + '\n'


def check_paths(paths, overwrite):
    """Check report files before the evaluation. Raises BadConfig for an unknown suffix, ProjectError for a file that
    exists and may not be overwritten."""
    for path in map(Path, paths):
        if path.suffix not in FORMATS:
            raise BadConfig(f'{path}: unknown suffix of a report; use {", ".join(FORMATS)}')
    check_new(paths, overwrite)


def check_new(paths, overwrite):
    """Raise ProjectError if one of the files exists and may not be overwritten."""
    for path in map(Path, paths):
        if path.exists() and not overwrite:
            raise ProjectError(f'{path}: exists already; use --overwrite or another name')


def write(evaluation, path):
    """Write a report atomically. The suffix of the path selects the format."""
    text = {'.md': lambda e: markdown(e) + '\n', '.csv': as_csv, '.json': as_json}[Path(path).suffix](evaluation)
    with atomic_write(path, 'w') as stream:
        stream.write(text)


def _number(value):
    return '-' if value != value else f'{value:.1f}'
