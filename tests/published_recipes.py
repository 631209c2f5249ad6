"""Settings of the published trainings, from their flags, YAML files and code, each with our config key.

RECIPES: {our YAML file: {owner/repository/file: [Row]}}. A Row has our value only where it differs.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """name: as published; published: its value; key: ours (None: no key sets it); ours, reason: where it differs."""
    name: str
    published: object
    key: str | None
    ours: object = None
    reason: str = ''


def behaviour(name, published, ours, reason):
    """A difference that no key sets."""
    return Row(name, published, None, ours, reason)


NO_SUCH_THING = [
    Row('no warm-up', 0, 'SOLVER.WARMUP_STEPS'), Row('no clipping', 0.0, 'SOLVER.GRAD_CLIP'),
    Row('no accumulation', 1, 'SOLVER.ACCUMULATE'), Row('Adam', 'adam', 'SOLVER.NAME'),
    Row('poses and S as the datasets have them', 'picture', 'MODEL.CAMERA'),
    Row('no averaged weights', 0.0, 'TRAIN.EMA'), Row('float32', 'no', 'TRAIN.MIXED_PRECISION')]
ONE_GPU = [Row('no SyncBatchNorm', False, 'TRAIN.SYNC_BATCHNORM')]
CONSTANT_RATE = [Row('no schedule', 'step', 'SOLVER.SCHEDULE'), Row('no schedule', [], 'SOLVER.EPOCHS'),
                 Row('no schedule', [], 'SOLVER.STEPS'),
                 Row('no schedule', None, 'SOLVER.GAMMA', 0.1, 'never applied without EPOCHS and STEPS')]
# datasets/base_dataset.py is the same in SPIN, PyMAF, DaNet and Multi-SPIN, except for the rows given there.
AUGMENTATION = [
    Row('--img_res', 224, 'DATA.IMG_RES'), Row('augm_params: flip with probability 1/2', True, 'DATA.FLIP'),
    Row('--rot_factor', 30.0, 'DATA.ROT_FACTOR'),
    Row('augm_params: no rotation with probability 0.6', 0.4, 'DATA.ROT_PROB'),
    Row('--noise_factor', 0.4, 'DATA.NOISE_FACTOR'), Row('--scale_factor', 0.25, 'DATA.SCALE_FACTOR'),
    behaviour('crop', 'corners cut to whole pixels, keypoints too; imrotate, imresize with stretched contrast',
              'one affine resampling, keypoints subpixel', 'exact labels; LEGACY_CROP_EVAL evaluates as published')]
WHOLE_DATASETS = [Row('MixedDataset: as long as the longest dataset', 0, 'DATA.EPOCH_LENGTH')]
SPIN_MIXTURE = Row('MixedDataset.partition', {'h36m': .3, 'lsp-orig+mpii+lspet+coco': .6, 'mpi-inf-3dhp': .1},
                   'DATA.MIXTURE')
KEYPOINTS = [
    Row('criterion_keypoints', 'mse', 'LOSS.KP_CRITERION'),
    Row('keypoint_loss: mean over all rows, joints and axes', 'all', 'LOSS.KP_MEAN'),
    Row('--openpose_train_weight', 0.0, 'LOSS.OPENPOSE_TRAIN_WEIGHT'),
    Row('--gt_train_weight', 1.0, 'LOSS.GT_TRAIN_WEIGHT')]
NO_VALIDATION = Row('test() is empty', '', 'DATA.EVAL_DATASET', '3dpw', 'best.pt is chosen on its validation split')

SPIN_FLAGS = [
    Row('--lr', 5e-5, 'SOLVER.BASE_LR'), Row('--num_epochs', 50, 'TRAIN.NUM_EPOCHS'),
    Row('--batch_size', 64, 'TRAIN.BATCH_SIZE'), Row('--num_workers', 8, 'TRAIN.NUM_WORKERS'),
    Row('--summary_steps', 100, 'TRAIN.SUMMARY_STEPS'), Row('--checkpoint_steps', 10000, 'TRAIN.CHECKPOINT_STEPS'),
    Row('--keypoint_loss_weight', 5.0, 'LOSS.KP_2D_W'), Row('--keypoint_loss_weight', 5.0, 'LOSS.KP_3D_W'),
    Row('--pose_loss_weight', 1.0, 'LOSS.POSE_W'), Row('--beta_loss_weight', 0.001, 'LOSS.SHAPE_W'),
    Row('--shape_loss_weight', 0.0, 'LOSS.VERT_W'),
    Row('--smplify_threshold', 100.0, 'SMPLIFY.THRESHOLD'), Row('--num_smplify_iters', 100, 'SMPLIFY.NUM_ITERS')]
SPIN_TRAINER = [
    Row('Adam, weight_decay', 0.0, 'SOLVER.WEIGHT_DECAY'), Row('loss *= 60', 60.0, 'LOSS.SCALE'),
    Row('exp(-10 s)^2, unweighted', 1.0, 'LOSS.CAM_W'), *KEYPOINTS,
    Row('SMPLify step_size', 0.01, 'SMPLIFY.STEP_SIZE'),
    Row('opt_joint_loss: mean over joints', 'mean', 'SMPLIFY.THRESHOLD_ON'),
    Row('valid_fit: the threshold alone', 0, 'SMPLIFY.MIN_JOINTS'),
    Row('get_fitting_loss zeroes the confidence of OpenPose\'s hips in place, before the camera stage', 'annotated',
        'SMPLIFY.TORSO'),
    behaviour('camera stage: an annotated hip or shoulder that is missing', 'pulls to the picture\'s corner',
              'is left out', 'the corner is no label'),
    behaviour('SMPLify runs for', 'every row', 'rows without ground truth', 'fits of the others are never used'),
    NO_VALIDATION, *CONSTANT_RATE, *NO_SUCH_THING, *ONE_GPU]
SPIN_SMPLIFY = [
    Row('optimizer of both stages', 'adam', 'SMPLIFY.METHOD'),
    Row('gmof of pixels, sigma 100', 'pixels', 'SMPLIFY.OBJECTIVE')]
HMR_NETWORK = [
    Row('ResNet-50', 'resnet50', 'MODEL.BACKBONE.NAME'),
    Row('pretrained=True', 'imagenet', 'MODEL.BACKBONE.PRETRAINED'),
    Row('n_iter', 3, 'MODEL.HMR.N_ITER'), Row('fc1, fc2', 1024, 'MODEL.HMR.HIDDEN'),
    Row('Dropout()', 0.5, 'MODEL.HEAD_DROPOUT')]


def spin(run, **changed):
    """SPIN's tables. changed: {file: rows}, which replace rows of the same key."""
    tables = {
        'utils/train_options.py': [*SPIN_FLAGS, Row('--run_smplify', run, 'SMPLIFY.RUN')],
        'train/trainer.py': SPIN_TRAINER,
        'train/fits_dict.py': [Row('static_fits', True, 'SMPLIFY.USE_FITS'),
                               Row('static_fits', False, 'SMPLIFY.USE_FINAL_FIT')],
        'smplify/smplify.py': SPIN_SMPLIFY, 'datasets/mixed_dataset.py': [SPIN_MIXTURE, *WHOLE_DATASETS],
        'datasets/base_dataset.py': AUGMENTATION, 'models/hmr.py': HMR_NETWORK}
    for file, rows in changed.items():
        keys = {row.key for row in rows if row.key}
        tables = {name: [row for row in table if row.key not in keys] for name, table in tables.items()}
        tables[file] = [*tables.get(file, ()), *rows]
    return tables


