"""A regressor that knows the ground truth: it recognizes a crop and answers with that sample's body."""
import torch
from torch import nn

from models.output import RegressorOutput, Stage
from utils.geometry import axis_angle_to_rotmat


class Oracle(nn.Module):
    """answers: (pose [N,72], betas [N,10], camera [N,3]) of the dataset's samples, in their order.

    `stages` copies of the answer are returned, through the interface of every regressor.
    """

    def __init__(self, body, dataset, answers, stages=1):
        super().__init__()
        self.body, self.stages = body, stages
        self.rows = {dataset[i]['img'].numpy().tobytes(): i for i in range(len(dataset))}
        assert len(self.rows) == len(dataset)
        self.pose, self.betas, self.camera = (torch.as_tensor(value, dtype=torch.float32) for value in answers)

    def forward(self, images):
        rows = [self.rows[image.numpy().tobytes()] for image in images]
        rotmat = axis_angle_to_rotmat(self.pose[rows])
        return RegressorOutput([Stage(rotmat, self.betas[rows], self.camera[rows], self.body)
                                for _ in range(self.stages)])
