"""The project's exceptions. Each message is one line that says what is wrong, where, and what to do.

The scripts at the root print such an error without a traceback and exit with status 2 (`run_main`).
"""
import sys

# The project's own packages: a module that is absent from them is a fault of the project, not of the environment.
_OWN = ('benchmarks', 'core', 'datasets', 'models', 'tests', 'utils')


class ProjectError(Exception):
    """An error that the user can fix. The message is one line."""

    def __init__(self, message=''):
        # torch wraps an error of a loader worker in a report of many lines. The last line is the error.
        if message.startswith('Caught ') and '\n' in message:
            message = message.strip().splitlines()[-1].split(': ', 1)[-1]
        super().__init__(message)


class MissingFile(ProjectError):
    """A required file is absent. The message says where to get it."""


class MissingPackage(MissingFile):
    """A package that is needed is not installed; the message says which extra brings it."""


class BadFile(ProjectError):
    """A file cannot be used: it is truncated, of the wrong kind or of the wrong shape."""


class BadConfig(ProjectError):
    """A config key or command-line flag is unknown or has an invalid value."""


class WrongBody(ProjectError):
    """An asset, checkpoint or fit was made for another body model than the one in use."""


def run_main(main):
    """Run `main()`. A ProjectError, or a package that is not installed, ends the process with one line on stderr and
    status 2."""
    try:
        sys.exit(main())
    except ModuleNotFoundError as error:
        if (error.name or '').partition('.')[0] in _OWN:
            raise
        print(f'error: {sys.executable} has no package {error.name!r}; activate the environment (`source '
              '.venv/bin/activate`), which `make assets` makes', file=sys.stderr)
        sys.exit(2)
    except ProjectError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)
