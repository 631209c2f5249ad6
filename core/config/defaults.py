"""Every config key of the harness with its default and its meaning; a regressor's own section is in its `add_config`.

Key names that PyMAF's published configs use are kept (SOLVER.BASE_LR, LOSS.KP_2D_W, MODEL.PyMAF.MLP_DIM, ...).
"""
from yacs.config import CfgNode as CN

from models import DEFAULT_REGRESSOR

_C = CN()
_C.NAME = ''  # experiment; logs go to LOG_DIR/NAME. '' takes the regressor's name
_C.LOG_DIR = 'logs'  # folder of all experiments
_C.LOG = CN()
_C.LOG.TRACKERS = ['tensorboard']  # trackers of accelerate, by name: tensorboard, wandb, mlflow, trackio, ...
_C.SEED = 0  # seed of weights, augmentation, sampling and dropout
_C.DEVICE = 'auto'  # 'auto' (CUDA where there is one), 'cuda' or 'cpu'

_C.PATHS = CN()
_C.PATHS.DATA_DIR = 'data'  # asset folder; its free/ subfolder is used where it holds no licensed body
_C.PATHS.IMAGE_DIRS = []  # 'dataset=folder' strings; default DATA_DIR/datasets/<dataset>

_C.MODEL = CN()
_C.MODEL.REGRESSOR = DEFAULT_REGRESSOR  # `train.py --help` lists them; each adds its section in `add_config`
_C.MODEL.BACKBONE = CN()
_C.MODEL.BACKBONE.NAME = 'resnet50'  # resnet18, resnet34, resnet50, resnet101, ...; timm/NAME: any network of timm
_C.MODEL.BACKBONE.PRETRAINED = 'imagenet'  # 'imagenet', 'coco', '' (random weights) or a path
_C.MODEL.CAMERA = 'crop'  # whose frame bodies are estimated in: 'crop', as seen along the crop's ray, or 'picture'
_C.MODEL.HEAD_DROPOUT = 0.5  # dropout of the regressors' hidden layers

_C.MULTIVIEW = CN()
_C.MULTIVIEW.FUSION = 'avg'  # avg, attention (any number of views, any order), mlp, conv1d (N_VIEWS of them, in order)
_C.MULTIVIEW.N_VIEWS = 2  # views that mlp and conv1d are built for
_C.MULTIVIEW.LEGACY_POSE = False  # mlp, conv1d: each view keeps its own body pose, as published, not the fused one
_C.MULTIVIEW.SUPERVISED = 'all'  # which views losses and fits look at: 'all' or the 'first', as published
_C.MULTIVIEW.DROP_VIEWS = 0.0  # avg, attention: share of training groups that fuse a random subset of their views

