"""`pytest --no_skips`: a skipped test fails the run. Two reasons are excused: no GPU, and no `../shared`, the folder of
real files and published numbers outside of the repository.
"""
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / 'shared'
NEEDS_SHARED = '../shared is not here'


def pytest_addoption(parser):
    parser.addoption('--no_skips', action='store_true',
                     help='a skipped test fails the run; CUDA and an absent ../shared are excused')


def pytest_configure(config):
    # Workers of pytest-xdist report to the main process, which judges.
    if config.getoption('no_skips') and not hasattr(config, 'workerinput'):
        config.pluginmanager.register(NoSkips(), 'no_skips')


class NoSkips:
    """Collects skipped tests and files, and fails the run for them."""

    def __init__(self):
        self._skipped = []

    def pytest_runtest_logreport(self, report):
        if report.skipped and not hasattr(report, 'wasxfail') and 'cuda' not in report.keywords:
            self._note(report)

    def pytest_collectreport(self, report):
        if report.skipped:
            self._note(report)

    def _note(self, report):
        reason = report.longrepr[2].removeprefix('Skipped: ')
        if reason != NEEDS_SHARED or SHARED.exists():
            self._skipped.append(f'{report.nodeid}: {reason}')

    def pytest_sessionfinish(self, session):
        if self._skipped and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if self._skipped:
            terminalreporter.section('skipped, which --no_skips forbids', red=True, bold=True)
            for line in self._skipped:
                terminalreporter.line(line)
