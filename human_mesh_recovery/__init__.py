"""The project as one Python package, beside whatever else is installed.

The project's packages are called `core`, `models`, `datasets` and `utils`, as other projects' are. Here they are
`human_mesh_recovery.core`, ...: nothing enters `sys.path`, and `import datasets` stays that of Hugging Face.
"""
from human_mesh_recovery import _private_imports

_private_imports.install()

from human_mesh_recovery.core.api import Bodies, BodyEstimator, load_regressor  # noqa: E402  needs the line above
from human_mesh_recovery.core.pretrained import repository_checkpoint  # noqa: E402
from human_mesh_recovery.models import regressor_names  # noqa: E402

__all__ = ['Bodies', 'BodyEstimator', 'load_regressor', 'regressor_names', 'repository_checkpoint']
