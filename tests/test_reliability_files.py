"""Untrusted files: each reader gets files that would run a command or make a library follow forged addresses.

The command would write a file. No reader runs it, and each raises a one-line error that names its file.
"""
import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch
import yaml

from core.config import load_config, load_stored_config
from core.demo.detectors import load_torch as read_detector_weights
from core.demo.file_estimator import _read_person as read_result
from core.evaluation.options import checkpoint_config
from core.training.checkpoint import CheckpointStore
from datasets.annotations import Annotations
from datasets.dense_points import UVSymmetry
from datasets.fits import mean_parameters, read_fits
from models.backbones.pretrained import load_pretrained_backbone
from models.body import BodyModel, read_body_file
from models.danet.part_crops import _read_ratios as read_ratios
from models.smplify.priors import PosePrior
from models.weights import checkpoint_regressor, load_weights, published_config
from tests.test_fetch_data import archive
from tests.test_fetch_data import run as fetch
from utils import safe_io
from utils.assets import Assets
from utils.errors import BadFile, MissingFile, ProjectError
from utils.iuv import load_charts
from utils.mesh_sampling import downsampling_matrix
from utils.torch_io import load_torch

ROOT = Path(__file__).resolve().parent.parent


class Call:
    """Pickles as a call of `function` on `arguments`, then perhaps as its state."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced


def object_npy(value):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([value, None], dtype=object), allow_pickle=True)
    return stream.getvalue()


def npz_of(member):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as file:
        for name in ('pose', 'imgname', 'D', 'v_template', 'person_id', 'K'):
            file.writestr(f'{name}.npy', member)
    return stream.getvalue()


def torch_bytes(content, **options):
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def torch_tar(command):
    """torch's oldest format, a tar of pickles."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode='w') as tar:
        for name in ('sys_info', 'pickle', 'storages', 'tensors'):
            content = pickle.dumps(command, 2)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def bombs(kind, mark):
    """Contents of files that would make `mark`."""
    command = f'touch {mark}'
    call = Call(os.system, command)
    if kind == 'pickle':
        return [*(pickle.dumps({'v_template': call}, protocol) for protocol in range(6)),
                f'(S{command!r}\nios\nsystem\n.'.encode(), b'cbuiltins\neval\n(V__import__("os").system("%b")\ntR.'
                % command.encode(), f'cnumpy.testing\nrunstring\n(Vimport os; os.system({command!r})\n(dtR.'.encode(),
                f'cscipy.sparse\nload_npz\n(V{mark}\ntR.'.encode(),
                f'cchumpy\nCh\n(cos\nsystem\n(V{command}\ntRtR.'.encode()]
    if kind == 'npy':
        return [object_npy(call), pickle.dumps(call)]
    if kind == 'npz':
        return [npz_of(object_npy(call)), pickle.dumps(call)]
    if kind == 'mat':
        return [pickle.dumps(call), npz_of(object_npy(call))]
    return [torch_bytes({'model': call}), torch_bytes({'model': call}, _use_new_zipfile_serialization=False),
            torch_bytes({'model': {'w': Call(eval, f'__import__("os").system({command!r})')}}), torch_tar(call),
            pickle.dumps(call)]


def in_folder(name, read):
    """Turn a reader of an asset folder into a reader of its file `name`."""
    return lambda path: read(Assets(path.rename(path.with_name(name)).parent, is_free=True))


READERS = {
    'SMPL .pkl': ('pickle', 'SMPL_NEUTRAL.pkl', BodyModel),
    'SMPL .npz': ('npz', 'SMPL_NEUTRAL.npz', read_body_file),
    'pose prior': ('pickle', 'gmm_08.pkl', PosePrior),
    'learned ratios': ('pickle', 'learned_ratio.pkl', read_ratios),
    '3DPW and H36M pickles': ('pickle', 'sequence.pkl', safe_io.load_pickle),
    'annotations': ('npz', 'train.npz', Annotations.load),
    'static fits': ('npy', 'coco_fits.npy', lambda path: read_fits(path, 2, '', True)),
    'final fits': ('npz', 'coco.npz', lambda path: read_fits(path, 2, '', True)),
    'joint regressor': ('npy', 'J_regressor_extra.npy', safe_io.load_npy),
    'mean parameters': ('npz', 'smpl_mean_params.npz', in_folder('smpl_mean_params.npz', mean_parameters)),
    'mesh downsampling': ('npz', 'mesh_downsampling.npz', lambda path: downsampling_matrix(path, 9)),
    'DensePose charts': ('mat', 'UV_Processed.mat', load_charts),
    'DensePose symmetry': ('mat', 'UV_symmetry_transforms.mat', UVSymmetry),
    'demo result': ('npz', 'run_person0.npz', read_result),
    'checkpoint': ('torch', 'model.pt', load_torch),
    'checkpoint to name': ('torch', 'model.pt', checkpoint_regressor),
    'checkpoint to configure': ('torch', 'model.pt', published_config),
    'checkpoint to load': ('torch', 'model.pt', lambda path: load_weights(WithoutBody(), path)),
    'detector': ('torch', 'fasterrcnn.pth', read_detector_weights),
    'backbone': ('torch', 'backbone.pth', lambda path: load_pretrained_backbone(resnet34(), str(path), path.parent)),
    'torchvision\'s backbone': ('torch', 'resnet34-b627a593.pth', lambda path: load_pretrained_backbone(
        resnet34(), 'imagenet', in_pretrained_folder(path))),
}


