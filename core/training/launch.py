"""Translates the published `--distributed` flags to torch's launcher."""
import os
import sys
from urllib.parse import urlparse

import torch
import torch.distributed as dist

from core.config.training_options import LAUNCH_FLAGS
from utils.errors import BadConfig

# With --resume and --resume_if_exists: how often all processes are restarted after one has died.
_MAX_RESTARTS = 3


def relaunch_if_distributed(options, script, argv, device='auto'):
    """Replace this process by `torchrun` if a distributed flag asks for it and no launcher is running.

    options: {name: value} of LAUNCH_FLAGS. As in the published scripts, `--world_size` is the number of machines and
    `--rank` this machine's. Each machine has one process per GPU, or one on the CPU. device: cfg.DEVICE.
    """
    wanted = options['distributed'] or options['multiprocessing_distributed']
    if not wanted or 'RANK' in os.environ:
        return
    command = launch_command(options, script, argv, 0 if device == 'cpu' else torch.cuda.device_count())
    os.execv(command[0], command)


def launch_command(options, script, argv, gpus):
    """The torchrun command line of this machine. Raises BadConfig for an invalid address."""
    host, port = _address(options['dist_url'])
    command = [sys.executable, '-m', 'torch.distributed.run', '--nnodes', str(options['world_size']),
               '--nproc-per-node', str(max(gpus, 1)), '--rdzv-backend', 'c10d', '--rdzv-endpoint', f'{host}:{port}',
               '--rdzv-conf', f'is_host={int(str(options["rank"]) == "0")}']
    if {'--resume', '--resume_if_exists'} & set(argv):
        command += ['--max-restarts', str(_MAX_RESTARTS)]
    return [*command, script, *_without_launch_flags(argv)]


def join_processes(device='auto'):
    """Open the process group of a torchrun launch. Without a launch, accelerate does everything. device: cfg.DEVICE.

    After a restart torchrun's store still has the addresses of the dead processes, and a process that uses one fails.
    Therefore each start has its own prefix in the store.
    """
    given = os.environ
    if given.get('TORCHELASTIC_USE_AGENT_STORE') != 'True' or dist.is_initialized():
        return
    store = dist.TCPStore(given['MASTER_ADDR'], int(given['MASTER_PORT']), is_master=False)
    on_cuda = device != 'cpu' and torch.cuda.is_available()
    if on_cuda:
        torch.cuda.set_device(int(given['LOCAL_RANK']))
    dist.init_process_group(
        'cuda:nccl,cpu:gloo' if on_cuda else 'gloo', rank=int(given['RANK']), world_size=int(given['WORLD_SIZE']),
        store=dist.PrefixStore(f'start_{given.get("TORCHELASTIC_RESTART_COUNT", 0)}', store))


def _address(url):
    """(host, port) of a --dist_url: tcp://host:port, or env:// for MASTER_ADDR and MASTER_PORT."""
    try:
        parts = urlparse(url)
        known = {'tcp': (parts.hostname, parts.port),
                 'env': (os.environ.get('MASTER_ADDR'), os.environ.get('MASTER_PORT'))}.get(parts.scheme)
    except ValueError:
        known = None
    if known is None:
        raise BadConfig(f'--dist_url is {url!r}; tcp://HOST:PORT or env:// is wanted')
    return known[0] or '127.0.0.1', str(known[1] or 10356)


def _without_launch_flags(argv):
    """The command line without the flags that this launch handles."""
    takes_value = {f'--{name}': has_value for name, has_value, _ in LAUNCH_FLAGS}
    kept, skip = [], False
    for word in argv:
        flag = word.split('=')[0]
        if skip:
            skip = False
        elif flag in takes_value:
            skip = takes_value[flag] and '=' not in word
        else:
            kept.append(word)
    return kept
