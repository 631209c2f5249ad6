"""Packages that are not always installed: imported here, so that each error names what brings the package."""
import importlib

from utils.errors import MissingPackage


def import_package(module, purpose, extra=''):
    """Import a module of an optional package -> the module.

    module: its name, such as 'onnxruntime' or 'smplx.vertex_ids'. purpose: what needs it, the message's first words.
    extra: the extra of pyproject.toml that brings the package; '' where every install brings it. Raises MissingPackage.
    """
    package = module.split('.')[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        wanted = f"'.[{extra}]'" if extra else '.'
        why = 'is not installed' if (error.name or package).split('.')[0] == package else f'lacks {error.name}'
        raise MissingPackage(f'{purpose} needs the package {package}, which {why}; '
                             f"run `pip install {wanted}` in the project's folder") from None
    except ImportError as error:
        raise MissingPackage(f'{purpose} needs the package {package}, which cannot be imported '
                             f'({" ".join(str(error).split())[:120]})') from None
