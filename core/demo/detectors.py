"""Person detection with torchvision's detectors trained on COCO."""

import torch
import torchvision

from core.demo.boxes import square_box
from utils.errors import BadConfig, BadFile
from utils.torch_io import load_torch
from utils.torchvision_weights import fetched_weights

SHORT_NAMES = {'fasterrcnn': 'fasterrcnn_mobilenet_v3_large_fpn', 'maskrcnn': 'maskrcnn_resnet50_fpn_v2',
               'keypointrcnn': 'keypointrcnn_resnet50_fpn'}
_FIXED_SIZE = ('ssd300_vgg16', 'ssdlite320_mobilenet_v3_large')


class TorchvisionDetector:
    """A torchvision detector. name: one of SHORT_NAMES or torchvision's own name.

    weights: loaded from torchvision's file in `folder`, which is downloaded if absent. margin, aspect: as in
    `people.square_box`.
    """

    def __init__(self, name, folder, device, size=0, min_score=0.7, margin=1.2, aspect=1.0):
        self.name = SHORT_NAMES.get(name, name)
        known = torchvision.models.list_models(module=torchvision.models.detection)
        if self.name not in known:
            raise BadConfig(f'unknown detector {name!r}; use full_frame, {", ".join(SHORT_NAMES)}, or one of '
                            f"torchvision's: {', '.join(known)}")
        weights = torchvision.models.get_model_weights(self.name).DEFAULT
        options = {'min_size': size} if size and self.name not in _FIXED_SIZE else {}
        network = torchvision.models.get_model(self.name, weights=None, weights_backbone=None, **options)
        path = weights_file(weights, folder)
        try:
            network.load_state_dict(load_torch(path))
        except (RuntimeError, TypeError, AttributeError):
            raise BadFile(f'{path}: not the weights of {self.name}') from None
        self._network = network.to(device).eval()
        self._person = weights.meta['categories'].index('person')
        self._device, self._min_score, self._margin, self._aspect = device, min_score, margin, aspect

    @torch.inference_mode()
    def __call__(self, images):
        """Detect people in pictures [H,W,3] uint8 RGB -> one list of PersonBox per picture."""
        batch = [torch.from_numpy(image).to(self._device).permute(2, 0, 1).float() / 255 for image in images]
        return [self._people(found) for found in self._network(batch)]

    def _people(self, found):
        keep = (found['labels'] == self._person) & (found['scores'] >= self._min_score)
        boxes, scores = found['boxes'][keep].cpu().double().numpy(), found['scores'][keep].tolist()
        return [square_box(left, top, right - left, bottom - top, self._margin, score, aspect=self._aspect)
                for (left, top, right, bottom), score in zip(boxes, scores)]


def weights_file(weights, folder):
    """Path of a detector's weights in `folder`, downloaded if absent. Raises MissingFile, which names alternatives.
    """
    return fetched_weights(weights, folder, 'use --detections FILE, --openpose FOLDER or --detector full_frame')
