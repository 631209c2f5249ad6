"""The config keys of the harness: default and meaning of each. A regressor's own keys are in its `add_config`.

Keys of PyMAF's published configs keep their names (SOLVER.BASE_LR, LOSS.KP_2D_W, MODEL.PyMAF.MLP_DIM, ...).
"""
from yacs.config import CfgNode as CN

from models import DEFAULT_REGRESSOR

_C = CN()
_C.NAME = ''  # experiment; its logs go to LOG_DIR/NAME; '': the regressor's name
_C.LOG_DIR = 'logs'  # folder of all experiments
_C.LOG = CN()
_C.LOG.TRACKERS = ['tensorboard']  # trackers of accelerate, by name: tensorboard, wandb, mlflow, trackio, ...
_C.SEED = 0  # seed of the weights, augmentation, sampling and dropout
_C.DEVICE = 'auto'  # 'auto' (CUDA if available), 'cuda' or 'cpu'

_C.PATHS = CN()
_C.PATHS.DATA_DIR = 'data'  # asset folder; without a licensed body in it, its free/ subfolder is used
_C.PATHS.IMAGE_DIRS = []  # 'dataset=folder' strings; a dataset without one is in DATA_DIR/datasets/<dataset>

_C.MODEL = CN()
_C.MODEL.REGRESSOR = DEFAULT_REGRESSOR  # `train.py --help` lists the names
_C.MODEL.BACKBONE = CN()
_C.MODEL.BACKBONE.NAME = 'resnet50'  # resnet18, resnet34, resnet50, resnet101, ...; timm/NAME: any network of timm
_C.MODEL.BACKBONE.PRETRAINED = 'imagenet'  # 'imagenet', 'coco', '' (random weights) or a path
_C.MODEL.CAMERA = 'crop'  # frame of estimated bodies: 'crop' (along the crop's ray) or 'picture' (the picture's camera)
_C.MODEL.HEAD_DROPOUT = 0.5  # dropout probability of the regressors' hidden layers

_C.MULTIVIEW = CN()
_C.MULTIVIEW.FUSION = 'avg'  # 'avg', 'attention' (any number of views), 'mlp', 'conv1d' (N_VIEWS in fixed order)
_C.MULTIVIEW.N_VIEWS = 2  # number of views that mlp and conv1d are built for
_C.MULTIVIEW.LEGACY_POSE = False  # mlp, conv1d: each view keeps its own body pose, as published, not the fused one
_C.MULTIVIEW.SUPERVISED = 'all'  # views that losses and fits use: 'all', or 'first' as published
_C.MULTIVIEW.DROP_VIEWS = 0.0  # avg, attention: share of training groups that fuse a random subset of their views

