"""The training loop of all regressors. It does not depend on the architecture.

A run is deterministic on the CPU. A sample depends only on (seed, epoch, index), the checkpoint contains the state of
the random generators, and a resumed run continues with the batch after the saved one.
"""
import time
from contextlib import closing

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from core.batches import extra_inputs, flatten_views
from core.config import lasting_text
from core.config.training_options import command_line
from core.evaluation.evaluator import Evaluator
from core.evaluation.protocols import METRIC_UNITS
from core.loading import LoaderError, batches_of, stop_waiting, worker_options
from core.training.adversary import build_adversary
from core.training.compiling import compile_parts
from core.training.fitting import FitsInTheLoop
from core.training.interrupts import on_interrupt
from core.training.random_streams import seed_everything
from core.training.run_folder import RunFolder
from core.training.schedule import learning_rate
from core.training.setup import (
    Forward,
    batch_size_of_each,
    build_accelerator,
    build_iuv_renderer,
    build_optimizer,
)
from core.training.sharding import is_sharded, prepare
from core.training.start import find_resumed, finished_by, load_initial_weights, names_weights
from core.training.step_watch import StepWatch
from core.training.summary import last_stage, panel
from core.training.supervision import AnnotatedTargets, all_losses, check_labels, uses_fits
from core.training.training_state import TrainingState
from datasets.build import build_train_dataset, build_validation_dataset
from datasets.sampling import EpochSampler
from models import build_regressor
from models.targets import Targets
from models.weights import check_checkpoint_body
from utils.distributed import with_shared_statistics
from utils.errors import BadConfig, BadFile, MissingFile
from utils.logging import get_logger
from utils.sharded import hollow_copy, whole

_PROGRESS_BAR_STEPS = 10
_ON_HOST = ('dataset_index', 'sample_index')  # the host looks up fits by these


