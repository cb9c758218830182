"""The names of fields where the library's sentences name arguments: a user of the widget has set no argument.

The library refuses with one sentence that begins with an argument's name, as ``n_segments must be ...``, and
may say with which argument to help oneself.
"""

from __future__ import annotations

import re

FIELDS = {
    "n_segments": "Superpixels",
    "max_segments": "Superpixels",
    "model": "Model",
    "device": "Device",
    "compactness": "Compactness",
    "smoothing": "Smoothing",
    "intensity_range": "Intensities",
    "level": "Level",
    "channels": "Channels",
    "plane": "Planes",
    "crop": "Region",
    "mask": "Region",
    "channel_axis": "Channels",
}
"""Labels of the form's rows, by the argument or the part of a record that each sets."""

OTHERS = {
    "method": "another method",
    "start_label": "another first number",
    "min_size": "the smallest part of a region",
    "precision": "the network's precision",
    "window": "the size of windows",
    "spacing": "the size of a pixel",
}
"""Words for what a record may have and no field sets."""

_PHRASES = (
    (r"; leave such pixels out with mask=", "; leave such pixels out of the region"),
    (r"; pass mask= to say yourself what is outside", "; choose a Region to say yourself what is outside"),
    (r'pass intensity_range=\("0.1%", "99.9%"\)', "choose 0.1% to 99.9% under Intensities"),
    (
        r"pass intensity_range=(\(.*?\))",
        r"give the layer the contrast limits \1 and choose them under Intensities",
    ),
    (r"(those out) by mask=, of a file by nodata=\S+$", r"\1 of the region"),
    (r"; min_size=\d+ leaves out the small ones", ""),
    (r"pass channel_axis=None for grey", "choose 'none (grey)' under Channels"),
    (r": name its channel_axis", ": choose it under Channels"),
    (r"\bor pass another model\b", "or choose another Model"),
    (r"; pass overwrite=True to replace it", "; name another under 'Write to'"),
    (r"\banother( name)? by --name", "another Name"),
    (r"\bthe mask\b(?=,|;| |$)", "the region"),
)
"""What a sentence may advise, and the same in the widget."""

_UNMISTAKABLE = re.compile(
    rf"(?<![\w./\\-])({'|'.join(name for name in (*FIELDS, *OTHERS) if '_' in name)})(?![\w./\\-])"
)
"""Names that are no words of English, where they are no part of a file's name."""

_QUOTED = re.compile(r"('[^']*')")


def in_fields(text: str) -> str:
    """A sentence of the library with fields where it names arguments; what is quoted stays.

    >>> in_fields("n_segments must be at most 12, the pixels of the mask, got 13")
    'Superpixels must be at most 12, the pixels of the region, got 13'
    """
    parts = enumerate(_QUOTED.split(text))
    return "".join(part if at % 2 else _translated(part, is_first=at == 0) for at, part in parts)


def field_of(name: str) -> str:
    """The label of a field, or words, for a part of a record."""
    return FIELDS.get(name) or OTHERS.get(name, name)


def _translated(part: str, *, is_first: bool) -> str:
    for pattern, words in _PHRASES:
        part = re.sub(pattern, words, part)
    if is_first:
        part = re.sub(r"^([a-z_]+)(?= must\b)", lambda found: field_of(found[1]), part)
    return _UNMISTAKABLE.sub(lambda found: field_of(found[1]), part)
