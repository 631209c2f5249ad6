"""Adversarial training: the discriminator adds a loss to the regressor's step, then takes its own step.

The real bodies of a step depend only on the seed and the step. Processes share them out. A resumed run sees the same
ones.
"""
import numpy as np
import torch

from datasets.body_samples import read_body_samples, sampled_bodies
from models.adversary import discriminator_loss, generator_loss
from utils.distributed import share_parameters
from utils.errors import BadConfig
from utils.geometry import axis_angle_to_rotmat


def build_adversary(cfg, regressor, accelerator):
    """The Adversary, or None if ADVERSARY.WEIGHT is 0.

    Raises BadConfig if the regressor has none, or if there are no samples of real bodies.
    """
    if not cfg.ADVERSARY.WEIGHT:
        return None
    discriminator = regressor.build_adversary(cfg)
    if discriminator is None:
        raise BadConfig(f'ADVERSARY.WEIGHT is {cfg.ADVERSARY.WEIGHT:g}, but {type(regressor).__name__} has no '
                        'adversary; set it to 0')
    if cfg.ADVERSARY.SAMPLES:
        samples = read_body_samples(cfg.ADVERSARY.SAMPLES)
    elif regressor.assets.is_free:
        samples = sampled_bodies(cfg.SEED)
    else:
        raise BadConfig('ADVERSARY.SAMPLES names no file; give an .npz with body_pose (or poses) and betas of real '
                        'people, such as AMASS\'s')
    return Adversary(cfg, discriminator, samples, accelerator)


class Adversary:
    """A discriminator with its optimizer and real bodies. samples: (body_pose [N,69], betas [N,10]) numpy arrays."""

    def __init__(self, cfg, discriminator, samples, accelerator):
        self._weight, self._seed, self._accelerator = cfg.ADVERSARY.WEIGHT, cfg.SEED, accelerator
        self._real_per_estimate = cfg.ADVERSARY.REAL_PER_ESTIMATE
        self._body_pose, self._betas = (torch.from_numpy(np.asarray(values, np.float32)) for values in samples)
        self.discriminator = share_parameters(discriminator.to(accelerator.device))
        self.optimizer = torch.optim.AdamW(self.discriminator.parameters(), lr=cfg.ADVERSARY.BASE_LR,
                                           weight_decay=cfg.ADVERSARY.WEIGHT_DECAY)

    def losses(self, stage):
        """{name: weighted scalar} for the regressor's loss. The discriminator gets no gradient from it."""
        self.discriminator.requires_grad_(False)
        scores = self.discriminator(stage.rotmat[:, 1:].float(), stage.betas.float())
        self.discriminator.requires_grad_(True)
        return {'adversary': self._weight * generator_loss(scores)}

    def step(self, stage, step):
        """Train the discriminator on a batch's estimates and ADVERSARY.REAL_PER_ESTIMATE times as many real bodies.

        Returns its loss, detached."""
        pose, betas = stage.rotmat[:, 1:].detach().float(), stage.betas.detach().float()
        usable = torch.isfinite(pose).flatten(1).all(1) & torch.isfinite(betas).all(1)
        pose = torch.where(usable[:, None, None, None], pose, 0.0)  # same shape, so the host need not wait
        betas = torch.where(usable[:, None], betas, 0.0)
        real = self.discriminator(*self._real(self._real_per_estimate * len(pose), step))
        loss = discriminator_loss(real, self.discriminator(pose, betas))
        loss.backward()
        for parameter in self.discriminator.parameters():
            parameter.grad = self._accelerator.reduce(parameter.grad, 'mean')
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def _real(self, count, step):
        """(body_pose [count,23,3,3], betas [count,10]): this process's share of the bodies that one process would take
        at a step."""
        own, processes = self._accelerator.process_index, self._accelerator.num_processes
        rng = np.random.default_rng([self._seed, step, 0])
        rows = torch.from_numpy(rng.integers(len(self._body_pose), size=processes * count)[own::processes])
        device = self._accelerator.device
        pose = self._body_pose[rows].to(device, non_blocking=True)
        return axis_angle_to_rotmat(pose.unflatten(1, (23, 3))), self._betas[rows].to(device, non_blocking=True)

    def state_dict(self):
        """State of weights and optimizer, for the checkpoint."""
        return {'discriminator': self.discriminator.state_dict(), 'optimizer': self.optimizer.state_dict()}

    def load_state_dict(self, state):
        """Restore the result of `state_dict`."""
        self.discriminator.load_state_dict(state['discriminator'])
        self.optimizer.load_state_dict(state['optimizer'])
