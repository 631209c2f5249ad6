"""What each realism option of the rendered pictures gives on real people, at equal steps.

python -m benchmarks.realism_trials --people PEOPLE.npz FOLDER [--people ...] [--photos FOLDER] [--steps 288]
    [--seeds 1 2] [--trials NAME ...] [--log_dir logs]

Trains the free network's recipe (configs/free/pymaf.yaml) anew for each trial: with all options, with none, without
each one, and without the photographs. The learning rate falls to zero within the steps. A trial that has finished in
--log_dir is not repeated.

PEOPLE.npz, FOLDER: real people and their pictures, as for benchmarks.real_people. The columns of each: error, the mean
distance of the 12 limb joints over the box's side, and its difference to the trial with all options, both over the
seeds that both trials have, with the 95 % bootstrap interval over people. A positive difference: the option helps. The
intervals do not cover what differs between two trainings of one trial; the lines of single seeds show it.
"""
import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.real_people import network, read_people, score
from core.config import load_config
from core.metrics import bootstrap_interval
from datasets.synthetic.realism import REALISM
from utils.errors import BadConfig, ProjectError, run_main
from utils.threads import use_one_thread

CONFIG = Path(__file__).parent.parent / 'configs/free/pymaf.yaml'
ALL, PLAIN, NO_PHOTOS = 'all', 'plain', 'no_photos'


def trials(photos):
    """{name: (realism options, folder of photographs)} of the trials; photos: the folder, or ''."""
    chosen = {ALL: (tuple(REALISM), photos), PLAIN: ((), photos)}
    chosen |= {f'no_{left_out}': (tuple(name for name in REALISM if name != left_out), photos) for left_out in REALISM}
    return chosen | ({NO_PHOTOS: (tuple(REALISM), '')} if photos else {})


def train(name, seed, realism, photos, options):
    """Train a trial unless that is done -> its last checkpoint. Raises ProjectError where the training fails."""
    folder = Path(options.log_dir) / f'trial_{name}_{seed}' / 'checkpoints'
    last = folder / f'step_{options.steps:08d}.pt'
    if not last.exists():
        keys = {'NAME': folder.parent.name, 'LOG_DIR': options.log_dir, 'SEED': seed, 'TRAIN.OVERWRITE': True,
                'PATHS.DATA_DIR': options.data, 'DATA.STREAM.REALISM': list(realism), 'DATA.STREAM.PHOTOS': photos,
                'TRAIN.MAX_STEPS': options.steps, 'TRAIN.CHECKPOINT_STEPS': options.steps, 'TRAIN.KEEP_CHECKPOINTS': 1,
                'SOLVER.SCHEDULE': 'cosine', 'SOLVER.WARMUP_STEPS': options.steps // 6, 'TRAIN.EMA': 0.99}
        line = [str(word) for pair in keys.items() for word in pair]
        done = subprocess.run([sys.executable, 'train.py', '--cfg_file', str(CONFIG), '--misc', *line],
                              cwd=CONFIG.parent.parent.parent)
        if done.returncode or not last.exists():
            raise ProjectError(f'{folder.parent}: the training of this trial failed (status {done.returncode})')
    return last


def errors_of(checkpoint, people, pictures, data):
    """Mean error [N] of each person's limb joints."""
    found = score('', people, network(people, pictures, str(checkpoint), data))
    return np.array([found.limbs[found.rows == row].mean() for row in np.unique(found.rows)])


def cells(errors, reference):
    """Table cells of the errors {seed: [N]} of a trial, compared with the trial of all options."""
    seeds = sorted(errors.keys() & reference.keys())
    difference = np.mean([errors[seed] - reference[seed] for seed in seeds], 0)
    low, high = bootstrap_interval(difference)
    return f'{np.mean([errors[seed] for seed in seeds]):.4f} | {difference.mean():+.4f} ({low:+.4f} to {high:+.4f})'


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--people', nargs=2, action='append', required=True, metavar=('FILE', 'FOLDER'))
    parser.add_argument('--photos', default='', help='folder of photographs')
    parser.add_argument('--steps', type=int, default=288, help='of 32 pictures')
    parser.add_argument('--seeds', type=int, nargs='+', default=[1])
    parser.add_argument('--trials', nargs='+', help='some of the trials, by name')
    parser.add_argument('--log_dir', default='logs')
    parser.add_argument('--data', default=load_config().PATHS.DATA_DIR, help='asset folder')
    options = parser.parse_args(argv)
    use_one_thread()
    sets = [read_people(Path(file), folder) for file, folder in options.people]
    chosen = trials(options.photos)
    unknown = set(options.trials or ()) - set(chosen)
    if unknown:
        raise BadConfig(f'--trials: no {sorted(unknown)[0]!r}; use some of {", ".join(chosen)}')
    names = [ALL, *(name for name in options.trials or chosen if name != ALL)]
    errors = {name: [{} for _ in sets] for name in names}
    for seed in options.seeds:
        for name in names:
            checkpoint = train(name, seed, *chosen[name], options)
            for number, (people, pictures) in enumerate(sets):
                errors[name][number][seed] = errors_of(checkpoint, people, pictures, options.data)
    heads = ' | '.join(f'{Path(file).stem}: error | more than all' for file, _ in options.people)
    print(f'| trial | {heads} |\n| --- |{" ---: |" * 2 * len(sets)}')
    for name in names:
        print(f'| {name} | {" | ".join(map(cells, errors[name], errors[ALL]))} |')
    for seed in options.seeds:
        single = ('/'.join(f'{each[seed].mean():.4f}' for each in errors[name]) for name in names)
        print(f'\nseed {seed}: ' + ', '.join(f'{name} {text}' for name, text in zip(names, single)))
    return 0


if __name__ == '__main__':
    run_main(main)
