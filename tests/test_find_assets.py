"""The choice of the asset folder: SMPL under every name of its downloads, and messages about unusable files."""
import json
import re
import shutil

import pytest

from models.body import BodyModel
from utils.assets import GENDERS, find_assets
from utils.errors import MissingFile

NEUTRAL = 'basicModel_neutral_lbs_10_207_0_v1.0.0.pkl'
MALE_11, FEMALE_11 = (f'basicmodel_{letter}_lbs_10_207_0_v1.1.0.pkl' for letter in 'mf')


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b'')
    return root


def put_free(root):
    put(root, 'free/smpl/SMPL_NEUTRAL.npz')
    (root / 'free/MANIFEST.json').write_text(json.dumps({'complete': True}))
    return root


@pytest.mark.parametrize('names', [
    ('smpl/SMPL_NEUTRAL.pkl', 'smpl/SMPL_MALE.pkl', 'smpl/SMPL_FEMALE.pkl'),
    ('SMPL_NEUTRAL.pkl', 'SMPL_MALE.pkl', 'SMPL_FEMALE.pkl'),
    ('body_models/smpl/SMPL_NEUTRAL.pkl', 'body_models/smpl/SMPL_MALE.pkl', 'body_models/smpl/SMPL_FEMALE.pkl'),
    ('models/smpl/SMPL_NEUTRAL.npz', 'models/smpl/SMPL_MALE.npz', 'models/smpl/SMPL_FEMALE.npz'),
    ('SMPL/smpl_neutral.PKL', 'SMPL/Smpl_Male.pkl', 'SMPL/smpl_female.pkl'),
    (f'smpl/{NEUTRAL}', f'smpl/{MALE_11}', f'smpl/{FEMALE_11}'),
    (NEUTRAL.lower(), 'basicmodel_m_lbs_10_207_0_v1.0.0.pkl', 'basicModel_f_lbs_10_207_0_v1.0.0.pkl'),
    ('SMPL_python_v.1.1.0/smpl/models/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl',
     f'SMPL_python_v.1.1.0/smpl/models/{MALE_11}', f'SMPL_python_v.1.1.0/smpl/models/{FEMALE_11}'),
    (f'smplify_public/code/models/{NEUTRAL}', f'smpl/models/{MALE_11}', f'body_models/{FEMALE_11}')])
def test_smpl_is_found_by_its_names(tmp_path, said, names):
    """SMPL is preferred to the free body in the same folder."""
    assets = find_assets(put(put_free(tmp_path), *names))
    assert assets.root == tmp_path and not assets.is_free
    assert [assets.body_file(gender) for gender in GENDERS] == [tmp_path / name for name in names]
    assert not said


def test_preference_among_several_files(tmp_path):
    """SMPL_* comes before the downloads' names. Version 1.0.0, of the published weights, comes before 1.1.0."""
    put(tmp_path, f'smpl/{NEUTRAL}', f'smpl/{NEUTRAL.replace("1.0.0", "1.1.0")}')
    assert find_assets(tmp_path).body_file().name == NEUTRAL
    put(tmp_path, 'smpl/SMPL_NEUTRAL.pkl')
    assert find_assets(tmp_path).body_file().name == 'SMPL_NEUTRAL.pkl'


@pytest.mark.parametrize('names, told', [
    ((f'smpl/{MALE_11}', f'smpl/{FEMALE_11}'), r'v1\.1\.0\.pkl.*without its neutral body'),
    (('smpl/SMPL_MALE.pkl',), r'SMPL_MALE\.pkl: SMPL without its neutral body'),
    ((f'my_models/smpl_v1/{NEUTRAL}',), r'my_models.*v1\.0\.0\.pkl: SMPL where it is not looked for'),
    (('SMPL_python_v.1.1.0.zip',), r'SMPL_python_v\.1\.1\.0\.zip: an archive of SMPL'),
    (('smpl/mpips_smplify_public_v2.zip',), r'mpips_smplify_public_v2\.zip: an archive of SMPL')])
def test_files_of_no_use_are_named(tmp_path, said, names, told):
    """The log names them where the free body is used instead, and the error where there is no free body."""
    put(tmp_path, *names)
    with pytest.raises(MissingFile, match=told):
        find_assets(tmp_path)
    assert find_assets(put_free(tmp_path)).is_free
    line, = said
    assert re.search(told, line) and 'free is used instead' in line


def test_other_files_of_the_folder_are_no_bodies(tmp_path, said):
    put(put_free(tmp_path), 'smpl_mean_params.npz', 'pretrained_model/smpl_neutral_mean.pkl', 'models/hmr.pkl')
    assert find_assets(tmp_path).is_free and not said


def test_the_message_names_what_is_looked_for(tmp_path):
    put(tmp_path, f'smpl/{NEUTRAL}')
    with pytest.raises(MissingFile, match=r'SMPL_FEMALE\.pkl.*basicModel_f_lbs_10_207_0_v1\.0\.0\.pkl'):
        find_assets(tmp_path).body_file('female')


@pytest.mark.parametrize('place', ['smpl', '.', 'body_models/smpl', 'SMPL_python_v.1.1.0/smpl/models'])
def test_a_body_is_built_from_where_it_was_unpacked(tmp_path, standin_assets, place):
    """The path is the asset folder or the body's file. The joint regressors are in the asset folder."""
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    file = tmp_path / place / NEUTRAL
    shutil.copy(standin_assets / 'smpl/SMPL_NEUTRAL.pkl', file)
    (tmp_path / 'J_regressor_extra.npy').symlink_to(standin_assets / 'J_regressor_extra.npy')
    assert BodyModel(tmp_path).file == file == BodyModel(file).file