_C.DATA = CN()
_C.DATA.IMG_RES = 224  # pixels a side of the network's input
# name[+name...]:share; a group splits its share by size
_C.DATA.MIXTURE = ['h36m:0.3', 'lsp-orig+mpii+lspet+coco:0.6', 'mpi-inf-3dhp:0.1']
_C.DATA.SINGLE_DATASET = False  # train on SINGLE_NAME alone
_C.DATA.SINGLE_NAME = 'h36m'
_C.DATA.N_VIEWS = 0  # views of a person in a training sample; 0: single pictures (see docs/multiview.md)
_C.DATA.EPOCH_LENGTH = 0  # samples an epoch; 0: as many as the longest dataset has
_C.DATA.EVAL_DATASET = '3dpw'  # eval.py's data set; training validates on its validation split; '': on none
_C.DATA.IGNORE_3D = False  # train as if no 3D annotation existed; validation still measures against them
_C.DATA.FLIP = True  # mirror half of the training samples
_C.DATA.ROT_FACTOR = 30.0  # degrees; deviation of the random rotation, cut at twice that
_C.DATA.ROT_PROB = 0.4  # share of training samples that are rotated
_C.DATA.NOISE_FACTOR = 0.4  # each colour channel is multiplied by 1 - x to 1 + x
_C.DATA.SCALE_FACTOR = 0.25  # deviation of the box's random scale, cut at 1 - x and 1 + x
_C.DATA.SHIFT_FACTOR = 0.0  # deviation of the box's random shift, in sides, cut at once that
_C.DATA.EXTREME_CROP = 0.0  # share of training samples that are cut to a part of the body (hips, head, a limb, ...)
_C.DATA.BOX_MARGIN = 1.0  # side of the crop over that of the box, widened to BOX_ASPECT
_C.DATA.BOX_SHARE = 1.0  # side of the box that a network is told of (bbox_info) over the crop's; mmhuman3d's CLIFF: 3/4
_C.DATA.BOX_ASPECT = 1.0  # height over width to which a person's box is widened: HMR2.0 reads the middle columns alone
_C.DATA.MIN_CONFIDENCE = 0.0  # training: 2D keypoints of a lower confidence are none
_C.DATA.MIN_KEYPOINTS = 0  # training: people with fewer 2D keypoints (of the first 44 joints) are passed over
_C.DATA.MAX_BETAS = 0.0  # training: pose and shape with a larger shape coefficient are no labels; 0: all are
# synthetic occlusion of training pictures: a file or folder of cut-outs, 'shapes' (drawn ones) or '' (none)
_C.DATA.OCCLUDERS = ''
# training pictures as worse cameras take them (datasets/photometric.py): shares of the samples, and how strongly
_C.DATA.PHOTOMETRIC = CN()
_C.DATA.PHOTOMETRIC.BLUR = 0.0  # share of samples under Gaussian blur
_C.DATA.PHOTOMETRIC.BLUR_SIGMA = [0.3, 2.0]  # its deviation, from and to, in pixels of the network's input
_C.DATA.PHOTOMETRIC.JPEG = 0.0  # share that is compressed
_C.DATA.PHOTOMETRIC.JPEG_QUALITY = [20, 90]  # from and to, of 1 to 100
_C.DATA.PHOTOMETRIC.GRAYSCALE = 0.0  # share without colour
_C.DATA.PHOTOMETRIC.COLOR_JITTER = 0.0  # share of other brightness, contrast, saturation and hue
_C.DATA.PHOTOMETRIC.COLOR_STRENGTH = 0.4  # the first three are multiplied by 1 - x to 1 + x; hue turns by x / 4 at most
_C.DATA.PHOTOMETRIC.NOISE = 0.0  # share under Gaussian noise
_C.DATA.PHOTOMETRIC.NOISE_SIGMA = [0.01, 0.08]  # its deviation, from and to, as a share of white
_C.DATA.PHOTOMETRIC.CUTOUT = 0.0  # share with a grey rectangle over it
_C.DATA.PHOTOMETRIC.CUTOUT_AREA = [0.02, 0.2]  # its area, from and to, as a share of the crop
_C.DATA.PHOTOMETRIC.LOW_RES = 0.0  # share that is made smaller, then as large as before
_C.DATA.PHOTOMETRIC.LOW_RES_SHARE = [0.25, 0.8]  # the side in between, from and to, as a share of the crop's
_C.DATA.ON_BAD_IMAGE = 'stop'  # an unreadable image: 'stop' the run, or 'skip' and count it
_C.DATA.SHARD_CACHE = ''  # folder for shards of a web server; '' takes ~/.cache/human_mesh_recovery
_C.DATA.SHARD_BUFFER = 0  # rows of shards shuffled among so many neighbours, shards too; 0: as the sampler says
_C.DATA.DENSE_POINTS = False  # train on DensePose-COCO's points and segments where a file has them (DaNet)
_C.DATA.STREAM = CN()  # pictures that 'free-stream' renders while training (docs/synthetic_data.md)
_C.DATA.STREAM.SIZE = 0  # pixels of a picture's longer side; 0: 8/7 of IMG_RES, which is 256 for 224
# What it has beyond one person in plain clothes before a background; [] leaves all of it out.
_C.DATA.STREAM.REALISM = ['people', 'things', 'poses', 'framing', 'shadows', 'blur', 'garments']
_C.DATA.STREAM.PHOTOS = ''  # folder of photographs: backgrounds, cloth and things in front; '': all is drawn
_C.DATA.LEGACY_CROP_EVAL = False  # evaluate on a published crop (for published weights)
# which: 'pil_bicubic' (PyMAF), 'imresize_bilinear' (SPIN, DaNet), 'skimage_bilinear' (Multi-SPIN), 'cv2_bilinear'
# (HMR2.0)
_C.DATA.LEGACY_CROP_RESIZE = 'pil_bicubic'

