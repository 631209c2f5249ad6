"""Exports of a `Recording` for other programs: tables, meshes, a skinned animation, motion capture.

docs/demo_formats.md describes every file with its units. Nothing is pickled. Files are written whole or not at all.
"""
from pathlib import Path

from utils.errors import ProjectError
from utils.export.amass import save_amass
from utils.export.bvh import save_bvh
from utils.export.gltf import save_glb
from utils.export.meshes import save_meshes
from utils.export.tables import save_csv, save_person_json, save_person_npz
from utils.export.tracks import checked_recording

_PER_PERSON = {'npz': save_person_npz, 'json': save_person_json, 'csv': save_csv, 'bvh': save_bvh, 'amass': save_amass}
_ENDINGS = {'amass': '_amass.npz'}  # of the others: the format's name
_MESHES = ('obj', 'ply')
FORMATS = (*_PER_PERSON, *_MESHES, 'glb')


def save_results(recording, body, folder, stem, formats):
    """Write a recording in the given formats.

    recording: `utils.recording.Recording`. body: the body model of its parameters. stem: prefix of the files' names.
    formats: any of FORMATS. A person without a usable frame gets no file, and the log says so. Returns the written
    paths. Raises ProjectError (unknown format, unwritable folder, full disk, unusable recording), WrongBody.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise ProjectError(f'unknown export format {unknown[0]!r}; known: {", ".join(FORMATS)}')
    if Path(stem).name != stem:
        raise ProjectError(f'{stem!r} cannot be the start of a file name')
    recording = checked_recording(recording, body)
    folder, written = Path(folder), []
    for name in (name for name in _PER_PERSON if name in formats):
        for person in recording.people:
            path = folder / f'{stem}_person{person.person_id}{_ENDINGS.get(name, f".{name}")}'
            _PER_PERSON[name](path, recording, person, body)
            written.append(path)
    for extension in (name for name in _MESHES if name in formats):
        written += save_meshes(folder, stem, recording, body, extension)
    if 'glb' in formats and recording.people:
        written.append(folder / f'{stem}.glb')
        save_glb(written[-1], recording, body)
    return written