_C.DATA = CN()
_C.DATA.IMG_RES = 224  # side of the network's input in pixels
# Each entry is 'name[+name...]:share'. The datasets of one entry divide its share by their sizes.
_C.DATA.MIXTURE = ['h36m:0.3', 'lsp-orig+mpii+lspet+coco:0.6', 'mpi-inf-3dhp:0.1']
_C.DATA.SINGLE_DATASET = False  # train on SINGLE_NAME alone instead of MIXTURE
_C.DATA.SINGLE_NAME = 'h36m'
_C.DATA.N_VIEWS = 0  # views of a person in a training sample; 0: single pictures (docs/multiview.md)
_C.DATA.EPOCH_LENGTH = 0  # samples in an epoch; 0: the size of the largest dataset
_C.DATA.EVAL_DATASET = '3dpw'  # dataset of eval.py; training validates on its validation split; '': no validation
_C.DATA.IGNORE_3D = False  # train without the 3D annotations; validation still uses them
_C.DATA.FLIP = True  # mirror half of the training samples
_C.DATA.ROT_FACTOR = 30.0  # standard deviation of the random rotation, in degrees; clipped at twice this value
_C.DATA.ROT_PROB = 0.4  # share of training samples that are rotated
_C.DATA.NOISE_FACTOR = 0.4  # each colour channel is multiplied by a factor from 1 - x to 1 + x
_C.DATA.SCALE_FACTOR = 0.25  # standard deviation of the box's random scale factor; clipped to 1 - x and 1 + x
_C.DATA.SHIFT_FACTOR = 0.0  # standard deviation of the box's random shift, in box sides; clipped at this value
_C.DATA.EXTREME_CROP = 0.0  # share of training samples that are cropped to a part of the body (hips, head, a limb, ...)
_C.DATA.BOX_MARGIN = 1.0  # side of the crop over the side of the box, after the box is widened to BOX_ASPECT
_C.DATA.BOX_SHARE = 1.0  # side of the box in the network's bbox_info over the side of the crop; mmhuman3d's CLIFF: 3/4
_C.DATA.BOX_ASPECT = 1.0  # height over width to which boxes are widened; HMR2.0 reads the middle columns alone
_C.DATA.MIN_CONFIDENCE = 0.0  # training ignores 2D keypoints of lower confidence
_C.DATA.MIN_KEYPOINTS = 0  # training skips people with fewer 2D keypoints (of the first 44 joints)
_C.DATA.MAX_BETAS = 0.0  # training ignores pose and betas if a beta's magnitude is larger; 0: no limit
# Synthetic occlusion of training pictures: a file or folder of cut-outs, 'shapes' (drawn) or '' (none).
_C.DATA.OCCLUDERS = ''
# Photometric augmentation of training pictures (datasets/photometric.py). Each effect has a probability and a strength.
_C.DATA.PHOTOMETRIC = CN()
_C.DATA.PHOTOMETRIC.BLUR = 0.0  # share of samples with Gaussian blur
_C.DATA.PHOTOMETRIC.BLUR_SIGMA = [0.3, 2.0]  # its standard deviation: [from, to] in pixels of the network's input
_C.DATA.PHOTOMETRIC.JPEG = 0.0  # share of samples with JPEG compression
_C.DATA.PHOTOMETRIC.JPEG_QUALITY = [20, 90]  # [from, to], each 1 to 100
_C.DATA.PHOTOMETRIC.GRAYSCALE = 0.0  # share of samples without colour
_C.DATA.PHOTOMETRIC.COLOR_JITTER = 0.0  # share of samples with changed brightness, contrast, saturation and hue
_C.DATA.PHOTOMETRIC.COLOR_STRENGTH = 0.4  # the first three: times 1 - x to 1 + x; the hue turns by x / 4 at most
_C.DATA.PHOTOMETRIC.NOISE = 0.0  # share of samples with Gaussian noise
_C.DATA.PHOTOMETRIC.NOISE_SIGMA = [0.01, 0.08]  # its standard deviation: [from, to] as a share of white
_C.DATA.PHOTOMETRIC.CUTOUT = 0.0  # share of samples with a grey rectangle
_C.DATA.PHOTOMETRIC.CUTOUT_AREA = [0.02, 0.2]  # its area: [from, to] as a share of the crop
_C.DATA.PHOTOMETRIC.LOW_RES = 0.0  # share of samples that are scaled down and up again
_C.DATA.PHOTOMETRIC.LOW_RES_SHARE = [0.25, 0.8]  # the smaller side: [from, to] as a share of the crop's side
_C.DATA.ON_BAD_IMAGE = 'stop'  # an unreadable image: 'stop' ends the run, 'skip' counts it and goes on
_C.DATA.SHARD_CACHE = ''  # folder for shards downloaded from a web server; '': ~/.cache/human_mesh_recovery
_C.DATA.SHARD_BUFFER = 0  # rows in the shuffle buffer of shards, which are shuffled too; 0: the sampler's order
_C.DATA.DENSE_POINTS = False  # train on the points and segments of DensePose-COCO where a file has them (DaNet)
_C.DATA.STREAM = CN()  # pictures that 'free-stream' renders during training (docs/synthetic_data.md)
_C.DATA.STREAM.SIZE = 0  # longer side of a picture in pixels; 0: 8/7 of IMG_RES, such as 256 for 224
# What is added to one person in plain clothes in front of a background. [] adds nothing.
_C.DATA.STREAM.REALISM = ['people', 'things', 'poses', 'framing', 'blur', 'garments']
_C.DATA.STREAM.DEVICE = 'cpu'  # where people are drawn; 'cuda': loader processes are spawned and share the GPU
_C.DATA.STREAM.PHOTOS = ''  # folder of photographs for backgrounds, cloth and objects in front; '': all drawn
_C.DATA.LEGACY_CROP_EVAL = False  # evaluate on crops made as in the published code; for published weights
# Resampling of that crop: 'pil_bicubic' (PyMAF), 'imresize_bilinear' (SPIN, DaNet), 'skimage_bilinear' (Multi-SPIN) or
# 'cv2_bilinear' (HMR2.0).
_C.DATA.LEGACY_CROP_RESIZE = 'pil_bicubic'

