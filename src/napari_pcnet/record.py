"""The options of one run, as one frozen dataclass, and the texts that repeat the run.

A `RunRecord` has the arguments of `napari_pcnet.pcnet_superpixels` (all but the image, which is data,
and ``progress``, which changes nothing), and says which part of an image they were given: level, plane,
crop, channels; and at which count or height the tree was cut. It becomes a Python call, a command
line, or a plain dict for a layer's metadata or a JSON file; the command line's flags are made from its
fields. Its options are those of `options.Options`, with their defaults.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from napari_pcnet import __version__
from napari_pcnet.options import Options, option

VERSION_KEY = "napari-pcnet"

OF_A_PART = ("max_segments", "height", "level", "plane", "crop", "channels")
"""Fields that are no arguments of `pcnet_superpixels`."""


@dataclass(frozen=True)
class RunRecord(Options):
    """What was asked of `pcnet_superpixels`, and of which part of an image.

    The fields of `Options` and `mask` are the function's arguments. The others are for `run.run_record`.
    """

    mask: str | None = option(None, "picture file that is zero outside the region to segment")
    max_segments: int | None = option(
        None,
        "make the tree for so many and cut it at n, so that cuts of one tree nest (default: n)",
    )
    height: float | None = option(None, "cut the tree at this cost of a merge, not at a count")
    level: int = option(0, "level of a pyramid, 0 is full resolution")
    plane: tuple[int, ...] | None = option(
        None, "one plane of a stack, an index for each leading axis (default: all planes)", metavar="INDEX"
    )
    crop: tuple[int, int, int, int] | None = option(
        None, "part of each plane, in pixels", metavar=("TOP", "LEFT", "BOTTOM", "RIGHT")
    )
    channels: tuple[int, ...] | None = option(
        None, "which channels, counted from 0 (default: all)", metavar="CHANNEL"
    )

    def keywords(self) -> dict[str, Any]:
        """Arguments for `pcnet_superpixels`, without the mask, which is a file here and an array there."""
        return {name: value for name, value in self._items().items() if name not in ("mask", *OF_A_PART)}

    @property
    def cut(self) -> dict[str, Any]:
        """The arguments of `PCNetHierarchy.labels` that give the run's cut: ``n`` or ``height``."""
        return {"n": self.n_segments} if self.height is None else {"height": self.height}

    @property
    def is_plain(self) -> bool:
        """Whether `pcnet_superpixels` alone can do it: the whole of a plane, cut at its count."""
        return not any(name in OF_A_PART and name != "level" for name in self._chosen())

    def as_dict(self) -> dict[str, Any]:
        """Every option and the version, in types that JSON knows."""
        plain = {name: _plain(value) for name, value in self._items().items()}
        return {VERSION_KEY: __version__} | plain

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Self:
        """Return the record that `as_dict` wrote; options that are missing have their default.

        Raises
        ------
        ValueError
            If the table names an option that this version does not have.
        """
        known = {each.name for each in fields(cls)}
        unknown = sorted(set(table) - known - {VERSION_KEY})
        if unknown:
            raise ValueError(
                f"the record has the option {unknown[0]!r}, which napari-pcnet {__version__} "
                f"does not know; it was written by {table.get(VERSION_KEY, 'an unnamed version')}"
            )
        return cls(**{name: _frozen(table[name]) for name in known & set(table)})

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
        with_mask = replace(self, mask="picture.mask", level=0)
        return (
            "from napari_pcnet import pcnet_superpixels, read_image\n\n"
            f"picture = read_image({files}{f', level={self.level}' if self.level else ''})\n"
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

        >>> RunRecord(1000, spacing=(2.0, 1.0)).command_line("my scan.tif", "labels.tif")
        "napari-pcnet segment 'my scan.tif' labels.tif --n-segments 1000 --channel-axis=-1 --spacing 2.0 1.0"
        """
        chosen = {"n_segments": self.n_segments, "channel_axis": self.channel_axis} | self._chosen()
        words = [each for name, value in chosen.items() for each in _flag(name, value)]
        return shlex.join(["napari-pcnet", "segment", source, output, *words])

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

    image: str
    path: str | None = None
    has_planes: bool = False
    has_levels: bool = False


def needs_no_fourth(record: RunRecord) -> bool:
    """Whether a fourth channel of a file may be its transparency: the record does not ask for it."""
    return record.channels is None or max(record.channels, default=0) < 3


def notes_of(record: RunRecord, origin: Origin) -> dict[str, Any]:
    """What a layer's metadata and a file of labels hold of a run, in types that JSON knows."""
    return {
        "record": record.as_dict(),
        "image": origin.image,
        "path": origin.path,
        "has_planes": origin.has_planes,
        "has_levels": origin.has_levels,
    }


def from_notes(notes: object) -> tuple[RunRecord, Origin] | None:
    """What `notes_of` wrote; None if it is something else, or of another version's options."""
    if not isinstance(notes, Mapping) or not isinstance(notes.get("record"), Mapping):
        return None
    try:
        record = RunRecord.from_dict(notes["record"])
    except (ValueError, TypeError):
        return None
    path = notes.get("path")
    has_planes, has_levels = (bool(notes.get(name, False)) for name in ("has_planes", "has_levels"))
    image = str(notes.get("image", "image"))
    return record, Origin(image, None if path is None else str(path), has_planes, has_levels)


def _flag(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, tuple):
        return [flag, *map(str, value)]
    text = "none" if value is None else str(value)
    # A value that starts with a minus sign would be taken for a flag.
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
