"""Animated bodies as binary glTF 2.0 (`.glb`): one skinned mesh per person, joint rotations over time, y up, metres.

The format follows the Khronos specification "glTF 2.0", sections 3.6 (buffers), 3.7.3 (skins), 3.11 (animations) and
4.4 (GLB). A skin has no pose-corrective shapes; docs/demo_formats.md gives the resulting error.
"""
import json
import struct
from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from utils.export.tracks import CAMERA_TO_Y_UP, mean_betas, posed, rest_body, turned_root
from utils.keypoints import SMPL_JOINTS
from utils.logging import get_logger
from utils.rendering import person_color, vertex_normals
from utils.safe_io import atomic_write

_FLOAT, _UINT8, _UINT16, _UINT32 = 5126, 5121, 5123, 5125
_COMPONENTS = {np.dtype('float32'): _FLOAT, np.dtype('uint8'): _UINT8, np.dtype('uint16'): _UINT16,
               np.dtype('uint32'): _UINT32}
_TYPES = {(): 'SCALAR', (3,): 'VEC3', (4,): 'VEC4', (16,): 'MAT4'}
_VERTEX_DATA, _INDICES = 34962, 34963
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
_INFLUENCES = 4
_NEAR, _FAR_FACTOR = 0.01, 4
_SAMPLED_FRAMES = 16
# Millimetres. Smaller errors are rounding.
_NOTABLE = 0.05


def save_glb(path, recording, body):
    """Write all people and the recording's camera into one file with one animation, so that people move in sync."""
    document = _Document()
    for person in recording.people:
        _add_person(document, recording, person, body)
        _say_what_is_lost(person, body)
    _add_camera(document, recording)
    content, binary = document.finished()
    with atomic_write(path) as stream:
        _write_glb(stream, content, binary)


class _Document:
    """A glTF tree and its binary buffer under construction."""

    def __init__(self):
        self.lists = {name: [] for name in ('nodes', 'meshes', 'skins', 'materials', 'cameras', 'accessors',
                                            'bufferViews')}
        self.scene, self.samplers, self.channels = [], [], []
        self.blocks, self.size = [], 0

    def add(self, kind, value):
        """Append to one of the tree's lists. Returns the index."""
        self.lists[kind].append(value)
        return len(self.lists[kind]) - 1

    def array(self, values, target=None, bounds=False):
        """Add [N] or [N,k] values to the buffer. Returns the accessor's index. bounds: for positions and times."""
        values = np.ascontiguousarray(values)
        view = {'buffer': 0, 'byteOffset': self.size, 'byteLength': values.nbytes}
        if target:
            view['target'] = target
        accessor = {'bufferView': self.add('bufferViews', view), 'componentType': _COMPONENTS[values.dtype],
                    'count': len(values), 'type': _TYPES[values.shape[1:]]}
        if bounds:
            flat = values.reshape(len(values), -1)
            accessor |= {'min': flat.min(0).tolist(), 'max': flat.max(0).tolist()}
        block = values.tobytes()
        block += bytes(-len(block) % 4)
        self.blocks.append(block)
        self.size += len(block)
        return self.add('accessors', accessor)

    def animate(self, node, path, times, values, interpolation='LINEAR'):
        """Add a channel to the animation. times: an accessor's index."""
        output = self.array(np.asarray(values, np.float32))
        self.samplers.append({'input': times, 'output': output, 'interpolation': interpolation})
        self.channels.append({'sampler': len(self.samplers) - 1, 'target': {'node': node, 'path': path}})

    def finished(self):
        """(tree, bytes of the buffer)."""
        tree = {'asset': {'version': '2.0', 'generator': 'human-mesh-recovery'}, 'scene': 0,
                'scenes': [{'nodes': self.scene}], 'buffers': [{'byteLength': self.size}],
                'animations': [{'name': 'motion', 'samplers': self.samplers, 'channels': self.channels}]}
        return tree | {name: values for name, values in self.lists.items() if values}, b''.join(self.blocks)


def _add_person(document, recording, person, body):
    betas = mean_betas(person)
    vertices, joints = rest_body(body, betas)
    name = f'person{person.person_id}'
    nodes = _add_skeleton(document, name, joints, body.parents)
    skin = document.add('skins', {
        'name': name, 'joints': nodes, 'skeleton': nodes[0],
        'inverseBindMatrices': document.array(_inverse_bind_matrices(joints))})
    mesh = _add_mesh(document, name, vertices, body, person.person_id)
    document.scene += [document.add('nodes', {'name': name, 'mesh': mesh, 'skin': skin}), nodes[0]]
    _add_motion(document, recording, person, nodes, root=joints[0])


def _add_skeleton(document, name, joints, parents):
    """Add one node per joint, in SMPL's order. Returns their indices."""
    first = len(document.lists['nodes'])
    for joint, parent in enumerate(parents):
        offset = joints[joint] - joints[parent] if joint else joints[0]
        node = {'name': f'{name}_{SMPL_JOINTS[joint]}', 'translation': offset.tolist()}
        children = [first + child for child, above in enumerate(parents) if above == joint]
        document.add('nodes', node | ({'children': children} if children else {}))
    return list(range(first, first + len(parents)))


def _inverse_bind_matrices(joints):
    """[24,16] float32, column-major: from the rest pose to each joint's frame. Rest rotations are the identity."""
    matrices = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
    matrices[:, 3, :3] = -joints
    return matrices.reshape(-1, 16)