def of(repository, tables):
    return {f'{repository}/{file}': rows for file, rows in tables.items()}


MULTI_SPIN = spin(True, **{
    'train/trainer.py': [
        Row('command of the full training: --batch_size', 32, 'TRAIN.BATCH_SIZE'),
        Row('command of the full training: --num_epoch (ablations: 10)', 25, 'TRAIN.NUM_EPOCHS'),
        Row('command of the full training: --summary_steps', 350, 'TRAIN.SUMMARY_STEPS'),
        Row('command of the full training: --checkpoint_steps', 350, 'TRAIN.CHECKPOINT_STEPS'),
        Row('losses, targets and fits of img0', 'first', 'MULTIVIEW.SUPERVISED'),
        Row('test() is empty; evaluate_multi_view.py on S8', '', 'DATA.EVAL_DATASET', 'mpi-inf-3dhp-s8',
            'errors are reported after each epoch'),
        Row('evaluate_multi_view.py: pairs', 2, 'TEST.N_VIEWS'),
        Row('optimizer: AdamW with weight_decay 0', 'adamw', 'SOLVER.NAME', 'adam', 'the same without decay'),
        Row('the variant that is not commented out', 'mlp', 'MULTIVIEW.FUSION', 'avg',
            'one of the four published; ResNet-50 of the paper')],
    'datasets/mixed_dataset.py': [Row('partition: MPI-INF-3DHP, of which S8 is left out', {'mpi-inf-3dhp-s8': 1.0},
                                      'DATA.MIXTURE')],
    'datasets/base_dataset_multiview.py': [
        Row('pairs', 2, 'DATA.N_VIEWS'), Row('pairs', 2, 'MULTIVIEW.N_VIEWS'),
        behaviour('pairs', 'drawn once, every picture of an instant in one of them', 'drawn anew, one an instant',
                  'all pairs are met; an epoch is shorter'),
        behaviour('mirror', 'for each view', 'for both views', 'both show one body')]})
MULTI_SPIN['train/trainer.py'] = [row for row in MULTI_SPIN['train/trainer.py'] if row != NO_VALIDATION]

PYMAF_YAML = [
    Row('SOLVER.BASE_LR', 5e-5, 'SOLVER.BASE_LR'), Row('SOLVER.GAMMA', 0.1, 'SOLVER.GAMMA'),
    Row('SOLVER.EPOCHS', [0], 'SOLVER.EPOCHS', [], 'the first entry is never applied'),
    Row('SOLVER.STEPS', [0], 'SOLVER.STEPS', [], 'not read'),
    Row('LOSS.KP_2D_W', 300.0, 'LOSS.KP_2D_W'), Row('LOSS.KP_3D_W', 300.0, 'LOSS.KP_3D_W'),
    Row('LOSS.SHAPE_W', 0.06, 'LOSS.SHAPE_W'), Row('LOSS.POSE_W', 60.0, 'LOSS.POSE_W'),
    Row('LOSS.VERT_W', 0.0, 'LOSS.VERT_W'),
    Row('LOSS.INDEX_WEIGHTS', 2.0, 'LOSS.INDEX_WEIGHTS', 1.0, 'read, but applied to nothing'),
    Row('LOSS.PART_WEIGHTS', 0.3, 'LOSS.PART_WEIGHTS', 1.0, 'read, but applied to nothing'),
    Row('LOSS.POINT_REGRESSION_WEIGHTS', 0.5, 'LOSS.POINT_REGRESSION_WEIGHTS'),
    Row('TRAIN.BATCH_SIZE', 64, 'TRAIN.BATCH_SIZE'), Row('TEST.BATCH_SIZE', 32, 'TEST.BATCH_SIZE'),
    Row('MODEL.PyMAF.BACKBONE', 'resnet50', 'MODEL.BACKBONE.NAME'),
    Row('POSE_RES_MODEL.PRETR_SET', 'imagenet', 'MODEL.BACKBONE.PRETRAINED'),
    Row('MODEL.PyMAF.MLP_DIM', [256, 128, 64, 5], 'MODEL.PyMAF.MLP_DIM'),
    Row('MODEL.PyMAF.N_ITER', 3, 'MODEL.PyMAF.N_ITER'),
    Row('MODEL.PyMAF.AUX_SUPV_ON', True, 'MODEL.PyMAF.AUX_SUPV_ON'), Row('MODEL.PyMAF.DP_HEATMAP_SIZE', 56, 'IUV.SIZE'),
    Row('RES_MODEL.NUM_DECONV_FILTERS', [256, 256, 256], 'MODEL.PyMAF.DECONV_FILTERS'),
    Row('RES_MODEL.NUM_DECONV_KERNELS', [4, 4, 4], 'MODEL.PyMAF.DECONV_KERNELS')]
