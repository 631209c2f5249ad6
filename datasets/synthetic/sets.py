"""A rendered set on disk. It is made by several processes, completely or not at all.

Pictures are written into a hidden folder, which is renamed when it is complete. The annotation file is written last,
and a set exists only with it. A killed run leaves the hidden folder, which the next run removes.
"""
import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from datasets.synthetic.multiview import render_views
from datasets.synthetic.people import Cast
from datasets.synthetic.photographs import PhotoFolder
from datasets.synthetic.stream import AT_ONCE, SPLITS, render_people
from utils.assets import MANIFEST, Assets, check_free_folder
from utils.errors import BadFile, MissingFile, ProjectError
from utils.logging import get_logger
from utils.pixels import PIXEL_CENTER
from utils.safe_io import load_json, load_npz, save_npz
from utils.threads import use_one_thread

# Increase it when the code makes other bytes from the same recipe.
# 2: Human3.6M's joints have the left leg first; 3: cloth, panoramas and cut-outs from the folder of photographs,
# and what `realism.REALISM` names; 4: panoramas are sampled at pixel centres; 5: normals are summed in another
# order (one grey level).
_FORMAT = 5
_JPEG_QUALITY = 92
# Upper bounds: bytes per pixel of a JPEG file on average, and bytes per row of labels.
_BYTES_PER_PIXEL, _BYTES_PER_ROW, _SPARE_BYTES = 0.45, 3000, 64 << 20
_FILES_PER_FOLDER = 1000


@dataclass(frozen=True)
class Recipe:
    """Everything except the body that determines a set's bytes. count: people, each in `views` pictures; size: longer
    side in pixels."""
    name: str
    split: str
    count: int
    size: int
    seed: int
    views: int = 1
    gendered: float = 0.0
    backgrounds: str = ''
    studio: bool = False
    realism: tuple = ()

    @property
    def num_images(self):
        return self.count * self.views


class Painter:
    """Renders the people of a recipe in one process. root: asset folder."""

    def __init__(self, root, recipe):
        cv2.setNumThreads(1)
        self.recipe = recipe
        self.cast = Cast(Assets(Path(root), is_free=True), recipe.gendered)
        self.photos = PhotoFolder(recipe.backgrounds, quiet=True) if recipe.backgrounds else None

    def rows(self, people):
        """[(image [H,W,3] uint8 RGB, row)] of the people with these numbers, one per view. Single views are drawn
        together."""
        recipe = self.recipe
        rngs = [np.random.default_rng([recipe.seed, SPLITS[recipe.split], person]) for person in people]
        settings = (self.cast, recipe.size, self.photos, recipe.studio, frozenset(recipe.realism))
        if recipe.views == 1:
            return render_people(rngs, *settings)
        return [(image, row | {'group': person}) for person, rng in zip(people, rngs)
                for image, row in render_views(rng, *settings)]


def image_name(recipe, number):
    """Path of picture `number` below the `images` folder."""
    return f'{recipe.name}/{number // _FILES_PER_FOLDER:05d}/{number:06d}.jpg'


def annotation_file(root, name):
    return Path(root) / 'dataset_extras' / f'{name}.npz'


def write_set(root, recipe, workers):
    """Render a set below an asset folder, unless the same or a longer one is complete. Returns whether it rendered.

    Raises MissingFile for an unfinished asset folder, ProjectError for too little space or another active run.
    """
    root = Path(root)
    fingerprint = _fingerprint(root, recipe)
    if people_on_disk(root, recipe, fingerprint) >= recipe.count:
        return False
    with only_run(root):
        _check_space(root, recipe)
        aside = _clear_aside(root, recipe)
        rows = _paint(root, recipe, workers, aside)
        arrays = _as_arrays(recipe, rows)
        annotation_file(root, recipe.name).unlink(missing_ok=True)
        final = root / 'images' / recipe.name
        if final.exists():
            shutil.rmtree(final)
        os.replace(aside, final)
        save_npz(annotation_file(root, recipe.name), **arrays, first_pixel=PIXEL_CENTER,
                 body_digest=np.array(_digest(root)), recipe=np.array(fingerprint))
    return True


def _fingerprint(root, recipe):
    """JSON of the recipe, the body and the background pictures."""
    check_free_folder(root)
    pictures = ''
    if recipe.backgrounds:
        files = sorted(Path(recipe.backgrounds).rglob('*'))
        listing = [(str(f.relative_to(recipe.backgrounds)), f.stat().st_size) for f in files if f.is_file()]
        pictures = hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16]
    return json.dumps(asdict(recipe) | {'format': _FORMAT, 'body': _digest(root), 'backgrounds': pictures},
                      sort_keys=True)


def _digest(root):
    return load_json(Path(root) / MANIFEST)['body_digest']


