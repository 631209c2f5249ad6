"""The interface of regressors, and parts that several regressors share."""
import numpy as np
import torch
from torch import nn

from models.body import BodyModel
from models.output import MeanStage
from utils.assets import find_assets
from utils.errors import BadConfig, BadFile
from utils.geometry import rot6d_to_rotmat
from utils.safe_io import load_npz


class Regressor(nn.Module):
    """Base class of all regressors. A subclass is registered with `@register('name')` and implements `forward`.

    forward(images, *inputs) -> RegressorOutput. images: [B,3,H,W] normalized RGB. `body` is the neutral BodyModel.
    `backbone`, if there is one, gets pre-trained image weights.

    The harness knows an architecture only by the attributes and methods below, which have defaults.

    published_source: family of published checkpoints that fit ('spin', 'pymaf', ...).
    fits_config: stem of the YAML file for training with SMPLIFY.RUN; '': the regressor's own.
    takes_views: images may be [B,n_views,3,H,W].
    camera_frames: values of MODEL.CAMERA that the architecture supports.
    inputs: names of the batch entries that `forward` takes after the images, such as ('bbox_info',). A network that
    gets the picture's camera sets `full_camera` in its stages; fits of single crops are then turned into that camera.
    box_margin: side of the crop over the longer side of a person's box, in the demo.
    box_aspect: height over width to which a person's box is widened first; 1: boxes are not widened.
    """
    published_source = ''
    fits_config = ''
    takes_views = False
    camera_frames = ('crop', 'picture')
    inputs = ()
    box_margin = 1.2
    box_aspect = 1.0

    def __init__(self, cfg):
        super().__init__()
        self.camera_frame = cfg.MODEL.CAMERA
        if self.camera_frame not in self.camera_frames:
            raise BadConfig(f'MODEL.CAMERA is {self.camera_frame!r}, but {type(self).__name__} estimates in '
                            f'{" or ".join(self.camera_frames)}')
        self.assets = find_assets(cfg.PATHS.DATA_DIR)
        self.body = BodyModel(self.assets.root)

    @staticmethod
    def add_config(model):
        """Add the architecture's section with its defaults to the CfgNode cfg.MODEL."""

    @staticmethod
    def has_unused_parameters(cfg):
        """Whether some training steps leave parameters without gradient. DistributedDataParallel must know this."""
        return False

    def param_groups(self, cfg):
        """Parameter groups of the optimizer: [{'params': list, 'lr': rate, ...}]. 'lr' defaults to SOLVER.BASE_LR.

        The default is one group of all parameters that require a gradient. The schedule scales every group's rate.
        """
        return [{'params': [parameter for parameter in self.parameters() if parameter.requires_grad]}]

    def build_adversary(self, cfg):
        """A discriminator of pose and betas (models/adversary.py), or None where the architecture has none."""
        return None

    def auxiliary_losses(self, out, targets):
        """{name: weighted scalar} of losses that only this architecture has. targets: Targets."""
        return {}

    def extra_pictures(self, out):
        """{name: pictures [B,3,h,w] in [0, 1]} of this architecture only, for the panels and the demo."""
        return {}

    def check_views(self, n_views, key):
        """Raise BadConfig where config key `key` asks for several views and this network takes single pictures."""
        if n_views and not self.takes_views:
            raise BadConfig(f'{key} is {n_views}, but {type(self).__name__} takes one picture at a time; set it to 0 '
                            'or use --regressor multi_spin')

    def set_training_progress(self, step):
        """Called before each step with the number of finished steps, for architectures that train in stages."""


class MeanParameters(nn.Module):
    """The mean pose, shape and camera from which iterative regressors start (smpl_mean_params.npz).

    pose [1,144] 6D, shape [1,10], camera [1,3]. Buffers that are not in the state dict.
    """

    def __init__(self, assets):
        super().__init__()
        path = assets.file('smpl_mean_params.npz')
        arrays = load_npz(path)
        for key, size in (('pose', 144), ('shape', 10), ('cam', 3)):
            if key not in arrays or arrays[key].size != size:
                raise BadFile(f'{path}: expected {key!r} with {size} values')
            value = torch.tensor(np.asarray(arrays[key], np.float32).reshape(1, size))
            self.register_buffer(key, value, persistent=False)

    def expand(self, batch):
        """Pose [B,144], shape [B,10] and camera [B,3]."""
        return self.pose.expand(batch, -1), self.shape.expand(batch, -1), self.cam.expand(batch, -1)

    def stage(self, batch, body, n_views=1, full_camera=None):
        """The mean parameters as the first stage, unsupervised, with `batch` rows."""
        _, shape, camera = self.expand(batch)
        return MeanStage(pose6d_to_rotmat(self.pose).expand(batch, -1, -1, -1), shape, camera, body, supervised=False,
                         n_views=n_views, full_camera=full_camera)


class ParameterHead(nn.Module):
    """Two hidden layers that refine pose, shape and camera (HMR, Kanazawa et al., CVPR 2018).

    features [B,n] with the regressor's further inputs appended, pose [B,144] 6D, shape [B,10], camera [B,3] ->
    refined pose, shape, camera.
    """

    def __init__(self, features, hidden=1024, dropout=0.5):
        super().__init__()
        self.fc1 = nn.Linear(features + 144 + 13, hidden)
        self.drop1 = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, hidden)
        self.drop2 = nn.Dropout(dropout)
        self.decpose = nn.Linear(hidden, 144)
        self.decshape = nn.Linear(hidden, 10)
        self.deccam = nn.Linear(hidden, 3)
        for decoder in (self.decpose, self.decshape, self.deccam):
            nn.init.xavier_uniform_(decoder.weight, gain=0.01)

    def forward(self, features, pose, shape, camera):
        hidden = self.drop1(self.fc1(torch.cat([features, pose, shape, camera], dim=1)))
        hidden = self.drop2(self.fc2(hidden))
        return pose + self.decpose(hidden), shape + self.decshape(hidden), camera + self.deccam(hidden)


def pose6d_to_rotmat(pose):
    """[B,144] -> [B,24,3,3]"""
    return rot6d_to_rotmat(pose.float().unflatten(-1, (24, 6)))
