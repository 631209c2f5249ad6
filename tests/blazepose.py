"""BlazePose's files, which are fetched with the assets: tests that need them are skipped where they could not be."""
import pytest

from models.keypoints.files import has_weights

there = pytest.mark.skipif(not all(has_weights(f'pose_{name}.tflite') for name in ('detection', 'landmark_full')),
                           reason='the files of BlazePose are not here (python -m models.keypoints.fetch)')
