"""Checkpoints and small videos for the demo's tests. The checkpoints predict the mean pose in the crop's middle."""
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import core.demo.run
from core.config import load_config, to_text
from core.demo.options import parse_options
from models import build_regressor
from utils.torch_io import save_torch

SMALL = ['MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.BACKBONE.PRETRAINED', '', 'MODEL.HMR.HIDDEN', 32, 'DEVICE', 'cpu',
         'DATA.IMG_RES', 64]


def write_checkpoint(path, assets, regressor='hmr', overrides=SMALL, config=None):
    """A checkpoint in this project's format whose head adds nothing to the mean parameters."""
    cfg = load_config(config, ['MODEL.REGRESSOR', regressor, 'PATHS.DATA_DIR', str(assets), *overrides])
    torch.manual_seed(0)
    network = build_regressor(cfg)
    if hasattr(network, 'head'):
        for layer in (network.head.decpose, network.head.decshape, network.head.deccam):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    save_torch(path, {'format': 1, 'regressor': regressor, 'config': to_text(cfg), 'body_digest': network.body.digest,
                      'model': network.state_dict()})
    return str(path)


@pytest.fixture(scope='module')
def networks_are_read_once():
    """The tests of a module share checkpoints; reading one takes longer than using it."""
    read = core.demo.run.load_regressor
    by_path = {}

    def load(cfg, path, device):
        if path not in by_path:  # a test's checkpoint has a folder of its own
            by_path[path] = read(cfg, path, device)
        return by_path[path]
    core.demo.run.load_regressor = load
    yield
    core.demo.run.load_regressor = read


def demo(*arguments):
    """Run demo.py without fits to keypoints, on whole frames unless the arguments name people -> Recordings. The people
    of these pictures are drawn, or nobody."""
    return core.demo.run.run_demo(*parse_options(['--fit', 'none', '--detector', 'full_frame', *map(str, arguments)]))


def write_json(path, content):
    path.write_text(json.dumps(content))
    return str(path)


def write_video(path, count=12, size=(160, 120), rate=12, times=None, rotation=0, codec='libx264'):
    """A real video of moving colours. times: seconds of each frame; rotation: flag in the container, degrees."""
    width, height = size
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=rate, options={'crf': '10'})
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        if rotation:
            stream.set_display_rotation(rotation)
        stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(video_picture(index, width, height), format='rgb24')
            frame.pts = round(1000 * (times[index] if times is not None else index / rate))
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


def write_damaged_video(path):
    """A video of 20 frames, some of which cannot be decoded."""
    content = Path(write_video(path, 20)).read_bytes()
    middle = content.find(b'mdat') + 1500
    path.write_bytes(content[:middle] + b'\xff' * 300 + content[middle + 300:])
    return path


def video_picture(index, width, height):
    """[H,W,3] uint8: dark, with a bright corner at the top left and a stripe that moves."""
    picture = np.full((height, width, 3), 60, np.uint8)
    picture[:height // 4, :width // 4] = (230, 40, 40)
    picture[:, (5 * index) % (width - 4):(5 * index) % (width - 4) + 4] = (40, 200, 40)
    return picture
