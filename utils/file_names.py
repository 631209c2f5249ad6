"""What the names of a series of files tell: their order, and the number of each."""
import re
from pathlib import Path

_DIGITS = re.compile(r'(\d+)')
# Longer runs of digits are dates and hashes; and what a float64 holds exactly.
_MOST_DIGITS = 15


def natural_key(path):
    """Sort key: frame_2 before frame_10. Names that read the same stay in the order of their text."""
    name = Path(path).name
    return [(int(part), '') if i % 2 else (-1, part.casefold()) for i, part in enumerate(_DIGITS.split(name))], name


def number_in_name(path, suffix=''):
    """The last number in a name, without extension and `suffix`, or None."""
    found = _DIGITS.findall(Path(path).stem.removesuffix(suffix))
    return int(found[-1]) if found and len(found[-1]) <= _MOST_DIGITS else None


def numbers_in_names(paths, suffix=''):
    """The number in each name, where all have one and no two the same; else None."""
    numbers = [number_in_name(path, suffix) for path in paths]
    return numbers if None not in numbers and len(set(numbers)) == len(numbers) else None


def frame_numbers(paths):
    """The frame number of each of a series of pictures: the one in its name, where these increase; else its place."""
    numbers = numbers_in_names(paths)
    if numbers is None or any(second <= first for first, second in zip(numbers, numbers[1:])):
        return list(range(len(paths)))
    return numbers


def distinct_paths(paths):
    """Paths of results, of which later ones get a number where two would be one file, whatever the letters' case."""
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