_C.LOSS = CN()
_C.LOSS.SCALE = 1.0  # factor on the sum of all losses (SPIN: 60)
_C.LOSS.KP_2D_W = 300.0  # 2D keypoints
_C.LOSS.KP_3D_W = 300.0  # 3D keypoints
_C.LOSS.POSE_W = 60.0  # SMPL rotation matrices
_C.LOSS.SHAPE_W = 0.06  # SMPL betas
_C.LOSS.VERT_W = 0.0  # vertices
_C.LOSS.CAM_W = 1.0  # penalty that keeps the camera's scale positive
_C.LOSS.OPENPOSE_TRAIN_WEIGHT = 0.0  # factor on the confidence of OpenPose keypoints
_C.LOSS.GT_TRAIN_WEIGHT = 1.0  # factor on the confidence of annotated keypoints
_C.LOSS.KP_CRITERION = 'mse'  # 'mse', 'smooth_l1' or 'l1'
_C.LOSS.KP_MEAN = 'all'  # keypoint losses average over 'all' joints or over the 'visible' ones
_C.LOSS.INDEX_WEIGHTS = 1.0  # IUV: part index
_C.LOSS.PART_WEIGHTS = 1.0  # IUV: 15 coarse segments
_C.LOSS.POINT_REGRESSION_WEIGHTS = 0.5  # IUV: U and V

_C.IUV = CN()
_C.IUV.SIZE = 56  # side of the IUV maps in pixels
_C.IUV.SHADING = 'smooth'  # 'smooth' interpolates U and V within a face; 'flat' paints the face's mean, as published
_C.IUV.BACKEND = 'auto'  # renderer: 'warp' (CPU and CUDA), 'neural_renderer' (CUDA) or 'auto' (warp)

_C.SOLVER = CN()
_C.SOLVER.NAME = 'adam'  # 'adam' or 'adamw' (decoupled weight decay)
_C.SOLVER.BASE_LR = 5e-5  # learning rate; a regressor's parameter groups may use others
_C.SOLVER.GAMMA = 0.1  # factor of a decay
_C.SOLVER.EPOCHS = []  # epochs, from 0, at whose start the rate decays
_C.SOLVER.STEPS = []  # steps, from 1, at which the rate decays
_C.SOLVER.WARMUP_STEPS = 0  # steps over which the rate rises linearly from zero
_C.SOLVER.SCHEDULE = 'step'  # 'step' (decay at EPOCHS and STEPS) or 'cosine' (to zero at the last step)
_C.SOLVER.WEIGHT_DECAY = 0.0
_C.SOLVER.GRAD_CLIP = 0.0  # largest norm of the gradient; 0: no clipping
_C.SOLVER.ACCUMULATE = 1  # batches whose gradients are averaged for one step

