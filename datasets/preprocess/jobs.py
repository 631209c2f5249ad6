"""The conversions of `preprocess_datasets.py`, in order."""
from dataclasses import dataclass
from pathlib import Path

from datasets.catalog import image_folder
from datasets.preprocess.bedlam import convert_bedlam
from datasets.preprocess.coco import convert_coco
from datasets.preprocess.dp_coco import convert_dp_coco
from datasets.preprocess.eft import convert_eft
from datasets.preprocess.emdb import convert_emdb
from datasets.preprocess.h36m import convert_h36m
from datasets.preprocess.lsp import convert_lsp
from datasets.preprocess.lsp_original import convert_lsp_original
from datasets.preprocess.lspet import convert_lspet
from datasets.preprocess.mpi_inf_3dhp import convert_mpi_inf_3dhp
from datasets.preprocess.mpii import convert_mpii
from datasets.preprocess.oh50k import convert_oh50k
from datasets.preprocess.pw3d import convert_pw3d
from datasets.preprocess.up3d import convert_up3d
from utils.assets import find_assets, is_complete_free_folder
from utils.errors import BadConfig, MissingFile, MissingPackage, ProjectError
from utils.logging import get_logger


@dataclass(frozen=True)
class Job:
    """One output file. dataset: the dataset whose folder is needed. run(root, out, options) writes the file. train:
    whether it is for training."""
    out: str
    dataset: str
    run: object
    train: bool

    @property
    def name(self):
        return Path(self.out).stem


def _coco(split):
    def run(root, out, options):
        convert_coco(root / split, root / f'annotations/person_keypoints_{split}.json', out,
                     options.openpose and f'{options.openpose}/coco', prefix=split)
    return run


def _dp_coco(split, folder):
    def run(root, out, options):
        convert_dp_coco(root / folder, root / f'annotations/densepose_coco_2014_{split}.json', out, prefix=folder)
    return run


def _eft(folder, file):
    """The file may be in the root or in `folder`. EFT's script puts all files in one folder."""
    def run(root, out, options):
        convert_eft(root / file if (root / file).exists() else root / folder / file, out)
    return run


def _h36m(split, with_mosh=False):
    def run(root, out, options):
        if with_mosh and not options.mosh:
            raise MissingFile('--mosh is required: the folder of MoSh bodies')
        detections = _below(options.openpose, 'h36m') if split == 'train' else ''
        convert_h36m(root, out, split, not options.no_extract, options.mosh if with_mosh else '', detections)
    return run


def _mpi_inf_3dhp(split):
    def run(root, out, options):
        train = split == 'train'
        convert_mpi_inf_3dhp(root, out, split, train and not options.no_extract, options.fits if train else '',
                             _below(options.openpose, 'mpi_inf_3dhp') if train else '')
    return run


def _pw3d(split):
    def run(root, out, options):
        convert_pw3d(root, out, split, body=out.parent.parent)
    return run


def _merged(convert, folder):
    """A converter of (root, out) that adds OpenPose's files of a folder."""
    def run(root, out, options):
        convert(root, out, openpose=_below(options.openpose, folder))
    return run


def _mpii(root, out, options):
    """train.h5 is in the folder of the pictures or, as in SPIN's archive, in the asset folder. It does not depend on
    the body, so with the free body the folder above is searched too."""
    assets = out.parent.parent
    places = [root, assets, *([assets.parent] if is_complete_free_folder(assets) else [])]
    found = [place / 'train.h5' for place in places if (place / 'train.h5').exists()]
    convert_mpii(found[0] if found else assets / 'train.h5', out, openpose=_below(options.openpose, 'mpii'))


def _below(folder, name):
    return f'{folder}/{name}' if folder else ''


