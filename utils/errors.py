"""The project's own exceptions: each message is one line that says what is wrong, where, and what to do.

The scripts at the root print such an error without a traceback and exit with status 2 (`run_main`).
"""
import sys


class ProjectError(Exception):
    """Something the user can mend. The message is one line."""

    def __init__(self, message=''):
        # torch wraps a loader worker's error in a report of many lines, whose last one is the error.
        if message.startswith('Caught ') and '\n' in message:
            message = message.strip().splitlines()[-1].split(': ', 1)[-1]
        super().__init__(message)


class MissingFile(ProjectError):
    """A file that is needed is absent; the message says where to get it."""


class MissingPackage(MissingFile):
    """A package that is needed is not installed; the message says which extra brings it."""


class BadFile(ProjectError):
    """A file is there but cannot be used: truncated, of the wrong kind, or of the wrong shape."""


class BadConfig(ProjectError):
    """A config key or command-line flag is unknown or has a value that cannot be used."""


class WrongBody(ProjectError):
    """An asset, checkpoint or fit was made for another body model than the one in use."""


def run_main(main):
    """Run `main()`; a ProjectError ends the process with one line on stderr and status 2."""
    try:
        sys.exit(main())
    except ProjectError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)
