"""Flags of the published scripts that are not aliases of a config key. Each becomes overrides of config keys."""
from pathlib import Path

import yaml

from datasets.catalog import split_names
from utils.errors import BadConfig, MissingFile
from utils.logging import log_once

# The two mixtures that DaNet was published with.
MIXTURES = {'h36m_dp': ['h36m:0.5', 'dp_coco:0.5'],
            'h36m_coco_itw': ['h36m:0.3', 'lsp-orig+mpii+lspet+coco:0.6', 'mpi-inf-3dhp:0.1']}
# (name, takes an argument, help)
PLAIN_FLAGS = (
    ('danet_cfg_file', True, 'another name of --cfg_file'),
    ('hrnet_cfg_file', True, 'published HRNet YAML; its width selects the backbone [MODEL.BACKBONE.NAME]'),
    ('train_data', True, f'{" or ".join(MIXTURES)} [DATA.MIXTURE, SMPLIFY.USE_FINAL_FIT]'),
    ('dp_itw', False, 'train on Human3.6M and DensePose-COCO [DATA.MIXTURE]'),
    ('use_coco', False, 'train on Human3.6M, COCO and the other in-the-wild sets [DATA.MIXTURE]'),
    ('no_3dhp', False, 'leave MPI-INF-3DHP out of the mixture [DATA.MIXTURE]'),
    ('use_hmr_hr', False, 'HRNet-W48 as the backbone [MODEL.BACKBONE.NAME]'),
    ('daloss_only', False, 'no effect, as in the published code'))


def network_overrides(given):
    """[KEY, VALUE, ...] of the flags about the network and the mixture. Raises BadConfig, MissingFile."""
    pairs = []
    if given.get('use_hmr_hr'):
        pairs += ['MODEL.BACKBONE.NAME', 'hrnet_w48']
    if 'hrnet_cfg_file' in given:
        pairs += ['MODEL.BACKBONE.NAME', hrnet_of_file(given['hrnet_cfg_file'])]
    name = given.get('train_data') or ('h36m_dp' if given.get('dp_itw') else '') or (
        'h36m_coco_itw' if given.get('use_coco') else '')
    if name and name not in MIXTURES:
        raise BadConfig(f'--train_data is {name!r}; use one of {", ".join(MIXTURES)}')
    if name:
        pairs += ['DATA.MIXTURE', MIXTURES[name]]
    if given.get('train_data') == 'h36m_coco_itw':  # the published trainer's targets for the in-the-wild sets
        pairs += ['SMPLIFY.USE_FINAL_FIT', True]
    if given.get('daloss_only'):
        log_once('--daloss_only has no effect, as in the published code')
    return pairs


def without_dataset(mixture, name):
    """The mixture ['a:0.3', 'b+c:0.7', ...] without a dataset and its parts ('NAME-s8'). The shares are not rescaled.
    """
    kept = []
    for item in mixture:
        names, colon, share = item.rpartition(':')
        members = [member for member in split_names(names) if member != name and not member.startswith(f'{name}-')]
        if members:
            kept.append(f'{"+".join(members)}{colon}{share}')
    return kept


def hrnet_of_file(path):
    """Backbone name, such as 'hrnet_w48', of a published HRNet config. Raises BadConfig, MissingFile."""
    if not Path(path).exists():
        raise MissingFile(f'{path}: no such file (--hrnet_cfg_file); MODEL.BACKBONE.NAME also selects the backbone')
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
        return f'hrnet_w{int(tree["HR_MODEL"]["EXTRA"]["STAGE2"]["NUM_CHANNELS"][0])}'
    except (yaml.YAMLError, OSError, KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError):
        raise BadConfig(f'{path}: not an HRNet config (expected HR_MODEL.EXTRA.STAGE2.NUM_CHANNELS)') from None