_C.LOSS = CN()
_C.LOSS.SCALE = 1.0  # factor of the sum of all losses (SPIN: 60)
_C.LOSS.KP_2D_W = 300.0  # 2D keypoints
_C.LOSS.KP_3D_W = 300.0  # 3D keypoints
_C.LOSS.POSE_W = 60.0  # SMPL rotation matrices
_C.LOSS.SHAPE_W = 0.06  # SMPL betas
_C.LOSS.VERT_W = 0.0  # vertices
_C.LOSS.CAM_W = 1.0  # camera scale kept positive
_C.LOSS.OPENPOSE_TRAIN_WEIGHT = 0.0  # confidence factor of OpenPose keypoints
_C.LOSS.GT_TRAIN_WEIGHT = 1.0  # confidence factor of annotated keypoints
_C.LOSS.KP_CRITERION = 'mse'  # 'mse', 'smooth_l1' or 'l1'
_C.LOSS.KP_MEAN = 'all'  # keypoint losses are divided by the coordinates of 'all' joints, or of the 'visible' ones
_C.LOSS.INDEX_WEIGHTS = 1.0  # IUV: part index
_C.LOSS.PART_WEIGHTS = 1.0  # IUV: 15 coarse segments
_C.LOSS.POINT_REGRESSION_WEIGHTS = 0.5  # IUV: U and V

_C.IUV = CN()
_C.IUV.SIZE = 56  # pixels a side of the dense targets
_C.IUV.SHADING = 'smooth'  # 'smooth' interpolates U and V in a face; 'flat' paints the mean, as published
_C.IUV.BACKEND = 'auto'  # 'warp' (CPU and CUDA), 'neural_renderer' (CUDA) or 'auto' (warp)

_C.SOLVER = CN()
_C.SOLVER.NAME = 'adam'  # 'adam', or 'adamw' (weight decay apart from the gradient)
_C.SOLVER.BASE_LR = 5e-5  # learning rate; a regressor's parameter groups may have others
_C.SOLVER.GAMMA = 0.1  # decay factor
_C.SOLVER.EPOCHS = []  # epochs, from 0, at whose start the rate decays
_C.SOLVER.STEPS = []  # steps, from 1, at which the rate decays
_C.SOLVER.WARMUP_STEPS = 0  # steps over which the rate rises linearly from zero
_C.SOLVER.SCHEDULE = 'step'  # 'step' (decay at EPOCHS and STEPS) or 'cosine' (to zero at the last step)
_C.SOLVER.WEIGHT_DECAY = 0.0
_C.SOLVER.GRAD_CLIP = 0.0  # largest gradient norm; 0: no clipping
_C.SOLVER.ACCUMULATE = 1  # batches whose gradients are averaged before a step

_C.ADVERSARY = CN()  # a discriminator of pose and betas, for regressors that have one
_C.ADVERSARY.WEIGHT = 0.0  # of its loss in the regressor's, beside LOSS.SCALE; 0: no adversary
_C.ADVERSARY.SAMPLES = ''  # .npz of real body_pose (or poses) and betas; '' on free assets: the pose sampler
_C.ADVERSARY.BASE_LR = 1e-4  # of its own AdamW
_C.ADVERSARY.WEIGHT_DECAY = 1e-4
_C.ADVERSARY.REAL_PER_ESTIMATE = 1  # real bodies that the discriminator sees for each estimate

_C.TRAIN = CN()
_C.TRAIN.BATCH_SIZE = 64  # samples a step, of all processes together
_C.TRAIN.BATCH_PER_PROCESS = False  # BATCH_SIZE counts the samples of each process
_C.TRAIN.NUM_EPOCHS = 60
_C.TRAIN.MAX_STEPS = 0  # stop after that many steps; 0: never
_C.TRAIN.TIME_TO_RUN = 0.0  # seconds after which to save and stop; 0: never
_C.TRAIN.NUM_WORKERS = 8  # loader processes
_C.TRAIN.LOADER_TIMEOUT = 600.0  # seconds that a batch may take to come from loader processes; 0: for ever
_C.TRAIN.PIN_MEMORY = True
_C.TRAIN.SHUFFLE = True  # off: in file order, of which each process takes one stretch
_C.TRAIN.PRETRAINED_CHECKPOINT = ''  # weights to start from, published or ours
_C.TRAIN.RESUME = False  # go on from the newest checkpoint of LOG_DIR/NAME
_C.TRAIN.CHECKPOINT = ''  # checkpoint to resume from instead of the newest
_C.TRAIN.OVERWRITE = False  # start anew in a folder that holds a run
_C.TRAIN.MIXED_PRECISION = 'no'  # 'no', 'bf16', 'fp16' or 'auto' (bf16 where the processor computes in it)
_C.TRAIN.CHANNELS_LAST = True  # memory layout of the network: faster than torch's own on CPUs and recent GPUs
_C.TRAIN.COMPILE = False  # torch.compile what has convolutions
_C.TRAIN.SYNC_BATCHNORM = False  # several processes: normalize by the batches of all of them
_C.TRAIN.EMA = 0.0  # decay of the averaged weights that are validated and handed out; 0: none. It rises to this
_C.TRAIN.SUMMARY_STEPS = 100  # steps between logged scalars
_C.TRAIN.VIS_INTERVAL = 1000  # steps between logged pictures
_C.TRAIN.CHECKPOINT_STEPS = 10000  # steps between checkpoints within an epoch
_C.TRAIN.TEST_STEPS = 0  # steps between validations within an epoch; 0: at its end only
_C.TRAIN.KEEP_CHECKPOINTS = 3  # newest checkpoints kept, besides the best
_C.TRAIN.SELECT_ON_TEST = False  # choose best.pt on a test set where there is no validation split, as papers did
_C.TRAIN.MAX_BAD_STEPS = 10  # NaN or infinite losses in a row before the run stops
_C.TRAIN.PRETR_STEP = 0  # steps of the first stage of an architecture that trains in two (DaNet's IUV)

