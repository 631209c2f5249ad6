"""Rows of a published annotation file, with generated pictures."""
import cv2
import numpy as np

_FOLDERS = {'lsp_dataset_original_train': 'lsp-orig', 'lsp_dataset_test': 'lsp'}


def write_pictures(source, data, rows):
    """Write the first rows of `source` and noise pictures for them below the folder `data`. Rows with label pictures
    get a disc of part 1 to 6 in each."""
    rng = np.random.default_rng(0)
    with np.load(source) as file:
        arrays = {key: file[key][:rows] for key in file}
    (data / 'dataset_extras').mkdir(exist_ok=True)
    np.savez(data / 'dataset_extras' / source.name, **arrays)
    for row, name in enumerate(arrays['imgname']):
        width, height = (int(side) + 20 for side in arrays['part'][row, :, :2].max(0))
        _write(data / 'datasets' / _FOLDERS[source.stem] / name, rng.integers(0, 255, (height, width, 3), np.uint8))
        if 'maskname' in arrays:
            parts = np.zeros((height, width), np.uint8)
            cv2.circle(parts, (width // 2, height // 2), min(width, height) // 3, row % 6 + 1, -1)
            _write(data / 'datasets/upi-s1h' / arrays['partname'][row], parts)
            _write(data / 'datasets/upi-s1h' / arrays['maskname'][row], (parts > 0).astype(np.uint8) * 255)


def _write(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)
