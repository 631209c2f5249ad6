"""Compares training steps over their floors with recorded ratios: python -m benchmarks.held_ratios [--steps NAME ...]

The steps and floors are those of benchmarks.training_step (PyMAF in channels-last layout over its convolutions) and
benchmarks.hmr2_step (HMR2.0 over its matrix products, attention and AdamW), in float32 on the CPU. The exit status is 1
if a ratio is more than a tenth above the recorded one (held_ratios.json) or cannot be measured. A ratio that has grown
is measured a second time, and the smaller one counts, because other work on the machine disturbs a single run.
`--record` writes the measured ratios to the file. Give the reason in the commit message.
"""
import argparse
from functools import partial
from pathlib import Path

from benchmarks import hmr2_step, training_step
from benchmarks.table import one_line
from utils.errors import BadConfig, run_main
from utils.safe_io import load_json, save_json
from utils.threads import use_one_thread

RECORDED = Path(__file__).with_suffix('.json')
MOST = 1.1  # of the recorded ratio


def _pymaf(batch, data_dir, rounds):
    seconds, _, failures = training_step.measure(batch, data_dir, ['channels last'], rounds=rounds)
    if failures:
        raise failures['channels last']
    return seconds['channels last'] / seconds['convolutions']


def _hmr2(backbone, data_dir, rounds):
    seconds = hmr2_step.measure(backbone, 8, data_dir, rounds)
    return seconds['float32'] / seconds['products']


# (data_dir, rounds) -> seconds of the step over those of its floor.
STEPS = {'PyMAF, ResNet-50, batch 8': partial(_pymaf, 8), 'PyMAF, ResNet-50, batch 32': partial(_pymaf, 32),
         'HMR2.0, ViT-S, batch 8': partial(_hmr2, 'vit_s'), 'HMR2.0, ViT-B, batch 8': partial(_hmr2, 'vit_b')}


def compare(names, recorded, measure):
    """Print a row for each step -> ({name: ratio}, names of those that have grown or failed). measure: name -> ratio"""
    print('| training step over its floor | ratio | recorded | at most | |\n| --- | ---: | ---: | ---: | --- |')
    ratios, lost = {}, []
    for name in names:
        most = MOST * recorded[name]
        try:
            ratio = measure(name)
            if ratio > most:
                ratio = min(ratio, measure(name))
        except Exception as error:  # the other steps do not depend on it
            print(f'| {name} | failed: {one_line(error)} | {recorded[name]:.2f} | {most:.2f} | not measured |',
                  flush=True)
            lost.append(name)
            continue
        ratios[name] = ratio
        if ratio > most:
            lost.append(name)
        print(f'| {name} | {ratio:.2f} | {recorded[name]:.2f} | {most:.2f} | '
              f'{"has grown" if ratio > most else "held"} |', flush=True)
    return ratios, lost


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', nargs='+', default=list(STEPS), metavar='NAME', help=f'some of: {"; ".join(STEPS)}')
    parser.add_argument('--data_dir', default='data')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--record', action='store_true', help=f'write the ratios to {RECORDED.name}')
    options = parser.parse_args(argv)
    unknown = [name for name in options.steps if name not in STEPS]
    if unknown:
        raise BadConfig(f'--steps {unknown[0]!r}: unknown; use some of {"; ".join(STEPS)}')
    use_one_thread()
    recorded = load_json(RECORDED)
    ratios, lost = compare(options.steps, recorded, lambda name: STEPS[name](options.data_dir, options.rounds))
    if options.record:
        save_json(RECORDED, recorded | {name: round(ratio, 2) for name, ratio in ratios.items()})
        print(f'recorded in {RECORDED}')
        return 0
    if lost:
        print(f'not held: {"; ".join(lost)}')
    return int(bool(lost))


if __name__ == '__main__':
    run_main(main)