def _add_mesh(document, name, vertices, body, number):
    faces = body.faces.cpu()
    normals = vertex_normals(torch.from_numpy(vertices)[None], faces)[0].numpy()
    # A vertex without a face has no normal, but validators require unit length.
    normals[np.linalg.norm(normals, axis=1) < 0.5] = (0, 1, 0)
    index, weights = skin_weights(body.mesh.weights.cpu().numpy())
    small = len(vertices) < np.iinfo(np.uint16).max
    material = document.add('materials', {'name': name, 'pbrMetallicRoughness': {
        'baseColorFactor': [*_linear(person_color(number)), 1.0], 'metallicFactor': 0.0, 'roughnessFactor': 0.7}})
    return document.add('meshes', {'name': name, 'primitives': [{
        'attributes': {
            'POSITION': document.array(vertices, _VERTEX_DATA, bounds=True),
            'NORMAL': document.array(normals.astype(np.float32), _VERTEX_DATA),
            'JOINTS_0': document.array(index.astype(np.uint8), _VERTEX_DATA),
            'WEIGHTS_0': document.array(weights, _VERTEX_DATA)},
        'indices': document.array(faces.numpy().ravel().astype(np.uint16 if small else np.uint32), _INDICES),
        'material': material}]})


def skin_weights(weights):
    """[V,24] -> the four largest weights of each vertex: joint [V,4] int64 and weight [V,4] float32 with sum 1."""
    index = np.argsort(-weights, axis=1, kind='stable')[:, :_INFLUENCES]
    strongest = np.take_along_axis(weights.astype(np.float64), index, axis=1)
    strongest /= strongest.sum(1, keepdims=True)
    return np.where(strongest > 0, index, 0), strongest.astype(np.float32)


def _add_motion(document, recording, person, nodes, root):
    times = document.array(recording.times[person.frames].astype(np.float32), bounds=True)
    matrices = Rotation.from_rotvec(person.pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    quaternions = joint_quaternions(turned_root(matrices))
    for joint, node in enumerate(nodes):
        document.animate(node, 'rotation', times, quaternions[:, joint])
    document.animate(nodes[0], 'translation', times, (person.translation + root) * CAMERA_TO_Y_UP)
    if len(person) < len(recording.times):
        _add_visibility(document, recording, person, nodes[0])


def joint_quaternions(matrices):
    """Rotations [T,J,3,3] -> unit quaternions [T,J,4] (x, y, z, w), each in the hemisphere of the previous one."""
    count, joints = matrices.shape[:2]
    quaternions = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat().reshape(count, joints, 4)
    flips = np.where((quaternions[1:] * quaternions[:-1]).sum(-1) < 0, -1.0, 1.0)
    quaternions[1:] *= np.cumprod(flips, axis=0)[..., None]
    return quaternions


def _add_visibility(document, recording, person, node):
    """Scale a person to zero in frames without them (section 3.5.3), because glTF has no visibility."""
    present = np.zeros(len(recording.times), bool)
    present[person.frames] = True
    changes = np.flatnonzero(np.diff(present, prepend=~present[:1]))
    times = document.array(recording.times[changes].astype(np.float32), bounds=True)
    scales = np.repeat(present[changes].astype(np.float32)[:, None], 3, axis=1)
    document.animate(node, 'scale', times, scales, 'STEP')


def _add_camera(document, recording):
    """Add the recording's camera: at the origin, looking along -z, like all cameras of glTF."""
    farthest = max(float(person.translation[:, 2].max()) for person in recording.people)
    camera = document.add('cameras', {'name': 'camera', 'type': 'perspective', 'perspective': {
        'yfov': 2 * float(np.arctan(recording.height / 2 / recording.focal_length)),
        'aspectRatio': recording.width / recording.height,
        'znear': _NEAR, 'zfar': max(_FAR_FACTOR * farthest, 1.0)}})
    document.scene.append(document.add('nodes', {'name': 'camera', 'camera': camera}))


def correctives_left_out(body, person):
    """Mean distance in millimetres between the body and its skin without correctives, over up to 16 frames."""
    rows = np.unique(np.linspace(0, len(person) - 1, _SAMPLED_FRAMES).astype(int))
    _, out = next(posed(body, mean_betas(person), person.pose[rows]))
    plain = replace(out.skeleton, pose_feature=torch.zeros_like(out.skeleton.pose_feature))
    with torch.no_grad():
        return 1000 * float((body.mesh(plain) - out.vertices).norm(dim=-1).mean())


def _say_what_is_lost(person, body):
    distance = correctives_left_out(body, person)
    if distance > _NOTABLE:
        get_logger().info(f'person {person.person_id}: a .glb skin has no pose-corrective shapes; its mean error '
                          f'is {distance:.1f} mm')


def _linear(color):
    """sRGB in [0, 1] -> linear light, in which glTF's factors are given."""
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4).tolist()


def _write_glb(stream, content, binary):
    text = json.dumps(content, allow_nan=False, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 4)
    stream.write(struct.pack('<4sII', b'glTF', 2, 12 + 8 + len(text) + 8 + len(binary)))
    stream.write(struct.pack('<II', len(text), _JSON_CHUNK) + text)
    stream.write(struct.pack('<II', len(binary), _BINARY_CHUNK))
    stream.write(binary)