_C.ADVERSARY = CN()  # a discriminator of pose and betas, for regressors that have one
_C.ADVERSARY.WEIGHT = 0.0  # weight of its loss in the regressor's loss, outside of LOSS.SCALE; 0: no adversary
_C.ADVERSARY.SAMPLES = ''  # .npz of real body_pose (or poses) and betas; '': the pose sampler of the free assets
_C.ADVERSARY.BASE_LR = 1e-4  # learning rate of its own AdamW
_C.ADVERSARY.WEIGHT_DECAY = 1e-4
_C.ADVERSARY.REAL_PER_ESTIMATE = 1  # real bodies in the discriminator's batch per estimated body

_C.TRAIN = CN()
_C.TRAIN.BATCH_SIZE = 64  # samples in a step, of all processes together
_C.TRAIN.BATCH_PER_PROCESS = False  # BATCH_SIZE counts the samples of one process
_C.TRAIN.NUM_EPOCHS = 60
_C.TRAIN.MAX_STEPS = 0  # steps after which training ends; 0: no limit
_C.TRAIN.TIME_TO_RUN = 0.0  # seconds after which the run saves and stops; 0: no limit
_C.TRAIN.NUM_WORKERS = 8  # loader processes, no more than the cores that the program may use; 0: none
_C.TRAIN.LOADER_TIMEOUT = 600.0  # seconds to wait for a batch of the loader processes; 0: no limit
_C.TRAIN.PIN_MEMORY = True
_C.TRAIN.SHUFFLE = True  # False: samples come in file order, and each process takes one contiguous part
_C.TRAIN.PRETRAINED_CHECKPOINT = ''  # initial weights: a published file or a checkpoint of this project
_C.TRAIN.RESUME = False  # continue from the newest checkpoint in LOG_DIR/NAME; an error where there is none
_C.TRAIN.RESUME_IF_EXISTS = False  # the same, but a new run where LOG_DIR/NAME has no checkpoint
_C.TRAIN.CHECKPOINT = ''  # checkpoint to resume from instead of the newest
_C.TRAIN.OVERWRITE = False  # start a new run in a folder that holds one
_C.TRAIN.MIXED_PRECISION = 'no'  # 'no', 'bf16', 'fp16' or 'auto' (bf16 where the hardware computes in it)
_C.TRAIN.CHANNELS_LAST = True  # channels-last memory format; faster than torch's default on CPUs and recent GPUs
_C.TRAIN.COMPILE = False  # use torch.compile for the modules that contain convolutions
_C.TRAIN.SYNC_BATCHNORM = False  # several processes: batch statistics over all of them
_C.TRAIN.EMA = 0.0  # decay of the averaged weights that are validated and saved; it rises to this value; 0: none
_C.TRAIN.SUMMARY_STEPS = 100  # steps between logged scalars
_C.TRAIN.VIS_INTERVAL = 1000  # steps between logged pictures
_C.TRAIN.CHECKPOINT_STEPS = 10000  # steps between checkpoints within an epoch
_C.TRAIN.TEST_STEPS = 0  # steps between validations within an epoch; 0: only at the end of an epoch
_C.TRAIN.KEEP_CHECKPOINTS = 3  # number of newest checkpoints to keep, besides the best
_C.TRAIN.SELECT_ON_TEST = False  # without a validation split, select best.pt on the test set, as papers did
_C.TRAIN.MAX_BAD_STEPS = 10  # consecutive NaN or infinite losses after which the run stops
_C.TRAIN.PRETR_STEP = 0  # steps of the first stage of a two-stage training (DaNet: IUV only)