def resnet34():
    backbone = torch.nn.Module()
    backbone.name = 'resnet34'
    return backbone


def in_pretrained_folder(path):
    """An asset folder with the file in pretrained_model, the place of torchvision's weights."""
    folder = path.parents[1] / 'pretrained_model'
    folder.mkdir(exist_ok=True)
    (folder / path.name).write_bytes(path.read_bytes())
    return folder.parent


class WithoutBody(torch.nn.Module):
    body = None


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
@pytest.mark.parametrize('what', READERS)
def test_no_reader_runs_a_command(tmp_path, what):
    kind, name, read = READERS[what]
    mark = tmp_path / 'mark'
    for content in bombs(kind, mark):
        folder = tmp_path / 'files'
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        with pytest.raises(BadFile, match=name) as raised:
            read(folder / name)
        assert '\n' not in str(raised.value) and not mark.exists() and [p.name for p in folder.iterdir()] == [name]


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
def test_a_run_takes_no_hostile_checkpoint(tmp_path):
    mark = tmp_path / 'mark'
    for number, content in enumerate(bombs('torch', mark)):
        (tmp_path / f'step_{number:08d}.pt').write_bytes(content)
    with pytest.raises(BadFile, match='no checkpoint of this run can be resumed'):
        CheckpointStore(tmp_path).newest()
    assert not mark.exists()


@pytest.mark.parametrize('command', [
    ['train.py', '--pretrained_checkpoint', 'FILE'],
    pytest.param(['eval.py', '--checkpoint', 'FILE', '--dataset', '3dpw'], marks=pytest.mark.slow)])
