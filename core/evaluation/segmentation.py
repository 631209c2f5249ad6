"""LSP's silhouette and six-part segmentation. The rendered body is compared with the labels of UP-3D.

Rendering, resampling to the picture and counts follow SPIN's evaluation code, which follows UP-3D's (Lassner et al.,
CVPR 2017). The pixels of all pictures are pooled. F1 is the mean over classes, background included.
"""
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from core.batches import checked_output, extra_inputs
from core.evaluation import report
from core.loading import batches_of, worker_options
from datasets.augmentation import crop_transform
from datasets.catalog import image_folder
from datasets.legacy_crop import WARPED, legacy_box
from utils.errors import BadFile, MissingFile
from utils.iuv import project_to_crop
from utils.rasterizer import rasterize
from utils.safe_io import load_npy

RENDER_SIZE = 224  # pixels a side, as published
LABEL_DATASET = 'upi-s1h'  # its folder has the label pictures
METRICS = ('mask_accuracy', 'mask_f1', 'part_accuracy', 'part_f1')
_MASK_CLASSES, _PART_CLASSES, _UNLABELLED = 2, 7, 255
_DRAWS = 1000


class PartRenderer:
    """Renders silhouettes and part numbers of bodies.

    vertex_texture.npy [1,F,T,T,T,3] is a cube of colours for each face (Neural Renderer's textures). cube_parts.npy
    [R,G,B] maps a colour in hundredths to a part, 0 to 6. Each of its axes covers the colours in use; the published
    shape is [100,92,17]. Raises MissingFile, BadFile.
    """

    def __init__(self, assets, faces):
        texture_file, parts_file = assets.file('vertex_texture.npy'), assets.file('cube_parts.npy')
        texture, parts = load_npy(texture_file), load_npy(parts_file)
        sides = set(texture.shape[2:5])
        if texture.ndim != 6 or texture.shape[:2] != (1, len(faces)) or len(sides) != 1 or texture.shape[-1] != 3:
            raise BadFile(f'{texture_file}: shape {list(texture.shape)}, but must be [1, {len(faces)}, T, T, T, 3]')
        if parts.ndim != 3:
            raise BadFile(f'{parts_file}: shape {list(parts.shape)}, but must be [R, G, B]')
        self.texture = torch.from_numpy(texture[0].astype(np.float32))
        self.parts = torch.from_numpy(parts.astype(np.int64))
        self.last = torch.tensor(parts.shape) - 1
        self.faces = faces
        most = (self.texture.flatten(0, 3).amax(0) * 100).floor()
        if self.texture.min() < 0 or (most > self.last).any():
            raise BadFile(f'{parts_file}: shape {list(parts.shape)}, but the colours of {texture_file} are between 0 '
                          f'and {most.int().tolist()} hundredths; use two files of one release')

    def __call__(self, vertices, camera, full_camera=None):
        """Render vertices [B,V,3] in metres -> (part numbers [B,S,S] uint8, silhouette [B,S,S] bool).

        camera [B,3]; full_camera: FullCamera of the stage, if it has one.
        """
        pixels = project_to_crop(vertices.float(), camera.float(), RENDER_SIZE, full_camera=full_camera)
        face_index, barycentric, _ = rasterize(pixels, self.faces, RENDER_SIZE, RENDER_SIZE)
        drawn = face_index >= 0
        parts = torch.zeros(face_index.shape, dtype=torch.uint8, device=face_index.device)
        parts[drawn] = self.parts_at(face_index[drawn], barycentric[drawn])
        return parts, drawn

    def parts_at(self, faces, barycentric):
        """Part numbers [P] uint8 at points of the surface: faces [P], barycentric [P,3]."""
        cell = (self._colors(faces, barycentric) * 100).floor().long()
        cell = torch.minimum(cell, self.last.to(cell.device))  # rounding of the look-up may exceed the last colour
        return self.parts.to(cell.device)[cell[:, 0], cell[:, 1], cell[:, 2]].to(torch.uint8)

    def _colors(self, faces, barycentric):
        """Trilinear look-up in the faces' colour cubes at their barycentric coordinates, [P] and [P,3] -> [P,3]."""
        texture = self.texture.to(faces.device)
        top = texture.shape[1] - 1
        place = (barycentric * top).clamp(0, top)
        low = place.floor().clamp(max=max(top - 1, 0)).long()
        share = place - low
        color = torch.zeros(len(faces), 3, device=faces.device)
        for corner in np.ndindex(2, 2, 2):
            index = (low + torch.tensor(corner, device=low.device)).clamp(max=top)
            weight = torch.stack([share[:, i] if bit else 1 - share[:, i] for i, bit in enumerate(corner)]).prod(0)
            color += weight[:, None] * texture[faces, index[:, 0], index[:, 1], index[:, 2]]
        return color


