"""The free body for the renderer: shape, pose and joints of one person at a time, as numpy arrays.

`models.body` evaluates batches on a training device. This one is for worker processes: one body takes about half a
millisecond on one core. Both sit on utils/skinning.py.
"""
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse
import torch
from scipy.spatial.transform import Rotation

from utils.assets import body_digest
from utils.errors import BadFile
from utils.keypoints import BODY54_TO_J49, SMPL_PARENTS
from utils.landmarks import landmark_matrix
from utils.safe_io import load_json, load_npz
from utils.skinning import KinematicTree, skin

# Distance in metres from the template's lowest and highest points that contains those of every shape.
_END = 0.05
_NEEDED = ('v_template', 'f', 'shapedirs', 'posedirs', 'J_regressor', 'weights')


@dataclass(frozen=True)
class PosedBody:
    """One person: vertices [V,3], SMPL's joints [24,3] and the 49 joints [49,3] in metres; rotations [24,3,3];
    transforms [24,12] of the joints, rows of [3,4]."""
    vertices: np.ndarray
    smpl_joints: np.ndarray
    joints: np.ndarray
    rotations: np.ndarray
    transforms: np.ndarray


class FreeBody:
    """A body file of an asset folder. assets: utils.assets.Assets; gender: 'neutral', 'male' or 'female'.

    Raises MissingFile, BadFile.
    """

    def __init__(self, assets, gender='neutral'):
        file = assets.body_file(gender)
        if file.suffix != '.npz':
            raise BadFile(f'{file}: the training images are rendered from the free body alone (data/free)')
        arrays = load_npz(file, _NEEDED)
        missing = [key for key in _NEEDED if key not in arrays]
        if missing:
            raise BadFile(f'{file}: no key {missing[0]!r}; not an SMPL body model')
        self.template = np.ascontiguousarray(arrays['v_template'], np.float32)
        self.faces = np.ascontiguousarray(arrays['f'], np.int32)
        count = len(self.template)
        self._shapedirs = np.ascontiguousarray(arrays['shapedirs'][..., :10].reshape(3 * count, 10), np.float32)
        self._tree = KinematicTree(SMPL_PARENTS).double()
        # Landmarks follow the skin, not the clothes on it: their vertices come again behind those of the mesh.
        landmarks = landmark_matrix(assets, True, count)
        used = np.unique(landmarks.indices)
        self._landmarks, self._landmark_rows = landmarks[:, used], used
        self._weights = torch.from_numpy(np.asarray(arrays['weights'], np.float32)[np.r_[:count, used]])
        # Without pose blend shapes, half of the work is saved.
        posedirs = np.asarray(arrays['posedirs'], np.float32).reshape(3 * count, 207)
        self._posedirs = posedirs if posedirs.any() else None
        regressor = np.asarray(arrays['J_regressor'], np.float64)
        self.joint_template = regressor @ self.template
        self._joint_shapedirs = np.einsum('jv,vck->jck', regressor, arrays['shapedirs'][..., :10])
        self.vertex_ids = load_json(assets.file('vertex_ids.json'))
        self.digest = body_digest(self.template, self.faces, arrays['shapedirs'])

    def girth(self, betas):
        """Thickness of the body for its height, relative to the template. betas [10]."""
        return self._stoutness(np.asarray(betas)) / self._mean_stoutness

    @cached_property
    def _mean_stoutness(self):
        return self._stoutness(np.zeros(10))

    def _stoutness(self, betas):
        """Radius over height of the cylinder with the body's volume and height."""
        one_and_betas = np.concatenate([[1.0], betas])
        volume = self._volume_form @ one_and_betas @ one_and_betas @ one_and_betas
        base, directions = self._ends
        return np.sqrt(volume / np.ptp(base + directions @ betas) ** 3)

    @cached_property
    def _volume_form(self):
        """[11,11,11]: the volume as a cubic form of 1 and the betas (it is cubic in the vertices)."""
        basis = np.concatenate([self.template[None], self._shapedirs.T.reshape(10, -1, 3)]).astype(np.float64)
        a, b, c = (basis[:, self.faces[:, corner]] for corner in range(3))
        form = np.zeros((11, 11, 11))
        for first in range(11):
            for second in range(11):
                form[first, second] = np.cross(a[first], b[second]).ravel() @ c.reshape(11, -1).T / 6
        return form

    @cached_property
    def _ends(self):
        """Heights of the vertices at the top of the head and the soles: template [K] and directions [K,10]."""
        height = self.template[:, 1]
        ends = (height > height.max() - _END) | (height < height.min() + _END)
        return height[ends].astype(np.float64), self._shapedirs.reshape(-1, 3, 10)[ends, 1].astype(np.float64)

    def pose(self, betas, pose, offsets=None):
        """Pose the body: betas [10], pose [72] axis-angle -> PosedBody with the pelvis at SMPL's position.

        offsets: [V,3] metres, added to the rest vertices for clothes. They do not move the joints.
        """
        return self.pose_each([betas], [pose], [offsets])[0]

    def pose_each(self, betas, poses, offsets):
        """`pose` several people: sequences of its arguments, one entry a person -> [PosedBody]."""
        rotations = Rotation.from_rotvec(np.reshape(poses, (-1, 3))).as_matrix().reshape(-1, 24, 3, 3)
        rest_joints = np.stack([self.joint_template + self._joint_shapedirs @ shape for shape in betas])
        with torch.inference_mode():
            joints, transforms = self._tree.rest_to_posed(torch.from_numpy(rotations), torch.from_numpy(rest_joints))
            transforms = transforms.float()
            # One after the other: a person's points and the weights fit into a core's cache.
            points = [skin(torch.from_numpy(self._rest(*person))[None], self._weights, moved[None])[0].numpy()
                      for *person, moved in zip(betas, rotations, offsets, transforms)]
        return [self._posed(*person) for person in zip(points, joints.numpy(), rotations, transforms.numpy())]

    def _rest(self, betas, rotations, offsets):
        """Vertices and landmarks in the rest pose, with blend shapes and clothes."""
        count = len(self.template)
        rest = self._shapedirs @ np.asarray(betas, np.float32)
        if self._posedirs is not None:
            rest += self._posedirs @ (rotations[1:] - np.eye(3)).reshape(207).astype(np.float32)
        rest = self.template + rest.reshape(count, 3)
        rest = np.concatenate([rest, rest[self._landmark_rows]])
        if offsets is not None:
            rest[:count] += offsets
        return rest

    def _posed(self, points, joints, rotations, transforms):
        count = len(self.template)
        joints49 = np.concatenate([joints, self._landmarks @ points[count:]])[BODY54_TO_J49]
        return PosedBody(points[:count], joints, joints49, rotations, transforms)

    @cached_property
    def dominant_joints(self):
        """The joint [V] with the largest weight of each vertex."""
        return self._weights[:len(self.template)].argmax(1).numpy()

    @cached_property
    def _face_to_vertex(self):
        """[V, F] that sums the normals of the faces around each vertex."""
        count = len(self.faces)
        return scipy.sparse.csr_matrix((np.ones(3 * count, np.float32),
                                        (self.faces.T.ravel(), np.tile(np.arange(count), 3))),
                                       shape=(len(self.template), count))

    def normals(self, vertices):
        """Outward unit normals [V,3] of vertices [V,3], weighted by the areas of the faces."""
        a, b, c = (vertices[self.faces[:, i]] for i in range(3))
        normals = self._face_to_vertex @ _cross(b - a, c - a)
        return normals / np.maximum(np.sqrt(np.einsum('va,va->v', normals, normals)), 1e-12)[:, None]


def _cross(a, b):
    """np.cross without its overhead, which dominates for arrays of this size."""
    return np.stack([a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1], a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
                     a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]], 1)
