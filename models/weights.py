"""Loads checkpoints of this project and published ones (models/published_families.py).

A published file is recognized by its entries' names, which a table translates to this project's names.
"""
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch

from models.published_families import FAMILIES, family_of, variant_of
from utils.addresses import local_file
from utils.errors import BadFile, WrongBody
from utils.logging import get_logger
from utils.torch_io import load_torch

_kept = {}  # {version of a file: its content}; at most one file


class WrongShape(BadFile):
    """Entries of a checkpoint have other shapes than those of the network."""


@dataclass
class WeightsReport:
    """How a checkpoint was loaded. source: 'native', or the key of a family in FAMILIES.

    missing: names of the network that the file lacks; unexpected: names of the file that the network lacks;
    ignored: names of the file that are known to be unnecessary (body models, constants from the assets).
    """
    source: str
    missing: list = field(default_factory=list)
    unexpected: list = field(default_factory=list)
    ignored: list = field(default_factory=list)


def load_weights(module, path_or_state_dict):
    """Load a checkpoint into a regressor. Returns a WeightsReport.

    Raises BadFile for a file of another architecture (it names which) or with entries of other shapes, and WrongBody
    for a file of another body than the module's.
    """
    content, name = path_or_state_dict, 'checkpoint'
    if not isinstance(content, dict):
        content, name = _read(path_or_state_dict), str(path_or_state_dict)
    check_checkpoint_body(content, module.body, name)
    state = _state_dict(content, name)
    source = _source(state, module, content, name)
    _check_architecture(module, content, source, name)
    if source != 'native' and module.body.origin == 'free':
        raise WrongBody(f'{name}: published weights (of {FAMILIES[source].title}) belong to the licensed SMPL body, '
                        'but the free body is in use; set PATHS.DATA_DIR to a folder with SMPL')
    if source == 'multi_spin':
        _check_variant(module, state, name)
    state, ignored = _translate(state, source)
    _check_shapes(module, state, name)
    result = module.load_state_dict(state, strict=False)
    report = WeightsReport(source, list(result.missing_keys), list(result.unexpected_keys), ignored)
    if len(report.missing) == len(module.state_dict()):
        raise BadFile(f'{name}: holds none of the weights of {type(module).__name__}')
    return report


def checkpoint_regressor(path, keep=False):
    """(regressor name, config YAML text or None) with which a checkpoint was made.

    keep: hold the content in memory for the next function here that reads this file, so that a file of gigabytes is
    read once. `load_weights` releases it.
    """
    content = _read(path, keep)
    if isinstance(content, dict) and 'config' in content and 'regressor' in content:
        if not (isinstance(content['config'], str) and isinstance(content['regressor'], str)):
            raise BadFile(f'{path}: not a checkpoint: its config and regressor are not text')
        return content['regressor'], content['config']
    return _published_family(_state_dict(content, path), path).regressor, None


def published_config(path, keep=False):
    """{config key: value} of a published checkpoint: its evaluation crop, that it estimates in the picture's camera,
    and where its network differs from the regressor's config. keep: as in `checkpoint_regressor`."""
    state = _state_dict(_read(path, keep), path)
    source = family_of(state)
    crop = FAMILIES[source].crop if source else ''
    config = {'MODEL.CAMERA': 'picture', 'DATA.LEGACY_CROP_EVAL': bool(crop),
              **({'DATA.LEGACY_CROP_RESIZE': crop} if crop else {})}
    return config | variant_of(source, state)


def check_checkpoint_body(content, body, name):
    """Raise WrongBody where a checkpoint's body digest is not that of `body`."""
    digest = content.get('body_digest') if isinstance(content, dict) else None
    if digest and digest != body.digest:
        raise WrongBody(f'{name}: made with another body model ({digest}, in use: {body.digest} from {body.file})')


def log_report(report, name):
    """Log one line about how a checkpoint was loaded, and warnings where entries do not match."""
    log = get_logger()
    log.info(f'{name}: read as {report.source}, {len(report.ignored)} entries not needed')
    for what, names in (('missing', report.missing), ('unexpected', report.unexpected)):
        if names:
            log.warning(f'{name}: {len(names)} {what}: {", ".join(names[:4])}{", ..." if len(names) > 4 else ""}')