_C.TEST = CN()
_C.TEST.BATCH_SIZE = 32
_C.TEST.N_VIEWS = 0  # views of a person in a validation sample; 0: single pictures
_C.TEST.VIEW_COUNTS = []  # eval.py: numbers of views to compare, such as [1, 2, 4]; the last is N_VIEWS
_C.TEST.MAX_SAMPLES = 0  # validate on the first so many; 0: all
_C.TEST.EVAL_PVE = True  # per-vertex error where ground-truth bodies exist
_C.TEST.SHUFFLE = False  # visit the samples in random order; never where results are saved
_C.TEST.LOG_FREQ = 50  # eval.py: batches between lines with the running means; 0: none
_C.TEST.RESULT_FILE = ''  # eval.py: .npz for the last stage's joints, pose, betas, camera and image names
_C.TEST.REPORT = []  # eval.py: files for the tables, by suffix .md, .csv or .json
_C.TEST.OVERWRITE = False  # eval.py, eval_coco.py: replace result files that exist
_C.TEST.OUTPUT_DIR = 'output'  # eval.py, eval_coco.py: folder of pictures and of COCO results
_C.TEST.VIS_DEMO = False  # eval.py, eval_coco.py: write a grid of pictures with the estimated bodies
_C.TEST.VIS_RATIO = 1.0  # size of a picture in that grid over the size of the network's input
_C.TEST.VIS_IMNAME = ''  # only people of pictures whose names contain this
_C.TEST.OCCLUDE = ''  # eval.py: 'face' (black out the face), 'grid' (slide a grey patch), '' (neither)
_C.TEST.OCCLUSION_PATCH = 40  # pixels a side of the sliding patch
_C.TEST.OCCLUSION_STRIDE = 40  # pixels between its positions
_C.TEST.FLIP = False  # eval_coco.py: average the keypoints with those of the mirrored picture
_C.TEST.COCO_SUBSET = 'val2014'  # eval_coco.py: val2014 or val2017
_C.TEST.COCO_ANNOTATIONS = ''  # person_keypoints_*.json; '' takes DATA_DIR/datasets/coco/annotations
_C.TEST.COCO_IMAGES = ''  # its image folder; '' takes datasets/coco/COCO_SUBSET or datasets/coco/images/COCO_SUBSET
# eval_coco.py: boxes in COCO's results format, or rows of an .npz, or 'annotated'; '' takes coco_2014_val.npz, where
# it is present and val2014 is evaluated, else the annotated boxes
_C.TEST.COCO_DETECTIONS = ''
_C.TEST.MIN_SCORE = 0.0  # detected boxes with a lower score are left out

