"""The options of one run, as one frozen dataclass, and the texts that repeat the run.

A `RunRecord` has the arguments of `napari_pcnet.pcnet_superpixels` (all but the image, which is data,
and ``progress``, which changes nothing), and says which part of a file or image they were given (level,
series, no data, plane, crop, channels) and at which count or height the tree was cut. It becomes a Python
call, a command line, or a plain dict for a layer's metadata or a JSON file; the command line's flags are
made from its fields. Its options are those of `options.Options`, with their defaults.

Files of labels carry records, and people open files that others sent. A record is therefore checked field by
field when it is made, and its texts are built from the checked values by `repr` and `shlex` alone; of a
table from a file, what is unknown or wrong is dropped with a sentence.
"""

import os
import shlex
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from napari_pcnet import __version__
from napari_pcnet.options import (
    LARGEST_WHOLE,
    LONGEST_TEXT,
    Check,
    Options,
    as_index,
    as_list,
    as_number,
    file_name,
    is_one_line,
    option,
    or_none,
    shown,
    whole_number,
)

VERSION_KEY = "napari-pcnet"

OF_A_FILE = ("level", "series", "nodata", "mask_series")
"""Fields that are arguments of `pictures.read_image`."""

OF_A_PART = ("max_segments", "height", *OF_A_FILE, "plane", "crop", "channels")
"""Fields that are no arguments of `pcnet_superpixels`."""

MOST_LEADING_AXES = 62
"""Axes of an array of numpy, less rows and columns."""

MOST_CHANNELS = 65535
"""A tif counts the samples of a pixel in 16 bits."""

Tell = Callable[[str], object]
"""Takes a sentence about what was dropped."""


class DroppedFieldWarning(UserWarning):
    """What a file says of its run is unknown here or not as it must be, and was dropped."""


def warn_of_dropped(text: str) -> None:
    """Warn of what was dropped; a viewer shows its warnings."""
    warnings.warn(text, DroppedFieldWarning, stacklevel=3)


def _indices(wanted: str, most: int) -> Check:
    """A check of a list of whole numbers from 0 on."""

    def check(value: Any, name: str) -> tuple[int, ...]:
        given = as_list(value) or []
        numbers = tuple(number for number in map(as_index, given) if number is not None)
        is_whole = len(numbers) == len(given) and 0 < len(given) <= most
        if not is_whole or min(numbers) < 0 or max(numbers) > LARGEST_WHOLE:
            raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
        return numbers

    return check


_four_numbers = _indices("four whole numbers from 0 on", 4)


def _crop(value: Any, name: str) -> tuple[int, int, int, int]:
    numbers = _four_numbers(value, name)
    top, left, bottom, right = numbers if len(numbers) == 4 else (0, 0, 0, 0)
    if not (top < bottom and left < right):
        raise ValueError(
            f"{name} must be top, left, bottom, right, with top above bottom and left before right, "
            f"got {shown(value)}"
        )
    return top, left, bottom, right


def _mask(value: Any, name: str) -> str:
    file = file_name(value, name)
    if file.lower() == "none":  # the command line's word for no mask
        raise ValueError(f"{name} must be the name of a file, or None, got {shown(value)}")
    return file


def _from_zero(value: Any, name: str) -> int:
    number = as_index(value)
    if number is None or not 0 <= number <= LARGEST_WHOLE:
        raise ValueError(f"{name} must be a whole number from 0 on, got {shown(value)}")
    return number


def _finite(value: Any, name: str) -> float:
    number = as_number(value)
    if number is None:
        raise ValueError(f"{name} must be a finite number, got {shown(value)}")
    return number


def _height(value: Any, name: str) -> float:
    number = as_number(value)
    if number is None or number < 0:
        raise ValueError(f"{name} must be a number of at least 0, got {shown(value)}")
    return number


