"""Families of published checkpoints: how to recognize them and how to translate the names of their entries."""
import re
from dataclasses import dataclass

_HEAD = 'fc1|fc2|decpose|decshape|deccam'
_DANET = r'iuv2smpl\.smpl_para_Outs\.'
_BRANCH = {'body': 'global_branch', 'limb': 'limb_branch'}
_DECODER = r'smpl_head\.transformer\.transformer\.layers\.(\d+)\.'
_ASSETS = r'(init_pose|init_shape|init_cam|mean_params)$'
_MMHUMAN3D_TRAINING = r'(body_model\w*|smpl\w*|disc\w*|discriminator\w*|registrant|neck|convention\w*)\.'

# mmhuman3d's CLIFF reads 192 columns, which show the square box. bbox_info describes that box, not the crop.
_MMHUMAN3D_BOX = {'DATA.BOX_ASPECT': 1.0, 'DATA.BOX_MARGIN': 256 / 192, 'DATA.BOX_SHARE': 192 / 256}


def _graph_layer(match):
    name = {'refine': f'refine.{match[2]}', 'r2p': 'to_position', 'p2r': 'to_rotation'}[match[1]]
    return f'limb_branch.{name}.'


@dataclass(frozen=True)
class Family:
    """Checkpoints that were published with one code base.

    title: its name in messages. marks: patterns; each must match the beginning of some entry's name. regressor: name
    of the network of this project that loads them; '': none. table: (pattern, new name) in order; a new name of None
    drops the entry (body models, constants from the assets); an entry that matches no pattern keeps its name. crop:
    how the published code crops pictures for evaluation (DATA.LEGACY_CROP_RESIZE); '': subpixel, as this project.
    """
    title: str
    marks: tuple
    regressor: str = ''
    table: tuple = ()
    crop: str = ''