_C.TEST = CN()
_C.TEST.BATCH_SIZE = 32
_C.TEST.N_VIEWS = 0  # views of a person in a validation sample; 0: single pictures
_C.TEST.VIEW_COUNTS = []  # eval.py: numbers of views to compare, such as [1, 2, 4]; the last must be N_VIEWS
_C.TEST.MAX_SAMPLES = 0  # validate on the first samples only; 0: all
_C.TEST.EVAL_PVE = True  # report the per-vertex error where ground-truth bodies exist
_C.TEST.SHUFFLE = False  # visit the samples in random order; ignored where results are saved
_C.TEST.LOG_FREQ = 50  # eval.py: batches between log lines of the running means; 0: no such lines
_C.TEST.RESULT_FILE = ''  # eval.py: .npz for the joints, pose, betas and camera of the last stage, with the image names
_C.TEST.REPORT = []  # eval.py: files for the tables; the suffix .md, .csv or .json sets the format
_C.TEST.OVERWRITE = False  # eval.py, eval_coco.py: replace existing result files
_C.TEST.OUTPUT_DIR = 'output'  # eval.py, eval_coco.py: folder of the pictures and of the COCO results
_C.TEST.VIS_DEMO = False  # eval.py, eval_coco.py: write a grid of pictures with the estimated bodies
_C.TEST.VIS_RATIO = 1.0  # size of a picture in that grid over the network's input size
_C.TEST.VIS_IMNAME = ''  # use only the people of pictures whose names contain this text
_C.TEST.OCCLUDE = ''  # eval.py: 'face' (black out the face), 'grid' (slide a grey patch over the crop) or '' (neither)
_C.TEST.OCCLUSION_PATCH = 40  # side of the sliding patch in pixels
_C.TEST.OCCLUSION_STRIDE = 40  # distance between its positions in pixels
_C.TEST.FLIP = False  # eval_coco.py: average the keypoints with those of the mirrored picture
_C.TEST.COCO_SUBSET = 'val2014'  # eval_coco.py: val2014 or val2017
_C.TEST.COCO_ANNOTATIONS = ''  # person_keypoints_*.json; '': the file in DATA_DIR/datasets/coco/annotations
_C.TEST.COCO_IMAGES = ''  # image folder; '': datasets/coco/COCO_SUBSET or datasets/coco/images/COCO_SUBSET in DATA_DIR
# eval_coco.py: file of detections (COCO's results format, or an .npz), or 'annotated' (the annotated boxes). '' takes
# coco_2014_val.npz where that file exists and COCO_SUBSET is val2014, and the annotated boxes otherwise.
_C.TEST.COCO_DETECTIONS = ''
_C.TEST.MIN_SCORE = 0.0  # detections of lower score are ignored

