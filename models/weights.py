"""Reads checkpoints: this project's, and those published by SPIN, PyMAF, DaNet, Multi-SPIN and mmhuman3d.

A published file is recognized by its entries' names, which are then translated to this project's by a table.
"""
import re
from dataclasses import dataclass, field

import torch

from utils.errors import BadFile, WrongBody
from utils.logging import get_logger
from utils.torch_io import load_torch

_HEAD = 'fc1|fc2|decpose|decshape|deccam'
_DANET = r'iuv2smpl\.smpl_para_Outs\.'
_BRANCH = {'body': 'global_branch', 'limb': 'limb_branch'}
_ASSETS = r'(init_pose|init_shape|init_cam|mean_params)$'


def _graph_layer(match):
    name = {'refine': f'refine.{match[2]}', 'r2p': 'to_position', 'p2r': 'to_rotation'}[match[1]]
    return f'limb_branch.{name}.'


# By source: (pattern, name here). None: known, and not needed here (body models, constants from the assets, ...).
_TABLES = {
    'spin': [
        (rf'({_HEAD})\.', r'head.\1.'), (r'(conv1|bn1|layer\d)\.', r'backbone.\1.'),
        (r'fc\.', None), (_ASSETS, None), (r'smpl\.', None)],
    'mmhuman3d': [
        (rf'head\.({_HEAD})\.', r'head.\1.'), (r'backbone\.(conv1|bn1|layer\d)\.', r'backbone.\1.'),
        (r'backbone\.fc\.', None), (r'head\.' + _ASSETS, None),
        (r'(body_model\w*|smpl\w*|disc\w*|discriminator\w*|registrant|neck|convention\w*)\.', None)],
    'pymaf': [
        (r'feature_extractor\.(conv1|bn1|layer\d)\.', r'backbone.\1.'),
        (r'feature_extractor\.', None),
        (r'deconv_layers\.(\d+)\.', lambda m: f'deconv.{int(m[1]) // 3}.{int(m[1]) % 3}.'),
        (r'maf_extractor\.(\d+)\.conv(\d+)\.', r'point_features.\1.layers.\2.'),
        (r'maf_extractor\.\d+\.Dmap$', None), (r'points_grid$', None),
        (rf'regressor\.(\d+)\.({_HEAD})\.', r'heads.\1.\2.'),
        (r'regressor\.\d+\.' + _ASSETS, None), (r'regressor\.\d+\.smpl\.', None),
        (r'dp_head\.', 'iuv_head.')],
    'danet': [
        (r'img2iuv\.learned_(ratio|offset)$', r'estimator.crops.\1'),
        (r'img2iuv\.iuv_est\.deconv_layers\.(\d+)\.', lambda m: f'estimator.deconv.{int(m[1]) // 3}.{int(m[1]) % 3}.'),
        (r'img2iuv\.iuv_est\.final_pred\.predict_hm\.0\.', 'estimator.joint_head.blocks.'),
        (r'img2iuv\.iuv_est\.final_pred\.predict_hm\.1\.', 'estimator.joint_head.predict.'),
        (r'img2iuv\.iuv_est\.final_pred\.predict_partial_iuv\.', 'estimator.part_head.'),
        (r'img2iuv\.iuv_est\.final_pred\.', 'estimator.global_head.'),
        (r'img2iuv\.iuv_est\.', 'backbone.'), (r'iuv2smpl\.smpl\.', None),
        # Layers of the published network that its graph refinement does not run through, and constants.
        (_DANET + r'(rot2pos|pos2rot)\.', None), (_DANET + r'(mean_\w+|I_n|A_link|A|A_mask|r2p_A|p2r_A)$', None),
        (_DANET + r'(body|limb)_net\.([01])\.', lambda m: f'{_BRANCH[m[1]]}.encoder.reduce.{m[2]}.'),
        (_DANET + r'(body|limb)_net\.3\.layer(\d)\.',
         lambda m: f'{_BRANCH[m[1]]}.encoder.layers.{int(m[2]) - 1}.'),
        (_DANET + r'body_net\.3\.final_layer\.', 'global_branch.predict.'),
        (_DANET + r'(body|limb)_net\.3\.', lambda m: f'{_BRANCH[m[1]]}.encoder.'),
        (_DANET + r'limb_reslayer\.layer4\.', 'limb_branch.joint_layer.'),
        (_DANET + r'edge_importance$', 'limb_branch.refine_graph.edge_weight'),
        (_DANET + r'(refine|r2p|p2r)_gcn\.gc\.(\d)\.', _graph_layer),
        (_DANET + r'(refine|r2p|p2r)_gcn\.act\.(\d)\.0\.', lambda m: _graph_layer(m) + 'norm.'),
        (_DANET + r'pose_regressors\.(\d)\.1\.', r'limb_branch.rotation_heads.\1.linear.'),
        (_DANET + r'coord_regressors\.(\d)\.1\.', r'limb_branch.position_heads.\1.linear.')],
    'multi_spin': [
        (r'resnet\.fc\.', None), (r'(resnet|encoder)\.', 'backbone.'), (r'(mlp|conv1d)\.', 'fusion.layers.'),
        (rf'regressor\.({_HEAD})\.', r'head.\1.'), (r'regressor\.' + _ASSETS, None), (r'smpl\.', None)],
}
# The first pattern that some entry's name begins with decides the source.
_MARKS = [('danet', r'img2iuv\.|iuv2smpl\.'), ('pymaf', r'maf_extractor\.|feature_extractor\.'),
          ('multi_spin', r'(resnet|encoder)\..*'), ('mmhuman3d', r'head\.fc1\.'), ('spin', r'fc1\.')]