def _read(path, keep=False):
    """The content of a file or address, from memory where it was kept and the file has not changed. Raises what
    load_torch and local_file raise."""
    path = local_file(path)
    version = _version(path)
    content = _kept.pop(version, None)
    _kept.clear()
    if content is None:
        content = load_torch(path)
    if keep:
        _kept[version] = content
    return content


def _version(path):
    try:
        state = Path(path).stat()
    except OSError:
        return None
    return str(Path(path).resolve()), state.st_mtime_ns, state.st_size


def _state_dict(content, name):
    """The {name: tensor} part of a checkpoint, without the prefix of wrapped modules."""
    if isinstance(content, dict):
        for key in ('model', 'state_dict'):
            if isinstance(content.get(key), dict):
                content = content[key]
                break
    if not isinstance(content, dict) or not any(isinstance(v, torch.Tensor) for v in content.values()):
        raise BadFile(f'{name}: holds no network weights')
    return {str(key).removeprefix('module.'): value for key, value in content.items()
            if isinstance(value, torch.Tensor)}


def _published_family(state, name):
    """The Family of a published state dict. Raises BadFile for an unknown family or one that no regressor loads."""
    source = family_of(state)
    if source is None:
        raise BadFile(f'{name}: not a checkpoint of a known regressor (its first entry is {next(iter(state))!r})')
    if not FAMILIES[source].regressor:
        read = ', '.join(family.title for family in FAMILIES.values() if family.regressor)
        raise BadFile(f'{name}: a checkpoint of {FAMILIES[source].title}, which this version does not read; it reads '
                      f'its own and those of {read}')
    return FAMILIES[source]


def _source(state, module, content, name):
    if 'regressor' in content and 'config' in content:
        return 'native'
    own = module.state_dict()
    # mmhuman3d's names are nearly this project's. Only entries that this project does not have tell them apart.
    foreign = any(re.match(r'head\.init_|body_model|disc', key) for key in state)
    if not foreign and sum(key in own for key in state) > len(state) // 2 and 'state_dict' not in content:
        return 'native'
    _published_family(state, name)
    return family_of(state)


def _check_architecture(module, content, source, name):
    if source == 'native':
        fits, made_by = content.get('regressor_class', type(module).__name__), content.get('regressor')
        if fits != type(module).__name__:
            raise BadFile(f'{name}: a checkpoint of {made_by}, not of {type(module).__name__}; '
                          f'use --regressor {made_by}, or give a checkpoint of {type(module).__name__}')
        return
    family, own = FAMILIES[source], FAMILIES.get(module.published_source)
    if own is None or family.regressor != own.regressor:
        raise BadFile(f'{name}: a checkpoint of {family.title}, not of {type(module).__name__}; '
                      f'use --regressor {family.regressor}')


def _check_variant(module, state, name):
    """Raise BadFile where a published Multi-SPIN file is of another variant than the network."""
    wanted = variant_of('multi_spin', state)
    if wanted != module.variant:
        raise BadFile(f'{name}: another variant of Multi-SPIN than the network; use --misc '
                      + ' '.join(f'{key} {value}' for key, value in wanted.items()))


def _translate(state, source):
    """(state dict with this project's names, dropped names)."""
    if source == 'native':
        return state, []
    translated, ignored = {}, []
    for key, value in state.items():
        name = _translated(key, FAMILIES[source].table)
        if name is None:
            ignored.append(key)
        else:
            translated[name] = value
    return translated, ignored


def _translated(key, table):
    for pattern, replacement in table:
        if re.match(pattern, key):
            return None if replacement is None else re.sub('^' + pattern, replacement, key, count=1)
    return key


def _check_shapes(module, state, name):
    for key, value in module.state_dict().items():
        if key in state and state[key].shape != value.shape:
            raise WrongShape(f'{name}: {key} has shape {list(state[key].shape)}, the network needs '
                             f'{list(value.shape)}; set MODEL.BACKBONE.NAME and the other keys of the network as in '
                             'its config')