_C.DEMO = CN()
_C.DEMO.OUTPUT_FOLDER = ''  # folder of results; '': 'output', or with --img the folder of the picture
_C.DEMO.FORMATS = ['npz', 'json']  # also csv, obj, ply, glb, bvh, amass
_C.DEMO.VIEWER = False  # write a web page that shows the video beside the bodies
# What finds people: full_frame, fasterrcnn, maskrcnn, keypointrcnn, or a torchvision detector's name; '': KEYPOINTS.
_C.DEMO.DETECTOR = ''
_C.DEMO.DETECTOR_SIZE = 0  # shorter side of a frame in the detector, in pixels; 0: the detector's default
_C.DEMO.MIN_SCORE = 0.7  # detections of lower score are ignored
_C.DEMO.MIN_BOX = 8.0  # boxes whose longer side is shorter than this are ignored, in pixels
_C.DEMO.BOX_SCALE = 0.0  # side of the crop over the longer side of a detected box; 0: the regressor's `box_margin`
_C.DEMO.FIT = 'auto'  # 'auto': fit bodies to keypoints where an estimator is available; 'none': the network alone
_C.DEMO.KEYPOINTS = 'blazepose'  # finds people and their keypoints: blazepose, keypointrcnn, rtmpose
_C.DEMO.KEYPOINT_MODEL = ''  # blazepose: 'heavy' or 'full'; '': the first that is available; rtmpose: its ONNX file
_C.DEMO.KEYPOINT_DETECTOR = ''  # rtmpose: the ONNX file of YOLOX
_C.DEMO.KEYPOINT_FORMAT = ''  # format of --keypoint_file (docs/keypoints.md); '': inferred from the number of joints
_C.DEMO.TRACKING_METHOD = 'bbox'  # boxes from the detector ('bbox') or from OpenPose's joints ('pose')
_C.DEMO.MAX_GAP = 30  # frames after which an unseen person loses the number
_C.DEMO.TRACKER_BATCH_SIZE = 12  # most frames in a batch of the detector
_C.DEMO.MODEL_BATCH_SIZE = 8  # most people in a batch of the network
_C.DEMO.FOCAL_LENGTH = 0.0  # pixels of the full picture; 0: from EXIF, else sqrt(width^2 + height^2)
_C.DEMO.FPS = 25.0  # frame rate of --image_folder
_C.DEMO.IMAGE_BASED = False  # pictures of a folder are independent, not frames of a video
_C.DEMO.SMOOTH = False  # one-euro filter on rotations, betas and translation
_C.DEMO.SMOOTH_CUTOFF = 2.0  # cutoff frequency at rest, in hertz
_C.DEMO.SMOOTH_BETA = 2.0  # growth of the cutoff frequency with speed
_C.DEMO.RENDERER = 'own'  # 'own' or 'pyrender' (needs OpenGL)
_C.DEMO.RENDER = True  # draw overlays
_C.DEMO.RENDER_RATIO = 1.0  # size of the overlay over the size of the picture
_C.DEMO.WITH_RAW = False  # show the input beside the overlay
_C.DEMO.EMPTY_BG = False  # show the bodies on black beside the overlay
_C.DEMO.SIDEVIEW = False  # show the bodies from the side beside the overlay
_C.DEMO.DISPLAY = False  # show the overlays in a window during the run

_C.INFERENCE = CN()  # of eval.py, eval_coco.py and demo.py
_C.INFERENCE.BACKEND = 'torch'  # 'torch', or 'onnx': the network by onnxruntime, on the CPU
_C.INFERENCE.ONNX_FILE = ''  # the network's ONNX file, made where it is not there; '' takes one in the cache

_C.SMPLIFY = CN()
_C.SMPLIFY.RUN = False  # fit SMPL to the keypoints of each training sample, starting from the network's estimate
_C.SMPLIFY.THRESHOLD = 100.0  # fits of larger residual do not supervise; in square pixels for OBJECTIVE 'pixels'
_C.SMPLIFY.THRESHOLD_ON = 'mean'  # residual of a fit: 'mean' or 'sum' over the 49 joints
_C.SMPLIFY.NUM_ITERS = 100  # most iterations of each of the two stages; 'lm' stops earlier when it has converged
_C.SMPLIFY.METHOD = 'lm'  # 'lm' (Levenberg-Marquardt, analytic Jacobians) or 'adam' (as published)
_C.SMPLIFY.STEP_SIZE = 0.01  # 'adam': learning rate
_C.SMPLIFY.OBJECTIVE = 'pixels'  # 'pixels' (SPIN); 'normalized': squared crop units, no camera loss (mmhuman3d; 'adam')
_C.SMPLIFY.TORSO = 'seen'  # torso joints of the camera stage: 'annotated' (SPIN's training), 'seen' (OpenPose's first)
_C.SMPLIFY.TOLERANCE = 1e-3  # 'lm' stops when the predicted relative decrease of the loss is smaller
_C.SMPLIFY.STAY_WEIGHT = 150.0  # 'lm': weight that pulls the body pose to its start, per squared radian
_C.SMPLIFY.MIN_JOINTS = 9  # a fit is valid if at least this many of the 12 limb joints are seen in the crop
_C.SMPLIFY.USE_FITS = False  # supervise with stored fits where there is no ground truth; implied by RUN
_C.SMPLIFY.USE_FINAL_FIT = False  # take stored fits from final_fits/ instead of static_fits/; implies USE_FITS

DEFAULTS = _C
