"""Runs of the scripts that a test can kill. One process has imported everything and forks the runs, so each starts in
a second. `python -m tests.training_processes` is that process; it reads JSON lines from its standard input.
"""
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import core.training.trainer  # noqa: F401  every run needs it

ROOT = Path(__file__).resolve().parent.parent


class TrainingProcess:
    """One run of train.py, leader of its own session; its output is in the file `log`."""

    def __init__(self, pid, log, server):
        self.pid, self.log, self._server = pid, Path(log), server
        self.started = time.monotonic()

    def output(self):
        return self.log.read_text(errors='replace') if self.log.exists() else ''

    def children(self):
        """Its loader processes."""
        try:
            return [int(pid) for pid in Path(f'/proc/{self.pid}/task/{self.pid}/children').read_text().split()]
        except OSError:
            return []

    def is_running(self):
        try:
            return Path(f'/proc/{self.pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
        except OSError:
            return False

    def signal(self, number, pid=None):
        os.kill(pid or self.pid, number)

    def kill(self):
        """Send SIGKILL to this process alone; its loader processes notice by themselves."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout=120):
        """Wait for the end -> exit status, negative for a signal. Fails the test after `timeout` seconds."""
        end = time.monotonic() + timeout
        while self.is_running():
            assert time.monotonic() < end, f'still running after {timeout} s:\n{self.output()[-2000:]}'
            time.sleep(.01)
        return self._server.ask({'wait': self.pid})

    def wait_for(self, condition, timeout=120):
        """Poll until condition() holds or the run ends -> whether the condition came first."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if condition():
                return True
            if not self.is_running():
                return False
            time.sleep(.001)
        raise AssertionError(f'waited {timeout} s:\n{self.output()[-2000:]}')


class TrainingServer:
    """Starts runs of train.py and of other scripts. A context manager; it kills what still runs at its end."""

    def __enter__(self):
        self._process = subprocess.Popen([sys.executable, '-m', 'tests.training_processes'], cwd=ROOT, text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''})
        assert self.ask({'ready': True}) is True
        self._pids = []
        return self

    def ask(self, message):
        self._process.stdin.write(json.dumps(message) + '\n')
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, arguments, log):
        """Start train.py with these arguments -> TrainingProcess. The file `log` receives its output."""
        return self._start(['train.py', *arguments], log, log)

    def run(self, words, folder):
        """Run a script or `-m MODULE` with arguments to its end -> (exit status, standard output, standard error).

        folder: receives the two outputs as files.
        """
        out, errors = Path(folder) / 'stdout', Path(folder) / 'stderr'
        for path in (out, errors):
            path.unlink(missing_ok=True)
        status = self._start(words, out, errors).wait(240)
        return status, out.read_text(), errors.read_text()

    def _start(self, words, out, errors):
        pid = self.ask({'start': [str(word) for word in words], 'out': str(out), 'errors': str(errors)})
        self._pids.append(pid)
        return TrainingProcess(pid, errors, self)

    def __exit__(self, *_):
        for pid in self._pids:
            process = TrainingProcess(pid, os.devnull, self)
            if process.is_running():
                process.kill()
        self._process.stdin.close()
        self._process.wait(30)


def _serve():
    for line in sys.stdin:
        message = json.loads(line)
        answer = True
        if 'start' in message:
            answer = _fork(message['start'], message['out'], message['errors'])
        elif 'wait' in message:
            answer = os.waitstatus_to_exitcode(os.waitpid(message['wait'], 0)[1])
        print(json.dumps(answer), flush=True)


def _fork(words, out, errors):
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, path in ((1, out), (2, errors)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), descriptor)
        is_module = words[0] == '-m'
        sys.argv = words[is_module:]
        (runpy.run_module if is_module else runpy.run_path)(words[is_module], run_name='__main__')
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == '__main__':
    _serve()