_REGRESSOR_OF = {'spin': 'hmr', 'mmhuman3d': 'hmr', 'pymaf': 'pymaf_net', 'danet': 'danet',
                 'multi_spin': 'multi_spin'}

# How the published code of a source cuts its pictures for evaluation: DATA.LEGACY_CROP_RESIZE. '': subpixel, as here.
_CROPS = {'spin': 'imresize_bilinear', 'danet': 'imresize_bilinear', 'pymaf': 'pil_bicubic',
          'multi_spin': 'skimage_bilinear', 'mmhuman3d': ''}


@dataclass
class WeightsReport:
    """How a checkpoint was read. source: 'native', 'spin', 'pymaf', 'danet', 'multi_spin' or 'mmhuman3d'.

    missing: names of the network that the file lacks; unexpected: names of the file that the network lacks;
    ignored: names of the file that are known not to be needed (body models, constants from the assets).
    """
    source: str
    missing: list = field(default_factory=list)
    unexpected: list = field(default_factory=list)
    ignored: list = field(default_factory=list)


def load_weights(module, path_or_state_dict):
    """Load a checkpoint into a regressor -> WeightsReport.

    Raises BadFile for a file of another architecture (naming which) or with entries of another shape, and WrongBody
    where the file belongs to another body than the module's.
    """
    content, name = path_or_state_dict, 'checkpoint'
    if not isinstance(content, dict):
        content, name = load_torch(path_or_state_dict), str(path_or_state_dict)
    check_checkpoint_body(content, module.body, name)
    state = _state_dict(content, name)
    source = _source(state, module, content, name)
    _check_architecture(module, content, source, name)
    if source != 'native' and module.body.origin == 'free':
        raise WrongBody(f'{name}: published weights (of {source}) belong to the licensed SMPL body, but the free body '
                        'is in use; set PATHS.DATA_DIR to a folder with SMPL')
    if source == 'multi_spin':
        _check_variant(module, state, name)
    state, ignored = _translate(state, source)
    _check_shapes(module, state, name)
    result = module.load_state_dict(state, strict=False)
    report = WeightsReport(source, list(result.missing_keys), list(result.unexpected_keys), ignored)
    if len(report.missing) == len(module.state_dict()):
        raise BadFile(f'{name}: holds none of the weights of {type(module).__name__}')
    return report


