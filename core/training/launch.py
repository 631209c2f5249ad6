"""From the published `--distributed` flags to torch's launcher."""
import os
import sys
from urllib.parse import urlparse

import torch
import torch.distributed as dist

from core.config.training_options import LAUNCH_FLAGS
from utils.errors import BadConfig

# With --resume, how often all processes are started again from the last checkpoint after one has died.
_MAX_RESTARTS = 3


def relaunch_if_distributed(options, script, argv, device='auto'):
    """Replace this process by `torchrun` where a distributed flag asks for it and no launcher runs yet.

    options: {name: value} of LAUNCH_FLAGS. `--world_size` counts machines and `--rank` is this one's, as in the
    published scripts; each machine gets one process a GPU, or one on the CPU. device: cfg.DEVICE.
    """
    wanted = options['distributed'] or options['multiprocessing_distributed']
    if not wanted or 'RANK' in os.environ:
        return
    command = launch_command(options, script, argv, 0 if device == 'cpu' else torch.cuda.device_count())
    os.execv(command[0], command)


def launch_command(options, script, argv, gpus):
    """The torchrun command line of this machine. Raises BadConfig for an address that is none."""
    host, port = _address(options['dist_url'])
    command = [sys.executable, '-m', 'torch.distributed.run', '--nnodes', str(options['world_size']),
               '--nproc-per-node', str(max(gpus, 1)), '--rdzv-backend', 'c10d', '--rdzv-endpoint', f'{host}:{port}',
               '--rdzv-conf', f'is_host={int(str(options["rank"]) == "0")}']
    if '--resume' in argv:
        command += ['--max-restarts', str(_MAX_RESTARTS)]
    return [*command, script, *_without_launch_flags(argv)]


def join_processes(device='auto'):
    """Open the process group of a torchrun launch; without one, leave everything to accelerate. device: cfg.DEVICE.

    After a restart torchrun's store still holds the addresses of the processes that died, and whoever meets one of them
    first fails. So each start keeps its entries apart.
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
    """The command line less the flags that this launch already acts on."""
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