def _layer_name(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(f"{name} must be a text of at most {LONGEST_TEXT} characters, got {shown(value)}")
    return value


def _yes_or_no(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {shown(value)}")
    return value


@dataclass(frozen=True)
class RunRecord(Options):
    """What was asked of `pcnet_superpixels`, and of which part of an image.

    The fields of `Options` and `mask` are the function's arguments. The others are for `run.run_record`.
    """

    mask: str | None = option(
        None, "picture file that is zero outside the region to segment", or_none(_mask), metavar="FILE"
    )
    max_segments: int | None = option(
        None,
        "make the tree for so many and cut it at n, so that cuts of one tree nest (default: n)",
        or_none(whole_number),
    )
    height: float | None = option(
        None,
        "cut the tree at this cost of a merge, in pixels times squared differences of CIELAB, not at n; n "
        "then says how fine the tree is",
        or_none(_height),
    )
    level: int = option(0, "level of a pyramid, 0 is full resolution", _from_zero)
    series: int = option(
        0, "which picture of a file that holds several of different size or kind", _from_zero
    )
    mask_series: int = option(0, "which picture of a mask file that holds several", _from_zero)
    nodata: float | None = option(
        None, "value of pixels to leave out, besides what the file declares", or_none(_finite)
    )
    plane: tuple[int, ...] | None = option(
        None,
        "one plane of a stack, an index for each leading axis (default: all planes)",
        or_none(_indices("a whole number from 0 on for each leading axis", MOST_LEADING_AXES)),
        metavar="INDEX",
    )
    crop: tuple[int, int, int, int] | None = option(
        None, "part of each plane, in pixels", or_none(_crop), metavar=("TOP", "LEFT", "BOTTOM", "RIGHT")
    )
    channels: tuple[int, ...] | None = option(
        None,
        "which channels, counted from 0 (default: all)",
        or_none(_indices("one or more whole numbers from 0 on", MOST_CHANNELS)),
        metavar="CHANNEL",
    )

    def keywords(self) -> dict[str, Any]:
        """Arguments for `pcnet_superpixels`, without the mask, which is a file here and an array there."""
        return {name: value for name, value in self._items().items() if name not in ("mask", *OF_A_PART)}

    def reading(self) -> dict[str, Any]:
        """Arguments for `pictures.read_image`: which part of a file it is of, and what is outside there."""
        return {name: getattr(self, name) for name in OF_A_FILE} | {"alpha_apart": self.alpha_apart}

    @property
    def cut(self) -> dict[str, Any]:
        """The arguments of `PCNetHierarchy.labels` that give the run's cut: ``n`` or ``height``."""
        return {"n": self.n_segments} if self.height is None else {"height": self.height}

    @property
    def tree_segments(self) -> int:
        """The count that the run's tree is made for: the largest that a cut of it is sure to have."""
        return self.n_segments if self.max_segments is None else self.max_segments

    @property
    def is_plain(self) -> bool:
        """Whether `pcnet_superpixels` alone can do it: the whole of a plane, cut at its count."""
        return not any(name in OF_A_PART and name not in OF_A_FILE for name in self._chosen())

    @property
    def alpha_apart(self) -> bool:
        """Whether what a file calls transparency is its mask: not if a run takes the fourth channel."""
        return self.channels is None or max(self.channels) < 3

    def as_dict(self) -> dict[str, Any]:
        """Every option and the version, in types that JSON knows."""
        plain = {name: _plain(value) for name, value in self._items().items()}
        return {VERSION_KEY: __version__} | plain

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], tell: Tell = warn_of_dropped) -> Self:
        """Return the record that `as_dict` wrote; what is missing has its default.

        Parameters
        ----------
        table : mapping
            Of a file that anybody may have written: each value is checked.
        tell : callable, optional
            Takes a sentence about each option that is unknown or not as it must be, and was dropped.

        Warns
        -----
        DroppedFieldWarning
            If `tell` is not given.
        """
        unknown = sorted(
            str(name) for name in set(table) - {each.name for each in fields(cls)} - {VERSION_KEY}
        )
        if unknown:
            tell(
                f"the record's {shown(', '.join(unknown))} was dropped: napari-pcnet {__version__} does not "
                f"know it, the record was written by {shown(table.get(VERSION_KEY, 'an unnamed version'))}"
            )
        return cls(**_sound_fields(cls, table, "the record's", tell))

    def python_call(self, image: str = "image", mask: str = "mask") -> str:
        """Return the call as Python text, for arrays of these names; of a record that is plain.

        >>> RunRecord(1000, compactness=8.0).python_call()
        'pcnet_superpixels(image, 1000, compactness=8.0)'
        """
        if not self.is_plain:
            raise ValueError("a call has no part, tree or height: python_script repeats this record")
        keywords = {name: value for name, value in self._chosen().items() if name not in OF_A_PART}
        count = keywords.pop("n_segments", self.n_segments)
        texts = {name: repr(value) for name, value in keywords.items()}
        if self.mask is not None:
            texts["mask"] = mask
        words = [image, repr(count), *(f"{name}={text}" for name, text in texts.items())]
        return f"pcnet_superpixels({', '.join(words)})"

    def python_script(self, source: str, *, planes: bool = False) -> str:
        """Return a whole script: reads the picture (and mask) from file and makes the labels.

        `planes` says whether the picture has more than one plane or leading axes.
        """
        if planes or not self.is_plain:
            return (
                "from napari_pcnet import RunRecord, run_file\n\n"
                f"record = {self.constructor()}\n"
                f"labels = run_file({source!r}, record)\n"
            )
        files = repr(source) if self.mask is None else f"{source!r}, mask_path={self.mask!r}"
        with_mask = replace(self, mask="picture.mask")
        chosen = self._chosen()
        of_the_file = "".join(f", {name}={chosen[name]!r}" for name in OF_A_FILE if name in chosen)
        return (
            "from napari_pcnet import pcnet_superpixels, read_image\n\n"
            f"picture = read_image({files}{of_the_file})\n"
            f"labels = {with_mask.python_call('picture.pixels', 'picture.mask')}\n"
        )

    def constructor(self) -> str:
        """Return the record as Python text.

        >>> RunRecord(1000, plane=(0, 3)).constructor()
        'RunRecord(1000, plane=(0, 3))'
        """
        chosen = self._chosen()
        count = chosen.pop("n_segments", self.n_segments)
        words = [repr(count), *(f"{name}={value!r}" for name, value in chosen.items())]
        return f"RunRecord({', '.join(words)})"

    def command_line(self, source: str, output: str) -> str:
        """Return the command for a terminal, file names quoted.

        The channel axis is always written: without the flag the command takes the file's.

        Raises
        ------
        ValueError
            If a file's name holds a line break or another control character: a terminal would obey it.

        >>> RunRecord(1000, spacing=(2.0, 1.0)).command_line("my scan.tif", "labels.tif")
        "napari-pcnet segment 'my scan.tif' labels.tif --n-segments 1000 --channel-axis=-1 --spacing 2.0 1.0"
        """
        chosen = {"n_segments": self.n_segments, "channel_axis": self.channel_axis} | self._chosen()
        words = [each for name, value in chosen.items() for each in flag_words(name, value)]
        return shlex.join(["napari-pcnet", "segment", _argument(source), _argument(output), *words])

    def _items(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def _chosen(self) -> dict[str, Any]:
        """Return the options that differ from their default."""
        default = {each.name: each.default for each in fields(self)}
        return {name: value for name, value in self._items().items() if value != default[name]}


@dataclass(frozen=True)
class Origin:
    """Where the image of a run came from, for whoever repeats it.

    Attributes
    ----------
    image : str
        Name of the image, or of its layer.
    path : str or None
        A file that holds just these pixels, if there is one.
    has_planes : bool
        Whether the image has axes besides rows, columns and channels.
    has_levels : bool
        Whether it is a pyramid, of which the record names a level.
    """

    image: str = option("image", "name of the image, or of its layer", _layer_name)
    path: str | None = option(None, "a file that holds just these pixels", or_none(file_name))
    has_planes: bool = option(False, "whether it has axes besides rows, columns and channels", _yes_or_no)
    has_levels: bool = option(False, "whether it is a pyramid", _yes_or_no)


def notes_of(record: RunRecord, origin: Origin) -> dict[str, Any]:
    """What a layer's metadata and a file of labels hold of a run, in types that JSON knows."""
    return {
        "record": record.as_dict(),
        "image": origin.image,
        "path": origin.path,
        "has_planes": origin.has_planes,
        "has_levels": origin.has_levels,
    }


def from_notes(notes: object, tell: Tell = warn_of_dropped) -> tuple[RunRecord, Origin] | None:
    """What `notes_of` wrote, each value checked; None if there is no record.

    Parameters
    ----------
    notes : object
        Whatever a file or the metadata of a layer holds.
    tell : callable, optional
        Takes a sentence about what was dropped, as in `RunRecord.from_dict`.
    """
    if not isinstance(notes, Mapping) or "record" not in notes:
        return None
    if not isinstance(notes["record"], Mapping):
        tell(f"the record of the run was dropped: it must be a table, got {shown(notes['record'])}")
        return None
    record = RunRecord.from_dict(notes["record"], tell)
    return record, Origin(**_sound_fields(Origin, notes, "the run's", tell))


def outside_label(notes: object) -> int | None:
    """The label of what is no superpixel, as what `notes_of` wrote has it; None if there is no record.

    Nothing is said of other fields that would be dropped.
    """
    found = from_notes(notes, lambda _dropped: None)
    return None if found is None else found[0].start_label - 1


def _sound_fields(
    kind: type[RunRecord | Origin], table: Mapping[str, Any], whose: str, tell: Tell
) -> dict[str, Any]:
    """What of a table passes the checks of a dataclass; `tell` why the rest does not."""
    values = {}
    for each in fields(kind):
        if each.name in table:
            try:
                values[each.name] = each.metadata["check"](table[each.name], each.name)
            except ValueError as error:
                tell(f"{whose} {each.name} was dropped: {error}")
    return values


def _argument(file: str) -> str:
    """A file's name as a word that is no flag."""
    if not is_one_line(file):
        raise ValueError(f"a command cannot name the file {shown(file)}: rename it without line breaks")
    return os.path.join(os.curdir, file) if file.startswith("-") else file


def flag_words(name: str, value: Any) -> list[str]:
    """An option as words of the command line.

    >>> flag_words("min_size", 9), flag_words("channel_axis", -1)
    (['--min-size', '9'], ['--channel-axis=-1'])
    """
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, tuple):
        return [flag, *map(_word, value)]
    text = "none" if value is None else _word(value)
    # A value that starts with a minus sign would be taken for a flag.
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]


def _word(value: Any) -> str:
    """A value as a word that the command line reads as this value."""
    text = str(value)
    if isinstance(value, float) and "e" in text:  # argparse takes -1e-05 for a flag
        return np.format_float_positional(value, trim="0")
    return text


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