JOBS = (
    Job('h36m_train.npz', 'h36m', _h36m('train'), True),
    Job('h36m_mosh_train.npz', 'h36m', _h36m('train', with_mosh=True), True),
    Job('mpi_inf_3dhp_train.npz', 'mpi-inf-3dhp', _mpi_inf_3dhp('train'), True),
    Job('lsp_dataset_original_train.npz', 'lsp-orig', _merged(convert_lsp_original, 'lsp'), True),
    Job('hr-lspet_train.npz', 'lspet', _merged(convert_lspet, 'hrlspet'), True),
    Job('mpii_train.npz', 'mpii', _mpii, True),
    Job('coco_2014_train.npz', 'coco', _coco('train2014'), True),
    Job('dp_coco_2014_train.npz', 'coco', _dp_coco('train', 'train2014'), True),
    Job('3dpw_train.npz', '3dpw', _pw3d('train'), True),
    Job('threeDOH50K_trainset.npz', '3doh50k', lambda root, out, _: convert_oh50k(root, out, 'trainset'), True),
    Job('upi-s1h_train.npz', 'upi-s1h', lambda root, out, _: convert_up3d(root, out, 'trainval'), True),
    Job('coco_2014_train_eft.npz', 'eft', _eft('coco_2014_train_fit', 'COCO2014-Part-ver01.json'), True),
    Job('coco-full_train_eft.npz', 'eft', _eft('coco_2014_train_fit', 'COCO2014-All-ver01.json'), True),
    Job('hr-lspet_train_eft.npz', 'eft', _eft('LSPet_fit', 'LSPet_ver01.json'), True),
    Job('mpii_train_eft.npz', 'eft', _eft('MPII_fit', 'MPII_ver01.json'), True),
    Job('bedlam_train.npz', 'bedlam', lambda root, out, _: convert_bedlam(root, out), True),
    Job('h36m_valid_protocol1.npz', 'h36m', _h36m('protocol1'), False),
    Job('h36m_valid_protocol2.npz', 'h36m', _h36m('protocol2'), False),
    Job('h36m_mosh_valid_p2.npz', 'h36m', _h36m('protocol2', with_mosh=True), False),
    Job('mpi_inf_3dhp_test.npz', 'mpi-inf-3dhp', _mpi_inf_3dhp('test'), False),
    Job('3dpw_test.npz', '3dpw', _pw3d('test'), False),
    Job('emdb1_test.npz', 'emdb', lambda root, out, _: convert_emdb(root, out, 'emdb1'), False),
    Job('emdb2_test.npz', 'emdb', lambda root, out, _: convert_emdb(root, out, 'emdb2'), False),
    Job('lsp_dataset_test.npz', 'lsp', lambda root, out, _: convert_lsp(root, out), False),
    Job('threeDOH50K_testset.npz', '3doh50k', lambda root, out, _: convert_oh50k(root, out, 'testset'), False),
    Job('dp_coco_2014_minival.npz', 'coco', _dp_coco('minival', 'val2014'), False),
    Job('upi-s1h_test.npz', 'upi-s1h', lambda root, out, _: convert_up3d(root, out, 'test'), False),
)


def run_jobs(cfg, options):
    """Run the selected jobs and print a summary. A job that fails or lacks its dataset does not stop the others.

    options: train_files, eval_files, only, overwrite, and the options of the converters. Returns the exit status: 1 if
    a job failed for another reason than an absent dataset, else 0. Raises BadConfig without jobs or for an unknown one.
    """
    chosen = [job for job in JOBS if _is_chosen(job, options)]
    names = ', '.join(job.name for job in JOBS)
    if unknown := set(options.only or ()) - {job.name for job in JOBS}:
        raise BadConfig(f'--only: unknown {", ".join(sorted(unknown))}; use names of {names}')
    if not chosen:
        raise BadConfig(f'nothing to do; give --train_files, --eval_files or --only with names of {names}')
    folder = _output_folder(cfg) / 'dataset_extras'
    outcomes = [(job, *_run(cfg, job, folder / job.out, options)) for job in chosen]
    width = max(len(job.name) for job in chosen)
    print('\n'.join(f'{job.name.ljust(width)}  {outcome}{": " + why if why else ""}' for job, outcome, why in outcomes))
    return int(any(outcome == 'failed' for _, outcome, _ in outcomes))


def _is_chosen(job, options):
    if options.only:
        return job.name in options.only
    return options.train_files if job.train else options.eval_files


def _run(cfg, job, out, options):
    """Run a job -> (outcome, reason)."""
    if out.exists() and not options.overwrite:
        return 'there already', ''
    try:
        job.run(image_folder(cfg, job.dataset), out, options)
    except ProjectError as error:
        if isinstance(error, MissingFile) and not isinstance(error, MissingPackage):
            return 'left out', str(error)
        get_logger().error(f'{job.name}: {error}')
        return 'failed', str(error)
    return 'written', ''


def _output_folder(cfg):
    try:
        return find_assets(cfg.PATHS.DATA_DIR).root
    except ProjectError:
        return Path(cfg.PATHS.DATA_DIR)