class Trainer:
    """Trains cfg.MODEL.REGRESSOR. `fit()` trains to the end and returns the last Evaluation."""

    def __init__(self, cfg):
        self.cfg, self.log = cfg, get_logger()
        self.accelerator = build_accelerator(cfg)
        self.is_main = self.accelerator.is_main_process
        self.batch_size = batch_size_of_each(cfg, self.accelerator.num_processes)
        self.step_samples = self.batch_size * self.accelerator.num_processes
        self.folder = RunFolder(cfg, self.is_main)
        resumed = find_resumed(cfg, self.folder.store)
        seed_everything(cfg.SEED + self.accelerator.process_index)
        self.regressor = build_regressor(cfg)
        self.regressor.check_views(cfg.DATA.N_VIEWS, 'DATA.N_VIEWS')
        self.regressor.check_views(cfg.TEST.N_VIEWS, 'TEST.N_VIEWS')
        self._announce_assets()
        if resumed is None and names_weights(cfg, self.regressor):
            load_initial_weights(cfg, self.regressor)
        self._open_data()
        self.evaluator = Evaluator(cfg, self.regressor.body)
        if self.eval_data is not None:
            self.evaluator.read_bodies(self.eval_data)
        self.iuv_renderer = build_iuv_renderer(cfg, self.regressor.assets, self.accelerator.device)
        self.supervisor = self._build_supervisor()
        self.watch = StepWatch(self.accelerator, cfg.TRAIN.MAX_BAD_STEPS, self.folder.path)

        if resumed is None and not names_weights(cfg, self.regressor):
            load_initial_weights(cfg, self.regressor)
        self._build_optimization()
        if resumed is not None:
            self._restore(*resumed)
        self.folder.open(self.state.progress.global_step if resumed else None)
        self.stop_reason, self._stop_wish, self._started = '', '', time.monotonic()

    # Set-up

    def _announce_assets(self):
        assets = self.regressor.assets
        if assets.is_free and self.is_main:
            self.log.info(f'no licensed SMPL body found: using the free body in {assets.root}')

    def _open_data(self):
        cfg = self.cfg
        self.train_data = build_train_dataset(cfg)
        if len(self.train_data) < self.step_samples:
            raise BadConfig(f'an epoch has {len(self.train_data)} samples, fewer than the {self.step_samples} of '
                            'one step; lower TRAIN.BATCH_SIZE or raise DATA.EPOCH_LENGTH')
        check_labels(self.train_data.datasets, cfg)
        self.eval_data, self._selects = build_validation_dataset(cfg)

    def _build_supervisor(self):
        body = self.regressor.body.to(self.accelerator.device)
        if uses_fits(self.cfg):
            return FitsInTheLoop(self.cfg, body, self.train_data.datasets, self.accelerator.device, self.iuv_renderer)
        return AnnotatedTargets(body, self.iuv_renderer)

    def _build_optimization(self):
        options, accelerator, sharded = self.cfg.TRAIN, self.accelerator, is_sharded(self.accelerator)
        if options.CHANNELS_LAST and not sharded:  # FSDP takes parameters in torch's layout alone
            self.regressor.to(memory_format=torch.channels_last)
        self.regressor.to(accelerator.device)
        if options.SYNC_BATCHNORM and accelerator.num_processes > 1:
            self.regressor = with_shared_statistics(self.regressor, accelerator.device)
        if options.COMPILE:
            compile_parts(self.regressor)
        optimizer, self._base_rates = build_optimizer(self.cfg, self.regressor)
        hollow = hollow_copy(self.regressor) if sharded else None
        self.network, self.optimizer = prepare(accelerator, Forward(self.regressor), optimizer)
        self.adversary = build_adversary(self.cfg, self.regressor, accelerator)
        self.state = TrainingState(accelerator, self.regressor, self.optimizer, options.EMA, self.adversary, hollow)

    def _restore(self, path, content):
        check_checkpoint_body(content, self.regressor.body, path)
        self.state.load_state_dict(content, path)
        self.supervisor.load_state_dict(content.get('fits', {}))
        if self.is_main and not self.cfg.TRAIN.CHECKPOINT:
            self.folder.store.settle(path, content)
        if not self.cfg.TRAIN.CHECKPOINT and self.folder.store.has_damaged_best():
            self.state.progress.best = float('inf')
        self.log.info(f'resumed from {path}: epoch {self.state.progress.epoch}, '
                      f'step {self.state.progress.global_step}')

    # The loop

    def fit(self):
        """Train to the last epoch, a limit of steps or time, or a signal -> the last Evaluation, or None."""
        if self.is_main:
            self.folder.trackers.text('command', command_line())
            self.log.info(f'{self.cfg.NAME}: {len(self.train_data)} samples per epoch, logs in {self.folder.path}')
        finished = finished_by(self.cfg.TRAIN, self.state.progress)
        if finished:
            self.log.info(f'{self.cfg.NAME}: nothing is left to train: {finished}')
        with on_interrupt(self._on_signal):
            try:
                evaluation = self._validate_finished() if finished else self._train_epochs()
            except (LoaderError, BadFile, MissingFile) as error:
                self._save_before_leaving()
                # The signal that asks this process to stop also kills a worker process that is still starting.
                if not (self._stop_wish and isinstance(error, LoaderError)):
                    raise
                evaluation, self.stop_reason = None, self._stop_wish
        network = None if evaluation is None else self.state.validated()
        if self.is_main:
            self._finish(evaluation, network)
        return evaluation

    def _validate_finished(self):
        """The Evaluation of a run that ended before its report was written; None where the report is there."""
        if self.folder.has_report():
            return None
        evaluation = self._validate()
        if evaluation is not None:
            self._save(evaluation)
        return evaluation

    def _train_epochs(self):
        """Train until the run stops -> the last Evaluation, or None."""
        evaluation = None
        while self.state.progress.epoch < self.cfg.TRAIN.NUM_EPOCHS and not self.stop_reason:
            self._train_epoch()
            if self.stop_reason not in ('', 'TRAIN.MAX_STEPS'):
                self._save()
                break
            evaluation = self._validate()
            if evaluation is None and self.eval_data is not None:
                self.stop_reason = self._stop_wish or 'another process'
            if not self.stop_reason:
                self.state.progress.end_epoch()
            self._save(evaluation)
        return evaluation

    def _save_before_leaving(self):
        """Save after an error of the data or the loader. Both fail between two steps. Only with one process, because
        saving needs all of them."""
        if self.accelerator.num_processes == 1 and self.state.progress.global_step:
            self._save()
            self.log.info(f'saved at step {self.state.progress.global_step}; --resume continues from here')

    def _stop(self, reason):
        self._stop_wish = self._stop_wish or reason

    def _on_signal(self):
        self._stop('a signal')
        if self.accelerator.num_processes == 1:  # several processes stop together after a step
            stop_waiting()

    def _agreed_stop(self):
        """Reason to stop now, or ''. Several processes stop together, one step after one of them asked to stop."""
        if self.accelerator.num_processes == 1:
            return self._stop_wish
        return (self._stop_wish or 'another process') if self.watch.stop_asked else ''

    def _train_epoch(self):
        self.network.train()
        progress, loader = self.state.progress, self._loader()
        before = time.monotonic()
        # Always close the loader. One that is still open when the interpreter exits waits for its workers forever.
        with closing(batches_of(loader)) as batches, tqdm(
                batches, desc=f'epoch {progress.epoch}', initial=progress.samples_done // self.batch_size,
                unit='batch', total=progress.samples_done // self.batch_size + len(loader),
                disable=not self.is_main) as bar:
            for batch in bar:
                total, losses, picture = self._step(*flatten_views(self._to_device(batch)))
                progress.samples_done += self.batch_size
                progress.global_step += 1
                now = time.monotonic()
                rate = self.step_samples / (now - before)
                before = now
                self._after_step(bar, total, losses, picture, rate)
                if self.stop_reason:
                    break
        if self.accelerator.num_processes == 1:
            self.stop_reason = self.stop_reason or self._stop_wish  # asked while waiting for a batch
        self.watch.settle(progress)

    def _loader(self):
        cfg, accelerator, progress = self.cfg, self.accelerator, self.state.progress
        sampler = EpochSampler(len(self.train_data), cfg.SEED, cfg.TRAIN.SHUFFLE, progress.epoch,
                               start=progress.samples_done, rank=accelerator.process_index,
                               world=accelerator.num_processes, earlier=progress.earlier)
        # A forked process cannot use CUDA after its parent has.
        spawned = cfg.TRAIN.NUM_WORKERS and cfg.DATA.STREAM.DEVICE != 'cpu'
        # A separate generator, because the loader draws seeds for its workers. The run's random stream must not change.
        return DataLoader(self.train_data, self.batch_size, sampler=sampler, drop_last=True,
                          **worker_options(cfg), multiprocessing_context='spawn' if spawned else None,
                          generator=torch.Generator().manual_seed(cfg.SEED),
                          pin_memory=cfg.TRAIN.PIN_MEMORY and accelerator.device.type == 'cuda',
                          prefetch_factor=4 if cfg.TRAIN.NUM_WORKERS else None)

    def _to_device(self, batch):
        device = self.accelerator.device
        return {key: value.to(device, non_blocking=True) if torch.is_tensor(value) and key not in _ON_HOST else value
                for key, value in batch.items()}

    def _step(self, batch, n_views):
        """One forward, backward and update -> (loss, {name: loss}, panel or None)."""
        images = batch['img'].unflatten(0, (-1, n_views)) if n_views > 1 else batch['img']
        if self.cfg.TRAIN.CHANNELS_LAST and n_views == 1:
            images = images.to(memory_format=torch.channels_last)
        self._set_learning_rate()
        self.regressor.set_training_progress(self.state.progress.global_step)
        with self.accelerator.accumulate(self.network):
            with self.accelerator.autocast():
                out = self.network(images, *extra_inputs(self.regressor, batch, self.accelerator.device))
            targets = self.supervisor.targets(batch, out, n_views)
            losses = all_losses(self.regressor, out, targets, self.cfg)
            if self.adversary is not None:
                losses.update(self.adversary.losses(out.final))
            total = sum(losses.values())
            self._update(total, batch)
            if self.adversary is not None:
                losses['discriminator'] = self.adversary.step(out.final, self.state.progress.global_step)
        return total.detach(), losses, self._picture(batch['img'], out, targets)

    def _update(self, total, batch):
        """Backward pass and, after the last accumulated batch, an update. The optimizer skips a bad update."""
        accelerator = self.accelerator
        self.watch.see(total, batch['imgname'])
        accelerator.backward(total)
        if accelerator.sync_gradients:
            norm = whole(accelerator.clip_grad_norm_(self.network.parameters(),
                                                     self.cfg.SOLVER.GRAD_CLIP or float('inf')))
            bad = self.watch.verdict(norm)
            if accelerator.scaler is None:
                # The scaler of fp16 skips bad updates itself. There an overflow of gradients is not an error.
                self.optimizer.optimizer.found_inf = bad
            else:
                bad = self.watch.verdict(torch.zeros_like(norm))
            self.watch.note(bad, bool(self._stop_wish), self.state.progress)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if accelerator.sync_gradients:
            self.state.after_update()

    def _set_learning_rate(self):
        cfg, progress = self.cfg, self.state.progress
        if cfg.TRAIN.MAX_STEPS:
            share = progress.global_step / cfg.TRAIN.MAX_STEPS
        else:  # by samples, because a resumed run may have another number of processes and steps
            per_epoch = len(self.train_data) // self.step_samples * self.step_samples
            share = (progress.epoch + progress.samples_of_all(self.accelerator.num_processes) / per_epoch
                     ) / cfg.TRAIN.NUM_EPOCHS
        for group, base in zip(self.optimizer.param_groups, self._base_rates):
            group['lr'] = learning_rate(cfg.SOLVER, progress.epoch, progress.global_step, share, base)

    def _picture(self, images, out, targets):
        if not self.is_main or self.state.progress.global_step % self.cfg.TRAIN.VIS_INTERVAL:
            return None
        return panel(images, out, targets, self.regressor.body.faces,
                     extra=self.regressor.extra_pictures(out))

    def _after_step(self, bar, total, losses, picture, rate):
        """Update the progress bar and trackers. Save, validate and stop if this step requires it."""
        options, step = self.cfg.TRAIN, self.state.progress.global_step
        if self.is_main:
            self._summarize(bar, total, losses, picture, rate)
        if step % options.CHECKPOINT_STEPS == 0:
            self._save()
        if options.TEST_STEPS and step % options.TEST_STEPS == 0:
            evaluation = self._validate()
            if evaluation is not None:
                self._save(evaluation)
            self.network.train()
        if options.TIME_TO_RUN and time.monotonic() - self._started > options.TIME_TO_RUN:
            self._stop('TRAIN.TIME_TO_RUN')
        at_the_end = options.MAX_STEPS and step >= options.MAX_STEPS
        self.stop_reason = 'TRAIN.MAX_STEPS' if at_the_end else self._agreed_stop()

    def _summarize(self, bar, total, losses, picture, rate):
        trackers, progress = self.folder.trackers, self.state.progress
        step = progress.global_step
        if step % self.cfg.TRAIN.SUMMARY_STEPS == 0 or step == 1:
            trackers.scalars({'total': float(total), **{name: float(loss.detach()) for name, loss in losses.items()}},
                             step)
            trackers.scalars({'learning_rate': self.optimizer.param_groups[0]['lr'], 'images_per_second': rate,
                              'skipped_steps': progress.skipped_steps, 'skipped_images': self.train_data.skipped},
                             step, 'run')
            trackers.scalars(self.supervisor.scalars(), step, 'fits')
        if step % _PROGRESS_BAR_STEPS == 0:
            bar.set_postfix({'loss': f'{float(total):.2f}', 'img/s': f'{rate:.0f}',
                             **{name: f'{value:.2f}' for name, value in last_stage(losses).items()}})
        if picture is not None:
            trackers.picture('train', picture, step)

    # Validation, checkpoints, end

    def _validate(self):
        """Evaluate on the validation data -> Evaluation. None without such data, or after a request to stop; a resumed
        run then validates and ends the epoch."""
        if self.eval_data is None:
            return None
        evaluation = self.evaluator.evaluate(self.state.validated(), self.eval_data, self.eval_data.name,
                                             self.accelerator.device, progress=self.is_main,
                                             stop=lambda: bool(self._stop_wish))
        if evaluation is not None and self.is_main:
            values = {f'{metric}/stage_{stage}': evaluation.mean(metric, stage)
                      for metric, errors in evaluation.errors.items() for stage in range(errors.shape[1])
                      if not errors[:, stage].isnan().all()}
            self.folder.trackers.scalars(values, self.state.progress.global_step, 'validation')
            self.log.info(f'epoch {self.state.progress.epoch}: ' + ', '.join(
                f'{metric} {evaluation.mean(metric):.1f} {METRIC_UNITS[metric]}' for metric in evaluation.errors))
        return evaluation

    def _save(self, evaluation=None):
        """Write a checkpoint. best.pt is the one with the lowest PA-MPJPE on the validation data."""
        progress = self.state.progress
        self.watch.settle(progress)
        score = evaluation.mean('pa_mpjpe') if evaluation and self._selects else float('inf')
        is_best = score < progress.best  # False for NaN
        progress.best = score if is_best else progress.best
        content = self.state.state_dict()
        if self.is_main:
            self.supervisor.save(self.folder.path / 'fits')
            self.folder.save({
                'regressor': self.cfg.MODEL.REGRESSOR, 'regressor_class': type(self.regressor).__name__,
                'config': lasting_text(self.cfg), 'body_digest': self.regressor.body.digest,
                'fits': self.supervisor.state_dict(), **content},
                progress.global_step, best=is_best)

    def _finish(self, evaluation, network):
        if self.stop_reason:
            further = ' --misc TRAIN.MAX_STEPS N' if self.stop_reason == 'TRAIN.MAX_STEPS' else ''
            self.log.info(f'stopped by {self.stop_reason} at step {self.state.progress.global_step}; '
                          f'--resume{further} continues from here')
        if evaluation is not None:
            self.folder.write_report(evaluation, self._held_out_picture(network.eval()))
        else:
            print(f'\ncheckpoint: {self.folder.store.best()}')
        self.folder.trackers.close()

    @torch.no_grad()
    def _held_out_picture(self, network, rows=6):
        batch = next(iter(DataLoader(self.eval_data, rows, generator=torch.Generator())))
        batch, n_views = flatten_views(self._to_device(batch))
        out = network(batch['img'].unflatten(0, (-1, n_views)) if n_views > 1 else batch['img'],
                      *extra_inputs(network, batch, self.accelerator.device))
        targets = Targets.of_batch(batch, self.regressor.body, self.iuv_renderer, n_views,
                                   full_camera=out.final.full_camera)
        return panel(batch['img'], out, targets, self.regressor.body.faces, rows,
                     network.extra_pictures(out))
