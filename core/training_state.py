"""Everything that a run must remember to go on as if it had never stopped."""
from dataclasses import asdict, dataclass

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from core.random_streams import random_state, restore_random_state
from utils.errors import BadFile

_EMA_NOTE = 'training_model'
_PENDING = 'pending'


@dataclass
class Progress:
    """Where a run is. epoch and batches_done name the next batch; best is the lowest validation error, mm."""
    epoch: int = 0
    batches_done: int = 0
    global_step: int = 0
    best: float = float('inf')
    bad_steps: int = 0
    skipped_steps: int = 0


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
        self.progress = Progress(**{field: content[field] for field in asdict(self.progress)})
        states, own = content['random'], self._accelerator.process_index
        # The batches of an epoch that several processes have done are counted by each: as many people are done.
        self.progress.batches_done = self.progress.batches_done * len(states) // self._accelerator.num_processes
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
