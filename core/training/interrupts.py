"""SIGTERM and Ctrl-C as requests to stop, so that the current step ends and the run can be saved."""
import contextlib
import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def on_interrupt(callback):
    """Inside, SIGTERM and SIGINT call `callback()` instead of ending the process. A second Ctrl-C ends it."""
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
    """Ignore signals in loader workers. A signal to the process group must not stop them during the last step.

    They end with the main process, which they watch.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
