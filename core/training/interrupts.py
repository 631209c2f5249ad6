"""SIGTERM and Ctrl-C as requests, so that the step in progress ends and the run can be saved."""
import contextlib
import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def on_interrupt(callback):
    """While open, SIGTERM and SIGINT call `callback()` instead of ending the process; a second Ctrl-C ends it."""
    previous = {}

    def handle(number, frame):
        callback()
        signal.signal(signal.SIGINT, previous[signal.SIGINT])

    for number in SIGNALS:
        previous[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def leave_interrupts_to_the_main_process():
    """For loader workers: a signal to the whole process group must not take them from under the last step.

    They end with the main process, which they watch.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