PYMAF_TRAINER = [
    Row('Adam, weight_decay', 0.0, 'SOLVER.WEIGHT_DECAY'), Row('sum of all losses', 1.0, 'LOSS.SCALE'),
    Row('exp(-10 s)^2, unweighted', 1.0, 'LOSS.CAM_W'),
    *KEYPOINTS, Row('decay at SOLVER.EPOCHS', 'step', 'SOLVER.SCHEDULE'),
    Row('convert_sync_batchnorm', True, 'TRAIN.SYNC_BATCHNORM'), *NO_SUCH_THING,
    behaviour('several GPUs: TRAIN.BATCH_SIZE', 'divided by the GPUs of a machine', 'divided by all processes',
              'the same on one machine'),
    behaviour('last batch of an epoch', 'smaller', 'left out', 'batch statistics of a few rows')]


def pymaf(flags, mixture, more):
    return of('HongwenZhang/PyMAF', {
        'configs/pymaf_config.yaml': PYMAF_YAML, 'core/train_options.py': flags,
        'core/trainer.py': PYMAF_TRAINER + more,
        'datasets/mixed_dataset.py': [mixture, *WHOLE_DATASETS], 'datasets/base_dataset.py': AUGMENTATION})


DANET_NETWORK = [
    Row('HR_MODEL: W48', 'hrnet_w48', 'MODEL.BACKBONE.NAME'), Row('DECOMPOSED', True, 'MODEL.DANET.DECOMPOSED'),
    Row('HEATMAP_SIZE', 56, 'IUV.SIZE'), Row('REFINEMENT.FEAT_DIM', 128, 'MODEL.DANET.FEATURES'),
    Row('REFINEMENT.GCN_NUM_LAYER', 3, 'MODEL.DANET.GRAPH_LAYERS'),
    Row('STN_CENTER_JITTER', 0.1, 'MODEL.DANET.CENTER_JITTER'),
    Row('STN_SCALE_JITTER', 0.2, 'MODEL.DANET.SCALE_JITTER'),
    Row('STN_PART_VIS_SCORE', 0.5, 'MODEL.DANET.VISIBLE_SCORE'), Row('STN_KPS_WEIGHTS', 1.0, 'MODEL.DANET.CENTER_W'),
    Row('TRAIN.BATCH_SIZE', 16, 'TRAIN.BATCH_SIZE'), Row('TEST.BATCH_SIZE', 16, 'TEST.BATCH_SIZE'),
    Row('SOLVER.BASE_LR', 1e-4, 'SOLVER.BASE_LR')]
DANET_DENSE = [
    Row('body_uv_losses: no weight on the part index', 1.0, 'LOSS.INDEX_WEIGHTS'),
    Row('body_uv_losses: no weight on the segments', 1.0, 'LOSS.PART_WEIGHTS'),
    Row('POINT_REGRESSION_WEIGHTS', 0.5, 'LOSS.POINT_REGRESSION_WEIGHTS'),
    behaviour('targets of the crops', 'one-hot maps cut bilinearly', 'IUV cut by nearest pixel', 'U and V do not mix'),
    behaviour('dropped parts', 'cleared before the likeliest part is chosen', 'after',
              'no other part takes their pixels'),
    behaviour('random factor of a crop\'s side', 'drawn twice', 'drawn once', 'its range is the published key')]
DANET_START = behaviour('branches', 'from ImageNet\'s ResNet-18', 'from random weights', 'their input is no picture')

