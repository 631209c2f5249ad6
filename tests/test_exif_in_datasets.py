"""Focal lengths in datasets: the label, else EXIF, else sqrt(w^2 + h^2).

160 x 120 pixels have a diagonal of 200 pixels, and 35 mm film one of 43.267 mm. So 28 mm on film are
28 / 43.267 x 200 = 129.43 pixels."""
import numpy as np
import pytest
from PIL import Image

from core.config import load_config
from datasets.image_dataset import ImageDataset
from datasets.image_io import Picture, read_picture
from datasets.registered import DATASETS, RegisteredDataset, register_dataset

LENS = 129.43
EXIF_FOLDER, ON_FILM, ORIENTATION, MAKER = 0x8769, 0xA405, 0x0112, 0x010F


def save_photo(path, lens=None, turned=False):
    exif = Image.Exif()
    if lens:
        exif[MAKER] = 'of a camera'
        exif.get_ifd(EXIF_FOLDER)[ON_FILM] = lens
    if turned:
        exif[ORIENTATION] = 6
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, **({'exif': exif} if exif else {}))
    return str(path)


@pytest.fixture
def folder(tmp_path):
    for name, options in (('0.jpg', {'lens': 28}), ('1.jpg', {}), ('2.png', {'lens': 28}),
                          ('3.jpg', {'lens': 28, 'turned': True}), ('4.jpg', {'lens': 28})):
        save_photo(tmp_path / name, **options)
    np.savez(tmp_path / 'photos.npz', imgname=['0.jpg', '1.jpg', '2.png', '3.jpg', '4.jpg'], center=[[100, 60]] * 5,
             scale=np.full(5, .25), focal=[0, 0, 0, 0, 300.])
    return tmp_path


@pytest.mark.parametrize('res', [32, 8])  # 8: the JPEG is decoded at a fraction of its size
def test_label_then_exif_then_the_diagonal(folder, standin_assets, res):
    cfg = load_config(None, ['PATHS.DATA_DIR', str(standin_assets), 'PATHS.IMAGE_DIRS', [f'photos={folder}'],
                             'DATA.IMG_RES', res])
    dataset = ImageDataset(cfg, str(folder / 'photos.npz'), 'eval')
    samples = [dataset[row] for row in range(5)]
    focal = [sample['focal_length'].item() for sample in samples]
    assert np.allclose(focal, [LENS, 200, LENS, LENS, 300], atol=0.01)
    assert samples[3]['orig_shape'].tolist() == [160, 120]  # upright
    offset, box = samples[0]['bbox_info'][0].item(), samples[0]['bbox_info'][2].item()
    assert offset == pytest.approx((100 - 80) / LENS * 2.8, rel=1e-4)
    assert box == pytest.approx((50 - 0.24 * LENS) / (0.06 * LENS), rel=1e-3)
    seen = samples[0]['ray_rotation'][:, 2]  # the crop's ray in the picture's camera
    assert seen[0] / seen[2] == pytest.approx((100 - 80) / LENS, rel=1e-4) and abs(seen[1]) < 1e-6


def test_tags_behind_a_segment_that_looks_like_the_scan(tmp_path):
    """A JPEG is FFD8 and segments: marker, length of two bytes, content. APP2 (FFE2), a colour profile, may hold any
    bytes, such as those of the scan's marker FFDA. The length counts itself."""
    plain = save_photo(tmp_path / 'a.jpg', lens=28)
    content, profile = (tmp_path / 'a.jpg').read_bytes(), 20 * b'\xff\xda'
    segment = b'\xff\xe2' + (2 + len(profile)).to_bytes(2, 'big') + profile
    (tmp_path / 'b.jpg').write_bytes(content[:2] + segment + content[2:])
    for path in (plain, str(tmp_path / 'b.jpg')):
        assert read_picture(path).focal_length == pytest.approx(LENS, abs=.01)


def test_focal_length_of_a_registered_dataset(folder):
    DATASETS._entries.pop('photos', None)
    box = {'bbox': (80, 40, 40, 40)}
    register_dataset('photos')(lambda cfg, split: [
        {'image': str(folder / '0.jpg'), **box}, {'image': str(folder / '0.jpg'), 'focal': 300.0, **box},
        {'image': np.zeros((120, 160, 3), np.uint8), **box}])
    dataset = RegisteredDataset(load_config(None, ['DATA.IMG_RES', 32]), 'photos', 'eval')
    assert np.allclose([dataset[row]['focal_length'].item() for row in range(3)], [LENS, 300, 200], atol=0.01)


def test_tags_are_read_on_first_use_alone(folder, monkeypatch):
    asked = []
    monkeypatch.setattr('datasets.image_io.exif_focal_length', lambda *given: asked.append(given) or 7.0)
    picture = read_picture(folder / '0.jpg')
    assert not asked and picture.focal_length == picture.focal_length == 7.0 and len(asked) == 1
    assert read_picture(folder / '1.jpg').focal_length is None and len(asked) == 1  # a file without tags is not parsed
    assert Picture(np.zeros((4, 4, 3), np.uint8), 4, 4).focal_length is None
