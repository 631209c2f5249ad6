"""The training loop: one step for every regressor. It reads no architecture's name.

The run is deterministic on the CPU: a sample depends on (seed, epoch, index) alone, the global random streams are
in the checkpoint, and a resumed run goes on at the batch after the saved one.
"""
import signal
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torchvision.utils import save_image
from tqdm import tqdm

from core.checkpoint import CheckpointStore
from core.config import to_text
from core.evaluator import Evaluator
from core.options import command_line
from core.run_state import random_state, restore_random_state, seed_everything
from core.schedule import learning_rate
from core.summary import Summary, panel
from core.supervision import all_losses, build_targets, flatten_views
from datasets.build import build_eval_dataset, build_train_dataset
from datasets.sampling import EpochSampler
from models import build_regressor
from models.backbones.pretrained import load_pretrained_backbone
from models.weights import check_checkpoint_body, load_weights, log_report
from utils.errors import BadConfig, BadFile, ProjectError
from utils.iuv import IUVRenderer
from utils.logging import get_logger
from utils.safe_io import atomic_write, save_json
from utils.torch_io import load_torch


class Trainer:
    """Trains cfg.MODEL.REGRESSOR; `fit()` runs to the end and returns the last Evaluation."""

    def __init__(self, cfg):
        self.cfg = cfg
        self.log = get_logger()
        self.folder = Path(cfg.LOG_DIR) / cfg.NAME
        self.accelerator = Accelerator(cpu=cfg.DEVICE == 'cpu', mixed_precision=cfg.TRAIN.MIXED_PRECISION,
                                       gradient_accumulation_steps=cfg.SOLVER.ACCUMULATE)
        if cfg.DEVICE == 'cuda' and self.accelerator.device.type != 'cuda':
            raise BadConfig('DEVICE is cuda, but torch finds no CUDA device; use DEVICE cpu or auto')
        self.is_main = self.accelerator.is_main_process
        self._open_folder()
        seed_everything(cfg.SEED + self.accelerator.process_index)

        self.regressor = build_regressor(cfg)
        self._announce_assets()
        self.train_data = build_train_dataset(cfg)
        self.eval_data = build_eval_dataset(cfg)
        self.iuv_renderer = self._build_iuv_renderer()
        self.evaluator = Evaluator(cfg, self.regressor.body)
        self._load_initial_weights()
        self._build_optimization()

        self.epoch = self.batches_done = self.global_step = self.bad_steps = self.skipped_steps = 0
        self.best = float('inf')
        self.stop_reason, self._started = '', time.monotonic()
        self.store = CheckpointStore(self.folder / 'checkpoints', cfg.TRAIN.KEEP_CHECKPOINTS)
        if cfg.TRAIN.RESUME or cfg.TRAIN.CHECKPOINT:
            self._resume()
        self.summary = Summary(self.folder) if self.is_main else None

    # Set-up

    def _open_folder(self):
        """Make the run's folder; refuse one that holds another run, unless told to resume or overwrite."""
        cfg, existing = self.cfg, list((self.folder / 'checkpoints').glob('*.pt'))
        resuming = cfg.TRAIN.RESUME or cfg.TRAIN.CHECKPOINT
        if existing and not (resuming or cfg.TRAIN.OVERWRITE):
            raise ProjectError(f'{self.folder}: holds a run already; use --resume to go on, --overwrite to start '
                               'anew, or another --name')
        if not self.is_main:
            return
        if existing and cfg.TRAIN.OVERWRITE and not resuming:
            for path in existing:
                path.unlink()
        with atomic_write(self.folder / 'config.yaml', 'w') as stream:
            stream.write(to_text(cfg))

    def _announce_assets(self):
        assets = self.regressor.assets
        if assets.is_free and self.is_main:
            self.log.info(f'no licensed SMPL body found: using the free body in {assets.root}')

    def _build_iuv_renderer(self):
        """The dense targets' renderer; only an architecture that supervises IUV uses it, and the panels."""
        assets = self.regressor.assets
        if not assets.has('UV_data/UV_Processed.mat'):
            return None
        renderer = IUVRenderer(assets.file('UV_data/UV_Processed.mat'), size=self.cfg.IUV.SIZE,
                               shading=self.cfg.IUV.SHADING, backend=self.cfg.IUV.BACKEND)
        return renderer.to(self.accelerator.device)

    def _load_initial_weights(self):
        cfg = self.cfg
        if cfg.TRAIN.PRETRAINED_CHECKPOINT:
            report = load_weights(self.regressor, cfg.TRAIN.PRETRAINED_CHECKPOINT)
            log_report(report, cfg.TRAIN.PRETRAINED_CHECKPOINT)
        elif not (cfg.TRAIN.RESUME or cfg.TRAIN.CHECKPOINT):
            load_pretrained_backbone(self.regressor.backbone, cfg.MODEL.BACKBONE.PRETRAINED,
                                     self.regressor.assets.root)

    def _build_optimization(self):
        cfg = self.cfg
        if cfg.TRAIN.CHANNELS_LAST:
            self.regressor.to(memory_format=torch.channels_last)
        self.regressor.to(self.accelerator.device)
        if cfg.TRAIN.COMPILE:
            self.regressor.backbone.compile()
        optimizer = torch.optim.Adam(self.regressor.parameters(), lr=cfg.SOLVER.BASE_LR,
                                     weight_decay=cfg.SOLVER.WEIGHT_DECAY)
        self.network, self.optimizer = self.accelerator.prepare(self.regressor, optimizer)
        self.ema = None
        if cfg.TRAIN.EMA:
            self.ema = AveragedModel(self.regressor, multi_avg_fn=get_ema_multi_avg_fn(cfg.TRAIN.EMA),
                                     use_buffers=True)

    # The loop

    def fit(self):
        """Train to the last epoch, or until a step or time limit or a signal -> last Evaluation, or None."""
        cfg, evaluation = self.cfg, None
        if self.is_main:
            self.summary.text('command', command_line())
            self.log.info(f'{cfg.NAME}: {len(self.train_data)} samples an epoch, logs in {self.folder}')
        with _signals_stop(self):
            while self.epoch < cfg.TRAIN.NUM_EPOCHS and not self.stop_reason:
                self._train_epoch()
                if self.stop_reason in ('signal', 'time'):
                    self._save()
                    break
                evaluation = self._validate()
                if not self.stop_reason:
                    self.epoch, self.batches_done = self.epoch + 1, 0
                self._save(evaluation)
        if self.is_main:
            self._report(evaluation)
            self.summary.close()
        return evaluation

    def _train_epoch(self):
        cfg = self.cfg
        self.network.train()
        loader = self._loader()
        bar = tqdm(loader, desc=f'epoch {self.epoch}', initial=self.batches_done, disable=not self.is_main,
                   total=self.batches_done + len(loader), unit='batch')
        for batch in bar:
            before = time.monotonic()
            batch, n_views = flatten_views(self._to_device(batch))
            total, losses, picture = self._step(batch, n_views)
            self.batches_done += 1
            self.global_step += 1
            rate = len(batch['img']) * self.accelerator.num_processes / (time.monotonic() - before)
            self._after_step(bar, total, losses, picture, rate)
            if self.stop_reason:
                break
            if cfg.TRAIN.TEST_STEPS and self.global_step % cfg.TRAIN.TEST_STEPS == 0:
                self._validate()
                self.network.train()
        bar.close()

    def _loader(self):
        cfg, accelerator = self.cfg, self.accelerator
        sampler = EpochSampler(len(self.train_data), cfg.SEED, cfg.TRAIN.SHUFFLE, epoch=self.epoch,
                               start=self.batches_done * cfg.TRAIN.BATCH_SIZE, rank=accelerator.process_index,
                               world=accelerator.num_processes)
        # A generator of its own: the loader draws worker seeds, which must not disturb the run's random stream.
        return DataLoader(self.train_data, cfg.TRAIN.BATCH_SIZE, sampler=sampler, drop_last=True,
                          num_workers=cfg.TRAIN.NUM_WORKERS, generator=torch.Generator().manual_seed(cfg.SEED),
                          pin_memory=cfg.TRAIN.PIN_MEMORY and accelerator.device.type == 'cuda',
                          prefetch_factor=4 if cfg.TRAIN.NUM_WORKERS else None)

    def _to_device(self, batch):
        device = self.accelerator.device
        return {key: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
                for key, value in batch.items()}

    def _step(self, batch, n_views):
        """One forward, backward and update -> (loss, {name: loss}, panel or None)."""
        images = batch['img'].unflatten(0, (-1, n_views)) if n_views > 1 else batch['img']
        if self.cfg.TRAIN.CHANNELS_LAST and n_views == 1:
            images = images.to(memory_format=torch.channels_last)
        self._set_learning_rate()
        self.regressor.set_training_progress(self.global_step)
        with self.accelerator.accumulate(self.network):
            with self.accelerator.autocast():
                out = self.network(images)
            targets = build_targets(batch, self.regressor.body, self.iuv_renderer, n_views)
            losses = all_losses(self.regressor, out, targets, self.cfg)
            total = sum(losses.values())
            if self._is_finite(total, batch):
                self._update(total)
        return total.detach(), losses, self._picture(batch['img'], out, targets)

    def _update(self, total):
        self.accelerator.backward(total)
        if self.cfg.SOLVER.GRAD_CLIP and self.accelerator.sync_gradients:
            self.accelerator.clip_grad_norm_(self.network.parameters(), self.cfg.SOLVER.GRAD_CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema is not None and self.accelerator.sync_gradients:
            self.ema.update_parameters(self.regressor)

    def _set_learning_rate(self):
        cfg = self.cfg
        per_epoch = len(self.train_data) // (cfg.TRAIN.BATCH_SIZE * self.accelerator.num_processes)
        steps = cfg.TRAIN.MAX_STEPS or cfg.TRAIN.NUM_EPOCHS * per_epoch
        self.learning_rate = learning_rate(cfg.SOLVER, self.epoch, self.global_step, steps)
        for group in self.optimizer.param_groups:
            group['lr'] = self.learning_rate

    def _is_finite(self, total, batch):
        """Whether the loss can be learned from; counts those that cannot, and stops after too many in a row."""
        bad = (~torch.isfinite(total.detach())).float()
        if self.accelerator.num_processes > 1:
            bad = self.accelerator.reduce(bad, 'max')
        if not bad:
            self.bad_steps = 0
            return True
        self.bad_steps += 1
        self.skipped_steps += 1
        if self.bad_steps >= self.cfg.TRAIN.MAX_BAD_STEPS:
            path = self.folder / 'bad_batch.json'
            save_json(path, {'step': self.global_step, 'images': list(batch['imgname'])})
            raise ProjectError(f'{self.bad_steps} losses in a row were NaN or infinite; the last batch\'s images are '
                               f'named in {path}; lower SOLVER.BASE_LR or look at those images')
        return False

    def _picture(self, images, out, targets):
        if not self.is_main or self.global_step % self.cfg.TRAIN.VIS_INTERVAL:
            return None
        return panel(images, out, targets, self.regressor.body.faces)

    def _after_step(self, bar, total, losses, picture, rate):
        """Progress, summaries, checkpoints within the epoch, and limits."""
        cfg, step = self.cfg, self.global_step
        if self.is_main and (step % cfg.TRAIN.SUMMARY_STEPS == 0 or step == 1):
            values = {name: float(value.detach()) for name, value in losses.items()}
            self.summary.scalars({'total': float(total), **values}, step)
            self.summary.scalars({'learning_rate': self.learning_rate, 'images_per_second': rate,
                                  'skipped_steps': self.skipped_steps,
                                  'skipped_images': getattr(self.train_data, 'skipped', 0)}, step, 'run')
        if self.is_main and step % 10 == 0:
            shown = {name: f'{float(value.detach()):.2f}' for name, value in losses.items()}
            bar.set_postfix({'loss': f'{float(total):.2f}', **dict(list(shown.items())[-3:]), 'img/s': f'{rate:.0f}'})
        if picture is not None:
            self.summary.picture('train', picture, step)
        if step % cfg.TRAIN.CHECKPOINT_STEPS == 0:
            self._save()
        if cfg.TRAIN.MAX_STEPS and step >= cfg.TRAIN.MAX_STEPS:
            self.stop_reason = 'steps'
        if cfg.TRAIN.TIME_TO_RUN and time.monotonic() - self._started > cfg.TRAIN.TIME_TO_RUN:
            self.stop_reason = 'time'

    # Validation, checkpoints, end

    def _validate(self):
        network = self.ema.module if self.ema is not None else self.regressor
        evaluation = self.evaluator.evaluate(network, self.eval_data, self.eval_data.name, self.accelerator.device,
                                             progress=self.is_main)
        if self.is_main:
            values = {f'{metric}/stage_{stage}': evaluation.mean(metric, stage)
                      for metric, errors in evaluation.errors.items() for stage in range(errors.shape[1])}
            self.summary.scalars(values, self.global_step, 'validation')
            self.log.info(f'epoch {self.epoch}: ' + ', '.join(
                f'{metric} {evaluation.mean(metric):.1f} mm' for metric in evaluation.errors))
        return evaluation

    def _save(self, evaluation=None):
        """Write a checkpoint; the best by PA-MPJPE is kept as best.pt."""
        states = self._gather_random_states()
        if not self.is_main:
            return
        score = evaluation.mean('pa_mpjpe') if evaluation else float('inf')
        is_best = score < self.best
        self.best = min(score, self.best)
        used = self.ema.module if self.ema is not None else self.regressor
        content = {
            'regressor': self.cfg.MODEL.REGRESSOR, 'regressor_class': type(self.regressor).__name__,
            'config': to_text(self.cfg), 'body_digest': self.regressor.body.digest, 'model': used.state_dict(),
            'optimizer': self.optimizer.state_dict(), 'epoch': self.epoch, 'batches_done': self.batches_done,
            'global_step': self.global_step, 'best': self.best, 'bad_steps': self.bad_steps,
            'skipped_steps': self.skipped_steps, 'random': states}
        if self.ema is not None:
            content.update(training_model=self.regressor.state_dict(), ema_count=self.ema.n_averaged)
        if self.accelerator.scaler is not None:
            content['scaler'] = self.accelerator.scaler.state_dict()
        self.store.save(content, self.global_step, best=is_best)

    def _gather_random_states(self):
        if self.accelerator.num_processes == 1:
            return [random_state()]
        states = [None] * self.accelerator.num_processes
        torch.distributed.all_gather_object(states, random_state())
        return states

    def _resume(self):
        cfg = self.cfg
        if cfg.TRAIN.CHECKPOINT:
            path, content = cfg.TRAIN.CHECKPOINT, load_torch(cfg.TRAIN.CHECKPOINT)
        else:
            found = self.store.newest()
            if found is None:
                self.log.info(f'{self.store.folder}: no checkpoint to resume from; starting anew')
                load_pretrained_backbone(self.regressor.backbone, cfg.MODEL.BACKBONE.PRETRAINED,
                                         self.regressor.assets.root)
                return
            path, content = found
        if 'optimizer' not in content or 'global_step' not in content:
            raise BadFile(f'{path}: not a checkpoint of a run; use --pretrained_checkpoint to start from its weights')
        check_checkpoint_body(content, self.regressor.body, path)
        self._restore(content)
        self.log.info(f'resumed from {path}: epoch {self.epoch}, step {self.global_step}')

    def _restore(self, content):
        self.regressor.load_state_dict(content.get('training_model', content['model']))
        if self.ema is not None and 'training_model' in content:
            self.ema.module.load_state_dict(content['model'])
            self.ema.n_averaged.copy_(content['ema_count'])
        self.optimizer.load_state_dict(content['optimizer'])
        if self.accelerator.scaler is not None and 'scaler' in content:
            self.accelerator.scaler.load_state_dict(content['scaler'])
        for name in ('epoch', 'batches_done', 'global_step', 'best', 'bad_steps', 'skipped_steps'):
            setattr(self, name, content[name])
        states = content['random']
        restore_random_state(states[min(self.accelerator.process_index, len(states) - 1)])

    def _report(self, evaluation):
        """The final table, as text and as a file, and a picture of held-out people."""
        if self.stop_reason:
            self.log.info(f'stopped by {self.stop_reason} at step {self.global_step}; --resume goes on from here')
        if evaluation is None:
            return
        with atomic_write(self.folder / 'evaluation.md', 'w') as stream:
            stream.write(evaluation.table() + '\n')
        print(f'\n{evaluation.table()}\n')
        picture = self._held_out_picture()
        save_image(picture, self.folder / 'held_out.png')
        print(f'checkpoint: {self.store.best()}\npicture of held-out people: {self.folder / "held_out.png"}')

    @torch.no_grad()
    def _held_out_picture(self, rows=6):
        network = (self.ema.module if self.ema is not None else self.regressor).eval()
        batch = next(iter(DataLoader(self.eval_data, rows, generator=torch.Generator())))
        batch, n_views = flatten_views(self._to_device(batch))
        out = network(batch['img'].unflatten(0, (-1, n_views)) if n_views > 1 else batch['img'])
        targets = build_targets(batch, self.regressor.body, self.iuv_renderer, n_views)
        return panel(batch['img'], out, targets, self.regressor.body.faces, rows)


class _signals_stop:
    """While open, SIGTERM and Ctrl-C let the step in progress finish; the run then saves and stops."""

    def __init__(self, trainer):
        self._trainer, self._previous = trainer, {}

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._stop)

    def _stop(self, number, frame):
        self._trainer.stop_reason = 'signal'

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
