"""Render the free training images and their labels into an asset folder.

`python -m datasets.synthetic.generate --preset quick` makes the set of a first run, `--preset studio` easy pictures for
small networks, `--preset standard` the full set. Sets that are complete with the same settings are kept.
"""
import argparse
import time
from pathlib import Path

from datasets.synthetic.coco_file import write_coco_keypoints
from datasets.synthetic.multiview import NUM_VIEWS
from datasets.synthetic.people import Cast
from datasets.synthetic.photographs import PhotoFolder
from datasets.synthetic.realism import DEFAULT_REALISM, REALISM, read_realism
from datasets.synthetic.sets import Recipe, annotation_file, only_run, write_set
from datasets.synthetic.walking import detections_file, write_walking
from utils.assets import Assets, check_free_folder
from utils.errors import BadConfig, MissingFile, run_main
from utils.logging import get_logger
from utils.safe_io import load_npz

PARTS = ('studio', 'images', 'multiview', 'studio-multiview', 'coco', 'video')
# train and val: people, both in the studio and elsewhere; multiview: scenes, a tenth of them for validation.
PRESETS = {'quick': {'train': 14_000, 'val': 300, 'multiview': 200, 'size': 160, 'what': 'images,coco'},
           'studio': {'train': 6000, 'val': 300, 'multiview': 200, 'size': 160, 'what': 'studio'},
           'standard': {'train': 50_000, 'val': 2000, 'multiview': 2000, 'size': 256, 'what': ','.join(PARTS)}}


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--preset', choices=PRESETS, default='quick')
    parser.add_argument('--out', type=Path, default=Path('data/free'), help='free asset folder')
    parser.add_argument('--what', help=f'some of {",".join(PARTS)}; default: what the preset has')
    parser.add_argument('--train', type=int, help='training images; 0 renders none')
    parser.add_argument('--val', type=int, help='validation images; 0 renders none')
    parser.add_argument('--multiview', type=int, help=f'multi-view scenes of {NUM_VIEWS} images each')
    parser.add_argument('--size', type=int, help='pixels of the longer side')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--gendered', type=float, default=0.0, help='share of people with the male or female body')
    parser.add_argument('--backgrounds', type=Path, help='folder of photographs: backgrounds and cloth')
    parser.add_argument('--realism', default=','.join(DEFAULT_REALISM),
                        help=f'some of {",".join(REALISM)}, or "" for none (studio sets have none)')
    parser.add_argument('--workers', type=int, default=2, help='rendering processes')
    arguments = parser.parse_args(argv)
    for name, value in PRESETS[arguments.preset].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    _check(arguments)
    return arguments


def _check(arguments):
    arguments.what = arguments.what.split(',')
    arguments.realism = tuple(name for name in arguments.realism.split(',') if name)
    read_realism(arguments.realism, '--realism')
    for part in arguments.what:
        if part not in PARTS:
            raise BadConfig(f'--what {part}: unknown; use some of {",".join(PARTS)}')
    for name, least in (('train', 0), ('val', 0), ('multiview', 1), ('workers', 1)):
        if getattr(arguments, name) < least:
            raise BadConfig(f'--{name} is {getattr(arguments, name)}; it must be at least {least}')
    if not 64 <= arguments.size <= 2048:
        raise BadConfig(f'--size is {arguments.size}; it must be 64 to 2048 pixels')
    if arguments.seed < 0:
        raise BadConfig(f'--seed is {arguments.seed}; it must not be negative')
    if not 0 <= arguments.gendered <= 1:
        raise BadConfig(f'--gendered is {arguments.gendered}; it is a share, 0 to 1')
    check_free_folder(arguments.out)
    if arguments.backgrounds:
        PhotoFolder(arguments.backgrounds)


def recipes(arguments):
    """The Recipes of the sets that the arguments select."""
    common = {'size': arguments.size, 'seed': arguments.seed, 'gendered': arguments.gendered,
              'backgrounds': str(arguments.backgrounds or '')}
    real = common | {'realism': arguments.realism}
    wanted = []
    if 'studio' in arguments.what:
        wanted += [Recipe(f'free-studio_{split}', f'studio_{split}', getattr(arguments, split), studio=True, **common)
                   for split in ('train', 'val')]
    if 'images' in arguments.what:
        wanted += [Recipe('free_train', 'train', arguments.train, **real),
                   Recipe('free_val', 'val', arguments.val, **real)]
    if 'multiview' in arguments.what:
        wanted += [Recipe('free_multiview_train', 'multiview_train', arguments.multiview, views=NUM_VIEWS, **real),
                   Recipe('free_multiview_val', 'multiview_val', _validation_scenes(arguments), views=NUM_VIEWS,
                          **real)]
    if 'studio-multiview' in arguments.what:
        wanted += [Recipe(f'free-studio-multiview_{split}', f'studio_multiview_{split}', count, views=NUM_VIEWS,
                          studio=True, **common)
                   for split, count in (('train', arguments.multiview), ('val', _validation_scenes(arguments)))]
    return [recipe for recipe in wanted if recipe.count]


def _validation_scenes(arguments):
    return max(1, arguments.multiview // 10)


def main(argv=None):
    arguments = parse_arguments(argv)
    log, root = get_logger(), arguments.out
    for recipe in recipes(arguments):
        start = time.monotonic()
        if write_set(root, recipe, arguments.workers):
            seconds = time.monotonic() - start
            log.info('%s: %d images in %.0f s (%.0f a second)', recipe.name, recipe.num_images, seconds,
                     recipe.num_images / seconds)
        else:
            log.info('%s: complete already (%d images or more)', recipe.name, recipe.num_images)
    if 'coco' in arguments.what:
        _write_coco(root)
    if 'video' in arguments.what:
        _write_video(root, arguments.seed)
    return 0


def _write_coco(root):
    source, target = annotation_file(root, 'free_val'), root / 'annotations' / 'free_val_keypoints.json'
    if not source.exists():
        raise MissingFile(f'{source}: no such file; --what images makes it, and coco needs it')
    write_coco_keypoints(source, target)
    get_logger().info('%s: written', target)


def _write_video(root, seed):
    video, truth = root / 'video' / 'walking.mp4', root / 'video' / 'walking.npz'
    cast = Cast(Assets(root, is_free=True))
    with only_run(root):
        complete = video.exists() and truth.exists() and detections_file(video).exists()
        made = load_npz(truth, ('body_digest', 'seed')) if complete else {}
        if made and str(made['body_digest']) == cast.digest and int(made['seed']) == seed:
            get_logger().info('%s: complete already', video)
            return
        truth.unlink(missing_ok=True)
        write_walking(video, truth, cast, seed)
    get_logger().info('%s: written', video)


if __name__ == '__main__':
    run_main(main)
