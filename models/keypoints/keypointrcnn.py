"""torchvision's Keypoint R-CNN (He et al., "Mask R-CNN", arXiv 1703.06870): boxes and COCO's 17 joints."""
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
# Threshold in a given box, in which somebody else has already seen the person.
_MIN_SCORE_IN_BOX = 0.3


class KeypointRCNN:
    """Interface: docs/keypoints.md. It has no 3D joints.

    folder: of the weights under torchvision's file name, downloaded on first use. min_score: of a person. size: shorter
    side to which pictures are resized; 0: torchvision's. weights: False: random weights. Raises MissingFile, BadFile.
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
        """image [H,W,3] uint8 RGB; boxes [N,4] or None -> list of PersonKeypoints; with boxes, one or None per box."""
        tensor = torch.from_numpy(np.ascontiguousarray(image)).to(self._device).permute(2, 0, 1).float() / 255
        found = self._network([tensor])[0]
        if boxes is None:
            return people_of(found, self._min_score)
        return matched_to_boxes(people_of(found, _MIN_SCORE_IN_BOX), boxes)

    def video(self):
        """A tracker for the frames of one video."""
        return TrackedByOverlap(self)


def people_of(found, min_score):
    """PersonKeypoints from the output of torchvision's network for one picture.

    The sigmoid turns the joints' logits into confidences. torchvision trains on COCO's coordinates, which count pixels
    from 0, so its output does too.
    """
    keep = (found['labels'] == _PERSON) & (found['scores'] >= min_score)
    boxes, scores = found['boxes'][keep].cpu().numpy(), found['scores'][keep].tolist()
    points = found['keypoints'][keep].cpu().double().numpy()
    points[..., 2] = found['keypoints_scores'][keep].sigmoid().cpu().double().numpy()
    return [PersonKeypoints(*one) for one in zip(boxes, scores, map(FORMATS['coco17'].keypoints, points))]
