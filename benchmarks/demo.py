"""Measures the demo: python -m benchmarks.demo [--checkpoint FILE] [--video FILE] [speed overlay memory parts crowd]

speed: frames a second end to end on a 640 x 480 video of one person, over those of the network alone on the same
crops. overlay: milliseconds to draw one body over a 1080p picture. memory: peak resident memory of a 60-second video
over that of a 6-second one. parts: milliseconds a frame of each stage of the demo, with bodies fitted to keypoints, on
a video of people (--video) that is made to fit into 640 x 480 pixels. crowd: the same on a 1080p video of four
people, which shows --video four times. Times are CPU seconds of the process and wall seconds, with two threads.
"""
import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from core.demo.boxes import square_box
from core.demo.camera import Focus
from core.demo.detect_and_track import video_detector
from core.demo.draw import Drawer
from core.demo.estimate import crop_person
from core.demo.options import parse_options
from core.demo.run import build_estimator, run_demo
from core.demo.video import run_video
from core.devices import pick_device
from datasets.augmentation import to_network_input
from datasets.video import VideoReader
from utils.camera import default_focal_length
from utils.rendering import render_overlay
from utils.video_writer import VideoWriter

_BOX = [250, 60, 150, 360]
_BATCH = 8


def write_video(path, seconds, rate=25, width=640, height=480):
    """Write a video of a scrolling picture, which is fast to make and not trivial to encode."""
    texture = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    picture = np.kron(texture, np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=rate, options={'preset': 'ultrafast', 'crf': '20'})
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        for index in range(seconds * rate):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, index, axis=1), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def command_line(folder, seconds, checkpoint):
    video, boxes = folder / f'{seconds}s.mp4', folder / 'boxes.json'
    write_video(video, seconds)
    boxes.write_text(json.dumps([{'image_id': i, 'bbox': _BOX} for i in range(25 * seconds)]))
    given = ['--checkpoint', checkpoint] if checkpoint else []
    return [*given, '--vid_file', str(video), '--detections', str(boxes), '--output_folder', str(folder),
            '--fit', 'none', '--model_batch_size', str(_BATCH), '--misc', 'DEVICE', 'cpu']


def timed(work):
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure_speed(folder, checkpoint, seconds=4, rounds=3):
    """The network alone and the whole demo, in turns in one process -> (wall, processor) seconds a frame of each."""
    options = parse_options(command_line(folder, seconds, checkpoint))
    estimator = build_estimator(*options, pick_device(options[0]))
    person = square_box(*_BOX, 1.2, person_id=0)
    frames = [frame.image for frame in VideoReader(options[1].paths[0])]
    crops = [crop_person(image, person, options[0].DATA.IMG_RES, False)[0] for image in frames]
    images = torch.from_numpy(np.stack([to_network_input(crop, is_rgb=True) for crop in crops]))

    @torch.inference_mode()
    def network():
        for batch in images.split(_BATCH):
            estimator.regressor(batch.to(estimator.device)).final.vertices.cpu()

    network()
    alone, whole = [], []
    for _ in range(rounds):
        alone.append(timed(network))
        whole.append(timed(lambda: run_video(*options, estimator, estimator.device)))
    return np.min(alone, 0) / len(frames), np.min(whole, 0) / len(frames)


def print_speed(folder, checkpoint):
    (alone_wall, alone_cpu), (whole_wall, whole_cpu) = measure_speed(folder, checkpoint)
    print(f'one person: network {1 / alone_wall:.1f} frames/s ({alone_cpu * 1000:.0f} ms CPU a frame), end to end '
          f'{1 / whole_wall:.1f} frames/s ({whole_cpu * 1000:.0f} ms CPU); ratio {alone_wall / whole_wall:.2f} of wall '
          f'time, {alone_cpu / whole_cpu:.2f} of CPU time')


def measure_overlay(folder, checkpoint, rounds=30):
    """One body 900 pixels tall over a 1080p picture -> (wall, processor) milliseconds."""
    options = parse_options(command_line(folder, 1, checkpoint))
    estimator = build_estimator(*options, pick_device(options[0]))
    image = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    body, upright = estimator.body, torch.tensor([[np.pi] + [0.0] * 71])
    with torch.inference_mode():
        vertices = body(torch.zeros(1, 10), pose=upright).vertices
    focal_length, faces = default_focal_length(1920, 1080), body.faces.cpu()
    tall = float(vertices[0, :, 1].max() - vertices[0, :, 1].min())
    translation = torch.tensor([[0.0, 0.0, focal_length * tall / 900]])
    torch.set_num_threads(1)  # as in the demo's drawing thread
    times = [timed(lambda: render_overlay(image, vertices, faces, focal_length, translations=translation))
             for _ in range(rounds)]
    return np.median(times[3:], 0) * 1000


def print_overlay(folder, checkpoint):
    wall, cpu = measure_overlay(folder, checkpoint)
    print(f'overlay of one body, 900 of 1920 x 1080 pixels tall: {wall:.1f} ms wall, {cpu:.1f} ms CPU')


def print_memory(folder, checkpoint):
    """Measure each length in its own process."""
    peaks = {}
    for seconds in (6, 60):
        line = command_line(folder, seconds, checkpoint)
        done = subprocess.run([sys.executable, '-m', 'benchmarks.demo', '--peak-of', json.dumps(line)], check=True,
                              capture_output=True, text=True)
        peaks[seconds] = int(done.stdout.splitlines()[-1])
    print(f'peak memory: 6 s {peaks[6] / 1024:.0f} MiB, 60 s {peaks[60] / 1024:.0f} MiB, '
          f'ratio {peaks[60] / peaks[6]:.3f}')


