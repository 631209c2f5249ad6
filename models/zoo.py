"""Published checkpoints: addresses, licences and further files that they need.

The addresses are those in the authors' repositories. They were not tested (docs/checkpoints.md).
"""
from dataclasses import dataclass

from models.published_families import FAMILIES

_MMHUMAN3D = 'https://openmmlab-share.oss-cn-hangzhou.aliyuncs.com/mmhuman3d/models'
_READ_HERE = 'not read; see its repository'


@dataclass(frozen=True)
class Published:
    """One published checkpoint. family: key of FAMILIES. file: its published name. address: for --checkpoint; '' where
    only a page for browsers exists. page: where the authors name it. licence: of the code that it was published with.
    needs: files needed in PATHS.DATA_DIR besides SMPL's neutral body."""
    family: str
    file: str
    address: str
    page: str
    licence: str
    needs: tuple = ()

    @property
    def regressor(self):
        """Name of the network of this project that loads it."""
        return FAMILIES[self.family].regressor


PUBLISHED = (
    Published('spin', 'model_checkpoint.pt', 'http://visiondata.cis.upenn.edu/spin/model_checkpoint.pt',
              'https://github.com/nkolot/SPIN', 'BSD-3-Clause'),
    Published('mmhuman3d', 'resnet50_hmr_pw3d-04f40f58_20211201.pth',
              f'{_MMHUMAN3D}/hmr/resnet50_hmr_pw3d-04f40f58_20211201.pth',
              'https://github.com/open-mmlab/mmhuman3d/tree/main/configs/hmr', 'Apache-2.0'),
    Published('mmhuman3d', 'resnet50_spin_pw3d-e1857270_20211201.pth',
              f'{_MMHUMAN3D}/spin/resnet50_spin_pw3d-e1857270_20211201.pth',
              'https://github.com/open-mmlab/mmhuman3d/tree/main/configs/spin', 'Apache-2.0'),
    Published('mmhuman3d', 'resnet50_spin_pw3d-e1d70119_20220708.pth',
              f'{_MMHUMAN3D}/spin/resnet50_spin_pw3d-e1d70119_20220708.pth',
              'https://github.com/open-mmlab/mmhuman3d/tree/main/configs/spin', 'Apache-2.0'),
    Published('cliff', 'resnet50_cliff-8328e2e2_20230327.pth',
              f'{_MMHUMAN3D}/cliff/resnet50_cliff-8328e2e2_20230327.pth',
              'https://github.com/open-mmlab/mmhuman3d/tree/main/configs/cliff', 'Apache-2.0'),
    Published('cliff', 'resnet50_cliff_new-1e639f1d_20230327.pth',
              f'{_MMHUMAN3D}/cliff/resnet50_cliff_new-1e639f1d_20230327.pth',
              'https://github.com/open-mmlab/mmhuman3d/tree/main/configs/cliff', 'Apache-2.0'),
    Published('cliff', 'res50-PA45.7_MJE72.0_MVE85.3_3dpw.pt', '',
              'https://drive.google.com/drive/folders/1EmSZwaDULhT9m1VvH7YOpCXwBWgYrgwP', _READ_HERE),
    Published('cliff', 'hr48-PA43.0_MJE69.0_MVE81.2_3dpw.pt', '',
              'https://drive.google.com/drive/folders/1EmSZwaDULhT9m1VvH7YOpCXwBWgYrgwP', _READ_HERE),
    Published('hmr2', 'epoch=35-step=1000000.ckpt',
              'hf://spaces/brjathu/HMR2.0/logs/train/multiruns/hmr2/0/checkpoints/epoch=35-step=1000000.ckpt',
              'https://people.eecs.berkeley.edu/~jathushan/projects/4dhumans/hmr2_data.tar.gz (it is in this archive)',
              _READ_HERE),
    Published('pymaf', 'PyMAF_model_checkpoint.pt', '',
              'https://drive.google.com/drive/folders/1R4_Vi4TpCQ26-6_b2PhjTBg-nBxZKjz6', 'non-commercial research',
              ('mesh_downsampling.npz', 'UV_data/UV_Processed.mat')),
    Published('danet', 'danet_model_h36m_itw.pt', '',
              'https://drive.google.com/drive/folders/1vP3HxsMHdB3_2lthLDq1RTsVeBnOJlpC', _READ_HERE,
              ('UV_data/UV_Processed.mat',)),
)
