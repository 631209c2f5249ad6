"""Reads stored reference values and compares values with them."""
import json
from pathlib import Path

import numpy as np
import torch

from tests.reference.standin import seeded_weights

FOLDER = Path(__file__).parent


def load(name):
    """Arrays of one stored reference file."""
    with np.load(FOLDER / f'{name}.npz') as file:
        return dict(file)


def relative_error(value, wanted):
    """max |a - b| / max |b|"""
    value = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    assert value.shape == wanted.shape, f'{value.shape} is not {wanted.shape}'
    return np.abs(value - wanted).max() / np.abs(wanted).max()


def published_weights(name, skip=()):
    """A state dict with the published names; each name seeds its values. skip: entries with these in their names."""
    shapes = json.loads((FOLDER / 'keys' / f'{name}_keys.json').read_text())
    drawn = {key: shape for key, shape in shapes.items() if not any(part in key for part in skip)}
    return {key: torch.from_numpy(np.asarray(value)) for key, value in seeded_weights(drawn).items()}