CLIFF = {
    'configs/cliff/resnet50_pw3d_cache.py': [
        Row('optimizer: Adam, lr of backbone and head', 3e-4, 'SOLVER.BASE_LR'),
        Row('optimizer_config: grad_clip', 2.0, 'SOLVER.GRAD_CLIP'),
        Row('optimizer: no weight_decay', 0.0, 'SOLVER.WEIGHT_DECAY'),
        Row('lr_config: policy', 'step', 'SOLVER.SCHEDULE'), Row('lr_config: step', [100], 'SOLVER.EPOCHS'),
        Row('lr_config: gamma', 0.1, 'SOLVER.GAMMA'), Row('lr_config: by epoch', [], 'SOLVER.STEPS'),
        Row('max_epochs', 250, 'TRAIN.NUM_EPOCHS'), Row('samples_per_gpu', 64, 'TRAIN.BATCH_SIZE'),
        Row('samples_per_gpu', True, 'TRAIN.BATCH_PER_PROCESS'), Row('workers_per_gpu', 2, 'TRAIN.NUM_WORKERS'),
        Row('norm_cfg: SyncBN', True, 'TRAIN.SYNC_BATCHNORM'), Row('log_config: interval', 50, 'TRAIN.SUMMARY_STEPS'),
        Row('backbone: ResNet, depth 50', 'resnet50', 'MODEL.BACKBONE.NAME'),
        Row('init_cfg: resnet50_a1h2_176-001a1197.pth of timm', 'a1h2', 'MODEL.BACKBONE.PRETRAINED', 'imagenet',
            "torchvision's, which are fetched; the key takes the path of the other"),
        Row('loss_keypoints3d', 100.0, 'LOSS.KP_3D_W'), Row('loss_keypoints2d', 10.0, 'LOSS.KP_2D_W'),
        Row('loss_keypoints: SmoothL1Loss', 'smooth_l1', 'LOSS.KP_CRITERION'), Row('loss_vertex', 2.0, 'LOSS.VERT_W'),
        Row('loss_smpl_pose', 3.0, 'LOSS.POSE_W'), Row('loss_smpl_betas', 0.02, 'LOSS.SHAPE_W'),
        Row('no loss_camera', 0.0, 'LOSS.CAM_W'), Row('disc: commented out', 0.0, 'ADVERSARY.WEIGHT'),
        Row('flip_prob 0.5', True, 'DATA.FLIP'), Row('noise_factor', 0.4, 'DATA.NOISE_FACTOR'),
        Row('rot_factor', 30.0, 'DATA.ROT_FACTOR'), Row('scale_factor', 0.25, 'DATA.SCALE_FACTOR'),
        Row('img_resolution (192, 256): 256 rows', 256, 'DATA.IMG_RES'),
        Row('partition', {'h36m-mosh': .4, 'mpi-inf-3dhp': .1, 'mpii-cliff': .1, 'coco-cliff': .2, '3dpw': .2},
            'DATA.MIXTURE'),
        Row('data.test: pw3d', '3dpw', 'DATA.EVAL_DATASET'),
        behaviour('keypoints', "54 of smpl_54, SMPL's own 24 among them", 'the 49', 'files here hold these'),
        *[row for row in NO_SUCH_THING if row.key != 'SOLVER.GRAD_CLIP']],
    'mmhuman3d/apis/train.py': [
        behaviour('grad_clip', 'no hook reads it', 'clips', "as its file says; steps of a network's start are large")],
    'mmhuman3d/data/datasets/pipelines/transforms.py': [
        Row('GetRandomScaleRotation: rot_prob', 0.6, 'DATA.ROT_PROB'),
        behaviour('MeshAffine', "the box's side is 192 columns; 256 rows show 4/3 of it", '256 rows show the side',
                  "as CLIFF's own code; bbox_info tells that side"),
        behaviour('GetBboxInfo of a turned crop', 'of the picture as it is', 'of the picture turned with it',
                  'turning the crop turns the camera, in which the box then lies elsewhere'),
        behaviour('GetBboxInfo: focal length', 'sqrt(w^2 + h^2)', "the label's where there is one",
                  'that camera took the picture')],
    'mmhuman3d/data/datasets/mixed_dataset.py': [
        *WHOLE_DATASETS, behaviour('rows', 'drawn with replacement', 'in turn, from the drawn dataset',
                                   'each row is met')],
    'mmhuman3d/models/architectures/cliff_mesh_estimator.py': [
        Row('keypoint losses: divided by the visible coordinates', 'visible', 'LOSS.KP_MEAN'),
        Row('compute_keypoints2d_loss_cliff: all by their confidence', 1.0, 'LOSS.OPENPOSE_TRAIN_WEIGHT'),
        Row('compute_keypoints2d_loss_cliff: all by their confidence', 1.0, 'LOSS.GT_TRAIN_WEIGHT'),
        Row('sum of all losses', 1.0, 'LOSS.SCALE'), Row('no registration', False, 'SMPLIFY.RUN'),
        Row('no registration', False, 'SMPLIFY.USE_FITS'), Row('no registration', False, 'SMPLIFY.USE_FINAL_FIT'),
        behaviour('2D keypoints', 'in 2 / 223 of a crop of 192 x 256', 'in 2 / 256', 'the unit is half the side')],
    'mmhuman3d/models/heads/cliff_head.py': [
        Row('n_iter', 3, 'MODEL.CLIFF.N_ITER'), Row('hdim', 1024, 'MODEL.CLIFF.HIDDEN'),
        Row('Dropout()', 0.5, 'MODEL.HEAD_DROPOUT')],
    'CLIFF of huawei-noah/noah-research/common/imutils.py': [
        Row('bbox_from_detector: rescale', 1.1, 'DEMO.BOX_SCALE', 0.0, 'the regressor\'s box_margin, 1.1, counts'),
        Row('bbox_from_detector: 256 / 192', 256 / 192, 'DATA.BOX_ASPECT')]}