_C.DEMO = CN()
_C.DEMO.OUTPUT_FOLDER = ''  # folder of results; '' takes 'output', and for --img the picture's own folder
_C.DEMO.FORMATS = ['npz', 'json']  # also csv, obj, ply, glb, bvh, amass
_C.DEMO.VIEWER = False  # write a web page with the video beside the bodies
_C.DEMO.DETECTOR = ''  # full_frame, fasterrcnn, maskrcnn, keypointrcnn, or a torchvision detector's own name
_C.DEMO.DETECTOR_SIZE = 0  # pixels of a frame's shorter side in the detector; 0: the detector's own size
_C.DEMO.MIN_SCORE = 0.7  # detected people with a lower score are left out
_C.DEMO.MIN_BOX = 8.0  # pixels; people whose box is smaller on its longer side are left out
_C.DEMO.BOX_SCALE = 0.0  # side of the crop over the longer side of a detected box; 0: the regressor's (box_margin)
_C.DEMO.FIT = 'auto'  # 'auto': bodies are fitted to keypoints where they can be found; 'none': the network alone
_C.DEMO.KEYPOINTS = 'blazepose'  # who finds them: blazepose, keypointrcnn, rtmpose
_C.DEMO.KEYPOINT_MODEL = ''  # blazepose: 'heavy', 'full', or the first that is there; rtmpose: its ONNX file
_C.DEMO.KEYPOINT_DETECTOR = ''  # rtmpose: YOLOX's ONNX file
_C.DEMO.KEYPOINT_FORMAT = ''  # of --keypoint_file (docs/keypoints.md); '': what the number of joints says
_C.DEMO.TRACKING_METHOD = 'bbox'  # 'bbox' (boxes of the detector) or 'pose' (boxes of OpenPose's joints)
_C.DEMO.MAX_GAP = 30  # frames for which a person who is not seen keeps the number
_C.DEMO.TRACKER_BATCH_SIZE = 12  # frames that are detected together, at most
_C.DEMO.MODEL_BATCH_SIZE = 8  # people that go through the network together, at most
_C.DEMO.FOCAL_LENGTH = 0.0  # pixels of the whole picture; 0: of its EXIF tags, else sqrt(width^2 + height^2)
_C.DEMO.FPS = 25.0  # pictures a second of --image_folder
_C.DEMO.IMAGE_BASED = False  # pictures of a folder have nothing to do with each other
_C.DEMO.SMOOTH = False  # one-euro filter on rotations, shape and place
_C.DEMO.SMOOTH_CUTOFF = 2.0  # hertz; the filter's cutoff at rest
_C.DEMO.SMOOTH_BETA = 2.0  # how much the cutoff rises with speed
_C.DEMO.RENDERER = 'own'  # 'own' or 'pyrender' (needs OpenGL)
_C.DEMO.RENDER = True  # draw overlays
_C.DEMO.RENDER_RATIO = 1.0  # size of the overlay over that of the picture
_C.DEMO.WITH_RAW = False  # the input beside the overlay
_C.DEMO.EMPTY_BG = False  # the bodies on black beside the overlay
_C.DEMO.SIDEVIEW = False  # the bodies from the side beside the overlay
_C.DEMO.DISPLAY = False  # show the overlays in a window while they are made

_C.INFERENCE = CN()  # of eval.py, eval_coco.py and demo.py
_C.INFERENCE.BACKEND = 'torch'  # 'torch', or 'onnx': the network by onnxruntime, on the CPU
_C.INFERENCE.ONNX_FILE = ''  # the network's ONNX file, made where it is not there; '' takes one in the cache

_C.SMPLIFY = CN()
_C.SMPLIFY.RUN = False  # fit SMPL to each training sample's keypoints, from the network's estimate
_C.SMPLIFY.THRESHOLD = 100.0  # fits with a larger residual are not supervised with; OBJECTIVE pixels: square pixels
_C.SMPLIFY.THRESHOLD_ON = 'mean'  # residual of a fit: the 'mean' or the 'sum' over the 49 joints
_C.SMPLIFY.NUM_ITERS = 100  # iterations of each of the two stages, at most; 'lm' stops when it has converged
_C.SMPLIFY.METHOD = 'lm'  # 'lm' (Levenberg-Marquardt, analytic Jacobians) or 'adam' (published)
_C.SMPLIFY.STEP_SIZE = 0.01  # Adam's
_C.SMPLIFY.OBJECTIVE = 'pixels'  # 'pixels' (SPIN); 'normalized': squared crop units, no camera loss (mmhuman3d; adam)
_C.SMPLIFY.TORSO = 'seen'  # camera stage: 'annotated' (SPIN's training), or 'seen': OpenPose's joints first
_C.SMPLIFY.TOLERANCE = 1e-3  # 'lm' stops when a step promises to lower the loss by a smaller share
_C.SMPLIFY.STAY_WEIGHT = 150.0  # 'lm': pull of the body pose towards where it starts, per squared radian
_C.SMPLIFY.MIN_JOINTS = 9  # limb joints, of 12, that must be seen in the crop for a fit to be valid
_C.SMPLIFY.USE_FITS = False  # supervise with stored fits where there is no ground truth; RUN implies it
_C.SMPLIFY.USE_FINAL_FIT = False  # stored fits are those of final_fits/ instead of static_fits/; implies USE_FITS

DEFAULTS = _C