@dataclass
class SegmentationEvaluation:
    """counts [N, stages, K]: numbers of pixels for each picture. First true positives, false positives and false
    negatives of the two mask classes and the seven part classes; then correct and all pixels of the mask and of the
    parts."""
    dataset: str
    counts: torch.Tensor

    def score(self, metric, stage=-1):
        """A metric in percent over all pictures."""
        return float(_scores(self.counts[:, stage].sum(0, keepdim=True))[metric])

    def rows(self):
        """One report.Row per stage."""
        stages = self.counts.shape[1]
        return [report.Row('stage', 'mean pose' if stage == 0 and stages > 1 else f'stage {stage}',
                           self._with_intervals(self.counts[:, stage].double())) for stage in range(stages)]

    def table(self):
        return report.markdown(self)

    def _with_intervals(self, counts):
        """Scores with 95 % intervals from resampled pictures."""
        generator = torch.Generator().manual_seed(0)
        total = _scores(counts.sum(0, keepdim=True))
        drawn = _scores(torch.stack([
            counts[torch.randint(len(counts), (len(counts),), generator=generator)].sum(0) for _ in range(_DRAWS)]))
        return {name: report.Score(float(total[name]), *(float(drawn[name].quantile(q)) for q in (.025, .975)),
                                   len(counts)) for name in METRICS}


def _scores(counts):
    """{metric: [D] percent} from pooled counts [D,K]."""
    counts = counts.double()
    masks, parts = 3 * _MASK_CLASSES, 3 * (_MASK_CLASSES + _PART_CLASSES)
    right_all = counts[:, parts:].unflatten(1, (2, 2))
    return {'mask_accuracy': 100 * right_all[:, 0, 0] / right_all[:, 0, 1],
            'mask_f1': _mean_f1(counts[:, :masks].unflatten(1, (_MASK_CLASSES, 3))),
            'part_accuracy': 100 * right_all[:, 1, 0] / right_all[:, 1, 1],
            'part_f1': _mean_f1(counts[:, masks:parts].unflatten(1, (_PART_CLASSES, 3)))}


def _mean_f1(counts):
    """[D,classes,3] -> [D] percent. A class that is neither labelled nor estimated does not count."""
    hits, false_alarms, misses = counts.unbind(-1)
    return 100 * (2 * hits / (2 * hits + false_alarms + misses)).nanmean(1)


