"""From the published `--distributed` flags to accelerate's launcher."""
import os
import sys
from urllib.parse import urlparse

import torch

from core.options import LAUNCH_FLAGS


def relaunch_if_distributed(options, script, argv):
    """Replace this process by `accelerate launch` where a distributed flag asks for it and no launcher runs yet.

    options: {name: value} of LAUNCH_FLAGS. `--world_size` counts machines and `--rank` is this one's, as in the
    published scripts; each machine gets one process a GPU, or one on the CPU.
    """
    wanted = options['distributed'] or options['multiprocessing_distributed']
    if not wanted or 'RANK' in os.environ:
        return
    address = urlparse(options['dist_url'])
    machines, gpus = int(options['world_size']), torch.cuda.device_count()
    command = [sys.executable, '-m', 'accelerate.commands.launch', '--num_machines', str(machines),
               '--machine_rank', str(options['rank']), '--num_processes', str(machines * max(gpus, 1)),
               '--main_process_ip', address.hostname or '127.0.0.1', '--main_process_port', str(address.port or 10356),
               '--mixed_precision', 'no', '--dynamo_backend', 'no']
    command += ['--multi_gpu'] if gpus * machines > 1 else [] if gpus else ['--cpu']
    os.execv(command[0], [*command, script, *_without_launch_flags(argv)])


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
