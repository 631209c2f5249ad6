"""Output of a run: counts of what was left out, result files, the 3D page."""
import tempfile
from collections import Counter
from pathlib import Path

from utils.errors import ProjectError


class Report:
    """Counts of one run. `skipped` and `left_out` have one count per reason."""

    def __init__(self):
        self.frames = self.people = self.empty = 0
        self.skipped, self.left_out = Counter(), Counter()

    def add(self, estimates):
        """Count a processed frame with its estimates."""
        self.frames += 1
        self.people += len(estimates)
        self.empty += not estimates

    def summary(self):
        """The counts in one line."""
        parts = [f'{_count(self.frames, "frame")}, {_count(self.people, "body", "bodies")}']
        if self.empty:
            parts.append(f'{_count(self.empty, "frame")} without a person')
        parts += [f'{count} skipped: {reason}' for reason, count in self.skipped.items()]
        parts += [f'{_count(count, "person", "people")} left out: {reason}' for reason, count in self.left_out.items()]
        return '; '.join(parts)


def _count(number, one, many=None):
    return f'{number} {one if number == 1 else many or one + "s"}'


def check_writable(folder):
    """Create a folder and test that it is writable, before any work. Raises ProjectError."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ProjectError(f'{folder}: results cannot be written here ({error.strerror}); give --output_folder'
                           ) from None


def export(cfg, inputs, recording, body, folder, stem, shown=None, is_whole=True):
    """Write the result files and, if requested, the web page. shown: path of the overlay video or picture, or None.

    is_whole: the run finished. The live view is started only then.
    """
    from utils.export import save_results
    for path in save_results(recording, body, folder, stem, tuple(cfg.DEMO.FORMATS)):
        print(f'results: {path}')
    if not cfg.DEMO.VIEWER and inputs.viewer_port is None:
        return
    from core.demo.viewer import serve, write_page
    # The page shows the input if it is a single file, else the overlay.
    shown = recording.source if Path(recording.source).is_file() else shown
    if cfg.DEMO.VIEWER:
        print(f'web page: {write_page(recording, body, shown, Path(folder) / f"{stem}_viewer.html")}')
    if inputs.viewer_port is not None and is_whole:
        serve(recording, body, shown, inputs.viewer_port)
