"""A mark for tests that need BlazePose's weights. They are skipped where the weights have not been fetched."""
import pytest

from models.keypoints.files import has_weights

there = pytest.mark.skipif(not all(has_weights(f'pose_{name}.tflite') for name in ('detection', 'landmark_full')),
                           reason='the files of BlazePose are not here (python -m models.keypoints.fetch)')