def checkpoint_regressor(path):
    """(regressor name, config YAML text or None) that a checkpoint file was made with."""
    content = load_torch(path)
    if isinstance(content, dict) and 'config' in content and 'regressor' in content:
        if not (isinstance(content['config'], str) and isinstance(content['regressor'], str)):
            raise BadFile(f'{path}: not a checkpoint: its config and regressor are no text')
        return content['regressor'], content['config']
    source = _published_source(_state_dict(content, path))
    if source is None:
        raise BadFile(f'{path}: not a checkpoint of a known regressor')
    return _REGRESSOR_OF[source], None


def published_config(path):
    """{config key: value} of a published checkpoint: the crop it was measured on, and where its network differs from
    its regressor's config."""
    state = _state_dict(load_torch(path), path)
    source = _published_source(state)
    crop = _CROPS.get(source, '')
    config = {'DATA.LEGACY_CROP_EVAL': bool(crop), **({'DATA.LEGACY_CROP_RESIZE': crop} if crop else {})}
    return config | (multi_spin_variant(state) if source == 'multi_spin' else {})


def check_checkpoint_body(content, body, name):
    """Raise WrongBody where a checkpoint's body digest is not that of `body`."""
    digest = content.get('body_digest') if isinstance(content, dict) else None
    if digest and digest != body.digest:
        raise WrongBody(f'{name}: made with another body model ({digest}, in use: {body.digest} from {body.file})')


def log_report(report, name):
    """Log one line about how a checkpoint was read; warn where the network was not filled."""
    log = get_logger()
    log.info(f'{name}: read as {report.source}, {len(report.ignored)} entries not needed')
    for what, names in (('missing', report.missing), ('unexpected', report.unexpected)):
        if names:
            log.warning(f'{name}: {len(names)} {what}: {", ".join(names[:4])}{", ..." if len(names) > 4 else ""}')


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


def _published_source(state):
    for source, mark in _MARKS:
        if any(re.match(mark, key) for key in state):
            return source
    return None


def _source(state, module, content, name):
    if 'regressor' in content and 'config' in content:
        return 'native'
    own = module.state_dict()
    # mmhuman3d's names are nearly this project's: only entries of its own tell them apart.
    foreign = any(re.match(r'head\.init_|body_model|disc', key) for key in state)
    if not foreign and sum(key in own for key in state) > len(state) // 2 and 'state_dict' not in content:
        return 'native'
    source = _published_source(state)
    if source is None:
        raise BadFile(f'{name}: not a checkpoint of a known regressor (its first entry is {next(iter(state))!r})')
    return source


def _check_architecture(module, content, source, name):
    if source == 'native':
        fits, made_by = content.get('regressor_class', type(module).__name__), content.get('regressor')
        if fits != type(module).__name__:
            raise BadFile(f'{name}: a checkpoint of {made_by}, not of {type(module).__name__}; '
                          f'use --regressor {made_by}')
        return
    if _REGRESSOR_OF[source] != _REGRESSOR_OF.get(module.published_source):
        raise BadFile(f'{name}: a checkpoint of {source}, not of {type(module).__name__}; '
                      f'use --regressor {_REGRESSOR_OF[source]}')


def multi_spin_variant(state):
    """{config key: value} of the network that a published Multi-SPIN state dict belongs to."""
    fusion = next((name for name in ('mlp', 'conv1d') if any(key.startswith(name + '.') for key in state)), 'avg')
    backbone = 'convnext_tiny' if any(key.startswith('encoder.') for key in state) else 'resnet50'
    return {'MULTIVIEW.FUSION': fusion, 'MODEL.BACKBONE.NAME': backbone}


def _check_variant(module, state, name):
    """Raise BadFile where a published Multi-SPIN file is of another variant than the network."""
    wanted = multi_spin_variant(state)
    if wanted != module.variant:
        raise BadFile(f'{name}: a Multi-SPIN of another variant than the network; use --misc '
                      + ' '.join(f'{key} {value}' for key, value in wanted.items()))


def _translate(state, source):
    """(state under this project's names, names left out)."""
    if source == 'native':
        return state, []
    translated, ignored = {}, []
    for key, value in state.items():
        name = _translated(key, _TABLES[source])
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
            raise BadFile(f'{name}: {key} has shape {list(state[key].shape)}, the network needs {list(value.shape)}; '
                          'is MODEL.BACKBONE.NAME, or another key of the network, not the checkpoint\'s?')