def people_on_disk(root, recipe, fingerprint):
    """Number of people in the set on disk; 0 if it has another body or other settings, or if pictures are missing.

    A picture does not depend on the number of pictures, so a longer set contains the shorter one.
    """
    file = annotation_file(root, recipe.name)
    try:
        made = json.loads(str(load_npz(file, ['recipe'])['recipe']))
    except (MissingFile, BadFile, KeyError, ValueError):
        return 0
    wanted = json.loads(fingerprint)
    if made | {'count': 0} != wanted | {'count': 0}:
        get_logger().info('%s: the set on disk was made with other settings, code or body; it is replaced', recipe.name)
        return 0
    images = sum(1 for _ in (Path(root) / 'images' / recipe.name).glob('*/*.jpg'))
    return made['count'] if images == made['count'] * recipe.views else 0


@contextlib.contextmanager
def only_run(root):
    """Hold the asset folder's lock. Raises ProjectError if another run holds it. The lock ends with the process."""
    folder = Path(root) / 'images'
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / '.lock')
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ProjectError(f'{root}: another run is rendering into this folder; wait for it, or end it') from None
    try:
        yield
    finally:
        lock.release()


def _check_space(root, recipe):
    needed = int(recipe.num_images * (recipe.size ** 2 * _BYTES_PER_PIXEL + _BYTES_PER_ROW)) + _SPARE_BYTES
    free = shutil.disk_usage(root).free
    if free < needed:
        raise ProjectError(f'{root}: {recipe.name} ({recipe.num_images} pictures of {recipe.size} px) needs about '
                           f'{needed >> 20} MiB, but {free >> 20} MiB are free; make room, or ask for fewer pictures')


def _clear_aside(root, recipe):
    """An empty hidden folder for the pictures. Leftovers of a killed run are removed."""
    aside = root / 'images' / f'.{recipe.name}.partial'
    if aside.exists():
        shutil.rmtree(aside)
    for number in range(0, recipe.num_images, _FILES_PER_FOLDER):
        (aside / f'{number // _FILES_PER_FOLDER:05d}').mkdir(parents=True)
    return aside


def _paint(root, recipe, workers, aside):
    """Render all pictures into `aside` -> rows in order."""
    rows = [None] * recipe.num_images
    with tqdm(total=recipe.num_images, desc=recipe.name, unit='img', mininterval=1) as bar:
        for number, row in _painted(root, recipe, workers, aside):
            rows[number] = row
            bar.update()
    return rows


def _painted(root, recipe, workers, aside):
    """Yield (picture number, row) in any order, from `workers` processes or, for one worker, from this process."""
    if workers <= 1:
        yield from _paint_share(root, recipe, aside, 0, 1)
        return
    # Spawned, not forked, because torch and warp hold threads and locks.
    context = multiprocessing.get_context('spawn')
    processes, pipes = [], []
    for share in range(workers):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(sender, str(root), recipe, aside, share, workers), daemon=True)
        process.start()
        # The worker has the only sender: its death ends the pipe here, and this process's death breaks the pipe there.
        sender.close()
        processes.append(process)
        pipes.append(receiver)
    try:
        yield from _received(pipes)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _received(pipes):
    pipes = list(pipes)
    while pipes:
        for pipe in wait(pipes):
            try:
                message = pipe.recv()
            except EOFError:
                raise ProjectError('a rendering process ended before its work was done (out of memory?); '
                                   'run again, with fewer --workers') from None
            if message is None:
                pipes.remove(pipe)
            elif isinstance(message, Exception):
                raise message
            else:
                yield from message


def _work(sender, root, recipe, aside, share, shares):
    """A worker process: renders its share of the pictures and sends rows in batches, and None at the end."""
    use_one_thread()
    batch = []
    try:
        for item in _paint_share(root, recipe, aside, share, shares):
            batch.append(item)
            if len(batch) == 8:
                sender.send(batch)
                batch = []
        sender.send(batch)
        sender.send(None)
    except BrokenPipeError:
        return
    except Exception as error:
        sender.send(error if isinstance(error, ProjectError) else RuntimeError(repr(error)))


def _paint_share(root, recipe, aside, share, shares):
    painter, people = Painter(root, recipe), range(share, recipe.count, shares)
    for first in range(0, len(people), AT_ONCE):
        some = people[first:first + AT_ONCE]
        numbers = [person * recipe.views + view for person in some for view in range(recipe.views)]
        for number, (image, row) in zip(numbers, painter.rows(some)):
            _write_jpeg(aside / image_name(recipe, number).split('/', 1)[1], image)
            yield number, row


def _write_jpeg(path, image):
    encoded = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    try:
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise ProjectError(f'{path}: cannot be written ({error.strerror}); nothing of this set was kept') from None


def _as_arrays(recipe, rows):
    """Rows of labels as the arrays of a SPIN `.npz`."""
    arrays = {key: np.stack([np.asarray(row[key]) for row in rows]) for key in rows[0]}
    return {'imgname': np.array([image_name(recipe, number) for number in range(len(rows))])} | arrays
