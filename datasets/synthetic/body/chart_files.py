"""Writes the charts in DensePose's files: UV_Processed.mat and UV_symmetry_transforms.mat."""
from pathlib import Path

import numpy as np

from utils.safe_io import save_mat

_TABLE = 256


def write_charts(folder, charts, digest):
    """Write both files into folder/UV_data. charts: uv_charts.Charts. Indices in the files start at 1."""
    folder = Path(folder) / 'UV_data'
    save_mat(folder / 'UV_Processed.mat', {
        'All_Faces': (charts.faces + 1).astype(np.int32), 'All_FaceIndices': charts.part[:, None].astype(np.int32),
        'All_U_norm': charts.uv[:, :1], 'All_V_norm': charts.uv[:, 1:],
        'All_vertices': (charts.body_vertex + 1)[None].astype(np.int32), 'body_digest': digest})
    save_mat(folder / 'UV_symmetry_transforms.mat', symmetry_transforms())


def symmetry_transforms():
    """U_transforms, V_transforms [1,24] of tables [256,256], read as table[255 V, 255 U]: the coordinates of a point
    of a part in the mirrored part. The charts are mirror images, so U becomes 1 - U and V stays."""
    v, u = np.mgrid[0:_TABLE, 0:_TABLE] / (_TABLE - 1)
    tables = {}
    for key, table in (('U_transforms', 1 - u), ('V_transforms', v)):
        cells = np.empty((1, 24), object)
        for i in range(24):
            cells[0, i] = table
        tables[key] = cells
    return tables