RECIPES = {
    'spin': of('nkolot/SPIN', spin(True)),
    'hmr': of('nkolot/SPIN', spin(False)),
    'multi_spin': of('zhixionl/11785_final_project', MULTI_SPIN),
    'spin_mmhuman3d': of('open-mmlab/mmhuman3d', {
        'configs/spin/resnet50_spin_pw3d.py': [
            Row('registrant stages: num_iter', 50, 'SMPLIFY.NUM_ITERS'),
            Row('registrant optimizer', 'adam', 'SMPLIFY.METHOD'),
            Row('registrant optimizer: lr', 0.01, 'SMPLIFY.STEP_SIZE'),
            Row('registration: in_the_loop', True, 'SMPLIFY.RUN'),
            Row('optimizer: Adam, lr of backbone and head', 3e-5, 'SOLVER.BASE_LR'),
            Row('optimizer: no weight_decay', 0.0, 'SOLVER.WEIGHT_DECAY'),
            Row('lr_config: policy', 'step', 'SOLVER.SCHEDULE'),
            Row('lr_config: step', [3], 'SOLVER.EPOCHS'), Row('lr_config: gamma', 0.1, 'SOLVER.GAMMA'),
            Row('lr_config: by epoch', [], 'SOLVER.STEPS'), Row('max_epochs', 10, 'TRAIN.NUM_EPOCHS'),
            Row('samples_per_gpu', 32, 'TRAIN.BATCH_SIZE'), Row('samples_per_gpu', True, 'TRAIN.BATCH_PER_PROCESS'),
            Row('workers_per_gpu', 2, 'TRAIN.NUM_WORKERS'),
            Row('norm_cfg: SyncBN', True, 'TRAIN.SYNC_BATCHNORM'),
            Row('backbone: ResNet, depth 50', 'resnet50', 'MODEL.BACKBONE.NAME'),
            Row('init_cfg: the whole network from spin_pretrain.pth', '', 'MODEL.BACKBONE.PRETRAINED'),
            Row('loss_keypoints3d', 100.0, 'LOSS.KP_3D_W'), Row('loss_keypoints2d', 10.0, 'LOSS.KP_2D_W'),
            Row('loss_keypoints: SmoothL1Loss', 'smooth_l1', 'LOSS.KP_CRITERION'),
            Row('loss_vertex', 2.0, 'LOSS.VERT_W'),
            Row('loss_smpl_pose', 3.0, 'LOSS.POSE_W'), Row('loss_smpl_betas', 0.02, 'LOSS.SHAPE_W'),
            Row('loss_camera', 60.0, 'LOSS.CAM_W'), Row('img_res', 224, 'DATA.IMG_RES'),
            Row('flip_prob 0.5', True, 'DATA.FLIP'), Row('noise_factor', 0.4, 'DATA.NOISE_FACTOR'),
            Row('rot_factor', 30.0, 'DATA.ROT_FACTOR'), Row('scale_factor', 0.25, 'DATA.SCALE_FACTOR'),
            Row('partition', {'h36m': .35, 'mpi-inf-3dhp': .15, 'lsp-orig': .1, 'lspet': .1, 'mpii': .1, 'coco': .2},
                'DATA.MIXTURE'),
            Row('num_data', 100000, 'DATA.EPOCH_LENGTH'), Row('data.test: pw3d', '3dpw', 'DATA.EVAL_DATASET'),
            Row('log_config: interval', 100, 'TRAIN.SUMMARY_STEPS'), *NO_SUCH_THING],
        'mmhuman3d/data/datasets/pipelines/transforms.py': [
            Row('GetRandomScaleRotation: rot_prob', 0.6, 'DATA.ROT_PROB'),
            behaviour('crop', 'OpenCV between pixel indices', 'pixel centres at + 0.5',
                      'one convention in all recipes')],
        'mmhuman3d/data/datasets/mixed_dataset.py': [
            behaviour('rows', 'drawn with replacement', 'in turn, from the drawn dataset', 'each row is met')],
        'mmhuman3d/models/architectures/mesh_estimator.py': [
            Row('keypoint losses: divided by the visible coordinates', 'visible', 'LOSS.KP_MEAN'),
            Row('compute_keypoints2d_loss: all 49 by their confidence', 1.0, 'LOSS.OPENPOSE_TRAIN_WEIGHT'),
            Row('compute_keypoints2d_loss: all 49 by their confidence', 1.0, 'LOSS.GT_TRAIN_WEIGHT'),
            Row('sum of all losses', 1.0, 'LOSS.SCALE'), Row('run_registration: threshold', 10.0, 'SMPLIFY.THRESHOLD'),
            Row('opt_joint_loss: sum over joints', 'sum', 'SMPLIFY.THRESHOLD_ON'),
            Row('valid_fit: the threshold alone', 0, 'SMPLIFY.MIN_JOINTS'),
            Row('no camera stage of its own', None, 'SMPLIFY.TORSO', 'annotated',
                'nothing reads it with OBJECTIVE normalized'),
            Row('FitsDict: static', True, 'SMPLIFY.USE_FITS'), Row('FitsDict: static', False, 'SMPLIFY.USE_FINAL_FIT'),
            behaviour('2D keypoints', 'in 2 / (res - 1) of the crop', 'in 2 / res', 'one convention in all recipes')],
        'mmhuman3d/models/losses/mse_loss.py': [
            Row('KeypointMSELoss: gmof of the squared distance in [-1, 1], times confidence', 'normalized',
                'SMPLIFY.OBJECTIVE')],
        'mmhuman3d/models/losses/prior_loss.py': [
            behaviour('JointPriorLoss', '(exp(bend) - 1)^2 of entries 55, 58, 12, 15 of the body pose',
                      'exp(bend)^2 of both elbows and knees, 52, 55, 9, 12',
                      'the published entries count from the global orientation, which the pose there does not hold')],
        'mmhuman3d/models/registrants/smplify.py': [
            behaviour('a stage ends', 'when the batch\'s loss changes by less than 1e-4', 'after NUM_ITERS',
                      'a fit does not depend on its batch')],
        'mmhuman3d/models/heads/hmr_head.py': HMR_NETWORK[2:]}),
    'cliff': of('open-mmlab/mmhuman3d', CLIFF),
    'cliff_occlusion': of('open-mmlab/mmhuman3d', {**CLIFF, 'configs/cliff/resume.py': [
        row for row in CLIFF['configs/cliff/resnet50_pw3d_cache.py']
        if row.key not in ('DATA.MIXTURE', 'TRAIN.NUM_EPOCHS')] + [
        Row('partition', {'h36m-mosh': .4, 'muco': .1, 'mpii-cliff': .1, 'coco-cliff': .2, '3dpw': .2}, 'DATA.MIXTURE'),
        Row('max_epochs, by --resume-from at about 150', 160, 'TRAIN.NUM_EPOCHS'),
        Row('occluders_file', 'data/occluders/pascal_occluders.npy', 'DATA.OCCLUDERS'),
        Row('name of the run', None, 'NAME', 'cliff_occlusion', 'the first stage has a folder of its own')],
        'configs/cliff/resnet50_pw3d_cache.py': [],
        'mmhuman3d/data/datasets/pipelines/synthetic_occlusion_augmentation.py': [
            behaviour('cut-outs', 'pasted over the whole picture', 'warped into the crop', 'the crop shows the same'),
            behaviour('their channels', 'RGB on a BGR picture', 'RGB on RGB', 'their colours')]}),
    'pymaf': pymaf(
        [Row('--num_epochs', 60, 'TRAIN.NUM_EPOCHS'), Row('--eval_dataset', '3dpw', 'DATA.EVAL_DATASET'),
         Row('--single_dataname', 'coco-full', 'DATA.SINGLE_NAME'), Row('TRAIN.NUM_WORKERS', 16, 'TRAIN.NUM_WORKERS')],
        Row('partition', {'h36m': .5, 'lsp-orig+mpii-eft+lspet-eft+coco-full': .3, 'mpi-inf-3dhp': .2}, 'DATA.MIXTURE'),
        [Row('valid_fit = has_smpl', False, 'SMPLIFY.USE_FITS'),
        Row('valid_fit = has_smpl', False, 'SMPLIFY.USE_FINAL_FIT'),
         Row('no SMPLify', False, 'SMPLIFY.RUN'),
         Row('IUV_Renderer: PyTorch3D, TexturesVertex', 'smooth', 'IUV.SHADING')]),
    'pymaf_fits': pymaf(
        [Row('--num_epochs', 200, 'TRAIN.NUM_EPOCHS'), Row('--eval_dataset', 'h36m-p2-mosh', 'DATA.EVAL_DATASET'),
         Row('--single_dataname', 'h36m', 'DATA.SINGLE_NAME'), Row('TRAIN.NUM_WORKERS', 8, 'TRAIN.NUM_WORKERS')],
        SPIN_MIXTURE,
        [Row('FitsDict', True, 'SMPLIFY.USE_FITS'),
        Row('FitsDict: final_fits, valid_fit', True, 'SMPLIFY.USE_FINAL_FIT'),
         Row('no SMPLify', False, 'SMPLIFY.RUN'), Row('IUV_Renderer: Neural Renderer', 'flat', 'IUV.SHADING'),
         behaviour('betas above 3 of valid fits', 'kept (they replace the labels first)', 'zeros',
                   'SPIN and DaNet do so')]),
    'danet': of('HongwenZhang/DaNet-DensePose2SMPL', {
        'configs/danet_default.yaml': [
            *DANET_NETWORK,
            Row('SOLVER.STEPS', [0, 30000, 60000], 'SOLVER.STEPS', [30000, 60000], 'the first entry is never applied'),
            Row('HR_MODEL.PRETR_SET', 'coco', 'MODEL.BACKBONE.PRETRAINED'),
            Row('SMPL_POSE_WEIGHTS', 60.0, 'LOSS.POSE_W'), Row('SMPL_BETAS_WEIGHTS', 0.06, 'LOSS.SHAPE_W'),
            Row('PROJ_KPS_WEIGHTS', 300.0, 'LOSS.KP_2D_W'), Row('KPS3D_WEIGHTS', 300.0, 'LOSS.KP_3D_W'),
            Row('VERTS_WEIGHTS', 0.0, 'LOSS.VERT_W'), Row('ORTHOGONAL_WEIGHTS', 0.0, 'MODEL.DANET.ORTHOGONAL_W'),
            Row('JOINT_POSITION_WEIGHTS', 1.0, 'MODEL.DANET.POSITION_W'),
            Row('PARTDROP_RATE', 0.3, 'MODEL.DANET.PART_DROPOUT'),
            Row('INDEX_WEIGHTS, of the annotated segments', 2.0, 'MODEL.DANET.POINT_SEGMENT_W'),
            Row('PART_WEIGHTS, of the annotated points\' part', 0.3, 'MODEL.DANET.POINT_INDEX_W'),
            Row('POINT_REGRESSION_WEIGHTS, of the annotated points', 0.5, 'MODEL.DANET.POINT_UV_W', 8.0,
                'on the sum over a batch of 16, which is divided by the batch here')],
        'models/core/config.py': [Row('SOLVER.GAMMA', 0.1, 'SOLVER.GAMMA'), Row('no epochs', [], 'SOLVER.EPOCHS')],
        'train/train_options.py': [
            Row('--num_epochs', 4, 'TRAIN.NUM_EPOCHS'), Row('--pretr_step', 5000, 'TRAIN.PRETR_STEP'),
            Row('--num_workers', 8, 'TRAIN.NUM_WORKERS'), Row('--vis_interval', 1000, 'TRAIN.VIS_INTERVAL'),
            Row('--checkpoint_steps', 10000, 'TRAIN.CHECKPOINT_STEPS'),
            Row('--summary_steps', 100, 'TRAIN.SUMMARY_STEPS')],
        'train/trainer.py': [
            Row('Adam, weight_decay', 0.0, 'SOLVER.WEIGHT_DECAY'),
            Row('decay at SOLVER.STEPS', 'step', 'SOLVER.SCHEDULE'),
            Row('sum of all losses', 1.0, 'LOSS.SCALE'),
            Row('h36m_dp: valid_fit = has_smpl', False, 'SMPLIFY.USE_FITS'),
            Row('h36m_dp: valid_fit = has_smpl', False, 'SMPLIFY.USE_FINAL_FIT'),
            Row('no SMPLify', False, 'SMPLIFY.RUN'),
            *NO_SUCH_THING, *ONE_GPU, NO_VALIDATION],
        'models/danet/smpl_regressor.py': [Row('exp(-10 s)^2, unweighted', 1.0, 'LOSS.CAM_W'), *KEYPOINTS, DANET_START],
        'models/danet/iuv_estimator.py': [
            *DANET_DENSE,
            behaviour('part at points', 'mean over 196; missing ones count as background at (0, 0)',
                      'mean over the annotated ones', 'nothing is known at (0, 0)')],
        'utils/renderer.py': [Row('IUV_Renderer: Neural Renderer', 'flat', 'IUV.SHADING')],
        'datasets/mixed_dataset.py': [Row('h36m_dp', {'h36m': .5, 'dp_coco': .5}, 'DATA.MIXTURE'), *WHOLE_DATASETS],
        'datasets/base_dataset.py': [
            *AUGMENTATION, Row('dp_dict', True, 'DATA.DENSE_POINTS'),
            behaviour('rotation of pictures with annotated points', 'none', 'as of others',
                      'points turn with them here')]}),
    'hmr2': of('shubham-goel/4D-Humans', {
        'hmr2/configs_hydra/experiment/hmr_vit_transformer.yaml': [
            Row('GENERAL.TOTAL_STEPS', 1_000_000, 'TRAIN.MAX_STEPS'),
            Row('GENERAL.LOG_STEPS', 1000, 'TRAIN.SUMMARY_STEPS'),
            Row('GENERAL.CHECKPOINT_STEPS', 10000, 'TRAIN.CHECKPOINT_STEPS'),
            Row('GENERAL.CHECKPOINT_SAVE_TOP_K', 1, 'TRAIN.KEEP_CHECKPOINTS'),
            Row('GENERAL.NUM_WORKERS', 6, 'TRAIN.NUM_WORKERS'), Row('TRAIN.LR', 1e-5, 'SOLVER.BASE_LR'),
            Row('TRAIN.WEIGHT_DECAY', 1e-4, 'SOLVER.WEIGHT_DECAY'), Row('TRAIN.BATCH_SIZE', 48, 'TRAIN.BATCH_SIZE'),
            Row('TRAIN.BATCH_SIZE: of each GPU', True, 'TRAIN.BATCH_PER_PROCESS'),
            Row('TRAIN.NUM_TRAIN_SAMPLES: mocap rows a picture', 2, 'ADVERSARY.REAL_PER_ESTIMATE'),
            Row('MODEL.IMAGE_SIZE', 256, 'DATA.IMG_RES'),
            Row('MODEL.BACKBONE.TYPE: vit', 'vit_h', 'MODEL.BACKBONE.NAME'),
            Row('MODEL.BACKBONE.PRETRAINED_WEIGHTS', 'data/hmr2_training_data/vitpose_backbone.pth',
                'MODEL.BACKBONE.PRETRAINED'),
            Row('TRANSFORMER_DECODER.depth', 6, 'MODEL.HMR2.DEPTH'),
            Row('TRANSFORMER_DECODER.heads', 8, 'MODEL.HMR2.HEADS'),
            Row('TRANSFORMER_DECODER.mlp_dim', 1024, 'MODEL.HMR2.MLP_DIM'),
            Row('TRANSFORMER_DECODER.dim_head', 64, 'MODEL.HMR2.HEAD_DIM'),
            Row('LOSS_WEIGHTS.KEYPOINTS_3D', 0.05, 'LOSS.KP_3D_W'),
            Row('LOSS_WEIGHTS.KEYPOINTS_2D', 0.01, 'LOSS.KP_2D_W'),
            Row('LOSS_WEIGHTS.GLOBAL_ORIENT', 0.001, 'MODEL.HMR2.ORIENT_W'),
            Row('LOSS_WEIGHTS.BODY_POSE', 0.001, 'LOSS.POSE_W'), Row('LOSS_WEIGHTS.BETAS', 0.0005, 'LOSS.SHAPE_W'),
            Row('LOSS_WEIGHTS.ADVERSARIAL', 0.0005, 'ADVERSARY.WEIGHT')],
        'hmr2/models/heads/smpl_head.py': [
            Row('transformer_args: dim', 1024, 'MODEL.HMR2.DIM'),
            Row('INIT_DECODER_XAVIER', False, 'MODEL.HMR2.SMALL_START'),
            behaviour('mean pose', 'smpl_mean_params.npz, in SPIN\'s layout, read in another',
                      'turned into that layout', 'the mean rotations; a published checkpoint brings its own')],
        'hmr2/models/backbones/vit.py': [
            Row('drop_path_rate', 0.55, 'MODEL.HMR2.DROP_PATH'),
            Row('use_checkpoint', False, 'MODEL.HMR2.CHECKPOINT_BLOCKS')],
        'hmr2/configs_hydra/experiment/default.yaml': [
            Row('CONFIG.SCALE_FACTOR', 0.3, 'DATA.SCALE_FACTOR'), Row('CONFIG.ROT_FACTOR', 30.0, 'DATA.ROT_FACTOR'),
            Row('CONFIG.ROT_AUG_RATE', 0.6, 'DATA.ROT_PROB'), Row('CONFIG.COLOR_SCALE', 0.2, 'DATA.NOISE_FACTOR'),
            Row('CONFIG.TRANS_FACTOR, at every sample: TRANS_AUG_RATE is not read', 0.02, 'DATA.SHIFT_FACTOR'),
            Row('CONFIG.DO_FLIP, FLIP_AUG_RATE 0.5', True, 'DATA.FLIP'),
            Row('CONFIG.EXTREME_CROP_AUG_RATE, level 1', 0.1, 'DATA.EXTREME_CROP')],
        'hmr2/configs_hydra/data_filtering/low1.yaml': [
            Row('SUPPRESS_KP_CONF_THRESH', 0.3, 'DATA.MIN_CONFIDENCE'),
            Row('FILTER_NUM_KP: more than 4', 5, 'DATA.MIN_KEYPOINTS'),
            Row('SUPPRESS_BETAS_THRESH, with POSES_BETAS_SIMULTANEOUS', 3.0, 'DATA.MAX_BETAS'),
            behaviour('FILTER_REPROJ_THRESH', 31000, '--max_reprojection of datasets.preprocess.hmr2_tars',
                      'annotation files hold no residuals of fits; the published tars do'),
            behaviour('SUPPRESS_BAD_POSES', 'by a histogram of AMASS\'s poses', 'no such filter',
                      'its histogram of poses is none of the assets that are read here')],
        'hmr2/configs_hydra/data/mix_all.yaml': [
            Row('DATASETS.TRAIN', {'h36m': .1, 'mpii': .1, 'coco': .1, 'coco-vitpose': .1, 'mpi-inf-3dhp': .02,
                                   'ava': .19, 'aic': .19, 'insta': .2}, 'DATA.MIXTURE',
                {'h36m': .1, 'mpii': .1, 'coco': .2, 'mpi-inf-3dhp': .02},
                'AVA, AI Challenger and InstaVariety with ViTPose\'s labels are not converted here'),
            Row('DATASETS.VAL: pictures of COCO alone', '', 'DATA.EVAL_DATASET', '3dpw',
                'best.pt is chosen on its validation split'),
            Row('DATASETS.MOCAP', 'data/hmr2_training_data/cmu_mocap.npz', 'ADVERSARY.SAMPLES')],
        'hmr2/datasets/__init__.py': [Row('with_epoch', 100000, 'DATA.EPOCH_LENGTH')],
        'hmr2/datasets/image_dataset.py': [
            Row('BBOX_SHAPE 192:256', 256 / 192, 'DATA.BOX_ASPECT'),
            behaviour('a file that has the box\'s longer side alone', 'a square, widened',
                      'in training by the keypoints\' shape',
                      'most files are such; all would be widened to 4/3'),
            behaviour('OpenPose\'s joints in 3D', 'nose and face of some files', 'none', 'S has the common joints'),
            behaviour('crop', 'OpenCV between pixel indices, no averaging', 'pixel centres at + 0.5, averaged',
                      'one convention in all recipes')],
        'hmr2/models/losses.py': [
            Row('L1Loss', 'l1', 'LOSS.KP_CRITERION'),
            Row('sums over batch, joints and axes', True, 'MODEL.HMR2.SUMMED_LOSSES'),
            Row('sums', None, 'LOSS.KP_MEAN', 'all', 'nothing reads it with SUMMED_LOSSES'),
            Row('all of the 44 joints by their confidence', 1.0, 'LOSS.OPENPOSE_TRAIN_WEIGHT'),
            Row('all of the 44 joints by their confidence', 1.0, 'LOSS.GT_TRAIN_WEIGHT'),
            behaviour('3D joints without a pelvis', 'about the origin', 'do not count', 'the origin is no label')],
        'hmr2/models/hmr2.py': [
            Row('sum of all losses', 1.0, 'LOSS.SCALE'), Row('no mesh loss', 0.0, 'LOSS.VERT_W'),
            Row('no loss of depth', 0.0, 'LOSS.CAM_W'), Row('AdamW', 'adamw', 'SOLVER.NAME'),
            Row('optimizer_disc: lr', 1e-5, 'ADVERSARY.BASE_LR'),
            Row('optimizer_disc: weight_decay', 1e-4, 'ADVERSARY.WEIGHT_DECAY'),
            Row('one rate', 1.0, 'MODEL.HMR2.LAYER_DECAY'), Row('no GRAD_CLIP_VAL', 0.0, 'SOLVER.GRAD_CLIP'),
            Row('no accumulation', 1, 'SOLVER.ACCUMULATE'), Row('no warm-up', 0, 'SOLVER.WARMUP_STEPS'),
            Row('no averaged weights', 0.0, 'TRAIN.EMA'),
            Row('poses as the datasets have them', 'picture', 'MODEL.CAMERA'),
            Row('no fits', False, 'SMPLIFY.RUN'), Row('labels of the tars', False, 'SMPLIFY.USE_FITS'),
            Row('labels of the tars', False, 'SMPLIFY.USE_FINAL_FIT'), *CONSTANT_RATE,
            behaviour('loss of the discriminator', 'times ADVERSARIAL', 'as it is', 'AdamW\'s step has no scale')],
        'hmr2/configs_hydra/trainer/default_hmr.yaml': [
            Row('precision: 16', 'fp16', 'TRAIN.MIXED_PRECISION'),
            Row('max_steps alone', None, 'TRAIN.NUM_EPOCHS', 10000, 'never reached')],
        'hmr2/configs_hydra/trainer/ddp.yaml': [
            Row('sync_batchnorm', True, 'TRAIN.SYNC_BATCHNORM', False, 'the network has no batch statistics')]}),
    'danet_h36m_itw': of('HongwenZhang/DaNet-3DHumanReconstruction', {
        'configs/danet_h36m_itw.yaml': [
            *DANET_NETWORK, Row('SOLVER.STEPS', [0], 'SOLVER.STEPS', [], 'the first entry is never applied'),
            Row('SOLVER.WEIGHT_DECAY', 0.001, 'SOLVER.WEIGHT_DECAY'),
            Row('POSE_PARA_WEIGHTS', 10.0, 'MODEL.DANET.POSE_L1_W'),
            Row('SHAPE_PARA_WEIGHTS', 10.0, 'MODEL.DANET.SHAPE_CAMERA_L1_W'),
            Row('PRETR_STEP', 5000, 'TRAIN.PRETR_STEP'),
            Row('PART_IUV_ZERO', 0.3, 'MODEL.DANET.PART_DROPOUT'),
            Row('HR_MODEL.PRETR_SET', 'coco', 'MODEL.BACKBONE.PRETRAINED'),
            Row('USE_6D_ROT: no orthogonality', 0.0, 'MODEL.DANET.ORTHOGONAL_W')],
        'configs/danet_demo.yaml (first commit)': [
            Row('PROJ_KPS_WEIGHTS', 0.1, 'MODEL.DANET.TARGET_KP_2D_W'),
            Row('KPS3D_WEIGHTS', 0.1, 'MODEL.DANET.TARGET_KP_3D_W'),
            Row('VERTS_WEIGHTS', 1.0, 'MODEL.DANET.TARGET_MESH_W')],
        'models/core/config.py': [Row('SOLVER.GAMMA', 0.1, 'SOLVER.GAMMA'), Row('no epochs', [], 'SOLVER.EPOCHS')],
        'models/danet/smpl_regressor.py': [
            Row('projection_losses instead', 0.0, 'LOSS.KP_2D_W'),
            Row('projection_losses instead', 0.0, 'LOSS.KP_3D_W'),
            Row('smpl_para_losses instead', 0.0, 'LOSS.POSE_W'), Row('smpl_para_losses instead', 0.0, 'LOSS.SHAPE_W'),
            Row('no mesh loss of all parameters', 0.0, 'LOSS.VERT_W'), Row('no loss of depth', 0.0, 'LOSS.CAM_W'),
            Row('sum of all losses', 1.0, 'LOSS.SCALE'), DANET_START,
            Row('no such loss', None, 'LOSS.KP_CRITERION', 'mse', 'its weights are 0'),
            Row('no such loss', None, 'LOSS.KP_MEAN', 'all', 'its weights are 0'),
            Row('no such loss', None, 'LOSS.OPENPOSE_TRAIN_WEIGHT', 0.0, 'its weights are 0'),
            Row('no such loss', None, 'LOSS.GT_TRAIN_WEIGHT', 1.0, 'its weights are 0'),
            Row('SMPL_KPS_WEIGHTS, not published', None, 'MODEL.DANET.POSITION_W', 1.0, 'as the later trainer'),
            behaviour('keypoints', '14 or 17 of cocoplus', 'the 24 common ones', 'annotation files hold these'),
            behaviour('rows without a target body', 'take part in the reprojection', 'do not',
                      'their camera is no target'),
            behaviour('3D keypoints', 'the target alone is centred', 'both are', 'SMPL\'s root is not the mid-hip')],
        'models/danet/iuv_estimator.py': DANET_DENSE,
        'utils/train_options.py': [
            Row('--num_epochs', 65, 'TRAIN.NUM_EPOCHS'), Row('--num_workers', 8, 'TRAIN.NUM_WORKERS'),
            Row('--checkpoint_steps', 10000, 'TRAIN.CHECKPOINT_STEPS'),
            Row('--summary_steps', 100, 'TRAIN.SUMMARY_STEPS'),
            Row('--use_final_fit, off by default', False, 'SMPLIFY.USE_FINAL_FIT', True,
                'static fits are no targets without SMPLify; the later trainer takes final ones'),
            Row('SPIN\'s fits', True, 'SMPLIFY.USE_FITS'), Row('--run_smplify', False, 'SMPLIFY.RUN'),
            Row('SOLVER.TYPE: Adam, decay by SOLVER.STEPS', 'step', 'SOLVER.SCHEDULE'), *NO_SUCH_THING, *ONE_GPU,
            NO_VALIDATION],
        'models/danet/danet.py': [Row('Neural Renderer', 'flat', 'IUV.SHADING')],
        'datasets/mixed_dataset.py': [SPIN_MIXTURE, *WHOLE_DATASETS],
        'datasets/base_dataset.py': [*AUGMENTATION, Row('no dp_coco in the mixture', False, 'DATA.DENSE_POINTS')]})}
