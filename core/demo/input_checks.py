"""Checks that the demo's inputs exist and open, before a checkpoint is fetched and networks are loaded."""
from pathlib import Path

from core.demo.pictures import is_picture, list_pictures
from core.demo.sources import import_downloader, is_address
from datasets.image_io import read_picture
from datasets.video import VideoReader
from utils.errors import BadFile, MissingFile, ProjectError

_SHRINK = 8  # a JPEG is decoded at an eighth of its size


def check_inputs(inputs):
    """Raise MissingFile or BadFile if nothing of the source opens, or if a file beside it is absent.

    Only one picture, or the first frame of a video, is decoded. A camera is not opened, because that may take as long
    as loading a network.
    """
    if inputs.kind in ('img', 'img_file'):
        _check_pictures(inputs.paths)
    elif inputs.kind in ('img_dir', 'image_folder'):
        _check_folder(inputs.paths[0])
    elif inputs.kind == 'vid_file':
        _check_video(inputs.paths[0])
    for files in ([inputs.detections], [inputs.truth], [inputs.results], [inputs.keypoint_file], inputs.openpose,
                  inputs.bbox if inputs.kind in ('img', 'img_file') else ()):
        _check_one_exists([path for path in files if path is not None])


def _check_pictures(paths):
    for path in paths:
        if Path(path).is_dir():
            raise BadFile(f'{path}: a folder, not a picture; give --img_dir FOLDER for its pictures, or --image_folder '
                          'FOLDER for the frames of a video')
        if not Path(path).exists():
            raise MissingFile(f'{path}: no such picture')
    _check_one_opens(paths)


def _check_folder(path):
    if Path(path).is_file():
        raise BadFile(f'{path}: a file, not a folder; give --img FILE for a picture, or --vid_file FILE for a video')
    _check_one_opens(list_pictures(path))


def _check_video(path):
    if is_address(path):
        import_downloader(path)
    elif Path(path).is_dir():
        raise BadFile(f'{path}: a folder, not a video; give --image_folder FOLDER for the frames of a video, or '
                      '--img_dir FOLDER for its pictures')
    else:
        VideoReader(path).close()


def _check_one_opens(paths):
    """Raise the first picture's BadFile if none is readable. One is enough, because a run skips the others."""
    problem = None
    for path in paths:
        try:
            read_picture(path, _SHRINK)
            return
        except (BadFile, MissingFile) as error:
            problem = problem or error
    if _is_video(paths[0]):
        problem = f'{paths[0]}: a video, not a picture; give --vid_file FILE'
    raise BadFile(f'{problem}' + (f'; nor is any other of the {len(paths)} pictures' if len(paths) > 1 else ''))


def _is_video(path):
    if is_picture(path):  # FFmpeg takes a truncated picture for a video
        return False
    try:
        VideoReader(path).close()
    except ProjectError:
        return False
    return True


def _check_one_exists(paths):
    """Raise MissingFile if none of the files is there. One is enough, because a run skips the others."""
    if paths and not any(Path(path).exists() for path in paths):
        raise MissingFile(f'{paths[0]}: no such file')
