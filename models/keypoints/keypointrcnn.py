"""Keypoint R-CNN (He et al., "Mask R-CNN", arXiv 1703.06870) of torchvision: boxes and COCO's 17 joints together."""
import numpy as np
import torch
import torchvision

from models.keypoints.files import FOLDER
from models.keypoints.formats import FORMATS
from models.keypoints.matching import matched_to_boxes
from models.keypoints.person import PersonKeypoints
from models.keypoints.tracked import TrackedByOverlap
from utils.errors import BadFile
from utils.torch_io import load_torch
from utils.torchvision_weights import fetched_weights

_NAME = 'keypointrcnn_resnet50_fpn'
_PERSON = 1
# Of whom somebody else has seen already: a box was given.
_MIN_SCORE_IN_BOX = 0.3


class KeypointRCNN:
    """Called as every estimator: docs/keypoints.md. No 3D joints.

    folder: where the weights lie under torchvision's file name; fetched on first use. min_score: of a person. size: the
    shorter side that pictures are brought to, 0 for torchvision's. weights: False for random ones. Raises MissingFile,
    BadFile.
    """
    name = 'Keypoint R-CNN'

    def __init__(self, device='cpu', folder=None, min_score=0.7, size=0, weights=True):
        options = {'min_size': size} if size else {}
        network = torchvision.models.get_model(_NAME, weights=None, weights_backbone=None, **options)
        if weights:
            entry = torchvision.models.get_model_weights(_NAME).DEFAULT
            path = fetched_weights(entry, folder or FOLDER, 'use the pose estimator blazepose')
            try:
                network.load_state_dict(load_torch(path))
            except (RuntimeError, TypeError, AttributeError):
                raise BadFile(f'{path}: not the weights of {_NAME}') from None
        self._network, self._device, self._min_score = network.to(device).eval(), device, min_score

    @torch.inference_mode()
    def __call__(self, image, boxes=None):
        """image [H,W,3] uint8 RGB; boxes [N,4] or None -> list of PersonKeypoints, with boxes one or None for each."""
        tensor = torch.from_numpy(np.ascontiguousarray(image)).to(self._device).permute(2, 0, 1).float() / 255
        found = self._network([tensor])[0]
        if boxes is None:
            return people_of(found, self._min_score)
        return matched_to_boxes(people_of(found, _MIN_SCORE_IN_BOX), boxes)

    def video(self):
        """A tracker for the frames of one video."""
        return TrackedByOverlap(self)


def people_of(found, min_score):
    """PersonKeypoints of one picture's output of torchvision's network.

    Joints' logits become confidences by the sigmoid. torchvision trains on COCO's joints as they are, which count
    pixels from 0, so that is what comes out.
    """
    keep = (found['labels'] == _PERSON) & (found['scores'] >= min_score)
    boxes, scores = found['boxes'][keep].cpu().numpy(), found['scores'][keep].tolist()
    points = found['keypoints'][keep].cpu().double().numpy()
    points[..., 2] = found['keypoints_scores'][keep].sigmoid().cpu().double().numpy()
    return [PersonKeypoints(*one) for one in zip(boxes, scores, map(FORMATS['coco17'].keypoints, points))]
