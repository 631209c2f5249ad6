"""Hides from the project's code what Windows lacks. Put this file as sitecustomize.py on PYTHONPATH.

Libraries keep what their build for this system needs, except fcntl. Child processes read the file too, so spawned
loader workers lack the same things.
"""
import builtins
import ctypes
import multiprocessing
import os
import signal
import sys
import types

PROJECT = ('core', 'datasets', 'models', 'utils', '__main__', '__mp_main__')
ABSENT = {
    'os': ('pread', 'preadv', 'mkfifo', 'fork', 'register_at_fork', 'sysconf', 'getuid', 'geteuid', 'killpg', 'getpgid',
           'uname', 'sched_getaffinity', 'getloadavg', 'O_DIRECTORY', 'posix_fadvise', 'statvfs', 'fchmod'),
    'signal': ('SIGCHLD', 'SIGKILL', 'SIGBUS', 'SIGALRM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGPIPE', 'pause', 'alarm',
               'setitimer', 'pthread_sigmask')}


class Limited(types.ModuleType):
    """A module without some of its names."""

    def __init__(self, module, absent, **other):
        super().__init__(module.__name__)
        self.__dict__.update({name: value for name, value in vars(module).items() if name not in absent}, **other)


def open_no_folder(path, *arguments, **options):
    if isinstance(path, (str, bytes, os.PathLike)) and os.path.isdir(path):
        raise PermissionError(13, 'Permission denied', str(path))
    return os.open(path, *arguments, **options)


def library_by_name(name, *arguments, **options):
    if name is None:
        raise TypeError('argument of type NoneType is not iterable')
    return ctypes.CDLL(name, *arguments, **options)


LIMITED = {'os': Limited(os, ABSENT['os'], open=open_no_folder), 'signal': Limited(signal, ABSENT['signal']),
           'ctypes': Limited(ctypes, (), CDLL=library_by_name)}


def limited_import(name, globals=None, *arguments, _import=builtins.__import__, **named):
    owner = (globals or {}).get('__name__', '').split('.')[0]
    return LIMITED[name] if name in LIMITED and owner in PROJECT else _import(name, globals, *arguments, **named)


for absent in ('fcntl', 'pwd', 'grp', 'termios', 'resource'):
    sys.modules[absent] = None
builtins.__import__ = limited_import
multiprocessing.set_start_method('spawn')
