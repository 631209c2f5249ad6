"""A discriminator that tells the pose and shape of real people from estimates.

Kanazawa et al., "End-to-end Recovery of Human Shape and Pose", CVPR 2018, section 3.3: one discriminator for each
joint, one for all joints together and one for the shape, trained with least squares. HMR2.0 (Goel et al., ICCV 2023)
uses the same.
"""
import torch
import torch.nn.functional as F
from torch import nn

_JOINTS = 23  # without the root, whose rotation depends on the camera


class BodyDiscriminator(nn.Module):
    """body_pose [B,23,3,3] rotations, betas [B,10] -> scores [B,25]: 23 joints, the shape, the whole pose."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(9, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.joint_scores = nn.ModuleList(nn.Linear(32, 1) for _ in range(_JOINTS))
        self.shape_score = nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))
        self.pose_score = nn.Sequential(nn.Linear(_JOINTS * 32, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(),
                                        nn.Linear(1024, 1))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, body_pose, betas):
        joints = self.embed(body_pose.flatten(2))
        scores = [score(joints[:, joint]) for joint, score in enumerate(self.joint_scores)]
        return torch.cat([*scores, self.shape_score(betas), self.pose_score(joints.flatten(1))], 1)


def generator_loss(scores):
    """Loss of estimates that are told from real bodies: (score - 1)^2, summed over the scores, averaged over rows."""
    return (scores - 1).square().sum(1).mean()


def discriminator_loss(real, estimated):
    """Least squares towards 1 for real scores [n B,25] and towards 0 for estimated scores [B,25]. The sum is divided
    by B, so with n real bodies for each estimate the real ones weigh n times as much (HMR2.0: 2)."""
    of_estimates = F.mse_loss(estimated, torch.zeros_like(estimated), reduction='sum') / len(estimated)
    return len(real) / len(estimated) * generator_loss(real) + of_estimates
