"""Random number generators of a process, saved to and restored from checkpoints."""
import random

import numpy as np
import torch


def seed_everything(seed):
    """Seed Python's, numpy's and torch's global generators."""
    random.seed(seed)
    np.random.seed(seed % 2 ** 32)
    torch.manual_seed(seed)


def random_state():
    """State of the global generators, as tensors and plain containers."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state()
    state = {'python': [version, list(words), gauss], 'numpy': [name, torch.from_numpy(keys.astype(np.int64)), *rest],
             'torch': torch.get_rng_state()}
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state):
    """Restore the result of `random_state`."""
    version, words, gauss = state['python']
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state['numpy']
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())
