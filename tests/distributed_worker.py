"""What one of two gloo processes does for tests/test_distributed.py: every scenario in turn, results into a folder."""
import contextlib
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import core.training.trainer as training
from core.config import load_config
from core.evaluation.evaluator import Evaluator
from core.evaluation.sharding import ErrorTable, share_of
from datasets.build import build_eval_dataset
from datasets.fits import FitStore
from models import build_regressor
from utils.assets import find_assets
from utils.distributed import SharedBatchNorm, gathered, rank, total, with_shared_statistics, world_size


def normalizing_network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 16),
                         nn.BatchNorm1d(16), nn.Linear(16, 4)).double()


def normalized_gradients(rows):
    """Gradients and running statistics of a network with batch normalization, on some rows of a fixed batch."""
    network = with_shared_statistics(normalizing_network(), 'cpu')
    assert sum(isinstance(module, SharedBatchNorm) for module in network) == 2
    wrapped = DistributedDataParallel(network) if world_size() > 1 else network
    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    wrapped(images[rows]).square().mean().backward()
    return {**{name: p.grad for name, p in network.named_parameters()}, **dict(network.named_buffers())}


class EnoughSeen(Exception):
    """Ends a run at its first update."""


class PreciseTrainer(training.Trainer):
    """Computes the network in float64, so that no activation's sign hangs on rounding."""

    def _to_device(self, batch):
        return {**super()._to_device(batch), 'img': batch['img'].double()}


def seeded_regressor(cfg):
    """The same weights in every process."""
    torch.manual_seed(0)
    return build_regressor(cfg)


def evaluated(cfg, regressor):
    """Errors of a network; statistics that the second process got wrong are put right."""
    if rank():
        regressor.backbone.bn1.running_mean.add_(1)
    data = build_eval_dataset(cfg)
    return Evaluator(cfg, regressor.body).evaluate(regressor, data, 'tiny', torch.device('cpu'), progress=False).errors


def first_gradients(cfg, regressor):
    """Gradients of a run's first step."""
    regressor.double()
    for body in (regressor.body, regressor.mesh_points):
        body.float()  # bodies compute in float32 whatever the network does
    training.build_regressor = lambda cfg: regressor
    trainer = PreciseTrainer(cfg)
    training.build_regressor = build_regressor
    gradients = {}

    def keep_and_stop():
        gradients.update({name: p.grad.clone() for name, p in trainer.regressor.named_parameters()})
        raise EnoughSeen

    trainer.optimizer.step = keep_and_stop
    with contextlib.suppress(EnoughSeen):
        trainer.fit()
    return gradients


def errors_with_a_stand_in():
    """Seven samples; row 3 is unreadable and the next one, another process's, stands in for it."""
    table = ErrorTable()
    for place in share_of(7):
        row = 4 if place == 3 else place
        table.add({'mpjpe': torch.full((1, 2), float(row))}, [f'group {row}'], torch.ones(1, dtype=torch.bool), [row])
    return table.joined()


def errors_of_one():
    """One sample: the second process has no share."""
    table = ErrorTable()
    for _ in share_of(1):
        table.add({'mpjpe': torch.ones(1, 2)}, ['group'], torch.ones(1, dtype=torch.bool), [0])
    return table.joined()


def owned_fits(data_dir):
    """Both processes fit row 2, the second better; the first alone fits row 1. What each store holds then."""
    store = FitStore([('tiny', 4)], find_assets(data_dir), 'digest')
    rows, values = (torch.tensor([2, 1]), [1., 5.]) if rank() == 0 else (torch.tensor([2, 3]), [2., 7.])
    from core.training.fitting import _gathered
    residual = torch.tensor([4., 1.]) if rank() == 0 else torch.tensor([3., 1.])
    parts = (torch.zeros(2, dtype=torch.long), rows, torch.tensor(values)[:, None].expand(2, 82).contiguous(), residual)
    store.put(*(_gathered(part) for part in parts))
    return store.datasets[0].params[:, 0]


def main(config, data_dir, out):
    dist.init_process_group('gloo')
    torch.set_num_threads(1)
    own = slice(rank() * 4, rank() * 4 + 4)
    cfg = load_config(config, ['TRAIN.BATCH_SIZE', 8])
    regressor = seeded_regressor(cfg)
    results = {
        'normalized': normalized_gradients(own), 'total': total(torch.tensor(rank() + 1.)),
        'gathered': gathered(rank()), 'stand_in': errors_with_a_stand_in(), 'one': errors_of_one(),
        'fits': owned_fits(data_dir),
        'errors': evaluated(cfg, regressor), 'gradients': first_gradients(cfg, regressor),
    }
    torch.save(results, Path(out) / f'rank{rank()}.pt')
    dist.destroy_process_group()


if __name__ == '__main__':
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    main(*sys.argv[1:])
