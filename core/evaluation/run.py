"""Evaluates a checkpoint on a dataset and writes tables, result files and pictures, as eval.py does."""
from pathlib import Path

from core.devices import pick_device
from core.evaluation import report
from core.evaluation.evaluator import Evaluator
from core.evaluation.occlusion import FaceOccluder, run_grid
from core.evaluation.pictures import PictureGrid
from core.evaluation.protocols import protocol_of
from core.evaluation.results import ResultWriter
from core.evaluation.segmentation import SegmentationEvaluator
from core.export.backend import in_backend
from core.weights import load_checkpoint
from datasets.build import build_eval_dataset
from models import build_regressor
from utils.distributed import rank, world_size
from utils.errors import BadConfig, BadFile
from utils.logging import get_logger


def load_regressor(cfg, checkpoint, device):
    """Build the regressor of a config with a checkpoint's weights, on a device, in evaluation mode. INFERENCE.BACKEND
    may replace it by its ONNX file."""
    regressor = build_regressor(cfg)
    regressor.check_views(cfg.TEST.N_VIEWS, 'TEST.N_VIEWS')
    if regressor.assets.is_free:
        get_logger().info(f'no licensed SMPL body found: using the free body in {regressor.assets.root}')
    load_checkpoint(cfg, regressor, checkpoint)
    return in_backend(cfg, regressor.to(device).eval())


def run_evaluation(cfg, checkpoint):
    """Evaluate and report -> Evaluation or SegmentationEvaluation."""
    files = [*cfg.TEST.REPORT, *([cfg.TEST.RESULT_FILE] if cfg.TEST.RESULT_FILE else [])]
    report.check_paths(cfg.TEST.REPORT, cfg.TEST.OVERWRITE)
    report.check_new(files, cfg.TEST.OVERWRITE)
    dataset = build_eval_dataset(cfg)
    segmentation = protocol_of(dataset.name).segmentation
    keep_named(dataset, cfg.TEST.VIS_IMNAME)
    device = pick_device(cfg)
    if world_size() > 1:
        _check_shareable(cfg, segmentation)
    regressor = load_regressor(cfg, checkpoint, device)
    run = _run_segmentation if segmentation else _run_pose
    evaluation = run(cfg, regressor, dataset, device, Path(checkpoint).stem)
    if rank():
        return evaluation
    print(f'\n{checkpoint}\n{report.console(evaluation)}')
    for path in cfg.TEST.REPORT:
        report.write(evaluation, path)
        print(f'table: {path}')
    return evaluation


def _check_shareable(cfg, segmentation):
    """Raise BadConfig for options that need every sample in one process."""
    for key in ('RESULT_FILE', 'VIS_DEMO', 'OCCLUDE'):
        if cfg.TEST[key]:
            raise BadConfig(f'TEST.{key} needs one process; run eval.py without torchrun')
    if segmentation:
        raise BadConfig('evaluation of segmentation needs one process; run eval.py without torchrun')


def keep_named(dataset, part):
    """Keep the people of pictures whose names contain `part`, if given. Raises BadConfig if there are none."""
    if not part:
        return
    if hasattr(dataset, 'groups') or not hasattr(dataset, 'annotations'):
        raise BadConfig('TEST.VIS_IMNAME needs an annotation file of single pictures; leave it empty')
    rows = [row for row, name in enumerate(dataset.annotations.imgname) if part in Path(name).name]
    if not rows:
        raise BadConfig(f'TEST.VIS_IMNAME: no picture of {dataset.source.annotations} has {part!r} in its name')
    dataset.annotations = dataset.annotations.subset(rows)


