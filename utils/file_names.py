"""Order and numbers of a series of files, from their names."""
import re
from pathlib import Path

_DIGITS = re.compile(r'(\d+)')
# Longer runs of digits are dates or hashes. A float64 holds this many digits exactly.
_MOST_DIGITS = 15


def natural_key(path):
    """Sort key that puts frame_2 before frame_10. Names with equal keys are ordered as text."""
    name = Path(path).name
    return [(int(part), '') if i % 2 else (-1, part.casefold()) for i, part in enumerate(_DIGITS.split(name))], name


def number_in_name(path, suffix=''):
    """The last number in a name without extension and `suffix`, or None."""
    found = _DIGITS.findall(Path(path).stem.removesuffix(suffix))
    return int(found[-1]) if found and len(found[-1]) <= _MOST_DIGITS else None


def numbers_in_names(paths, suffix=''):
    """The number in each name if all have different ones, else None."""
    numbers = [number_in_name(path, suffix) for path in paths]
    return numbers if None not in numbers and len(set(numbers)) == len(numbers) else None


def frame_numbers(paths):
    """Frame numbers of a series of pictures: the numbers in their names if these increase, else their indices."""
    numbers = numbers_in_names(paths)
    if numbers is None or any(second <= first for first, second in zip(numbers, numbers[1:])):
        return list(range(len(paths)))
    return numbers


def distinct_paths(paths):
    """Paths of results, with a number appended to later ones that would be the same file (ignoring case)."""
    taken, distinct = {_folded(path) for path in paths}, []
    seen = set()
    for path in paths:
        fresh, count = path, 1
        while _folded(fresh) in seen or (count > 1 and _folded(fresh) in taken):
            count += 1
            fresh = path.with_name(f'{path.name}_{count}')
        seen.add(_folded(fresh))
        distinct.append(fresh)
    return distinct


def _folded(path):
    return str(path).casefold()
