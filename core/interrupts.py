"""SIGTERM and Ctrl-C as requests, so that the step in progress ends and the run can be saved."""
import contextlib
import signal


@contextlib.contextmanager
def on_interrupt(callback):
    """While open, SIGTERM and SIGINT call `callback()` instead of ending the process; a second Ctrl-C ends it."""
    previous = {}

    def handle(number, frame):
        callback()
        signal.signal(signal.SIGINT, previous[signal.SIGINT])

    for number in (signal.SIGTERM, signal.SIGINT):
        previous[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