def _run_pose(cfg, regressor, dataset, device, title):
    if not dataset.has_3d_truth():
        raise BadFile(f'{dataset.source_name}: no 3D ground truth (neither pose and shape nor S); use a dataset '
                      'that has it, or `python -m benchmarks.real_people FILE.npz --images FOLDER` for 2D keypoints')
    evaluator = Evaluator(cfg, regressor.body)
    evaluator.read_bodies(dataset)
    name, observers, writer = dataset.name, [], None
    if cfg.TEST.RESULT_FILE:
        images = dataset.source.images if hasattr(dataset, 'source') else ''
        writer = ResultWriter(cfg.TEST.RESULT_FILE, len(dataset) * max(cfg.TEST.N_VIEWS, 1), images,
                              cfg.TEST.OVERWRITE)
        observers.append(writer)
    grid = PictureGrid(cfg, regressor.body.faces) if cfg.TEST.VIS_DEMO else None
    if grid:
        observers.append(lambda seen: grid.add(seen.batch, seen.out, seen.errors['mpjpe'][:, -1]))
    evaluation = evaluator.evaluate(regressor, dataset, name, device, observers=observers, progress=not rank(),
                                    log_every=0 if rank() else cfg.TEST.LOG_FREQ)
    if writer:
        writer.save()
        print(f'estimates: {writer.path}')
    if grid:
        print(f'pictures: {grid.save(Path(cfg.TEST.OUTPUT_DIR) / f"{title}_{name}.png")}')
    if dataset.skipped:
        get_logger().warning(f'{name}: {dataset.skipped} unreadable pictures were skipped and count in no mean')
    _run_occluded(cfg, evaluator, regressor, dataset, device, evaluation, title)
    if len(cfg.TEST.VIEW_COUNTS) > 1:
        _compare_views(cfg, regressor, dataset.name, device, evaluation)
    return evaluation


def _compare_views(cfg, regressor, name, device, most):
    """Print the errors by number of views. most: the Evaluation with the last of TEST.VIEW_COUNTS."""
    evaluations = {}
    for count in cfg.TEST.VIEW_COUNTS[:-1]:
        fewer = cfg.clone()
        fewer.defrost()
        fewer.TEST.N_VIEWS = count
        fewer.freeze()
        evaluations[_views(count)] = Evaluator(fewer, regressor.body).evaluate(
            regressor, build_eval_dataset(fewer), name, device, progress=not rank())
    evaluations[_views(cfg.TEST.VIEW_COUNTS[-1])] = most
    if not rank():
        print('\n' + report.aligned(report.comparison(name, evaluations)))


def _views(count):
    return f'{count} view{"s" * (count > 1)}'


def _run_occluded(cfg, evaluator, regressor, dataset, device, plain, title):
    """Repeat the evaluation with parts of the pictures hidden. Prints both."""
    if cfg.TEST.OCCLUDE == 'face':
        occluder, grid = FaceOccluder(), PictureGrid(cfg, regressor.body.faces) if cfg.TEST.VIS_DEMO else None
        observers = [lambda seen: grid.add({'img': FaceOccluder()(seen.batch['img'], seen.batch)}, seen.out,
                                           seen.errors['mpjpe'][:, -1])] if grid else []
        hidden = evaluator.evaluate(regressor, dataset, dataset.name, device, transform=occluder, observers=observers)
        if grid:
            print(f'pictures: {grid.save(Path(cfg.TEST.OUTPUT_DIR) / f"{title}_{dataset.name}_face.png")}')
        print(f'\nface hidden in {occluder.hidden} of {occluder.seen} pictures')
        print(report.aligned(report.comparison(dataset.name, {'plain': plain, 'face hidden': hidden})))
    elif cfg.TEST.OCCLUDE == 'grid':
        path = Path(cfg.TEST.OUTPUT_DIR) / f'{title}_{dataset.name}_occlusion.png'
        worst = run_grid(cfg, evaluator, regressor, dataset, device, path)
        print(f'\nerror map of the sliding patch: {path}')
        print(report.aligned(report.comparison(dataset.name, {'plain': plain, **worst})))


def _run_segmentation(cfg, regressor, dataset, device, title):
    if cfg.TEST.OCCLUDE or cfg.TEST.RESULT_FILE:
        raise BadConfig(f'{dataset.name}: evaluation of segmentation does not take --occlude and --result')
    grid = PictureGrid(cfg, regressor.body.faces) if cfg.TEST.VIS_DEMO else None
    observers = [lambda batch, out: grid.add(batch, out)] if grid else []
    evaluation = SegmentationEvaluator(cfg, regressor).evaluate(regressor, dataset, dataset.name, device,
                                                                observers=observers)
    if grid:
        print(f'pictures: {grid.save(Path(cfg.TEST.OUTPUT_DIR) / f"{title}_{dataset.name}.png")}')
    return evaluation