def smaller(video, path, width=640, height=480):
    """A copy of a video, made to fit into `width` by `height` pixels -> (path, number of frames)."""
    writer, frames = VideoWriter(path, width, height, 25), list(VideoReader(video))
    for frame in frames:
        writer.write(letterboxed(frame.image, width, height), frame.time)
    writer.close()
    return path, len(frames)


def four_times(video, path, width=1920, height=1080):
    """A video of `width` by `height` pixels that shows another in each of its quarters, two of them mirrored, all at
    another time -> (path, number of frames)."""
    frames = [frame.image for frame in VideoReader(video)]
    quarters = [letterboxed(image, width // 2, height // 2) for image in frames]
    writer = VideoWriter(path, width, height, 25)
    for number in range(len(frames)):
        parts = [quarters[(number + len(frames) * quarter // 4) % len(frames)] for quarter in range(4)]
        parts = [part[:, ::-1] if quarter % 2 else part for quarter, part in enumerate(parts)]
        picture = np.concatenate([np.concatenate(parts[:2], 1), np.concatenate(parts[2:], 1)])
        writer.write(np.ascontiguousarray(picture), number / 25)
    writer.close()
    return path, len(frames)


def letterboxed(image, width, height):
    """A picture made to fit into `width` by `height` pixels, in the middle of a black one of that size."""
    scale = min(width / image.shape[1], height / image.shape[0])
    small = cv2.resize(image, (round(image.shape[1] * scale), round(image.shape[0] * scale)),
                       interpolation=cv2.INTER_AREA)
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    canvas[top:top + small.shape[0], left:left + small.shape[1]] = small
    return canvas


def print_parts(folder, checkpoint, made):
    """Each stage alone, then the whole demo with and without drawing. made: (path, number of frames) of a video."""
    video, count = made
    line = [*(['--checkpoint', checkpoint] if checkpoint else []), '--vid_file', str(video), '--output_folder',
            str(folder / 'o'), '--misc', 'DEVICE', 'cpu']
    cfg, inputs = parse_options(line)
    estimator = build_estimator(cfg, inputs, pick_device(cfg), video=True)
    focus, frames, people, bodies = Focus(), [], [], []
    detector = video_detector(cfg, inputs, pick_device(cfg), estimator)
    drawer, pictures = Drawer(cfg, estimator.body.faces.cpu()), []
    writer = VideoWriter(folder / 'drawn.mp4', *next(iter(VideoReader(video))).image.shape[1::-1], 25)
    stages = {
        'decoding': lambda: frames.extend(VideoReader(video)),
        'detection and keypoints': lambda: people.extend(detector(frames)),
        'network and fit': lambda: bodies.extend(
            estimator([(frame, person) for person in found], focus) for frame, found in zip(frames, people)),
        'drawing': lambda: pictures.extend(
            drawer.panels(frame.image, [body for body in found if body], focus(frame))
            for frame, found in zip(frames, bodies)),
        'encoding': lambda: [writer.write(picture, frame.time) for picture, frame in zip(pictures, frames)]}
    for name, work in stages.items():
        wall, cpu = timed(work)
        print(f'{name}: {1000 * wall / count:.1f} ms a frame ({1000 * cpu / count:.1f} ms CPU)')
    print(f'people a frame: {sum(map(len, people)) / count:.2f}, with a body: '
          f'{sum(body is not None for found in bodies for body in found) / count:.2f}')
    writer.close()
    for extra in ([], ['--no_render']):
        wall, cpu = whole_demo([*extra, *line])
        print(f'whole{"".join(" " + flag for flag in extra)}: {count / wall:.1f} frames/s, {1000 * wall / count:.1f} '
              f'ms a frame ({1000 * cpu / count:.1f} ms CPU)')


def whole_demo(line):
    """(wall, processor) seconds of the demo on a video, without loading the networks."""
    cfg, inputs = parse_options(line)
    estimator = build_estimator(cfg, inputs, pick_device(cfg), video=True)
    return timed(lambda: run_video(cfg, inputs, estimator, pick_device(cfg)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('what', nargs='*', default=['speed', 'overlay', 'memory'])
    parser.add_argument('--checkpoint')
    parser.add_argument('--video', help='of people, for `parts` and `crowd`')
    parser.add_argument('--peak-of', help=argparse.SUPPRESS)
    given = parser.parse_args()
    if {'parts', 'crowd'} & set(given.what) and not given.video:
        parser.error('parts and crowd measure a video of people: give one with --video')
    torch.set_num_threads(2)
    if given.peak_of:
        run_demo(*parse_options(json.loads(given.peak_of)))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    measures = {'speed': print_speed, 'overlay': print_overlay, 'memory': print_memory,
                'parts': lambda folder, checkpoint: print_parts(folder, checkpoint,
                                                                smaller(given.video, folder / 'small.mp4')),
                'crowd': lambda folder, checkpoint: print_parts(folder, checkpoint,
                                                                four_times(given.video, folder / 'crowd.mp4'))}
    for what in given.what:
        with tempfile.TemporaryDirectory() as folder:
            measures[what](Path(folder), given.checkpoint)


if __name__ == '__main__':
    main()
