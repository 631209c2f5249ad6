"""Everything that a run must remember to go on as if it had never stopped."""
from dataclasses import asdict, dataclass, field

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from core.training.random_streams import random_state, restore_random_state
from utils.errors import BadFile

_EMA_NOTE = 'training_model'
_PENDING = 'pending'


@dataclass
class Progress:
    """Where a run is. epoch and batches_done, of each process, name the next batch; best is the lowest validation
    error, mm. earlier: [processes, batches_done] of launches with other numbers of processes that began the epoch."""
    epoch: int = 0
    batches_done: int = 0
    earlier: list = field(default_factory=list)
    global_step: int = 0
    best: float = float('inf')
    bad_steps: int = 0
    skipped_steps: int = 0

    def change_processes(self, before):
        """Note that the batches of this epoch were done by `before` processes, other than those that go on."""
        if self.batches_done:
            self.earlier = [*self.earlier, [before, self.batches_done]]
            self.batches_done = 0

    def batches_of_all(self, processes):
        """Batches of this epoch that are done, those of all processes together; `processes` are at work now."""
        return processes * self.batches_done + sum(before * batches for before, batches in self.earlier)

    def end_epoch(self):
        """Go to the first batch of the next epoch."""
        self.epoch, self.batches_done, self.earlier = self.epoch + 1, 0, []


class TrainingState:
    """Weights, their running average, optimizer, loss scaler, random streams and progress, in and out of a dict.

    regressor: the unwrapped module; optimizer: as accelerate prepared it.
    """

    def __init__(self, accelerator, regressor, optimizer, ema_decay=0.0):
        self._accelerator, self._regressor, self._optimizer = accelerator, regressor, optimizer
        self.progress = Progress()
        self._ema = AveragedModel(regressor, multi_avg_fn=get_ema_multi_avg_fn(ema_decay),
                                  use_buffers=True) if ema_decay else None

    @property
    def best_weights(self):
        """The module to validate and to hand out: the average where one is kept."""
        return self._ema.module if self._ema is not None else self._regressor

    def after_update(self):
        """Follow an optimizer step."""
        if self._ema is not None:
            self._ema.update_parameters(self._regressor)

    def state_dict(self):
        """A dict of tensors and plain containers. Every process must call it."""
        content = {'model': self.best_weights.state_dict(), 'optimizer': self._optimizer.state_dict(),
                   'random': self._gathered_random_states(), **asdict(self.progress)}
        if self._ema is not None:
            content.update({_EMA_NOTE: self._regressor.state_dict(), 'ema_count': self._ema.n_averaged})
        if self._accelerator.scaler is not None:
            content['scaler'] = self._accelerator.scaler.state_dict()
        if not self._accelerator.sync_gradients:
            batches = self._accelerator.step % self._accelerator.gradient_accumulation_steps
            content[_PENDING] = {'batches': batches, 'gradients': self._pending_gradients()}
        return content

    def load_state_dict(self, content, name):
        """Put back what `state_dict` gave. Raises BadFile, naming `name`, for weights without a run's state."""
        if 'optimizer' not in content or 'global_step' not in content:
            raise BadFile(f'{name}: not a checkpoint of a run; use --pretrained_checkpoint to start from its weights')
        try:
            self._put_back(content)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = ' '.join(str(error).split())[:150]
            raise BadFile(f'{name}: is not of this run: {reason}; is the config another one?') from None

    def _put_back(self, content):
        self._regressor.load_state_dict(content.get(_EMA_NOTE, content['model']))
        if self._ema is not None and _EMA_NOTE in content:
            self._ema.module.load_state_dict(content['model'])
            self._ema.n_averaged.copy_(content['ema_count'])
        self._optimizer.load_state_dict(content['optimizer'])
        if self._accelerator.scaler is not None and 'scaler' in content:
            self._accelerator.scaler.load_state_dict(content['scaler'])
        if _PENDING in content:
            self._accelerator.step = content[_PENDING]['batches']
            for name, parameter in self._regressor.named_parameters():
                if name in content[_PENDING]['gradients']:
                    parameter.grad = content[_PENDING]['gradients'][name].to(parameter)
        # A checkpoint of an older version knows of no earlier launches.
        self.progress = Progress(**{name: content[name] for name in asdict(self.progress) if name in content})
        states, own = content['random'], self._accelerator.process_index
        if len(states) != self._accelerator.num_processes:
            self.progress.change_processes(len(states))
        if own < len(states):  # one that is new keeps the stream of its own seed
            restore_random_state(states[own])

    def _pending_gradients(self):
        """What the batches of a step that is not complete have summed; the mean over the processes, as the step's."""
        return {name: self._accelerator.reduce(parameter.grad, 'mean')
                for name, parameter in self._regressor.named_parameters() if parameter.grad is not None}

    def _gathered_random_states(self):
        if self._accelerator.num_processes == 1:
            return [random_state()]
        states = [None] * self._accelerator.num_processes
        torch.distributed.all_gather_object(states, random_state())
        return states
