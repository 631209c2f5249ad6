"""Options that make pictures more like photographs. Each can be left out by name in configs and generate.py."""
from utils.errors import BadConfig

REALISM = {
    'people': 'one to three others beside, behind, before and around the person',
    'things': 'seats, wheelchairs and tables, what hands hold, cut-outs in front',
    'poses': 'more of sitting, phones, sports, dance and embraces; shapes to their ends',
    'framing': 'cameras high and low, pictures of other sides than square, larger people, more cuts at waist and head',
    'shadows': 'shadows of people on themselves and each other, creases that are darker',
    'blur': 'motion blur',
    'garments': 'loose tops and trousers, skirts and long hair with a shape of their own',
}
# Shadows take a tenth of the time and show no gain on real people (docs/synthetic_data.md, "Realism").
DEFAULT_REALISM = tuple(name for name in REALISM if name != 'shadows')


def read_realism(names, key):
    """Check names -> frozenset. key: for the message. Raises BadConfig for an unknown name."""
    unknown = [name for name in names if name not in REALISM]
    if unknown:
        raise BadConfig(f'{key}: no {unknown[0]!r}; use some of {", ".join(REALISM)}')
    return frozenset(names)
