"""The complete state of a run, with which it resumes as if it had never stopped."""
from dataclasses import asdict, dataclass, field

import torch
import yaml

from core.training.averaging import WeightAverage
from core.training.random_streams import random_state, restore_random_state
from utils.errors import BadFile
from utils.sharded import filled, placed_like, whole

_EMA_NOTE = 'training_model'
_PENDING = 'pending'


@dataclass
class Progress:
    """Progress of a run. epoch and samples_done (per process) give the next sample; best: lowest validation error in
    mm; earlier: [processes, samples_done] of previous launches in this epoch with other numbers of processes."""
    epoch: int = 0
    samples_done: int = 0
    earlier: list = field(default_factory=list)
    global_step: int = 0
    best: float = float('inf')
    bad_steps: int = 0
    skipped_steps: int = 0

    @classmethod
    def of_checkpoint(cls, content):
        """Progress from a checkpoint's entries, also of an older one that counts batches."""
        found = {name: content[name] for name in asdict(cls()) if name in content}
        if 'batches_done' in content:
            size = yaml.safe_load(content['config'])['TRAIN']['BATCH_SIZE']
            found['samples_done'] = content['batches_done'] * size
            found['earlier'] = [[processes, batches * size] for processes, batches in content.get('earlier', ())]
        return cls(**found)

    def change_processes(self, before):
        """Record that `before` processes, not the current number, have seen the samples of this epoch so far."""
        if self.samples_done:
            self.earlier = [*self.earlier, [before, self.samples_done]]
            self.samples_done = 0

    def samples_of_all(self, processes):
        """Samples of this epoch that all processes together have seen; `processes` are at work now."""
        return processes * self.samples_done + sum(before * samples for before, samples in self.earlier)

    def end_epoch(self):
        """Go to the first sample of the next epoch."""
        self.epoch, self.samples_done, self.earlier = self.epoch + 1, 0, []


class TrainingState:
    """Weights, their running average, optimizer, adversary, loss scaler, random generators and progress as a dict.

    regressor: the unwrapped module; optimizer: as prepared by accelerate; adversary: Adversary or None.
    hollow: where FSDP has sharded the regressor, its `hollow_copy` from before, else None. The dict is whole anyhow.
    """

    def __init__(self, accelerator, regressor, optimizer, ema_decay=0.0, adversary=None, hollow=None):
        self._accelerator, self._regressor, self._optimizer = accelerator, regressor, optimizer
        self._adversary, self._hollow, self.progress = adversary, hollow, Progress()
        # FSDP's modules cannot be copied; an average of shards computes nothing, so it needs no FSDP.
        averaged = regressor if hollow is None else filled(hollow, regressor.state_dict())
        self._ema = WeightAverage(averaged, ema_decay) if ema_decay else None

    @property
    def best_weights(self):
        """The module to save: the average if there is one."""
        return self._ema.module if self._ema is not None else self._regressor

    def validated(self):
        """The module to validate: `best_weights`, or a whole copy of sharded ones, in which every process computes
        without the others. All processes must call it."""
        if self._hollow is None:
            return self.best_weights
        return filled(self._hollow, whole(self.best_weights.state_dict()))

    def after_update(self):
        """Update the average after an optimizer step."""
        if self._ema is not None:
            self._ema.update(self._regressor)

    def state_dict(self):
        """A dict of tensors and plain containers. All processes must call it; where weights are sharded, the first
        alone gets them, on the CPU."""
        content = {'model': self.best_weights.state_dict(), 'optimizer': self._optimizer.state_dict(),
                   'random': self._gathered_random_states(), **asdict(self.progress)}
        if self._ema is not None:
            content.update({_EMA_NOTE: self._regressor.state_dict(), 'ema_count': self._ema.count})
        if self._adversary is not None:
            content['adversary'] = self._adversary.state_dict()
        if self._accelerator.scaler is not None:
            content['scaler'] = self._accelerator.scaler.state_dict()
        # Not `sync_gradients`, which tells of the last batch and is unset after resuming.
        batches = self._accelerator.step % self._accelerator.gradient_accumulation_steps
        if batches:
            content[_PENDING] = {'batches': batches, 'gradients': self._pending_gradients()}
        if self._hollow is not None:
            content = whole(content, 'cpu', keep=self._accelerator.is_main_process)
        return content

    def load_state_dict(self, content, name):
        """Restore the result of `state_dict`. Raises BadFile, which names `name`, for weights without a run's state."""
        if 'optimizer' not in content or 'global_step' not in content:
            raise BadFile(f'{name}: not a checkpoint of a run; use --pretrained_checkpoint to start from its weights')
        try:
            self._put_back(content)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = ' '.join(str(error).split())[:150]
            raise BadFile(f'{name}: is not of this run: {reason}; is the config another one?') from None

    def _put_back(self, content):
        weights = content.get(_EMA_NOTE, content['model'])
        self._regressor.load_state_dict(placed_like(weights, self._regressor.state_dict()))
        if self._ema is not None and _EMA_NOTE in content:
            self._ema.restore(content['model'], content['ema_count'])
        self._optimizer.load_state_dict(self._placed_optimizer_state(content['optimizer']))
        if self._adversary is not None and 'adversary' in content:
            self._adversary.load_state_dict(content['adversary'])
        if self._accelerator.scaler is not None and 'scaler' in content:
            self._accelerator.scaler.load_state_dict(content['scaler'])
        if _PENDING in content:
            self._accelerator.step = content[_PENDING]['batches']
            parameters = dict(self._regressor.named_parameters())
            for name, gradient in placed_like(content[_PENDING]['gradients'], parameters).items():
                parameters[name].grad = gradient.to(parameters[name])
        self.progress = Progress.of_checkpoint(content)
        states, own = content['random'], self._accelerator.process_index
        if len(states) != self._accelerator.num_processes:
            self.progress.change_processes(len(states))
        if own < len(states):  # a new process keeps the generator of its own seed
            restore_random_state(states[own])

    def _pending_gradients(self):
        """Summed gradients of an incomplete step's batches, averaged over the processes like a step's. FSDP has done
        so already."""
        gradients = {name: parameter.grad for name, parameter in self._regressor.named_parameters()
                     if parameter.grad is not None}
        if self._hollow is not None:
            return gradients
        return {name: self._accelerator.reduce(gradient, 'mean') for name, gradient in gradients.items()}

    def _placed_optimizer_state(self, state):
        """An optimizer's whole state dict, whose entries are numbered, with each entry placed as its parameter."""
        parameters = [parameter for group in self._optimizer.param_groups for parameter in group['params']]
        return {**state, 'state': {number: placed_like(entry, dict.fromkeys(entry, parameters[number]))
                                   for number, entry in state['state'].items()}}

    def _gathered_random_states(self):
        if self._accelerator.num_processes == 1:
            return [random_state()]
        states = [None] * self._accelerator.num_processes
        torch.distributed.all_gather_object(states, random_state())
        return states