class SegmentationEvaluator:
    """Evaluates a regressor on LSP. The annotations name the label pictures (maskname, partname)."""

    def __init__(self, cfg, regressor):
        self.cfg = cfg
        self.renderer = PartRenderer(regressor.assets, regressor.body.faces)
        self.labels = image_folder(cfg, LABEL_DATASET)

    @torch.no_grad()
    def evaluate(self, regressor, dataset, name, device, progress=True, observers=(), transform=None):
        """Compare every stage with the labels -> SegmentationEvaluation."""
        annotations = dataset.annotations
        if annotations.maskname is None or annotations.partname is None:
            raise BadFile(f'{dataset.source.annotations}: no maskname and partname, the names of the label pictures; '
                          'make the file again: python -m datasets.preprocess.lsp')
        regressor.eval()
        test = self.cfg.TEST
        limited = Subset(dataset, range(min(test.MAX_SAMPLES or len(dataset), len(dataset))))
        loader = DataLoader(limited, test.BATCH_SIZE, **worker_options(self.cfg, most=8))
        counts = []
        for batch in tqdm(batches_of(loader), total=len(loader), desc=f'evaluate {name}', disable=not progress):
            images = batch['img'].to(device)
            images = images if transform is None else transform(images, batch)
            out = checked_output(regressor, regressor(images, *extra_inputs(regressor, batch, device)))
            drawn = [[value.cpu().numpy() for value in self.renderer(stage.vertices, stage.camera, stage.full_camera)]
                     for stage in out.stages]
            for i, row in enumerate(batch['sample_index'].tolist()):
                counts.append(self._counts(dataset, row, batch, i, [(p[i], m[i]) for p, m in drawn]))
            for observer in observers:
                observer(batch, out)
        return SegmentationEvaluation(name, torch.tensor(np.stack(counts)))

    def _counts(self, dataset, row, batch, i, stages):
        """Counts [stages, K] of one picture."""
        annotations = dataset.annotations
        mask = _read_label(self.labels / annotations.maskname[row]) > 0
        parts = _read_label(self.labels / annotations.partname[row])
        height, width = (int(n) for n in batch['orig_shape'][i])
        for name, label in ((annotations.maskname[row], mask), (annotations.partname[row], parts)):
            if label.shape != (height, width):
                raise BadFile(f'{self.labels / name}: {label.shape[1]} x {label.shape[0]} pixels, but the picture has '
                              f'{width} x {height}')
        center, scale = dataset.crop_squares([row])
        rows = []
        for estimated_parts, silhouette in stages:
            back = uncrop(np.stack([estimated_parts, silhouette]), center[0], float(scale[0]), height, width,
                          legacy=self.cfg.DATA.LEGACY_CROP_EVAL and self.cfg.DATA.LEGACY_CROP_RESIZE != WARPED)
            rows.append(count_pixels(back[1] > 0, mask, back[0], parts))
        return np.stack(rows)


def count_pixels(estimated_mask, mask, estimated_parts, parts):
    """[K] counts of one picture (`SegmentationEvaluation`). At unlabelled parts (255) no class is a false positive."""
    counts = [_class_counts(estimated_mask == c, mask == c) for c in range(_MASK_CLASSES)]
    unlabelled = parts == _UNLABELLED
    counts += [_class_counts((estimated_parts == c) & ~unlabelled, parts == c) for c in range(_PART_CLASSES)]
    labels = np.where(unlabelled, 0, parts)
    counts += [[(estimated_mask == mask).sum(), mask.size], [(estimated_parts == labels).sum(), parts.size]]
    return np.concatenate(counts)


def _class_counts(estimated, true):
    return [(estimated & true).sum(), (estimated & ~true).sum(), (~estimated & true).sum()]


def uncrop(labels, center, scale, height, width, legacy=False):
    """Resample label pictures [C,S,S] of a crop to the picture [C,height,width]: nearest pixel, 0 outside the crop.

    legacy: the published method for integer crops (whole pixels, Pillow's nearest).
    """
    labels = np.asarray(labels, np.uint8)
    out = np.zeros((len(labels), height, width), np.uint8)
    if not legacy:
        matrix = crop_transform(center, scale, labels.shape[1])
        matrix[:, 2] += 0.5 * matrix[:, :2].sum(1) - 0.5  # OpenCV counts from pixel centres
        for layer, label in zip(out, labels):
            layer[:] = cv2.warpAffine(label, matrix, (width, height), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
        return out
    first, last = legacy_box(center, scale, labels.shape[1])
    (x0, y0), (x1, y1) = np.maximum(first, 0), np.minimum(last, (width, height))
    if x1 <= x0 or y1 <= y0:
        return out
    for layer, label in zip(out, labels):
        whole = np.array(Image.fromarray(label).resize(tuple(int(n) for n in last - first), Image.NEAREST))
        layer[y0:y1, x0:x1] = whole[y0 - first[1]:y1 - first[1], x0 - first[0]:x1 - first[0]]
    return out


def _read_label(path):
    """A label picture [H,W] uint8. Raises MissingFile, BadFile."""
    if not Path(path).exists():
        raise MissingFile(f'{path}: no such label picture; get UP-3D\'s upi-s1h.zip (see ./fetch_data.sh)')
    label = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if label is None:
        raise BadFile(f'{path}: not a readable picture')
    return label
