"""What a run says and leaves: counts of what was left out, result files, the 3D page."""
import tempfile
from collections import Counter
from pathlib import Path

from utils.errors import ProjectError


class Report:
    """Counts of one run. `skipped` and `left_out` are by reason."""

    def __init__(self):
        self.frames = self.people = self.empty = 0
        self.skipped, self.left_out = Counter(), Counter()

    def add(self, estimates):
        """A frame that was looked at, with the people in it."""
        self.frames += 1
        self.people += len(estimates)
        self.empty += not estimates

    def summary(self):
        """One line."""
        parts = [f'{_count(self.frames, "frame")}, {_count(self.people, "body", "bodies")}']
        if self.empty:
            parts.append(f'{_count(self.empty, "frame")} without a person')
        parts += [f'{count} skipped: {reason}' for reason, count in self.skipped.items()]
        parts += [f'{_count(count, "person", "people")} left out: {reason}' for reason, count in self.left_out.items()]
        return '; '.join(parts)


def _count(number, one, many=None):
    return f'{number} {one if number == 1 else many or one + "s"}'


def check_writable(folder):
    """Make a folder and try it, before any work is done. Raises ProjectError."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ProjectError(f'{folder}: results cannot be written here ({error.strerror}); give --output_folder'
                           ) from None


def export(cfg, inputs, recording, body, folder, stem, shown=None, is_whole=True):
    """Write the result files and, where asked for, the web page. shown: the overlay video or picture, or None.

    is_whole: the run came to its end. The bodies of one that did not are not shown live.
    """
    from utils.export import save_results
    for path in save_results(recording, body, folder, stem, tuple(cfg.DEMO.FORMATS)):
        print(f'results: {path}')
    if not cfg.DEMO.VIEWER and inputs.viewer_port is None:
        return
    from core.demo.viewer import serve, write_page
    # The page shows the input where that is one file, else the overlay.
    shown = recording.source if Path(recording.source).is_file() else shown
    if cfg.DEMO.VIEWER:
        print(f'web page: {write_page(recording, body, shown, Path(folder) / f"{stem}_viewer.html")}')
    if inputs.viewer_port is not None and is_whole:
        serve(recording, body, shown, inputs.viewer_port)