# By WeightsReport.source. The first family whose marks all match is taken.
FAMILIES = {
    'danet': Family('DaNet', (r'img2iuv\.|iuv2smpl\.',), 'danet', (
        (r'img2iuv\.learned_(ratio|offset)$', r'estimator.crops.\1'),
        (r'img2iuv\.iuv_est\.deconv_layers\.(\d+)\.', lambda m: f'estimator.deconv.{int(m[1]) // 3}.{int(m[1]) % 3}.'),
        (r'img2iuv\.iuv_est\.final_pred\.predict_hm\.0\.', 'estimator.joint_head.blocks.'),
        (r'img2iuv\.iuv_est\.final_pred\.predict_hm\.1\.', 'estimator.joint_head.predict.'),
        (r'img2iuv\.iuv_est\.final_pred\.predict_partial_iuv\.', 'estimator.part_head.'),
        (r'img2iuv\.iuv_est\.final_pred\.', 'estimator.global_head.'),
        (r'img2iuv\.iuv_est\.', 'backbone.'), (r'iuv2smpl\.smpl\.', None),
        # Constants, and layers of the published network that its graph refinement does not use.
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
        (_DANET + r'coord_regressors\.(\d)\.1\.', r'limb_branch.position_heads.\1.linear.')), crop='imresize_bilinear'),
    'hmr2': Family('HMR 2.0 (4D-Humans)', (r'smpl_head\.transformer\.',), 'hmr2', (
        (r'smpl_head\.init_body_pose$', 'mean.pose'), (r'smpl_head\.init_betas$', 'mean.shape'),
        (r'smpl_head\.init_cam$', 'mean.cam'), (r'smpl_head\.(decpose|decshape|deccam)\.', r'\1.'),
        (r'smpl_head\.transformer\.pos_embedding$', 'decoder.position'),
        (r'smpl_head\.transformer\.to_token_embedding\.', 'decoder.embedding.'),
        (_DECODER + r'(\d)\.norm\.', lambda m: f'decoder.layers.{m[1]}.norm{int(m[2]) + 1}.'),
        (_DECODER + r'0\.fn\.to_qkv\.', r'decoder.layers.\1.self_attention.qkv.'),
        (_DECODER + r'0\.fn\.to_out\.0\.', r'decoder.layers.\1.self_attention.proj.'),
        (_DECODER + r'1\.fn\.to_(kv|q)\.', r'decoder.layers.\1.cross_attention.\2.'),
        (_DECODER + r'1\.fn\.to_out\.0\.', r'decoder.layers.\1.cross_attention.proj.'),
        (_DECODER + r'2\.fn\.net\.(\d)\.', lambda m: f'decoder.layers.{m[1]}.mlp.fc{1 if m[2] == "0" else 2}.'),
        (r'(smpl|discriminator)\.', None), (r'initialized$', None)), crop='cv2_bilinear'),
    'pymaf': Family('PyMAF', (r'maf_extractor\.|feature_extractor\.',), 'pymaf_net', (
        (r'feature_extractor\.(conv1|bn1|layer\d)\.', r'backbone.\1.'),
        (r'feature_extractor\.', None),
        (r'deconv_layers\.(\d+)\.', lambda m: f'deconv.{int(m[1]) // 3}.{int(m[1]) % 3}.'),
        (r'maf_extractor\.(\d+)\.conv(\d+)\.', r'point_features.\1.layers.\2.'),
        (r'maf_extractor\.\d+\.Dmap$', None), (r'points_grid$', None),
        (rf'regressor\.(\d+)\.({_HEAD})\.', r'heads.\1.\2.'),
        (r'regressor\.\d+\.' + _ASSETS, None), (r'regressor\.\d+\.smpl\.', None),
        (r'dp_head\.', 'iuv_head.')), crop='pil_bicubic'),
    'cliff': Family('CLIFF', (r'encoder\.', r'fc1\.', r'deccam\.'), 'cliff', (
        (r'backbone\.fc\.', None), (r'(encoder|backbone)\.', 'backbone.'), (rf'(head\.)?({_HEAD})\.', r'head.\2.'),
        (r'(head\.)?' + _ASSETS, None), (_MMHUMAN3D_TRAINING, None))),
    'multi_spin': Family('Multi-SPIN', (r'resnet\.|encoder\.(features|classifier)\.', r'regressor\.'), 'multi_spin', (
        (r'resnet\.fc\.', None), (r'(resnet|encoder)\.', 'backbone.'), (r'(mlp|conv1d)\.', 'fusion.layers.'),
        (rf'regressor\.({_HEAD})\.', r'head.\1.'), (r'regressor\.' + _ASSETS, None), (r'smpl\.', None)),
                         crop='skimage_bilinear'),
    'mmhuman3d': Family("mmhuman3d's SPIN and HMR", (r'backbone\.', r'head\.fc1\.'), 'hmr', (
        (rf'head\.({_HEAD})\.', r'head.\1.'), (r'backbone\.(conv1|bn1|layer\d)\.', r'backbone.\1.'),
        (r'backbone\.fc\.', None), (r'head\.' + _ASSETS, None), (_MMHUMAN3D_TRAINING, None))),
    'spin': Family('SPIN', (r'conv1\.|bn1\.', r'fc1\.'), 'hmr', (
        (rf'({_HEAD})\.', r'head.\1.'), (r'(conv1|bn1|layer\d)\.', r'backbone.\1.'),
        (r'fc\.', None), (_ASSETS, None), (r'smpl\.', None)), crop='imresize_bilinear'),
}


def family_of(state):
    """The key in FAMILIES of a state dict or of its entries' names, or None for an unknown family."""
    for source, family in FAMILIES.items():
        if all(any(re.match(mark, name) for name in state) for mark in family.marks):
            return 'cliff' if source == 'mmhuman3d' and _reads_a_box(state) else source
    return None


def _reads_a_box(state):
    """Whether a head with HMR's names is CLIFF's. fc1 reads the features, whose number is divisible by 8, and 157
    more numbers in HMR or 160 in CLIFF."""
    width = getattr(state.get('head.fc1.weight'), 'shape', ()) if isinstance(state, dict) else ()
    return len(width) == 2 and (width[1] - 157) % 8 == 3


def variant_of(source, state):
    """{config key: value} of the network of a published state dict, for families with several variants."""
    if source == 'multi_spin':
        fusion = next((name for name in ('mlp', 'conv1d') if any(key.startswith(name + '.') for key in state)), 'avg')
        convnext = any(key.startswith('encoder.') for key in state)
        return {'MULTIVIEW.FUSION': fusion, 'MODEL.BACKBONE.NAME': 'convnext_tiny' if convnext else 'resnet50'}
    if source == 'cliff':
        hrnet = any(re.match(r'(encoder|backbone)\.stage4\.', key) for key in state)
        mmhuman3d = any(key.startswith('head.fc1.') for key in state)
        name = 'hrnet_w48_cls' if hrnet else 'resnet50'
        return {'MODEL.BACKBONE.NAME': name, **(_MMHUMAN3D_BOX if mmhuman3d else {})}
    return {}