def test_scripts_end_in_one_line(tmp_path, command):
    path, mark = tmp_path / 'model.pt', tmp_path / 'mark'
    path.write_bytes(bombs('torch', mark)[0])
    done = subprocess.run([sys.executable, *[str(path) if word == 'FILE' else word for word in command]],
                          capture_output=True, text=True, cwd=ROOT, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 2 and not mark.exists()
    assert done.stderr.count('\n') == 1 and done.stderr.startswith(f'error: {path}') and 'code' in done.stderr


@pytest.mark.parametrize('text', ['NAME: !!python/object/apply:os.system ["touch MARK"]',
                                  '!!python/object/new:os.system ["touch MARK"]', '!!python/name:os.system'])
def test_no_config_runs_a_command(tmp_path, text):
    path = tmp_path / 'config.yaml'
    path.write_text(text.replace('MARK', str(tmp_path / 'mark')))
    for read in (load_config, lambda path: load_stored_config(path.read_text(), str(path))):
        with pytest.raises(ProjectError, match='config.yaml'):
            read(path)
    assert not (tmp_path / 'mark').exists()


_begin = (np._core if hasattr(np, '_core') else np.core).multiarray._reconstruct


def forged_array(code):
    """Bytes that numpy's unpickling takes for object pointers. Reading them crashes the process or worse."""
    fields = {'a': (Call(np.dtype, 'O', False, True), 0)}
    dtype = Call(np.dtype, code, False, True, state=(3, '<' if code == 'f8' else '|', None, ('a',), fields, 8, 1, 0))
    return Call(_begin, np.ndarray, (0,), b'b', state=(1, (1,), dtype, False, b'A' * 8))


def forged_sparse():
    """A sparse matrix with indices far outside, which scipy follows."""
    matrix = scipy.sparse.csc_matrix(np.eye(3))
    matrix.indices[:] = 10 ** 9
    return matrix


def forged_length():
    """An array whose shape needs more bytes than it has."""
    return Call(_begin, np.ndarray, (0,), b'b', state=(1, (10 ** 9,), np.dtype('f8'), False, b'A' * 8))


@pytest.mark.parametrize('forged', [lambda: forged_array('V8'), lambda: forged_array('f8'), forged_sparse,
                                    forged_length, lambda: Call(bytearray, 10 ** 11)])
def test_no_forged_address_is_followed(tmp_path, forged):
    for protocol in (0, 2, 5):
        (tmp_path / 'x.pkl').write_bytes(pickle.dumps({'J_regressor': forged()}, protocol))
        with pytest.raises(BadFile, match='x.pkl'):
            safe_io.load_pickle(tmp_path / 'x.pkl')
    (tmp_path / 'x.pt').write_bytes(torch_bytes({'model': {'w': torch.zeros(2), 'x': forged()}}))
    with pytest.raises(BadFile, match='x.pt'):
        load_torch(tmp_path / 'x.pt')


def test_arrays_of_every_protocol_come_back(tmp_path):
    sparse = scipy.sparse.random(5, 4, .5, format='csc', random_state=0)
    names = np.array(['a', 'ümlaut'])
    nested = np.empty(2, object)
    nested[:] = [np.arange(3), {'deep': np.float64(.5)}]
    content = {'sparse': sparse, 'coo': sparse.tocoo(), 'csr_array': scipy.sparse.csr_array(sparse), 'names': names,
               'nested': nested, 'big': np.arange(4, dtype='>i4'), 'fortran': np.asfortranarray(np.ones((2, 3))),
               'empty': np.zeros((0, 7)), 'bytes': b'\x00\xff', 'scalar': np.int64(7), 'none': None, 0: {1.5, 'x'}}
    for protocol in range(6):
        (tmp_path / 'x.pkl').write_bytes(pickle.dumps(content, protocol))
        read = safe_io.load_pickle(tmp_path / 'x.pkl')
        for name in ('sparse', 'coo', 'csr_array'):
            assert np.array_equal(read[name].toarray(), sparse.toarray()) and type(read[name]) is type(content[name])
        for name in ('names', 'big', 'fortran', 'empty'):
            assert np.array_equal(read[name], content[name]), (protocol, name)
        assert np.array_equal(read['nested'][0], [0, 1, 2]) and read['nested'][1]['deep'] == .5
        assert read['scalar'] == 7 and read['none'] is None and read[0] == {1.5, 'x'} and read['bytes'] == b'\x00\xff'
    torch.save({'state_dict': {'w': torch.ones(2)}, 'best': np.float64(.25), 'mean': np.arange(3.)}, tmp_path / 'x.pt')
    read = load_torch(tmp_path / 'x.pt')
    assert read['best'] == .25 and np.array_equal(read['mean'], [0, 1, 2]) and read['state_dict']['w'].sum() == 2


def test_a_damaged_mat_file_is_one_line(tmp_path):
    scipy.io.savemat(tmp_path / 'x.mat', {'U': np.arange(100.)}, do_compression=True)
    intact = (tmp_path / 'x.mat').read_bytes()
    for content in (intact[:60], intact[:130], intact[:-20], b'', intact[:140] + bytes(20) + intact[160:]):
        (tmp_path / 'x.mat').write_bytes(content)
        with pytest.raises(BadFile, match='x.mat'):
            safe_io.load_mat(tmp_path / 'x.mat')


def test_classes_in_mat_files_are_not_numbers(tmp_path):
    """MATLAB's objects and text keep their types, and no reader takes them for arrays."""
    fields = np.zeros((1, 1), [('All_Faces', object)])
    thing = scipy.io.matlab.MatlabObject(fields, 'evil')
    content = {'All_Faces': thing, 'All_vertices': 'system', 'U_transforms': thing}
    scipy.io.savemat(tmp_path / 'UV_Processed.mat', content)
    for read in (load_charts, UVSymmetry):
        with pytest.raises(BadFile, match='UV_Processed.mat'):
            read(tmp_path / 'UV_Processed.mat')


@pytest.mark.parametrize('trick', ['hard link', 'device', 'through a link', 'line break', 'option'])
def test_archives_stay_in_their_folder(tmp_path, trick):
    mirror = tmp_path / 'mirror'
    mirror.mkdir()
    outside = tmp_path / 'outside'
    outside.mkdir()
    path = mirror / 'densepose_uv_data.tar.gz'
    if trick in ('line break', 'option'):
        archive(path, {'x\n/../../../outside/y': b'x', '../outside/y': b'x'} if trick == 'line break' else
                {'--checkpoint-action=exec=touch outside': b'x', 'UV_Processed.mat': b'x'})
    else:
        with tarfile.open(path, 'w:gz') as tar:
            info = tarfile.TarInfo('UV_Processed.mat')
            info.type = {'hard link': tarfile.LNKTYPE, 'device': tarfile.CHRTYPE}.get(trick, tarfile.SYMTYPE)
            info.linkname = '/etc/passwd' if trick == 'hard link' else str(outside)
            tar.addfile(info)
            if trick == 'through a link':
                info = tarfile.TarInfo('UV_Processed.mat/y')
                info.size = 1
                tar.addfile(info, io.BytesIO(b'x'))
    code, out, _ = fetch(tmp_path, '--only', 'densepose_uv', mirror=mirror)
    assert not list(outside.iterdir())
    assert trick == 'option' or (code == 1 and 'refused' in out and not (tmp_path / 'data/UV_data').exists())


def test_a_checkpoint_does_not_choose_output_files(tmp_path):
    written = {'TEST': {'RESULT_FILE': '/tmp/x.npz', 'OVERWRITE': True, 'REPORT': ['/tmp/x.md'], 'OUTPUT_DIR': '/tmp'},
               'MODEL': {'REGRESSOR': 'hmr'}, 'LOG_DIR': '/tmp/logs'}
    cfg = load_stored_config(yaml.safe_dump(written), 'model.pt', ['TEST.OUTPUT_DIR', 'mine'])
    assert (cfg.TEST.RESULT_FILE, cfg.TEST.OVERWRITE, cfg.TEST.REPORT, cfg.LOG_DIR) == ('', False, [], 'logs')
    assert cfg.TEST.OUTPUT_DIR == 'mine' and cfg.MODEL.REGRESSOR == 'hmr'


@pytest.mark.parametrize('text', ['2020-13-45', 'NAME: !!int x', 'NAME: !!float x', 'SEED: ' + '9' * 5000,
                                  'NAME: ' + '[' * 5000, 'MODEL: &a {MODEL: *a}', 'MODEL: &a {BACKBONE: *a}'])
def test_yaml_that_is_no_config(tmp_path, text):
    path = tmp_path / 'config.yaml'
    path.write_text(text)
    for read in (load_config, lambda path: load_stored_config(path.read_text(), str(path))):
        with pytest.raises(ProjectError, match='config.yaml') as raised:
            read(path)
        assert '\n' not in str(raised.value)


@pytest.mark.parametrize('content', [
    {'config': 5, 'regressor': 'hmr', 'model': {}}, {'config': 'SEED: 2020-13-45', 'regressor': 'hmr', 'model': {}},
    {'config': '', 'regressor': ['hmr'], 'model': {}}, {5: torch.zeros(2)}, [torch.zeros(2)], torch.zeros(2)])
def test_checkpoints_of_the_wrong_shape(tmp_path, content):
    torch.save(content, tmp_path / 'model.pt')
    with pytest.raises(ProjectError, match='model.pt') as raised:
        checkpoint_config(tmp_path / 'model.pt')
    assert '\n' not in str(raised.value)


def test_a_pickle_that_names_one_list_again_and_again(tmp_path):
    """The list has 2^40 paths; the reader visits each object once."""
    nested = []
    for _ in range(40):
        nested = [nested, nested]
    (tmp_path / 'x.pkl').write_bytes(pickle.dumps({'v_template': nested}))
    safe_io.load_pickle(tmp_path / 'x.pkl')


def test_a_sparse_array_larger_than_memory(tmp_path, standin_assets):
    content = safe_io.load_pickle(standin_assets / 'smpl/SMPL_NEUTRAL.pkl')
    content['J_regressor'] = scipy.sparse.csr_matrix((24, 10 ** 9), dtype=np.float32)  # a kilobyte
    (tmp_path / 'SMPL_NEUTRAL.pkl').write_bytes(pickle.dumps(content))
    with pytest.raises(BadFile, match='SMPL_NEUTRAL.pkl: J_regressor has shape'):
        read_body_file(tmp_path / 'SMPL_NEUTRAL.pkl')


def test_missing_files_are_named(tmp_path):
    for _, name, read in READERS.values():
        if name not in ('smpl_mean_params.npz', 'resnet34-b627a593.pth'):  # their readers move the file first
            with pytest.raises(MissingFile, match=name):
                read(tmp_path / name)
