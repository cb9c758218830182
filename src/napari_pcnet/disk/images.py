"""Picture files: the only module that knows formats (tif, ome-tif, png, jpg, zarr, OME-Zarr).

What is read is given as people mean it: turned as EXIF says, palettes, CMYK, YCbCr and Lab as RGB,
transparency apart as a mask; values, type and byte order stay the file's own. A zarr is opened and
read only where it is sliced. What is written appears whole or not at all. Everything is in the image
frame, ``(H, W)`` or ``(H, W, C)`` unless the file says otherwise.
"""

import io
import json
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.files import write_atomically, write_folder_atomically

SAMPLE = Path(__file__).parents[1] / "samples" / "chelsea.jpg"
LABEL_SUFFIXES = (".tif", ".tiff", ".png", ".zarr")
OVERLAY_SUFFIXES = (".png", ".jpg", ".jpeg")
LARGEST_PNG_LABEL = 65_535
"""A png has 16 bits at most."""

NOTES_KEY = "napari-pcnet"
"""Where a label file has its notes: in the JSON of a tif's description, in the attributes of a zarr array."""

CHUNK_SIDE_PX = 1024
"""Longest side of a chunk of zarr labels: 4 MB of 32 bits before compression."""

BOUNDARY_COLOUR = (255, 230, 0)
"""Red, green, blue of the lines in an overlay: yellow is rare in photographs and in stains."""

_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")
"""What makes a folder an array or a group: of format 3, an array of format 2, a group of format 2."""

_CHANNEL_NAMES = ("c", "channel")
_COLOUR_LENGTHS = (3, 4)
"""An unnamed last axis of this length is taken for RGB or RGBA, as napari does."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION_TAG = 274
"""The number of the tag in EXIF and in TIFF; its values are 1 to 8."""

_RGB, _CMYK, _YCBCR, _CIELAB, _ICCLAB = 2, 5, 6, 8, 9
"""Colour models by their number in TIFF."""

_INK_SET_TAG, _CMYK_INKS = 332, 1
_JPEG_COMPRESSIONS = (6, 7, 33007, 34892)
"""Of these, tifffile gives YCbCr as RGB; of all others as it is stored."""

_DEEP_MODES = ("RGB;16B", "RGBA;16B", "LA;16B")
"""Pillow's names for 16 bits a colour in a png."""

# A reader's answer to a damaged file may be any of these; none of them is a bug of ours.
_READER_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,  # a size field that says terabytes
    OSError,
    RuntimeError,  # imagecodecs' own errors
    SyntaxError,  # a broken png
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Image:
    """A picture as read.

    Attributes
    ----------
    pixels : (H, W[, C]) array
        The file's values, never its transparency; a stack of planes has more axes. May be read-only;
        of a zarr it is the zarr array itself, of which nothing has been read.
    channel_axis : int or None
        Which axis of `pixels` holds the channels; None for grey.
    mask : (H, W) array of bool, or None
        True where the picture is not fully transparent; None if that is everywhere.
    """

    pixels: Any  # numpy or zarr: no common type
    channel_axis: int | None
    mask: NDArray[np.bool_] | None = None


def read_image(
    path: str | os.PathLike[str],
    mask_path: str | os.PathLike[str] | None = None,
    *,
    level: int = 0,
    alpha_apart: bool = True,
) -> Image:
    """Read a picture, and the region to look at from a second file if there is one.

    Parameters
    ----------
    path : path
        A tif, ome-tif, png or jpg file, or the folder of a zarr array, an OME-Zarr image or a group of
        zarr arrays.
    mask_path : path, optional
        A picture of the same height and width, zero outside the region.
    level : int
        Which size of a pyramid, from 0, the full one, to ``count_levels(path) - 1``. The arrays of a
        zarr group that is no OME-Zarr are taken in the order of their names, as napari does.
    alpha_apart : bool
        Whether what a tif calls transparency becomes the mask. Some programs call the fourth of four
        measured channels so.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    IsADirectoryError
        If a path is a folder and no zarr.
    ValueError
        If a file is not a picture, is damaged, has no such level, or the two differ in size.
    """
    path = Path(path)
    if level != 0:
        _check_level(path, level)
    image = _read(path, level=level, alpha_apart=alpha_apart)
    if mask_path is None:
        return image
    mask = read_mask(mask_path)
    shape = tuple(np.delete(image.pixels.shape, _axes(image.channel_axis)).tolist())
    if mask.shape != shape:
        raise ValueError(
            f"mask {mask_path} is {_size(mask.shape)} pixels, but image {path} is {_size(shape)}; "
            f"they must be the same"
        )
    return Image(image.pixels, image.channel_axis, mask if image.mask is None else mask & image.mask)


def count_levels(path: str | os.PathLike[str]) -> int:
    """Count the sizes in which a file holds its picture: 1 unless it is a pyramid.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    IsADirectoryError
        If it is a folder and no zarr.
    ValueError
        If it is a tif or zarr and damaged.
    """
    path = Path(path)
    kind = _kind(path)
    with _damage_in_a_sentence(path, kind):
        if kind == "zarr":
            return len(_zarr_levels(path).arrays)
        return _count_tiff_levels(path) if kind == "tif" else 1


def read_mask(path: str | os.PathLike[str]) -> NDArray[np.bool_]:
    """Read a region from a picture: True where any channel is not zero and nothing is transparent."""
    image = _read_into_memory(Path(path))
    inside: NDArray[np.bool_] = image.pixels.astype(bool)
    if image.channel_axis is not None:
        inside = np.logical_or.reduce(inside, axis=image.channel_axis)
    return inside if image.mask is None else inside & image.mask


def read_labels(path: str | os.PathLike[str]) -> NDArray[np.integer[Any]]:
    """Read labels, ``(..., H, W)`` integers; of a palette the indices, never the colours.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    IsADirectoryError
        If it is a folder and no zarr.
    ValueError
        If it is not a picture of whole numbers with one channel.
    """
    path = Path(path)
    image = _read_into_memory(path, colours_of_palette=False)
    labels: NDArray[np.integer[Any]] = image.pixels
    if image.channel_axis is not None or labels.ndim < 2 or labels.dtype.kind not in "bui":
        raise ValueError(
            f"labels in {path} must be one channel of whole numbers, "
            f"got {_size(labels.shape)} of {labels.dtype}"
        )
    return labels.astype(np.uint8) if labels.dtype == bool else labels


def read_notes(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Read what `write_labels` noted in a file; None if nothing of ours is there, whatever the file is.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    """
    path = Path(path)
    try:
        kind = _kind(path)
    except IsADirectoryError:
        return None
    try:
        notes = _SAID[kind](path).get(NOTES_KEY) if kind in _SAID else None
    except _READER_ERRORS:  # what cannot be read has no notes of ours
        return None
    return notes if isinstance(notes, dict) else None


def check_output(path: str | os.PathLike[str], suffixes: tuple[str, ...], overwrite: bool = False) -> None:
    """Refuse a file that could not be written at the end, before the work begins.

    Raises
    ------
    ValueError
        If the ending is none of `suffixes`.
    FileNotFoundError
        If the folder does not exist.
    FileExistsError
        If the file, or the folder of a zarr, exists and `overwrite` is False.
    IsADirectoryError
        If a file would replace a folder, or a zarr a folder that is no zarr array.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"output {path} must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"output folder {path.parent} does not exist; make it first")
    to_be_zarr = path.suffix.lower() == ".zarr"
    if path.is_dir() and not to_be_zarr:
        raise IsADirectoryError(f"output {path} is a folder; name a file")
    if path.exists() and not overwrite:
        raise FileExistsError(f"output {path} exists; add --overwrite (overwrite=True) to replace it")
    if path.is_dir() and not _is_zarr_array(path):  # a group may hold the picture itself
        raise IsADirectoryError(f"output {path} is a folder, but no zarr array; name another")


def write_labels(
    path: str | os.PathLike[str],
    labels: NDArray[np.integer[Any]],
    overwrite: bool = False,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write labels as integers, whole or not at all.

    A tif has 16 bits if every label fits, 32 (or 64) otherwise; a png has 16. Never 8: a viewer would
    show a file that looks like a picture. A zarr is one array of format 3 with 32 bits (or 64), never 16,
    so that labels added later fit; its chunks are at most 1024 x 1024 pixels of one plane.

    Parameters
    ----------
    path : path
        Ends in .tif, .tiff, .png or .zarr.
    labels : (..., H, W) array of int
        A png takes one plane.
    overwrite : bool
        Whether an existing file is replaced.
    notes : mapping, optional
        What JSON can say about the labels, for `read_notes`; a png cannot carry them.

    Raises
    ------
    ValueError
        If labels or notes do not fit into the format.
    TypeError
        If JSON cannot say the notes.
    OSError
        If the file exists, its folder does not, or the disk is full.
    """
    path = Path(path)
    check_output(path, LABEL_SUFFIXES, overwrite)
    said = None if notes is None else json.loads(json.dumps(dict(notes)))
    kind = path.suffix.lower()
    if kind == ".png":
        _check_png(path, labels, notes)
        _write_picture(path, labels.astype(np.uint16))
    elif kind == ".zarr":
        _write_zarr(path, labels.astype(_wide_type(labels), copy=False), said)
    else:
        short = _fits(labels, 0, LARGEST_PNG_LABEL)
        _write_tiff(path, labels.astype(np.uint16 if short else _wide_type(labels)), said)


def write_overlay(
    path: str | os.PathLike[str],
    image: Image,
    labels: NDArray[np.integer[Any]],
    overwrite: bool = False,
) -> None:
    """Write the picture in 8 bits with the borders between labels drawn on it.

    Parameters
    ----------
    path : path
        Ends in .png, .jpg or .jpeg.
    image : Image
        Its pixels are ``(H, W)`` or have one channel axis.
    labels : (H, W) array of int
    overwrite : bool
        Whether an existing file is replaced.
    """
    path = Path(path)
    check_output(path, OVERLAY_SUFFIXES, overwrite)
    shown = _shown(image)
    shown[boundaries(labels)] = BOUNDARY_COLOUR
    _write_picture(path, shown)


def boundaries(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour has another label: lines one pixel wide.

    >>> boundaries(np.array([[1, 1, 2], [1, 1, 2]])).astype(int)
    array([[0, 1, 0],
           [0, 1, 0]])
    """
    lines = np.zeros(labels.shape, bool)
    lines[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    lines[:-1] |= labels[:-1] != labels[1:]
    return lines


# -- reading ---------------------------------------------------------------------------------------


_Kind = Literal["picture", "tif", "zarr"]


def _read(path: Path, colours_of_palette: bool = True, level: int = 0, alpha_apart: bool = True) -> Image:
    kind = _kind(path)
    with _damage_in_a_sentence(path, kind):
        if kind == "zarr":
            return _read_zarr(path, level)
        if kind == "tif":
            return _read_tiff(path, colours_of_palette, level, alpha_apart)
        return _read_picture(path, colours_of_palette)


def _read_into_memory(path: Path, colours_of_palette: bool = True) -> Image:
    image = _read(path, colours_of_palette)
    with _damage_in_a_sentence(path, "zarr"):  # the others are read by now
        return replace(image, pixels=np.asarray(image.pixels))


def _kind(path: Path) -> _Kind:
    if not path.exists():
        raise FileNotFoundError(f"image {path} does not exist")
    if path.is_dir():
        if not _is_zarr(path):
            raise IsADirectoryError(f"image {path} is a folder; name a file")
        return "zarr"
    with path.open("rb") as file:
        return "tif" if file.read(4) in _TIFF_STARTS else "picture"


@contextmanager
def _damage_in_a_sentence(path: Path, kind: _Kind) -> Iterator[None]:
    try:
        yield
    except _READER_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        what = "zarr" if kind == "zarr" else "tif, png or jpg picture"
        raise ValueError(f"{path} cannot be read as a {what}: {reason}") from error


def _check_level(path: Path, level: int) -> None:
    levels = count_levels(path)
    if level in range(levels):
        return
    if levels == 1:
        raise ValueError(f"level must be 0, as {path} has 1 level, got {level}")
    raise ValueError(f"level must be 0 to {levels - 1}, as {path} has {levels} levels, got {level}")


def _count_tiff_levels(path: Path) -> int:
    with _open_tiff(path) as file:
        return len(file.series[0].levels)


@contextmanager
def _open_tiff(path: Path) -> Iterator[Any]:  # Any: tifffile's file stays in here
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            yield file
    except tifffile.TiffFileError as error:  # in older versions no ValueError
        raise ValueError(str(error)) from error


def _read_tiff(path: Path, colours_of_palette: bool, level: int, alpha_apart: bool) -> Image:
    import tifffile

    with _open_tiff(path) as file:
        whole = file.series[0]
        # Only the full size says for sure how the picture is turned.
        orientation = whole.keyframe.tags.get(_ORIENTATION_TAG)
        is_ours = NOTES_KEY in _description(whole.keyframe)
        series = whole.levels[level]
        page = series.keyframe
        # A plain file is mapped, not loaded, so that windows of it are read as they are needed.
        plain = series.dataoffset is not None
        pixels = tifffile.memmap(path, mode="r", level=level) if plain else series.asarray()
        has_palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
        colours = page.colormap if has_palette and colours_of_palette else None
        extra = tuple(page.extrasamples) if "S" in series.axes else ()
        model = _colour_model(page) if colours_of_palette else _RGB
        axes: str = series.axes
    if pixels.shape != series.shape:  # a file's own shape may leave out axes of length one
        pixels = pixels.reshape(series.shape)
    if not is_ours:  # ours has the shape that it was given
        pixels, axes = _without_single_axes(pixels, axes)
    if colours is not None:
        pixels, axes = np.moveaxis(colours[:, pixels] >> 8, 0, -1).astype(np.uint8), axes + "S"
    channel_axis = next((axes.index(each) for each in "SC" if each in axes), None)
    # Associated and unassociated alpha; an extra sample of another kind, near infrared say, is a channel.
    alphas = [at for at, kind in enumerate(extra, -len(extra)) if kind in (1, 2)]
    if "S" in axes and alphas and alpha_apart:
        image = _split_alpha(pixels, axes.index("S"), alphas)
    else:
        image = Image(pixels, channel_axis)
    image = _in_rgb(image, model)
    return image if orientation is None else _upright(image, int(orientation.value))


def _description(page: Any) -> dict[str, Any]:  # Any: tifffile's page stays in here
    """JSON object in a tif page's description; empty if there is other text or none."""
    try:
        said = json.loads(page.description)
    except (ValueError, RecursionError):  # other text, brackets without end
        return {}
    return said if isinstance(said, dict) else {}


def _said_in_tiff(path: Path) -> dict[str, Any]:
    with _open_tiff(path) as file:
        return _description(file.pages[0])


def _said_in_zarr(path: Path) -> dict[str, Any]:
    import zarr

    return dict(zarr.open(path, mode="r").attrs)


_SAID: dict[_Kind, Callable[[Path], dict[str, Any]]] = {"tif": _said_in_tiff, "zarr": _said_in_zarr}
"""What reads the words beside the pixels, for the formats that can carry notes."""


class _ZarrLevels(NamedTuple):
    arrays: list[Any]  # Any: zarr's arrays, whose type has changed its parameters between versions
    axes: list[str]
    """In lower case, by OME-Zarr; empty if it does not say."""


def _read_zarr(path: Path, level: int) -> Image:
    levels = _zarr_levels(path)
    array = levels.arrays[level]
    if array.ndim < 2:
        raise ValueError(f"its shape is {tuple(array.shape)}, a picture has two axes or more")
    if levels.axes and len(levels.axes) != array.ndim:
        raise ValueError(f"it names {len(levels.axes)} axes, its array has {array.ndim}")
    return Image(array, _zarr_channel_axis(array, levels.axes))


def _zarr_levels(path: Path) -> _ZarrLevels:
    """Open the arrays that a zarr shows as one picture, without reading from them."""
    import zarr

    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        return _ZarrLevels([node], [])
    if not _multiscales(node):  # the first of its groups, as napari does and bioformats2raw lays them out
        groups = [(folder, child) for folder, child in _zarr_children(path) if isinstance(child, zarr.Group)]
        path, node = groups[0] if groups else (path, node)
    scales = _multiscales(node)
    if scales:
        arrays = [node[each["path"]] for each in scales[0]["datasets"]]
        return _ZarrLevels(arrays, [_axis_name(each) for each in scales[0].get("axes", ())])
    arrays = [child for _, child in _zarr_children(path) if isinstance(child, zarr.Array)]
    if not arrays:
        raise ValueError("it is a group without arrays")
    return _ZarrLevels(arrays, [])


def _zarr_children(group: Path) -> list[tuple[Path, Any]]:
    """Open what is in a group, by name; zarr itself would warn of every other file there."""
    import zarr

    inside = sorted(group.iterdir(), key=lambda child: child.name)
    return [(child, zarr.open(child, mode="r")) for child in inside if _is_zarr(child)]


def _multiscales(group: Any) -> list[dict[str, Any]]:
    """What OME-Zarr 0.5, or else 0.4 and before, says of a group; empty if it is another group."""
    attributes = group.attrs
    scales: list[dict[str, Any]] = attributes.get("ome", attributes).get("multiscales", [])
    return scales


def _axis_name(axis: Any) -> str:
    """Name of an OME-Zarr axis; before 0.4 it was the name itself."""
    if isinstance(axis, str):
        return axis.lower()
    return "channel" if axis.get("type") == "channel" else str(axis["name"]).lower()


def _zarr_channel_axis(array: Any, axes: list[str]) -> int | None:
    """Axis that is named as channels, or the last one if it is unnamed and as long as a colour."""
    names = axes or [str(name).lower() for name in getattr(array.metadata, "dimension_names", None) or ()]
    named = next((at for at, name in enumerate(names) if name in _CHANNEL_NAMES), None)
    if named is not None or axes or names[-1:] == ["x"]:
        return named
    return -1 if array.ndim >= 3 and array.shape[-1] in _COLOUR_LENGTHS else None


def _is_zarr(path: Path) -> bool:
    return any((path / name).is_file() for name in _ZARR_FILES)


def _is_zarr_array(folder: Path) -> bool:
    """Whether a folder says it is one array, however damaged; without zarr, as refusals should be quick."""
    if (folder / ".zarray").is_file():
        return True
    try:
        said = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get("node_type") == "array"


def _read_picture(path: Path, colours_of_palette: bool) -> Image:
    import PIL.Image

    # The limit is there for servers that take files from strangers; our pictures are large.
    limit, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
    try:
        with PIL.Image.open(path) as file:
            deep_colours = file.format == "PNG" and any(tile.args in _DEEP_MODES for tile in file.tile)
            orientation = int(file.getexif().get(_ORIENTATION_TAG, 1))
            if file.mode == "P" and not colours_of_palette:
                image = Image(np.asarray(file), None)
            elif deep_colours:
                image = _deep_png(path)
            else:
                image = _decoded_by_pillow(file)
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = limit
    return _upright(image, orientation)


def _deep_png(path: Path) -> Image:
    """Decode a png of 16 bits a colour, of which Pillow would give the upper 8."""
    import imagecodecs

    pixels = imagecodecs.png_decode(path.read_bytes())
    return _split_alpha(pixels, -1, [-1]) if pixels.shape[-1] in (2, 4) else Image(pixels, -1)


def _decoded_by_pillow(file: Any) -> Image:  # Any: PIL.Image.Image stays in here
    if file.mode.startswith("I;16"):
        return _clear_at(np.asarray(file), file.info.get("transparency"))
    if file.has_transparency_data:
        grey = file.mode in ("L", "LA", "La", "1")
        return _split_alpha(np.asarray(file.convert("RGBA").convert("LA" if grey else "RGBA")), -1, [-1])
    if file.mode not in ("1", "L", "I", "F", "RGB"):
        file = file.convert("RGB")  # palettes, CMYK, YCbCr, Lab
    pixels = np.asarray(file)
    return Image(pixels, None if pixels.ndim == 2 else -1)


def _clear_at(pixels: NDArray[Any], value: int | None) -> Image:
    """16-bit grey in which one value is declared transparent."""
    mask = None if value is None else pixels != value
    return Image(pixels, None, None if mask is None or mask.all() else mask)


def _split_alpha(pixels: NDArray[Any], axis: int, alphas: list[int]) -> Image:
    """Take the alpha channels out; the first one says what can be seen."""
    mask = np.take(pixels, alphas[0], axis=axis) > 0
    colours = np.delete(pixels, alphas, axis=axis)
    one = colours.shape[axis] == 1
    return Image(
        colours.squeeze(axis) if one else colours,
        None if one else axis,
        None if mask.all() else mask,
    )


def _colour_model(page: Any) -> int:  # Any: tifffile's page stays in here
    """Colour model that the samples of a tif page are in, as tifffile gives them."""
    model = int(page.photometric or 0)
    inks = page.tags.get(_INK_SET_TAG)
    other_inks = model == _CMYK and inks is not None and inks.value != _CMYK_INKS
    decoded = model == _YCBCR and page.compression in _JPEG_COMPRESSIONS
    return _RGB if other_inks or decoded else model


def _in_rgb(image: Image, model: int) -> Image:
    """Make RGB of CMYK, YCbCr (of JFIF) or Lab samples, in the type they have."""
    axis = image.channel_axis
    if model not in _RGB_OF or axis is None:
        return image
    samples = np.moveaxis(image.pixels, axis, -1)
    if samples.shape[-1] != (4 if model == _CMYK else 3):
        return image
    kind = samples.dtype.newbyteorder("=")
    largest = np.iinfo(kind).max if kind.kind in "ui" else 1
    rgb = _RGB_OF[model](samples.astype(kind), largest).clip(0, 1) * largest
    return replace(image, pixels=(rgb.round() if largest > 1 else rgb).astype(kind), channel_axis=-1)


def _rgb_of_cmyk(samples: NDArray[Any], largest: int) -> NDArray[Any]:
    paper = 1 - samples.astype(np.float32) / largest
    return paper[..., :3] * paper[..., 3:]


def _rgb_of_ycbcr(samples: NDArray[Any], largest: int) -> NDArray[Any]:
    luma = samples[..., 0].astype(np.float32) / largest
    middle = (largest + 1) // 2 if largest > 1 else 0.5
    blue, red = ((samples[..., at].astype(np.float32) - middle) / largest for at in (1, 2))
    return np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], -1)


def _rgb_of_cielab(samples: NDArray[Any], largest: int) -> NDArray[Any]:
    """TIFF 6.0, section 23: a and b are signed, in units of 1 or, with 16 bits, of 1 / 256."""
    if largest == 1:
        return _rgb_of_lab(samples)
    signed = samples[..., 1:].view(f"i{samples.itemsize}") * (128 / ((largest + 1) // 2))
    return _rgb_of_lab(np.concatenate([samples[..., :1] * (100 / largest), signed], axis=-1))


def _rgb_of_icclab(samples: NDArray[Any], largest: int) -> NDArray[Any]:
    """Lab as ICC profiles store it: a and b from 128 up, with 16 bits in units of 1 / 256."""
    if largest == 1:
        return _rgb_of_lab(samples)
    of_256 = samples / ((largest + 1) / 256)
    return _rgb_of_lab(of_256 * (100 / 255, 1, 1) - (0, 128, 128))


def _rgb_of_lab(lab: NDArray[Any]) -> NDArray[Any]:
    from skimage import color

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Conversion from CIE-LAB", UserWarning)  # out of gamut: clipped
        rgb: NDArray[Any] = color.lab2rgb(lab)
    return rgb


_RGB_OF: dict[int, Callable[[NDArray[Any], int], NDArray[Any]]] = {
    _CMYK: _rgb_of_cmyk,
    _YCBCR: _rgb_of_ycbcr,
    _CIELAB: _rgb_of_cielab,
    _ICCLAB: _rgb_of_icclab,
}
"""What makes RGB in 0..1 of samples whose type goes up to ``largest``."""


def _upright(image: Image, orientation: int) -> Image:
    """Turn the picture so that its first row is the top, by the value of the orientation tag.

    >>> _upright(Image(np.array([[1, 2, 3]]), None), 6).pixels
    array([[1],
           [2],
           [3]])
    """
    if orientation not in range(2, 9):
        return image
    rows, columns = _plane_axes(image.pixels.ndim, image.channel_axis)

    def turn(array: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
        # 5 to 8 store columns as rows; of the rest, and after that, rows or columns may run backwards.
        if orientation >= 5:
            array = np.swapaxes(array, rows, columns)
        if orientation in (3, 4, 7, 8):
            array = np.flip(array, rows)
        if orientation in (2, 3, 6, 7):
            array = np.flip(array, columns)
        return array

    mask = None if image.mask is None else turn(image.mask, 0, 1)
    return Image(turn(image.pixels, rows, columns), image.channel_axis, mask)


def _plane_axes(ndim: int, channel_axis: int | None) -> tuple[int, int]:
    channels = [] if channel_axis is None else [channel_axis % ndim]
    rows, columns = [axis for axis in range(ndim) if axis not in channels][-2:]
    return rows, columns


def _without_single_axes(pixels: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    single = tuple(
        at
        for at, (letter, length) in enumerate(zip(axes, pixels.shape, strict=True))
        if length == 1 and letter not in "YX"
    )
    return pixels.squeeze(single), "".join(each for at, each in enumerate(axes) if at not in single)


def _axes(channel_axis: int | None) -> list[int]:
    return [] if channel_axis is None else [channel_axis]


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


# -- writing ---------------------------------------------------------------------------------------


def _fits(labels: NDArray[np.integer[Any]], lowest: int, highest: int) -> bool:
    return not labels.size or bool(labels.min() >= lowest and labels.max() <= highest)


def _wide_type(labels: NDArray[np.integer[Any]]) -> type[np.signedinteger[Any]]:
    limits = np.iinfo(np.int32)
    return np.int32 if _fits(labels, limits.min, limits.max) else np.int64


def _check_png(path: Path, labels: NDArray[np.integer[Any]], notes: Mapping[str, Any] | None) -> None:
    tif = path.with_suffix(".tif")
    if notes is not None:
        raise ValueError(f"a png cannot carry notes; write {tif} or {path.with_suffix('.zarr')} instead")
    if labels.ndim != 2:
        raise ValueError(f"labels are {_size(labels.shape)}, a png has one plane; write {tif} instead")
    if not _fits(labels, 0, LARGEST_PNG_LABEL):
        raise ValueError(
            f"labels {labels.min()} to {labels.max()} do not fit into the 16 bits of a png; "
            f"write {tif} instead"
        )


def _write_tiff(path: Path, labels: NDArray[Any], notes: dict[str, Any] | None) -> None:
    import tifffile

    content = io.BytesIO()  # tifffile asks a file for its name, and a temporary file's is a number
    tifffile.imwrite(
        content,
        labels,
        compression="zlib",
        predictor=labels.dtype.itemsize <= 4,  # the format has none for 64 bits
        photometric="minisblack",
        metadata={NOTES_KEY: notes},  # the key, even of nothing, says that the file's shape is ours
    )
    _write_whole(path, lambda file: file.write(content.getbuffer()))


def _write_zarr(path: Path, labels: NDArray[Any], notes: dict[str, Any] | None) -> None:
    import zarr

    leading = labels.ndim - 2

    def write(folder: Path) -> None:
        array = zarr.create_array(
            folder,
            shape=labels.shape,
            chunks=(1,) * leading + tuple(min(max(side, 1), CHUNK_SIDE_PX) for side in labels.shape[-2:]),
            dtype=labels.dtype,
            zarr_format=3,
            attributes={} if notes is None else {NOTES_KEY: notes},
            dimension_names=(None,) * leading + ("y", "x"),  # or a width of 3 would be taken for colours
        )
        array[...] = labels
        for file in filter(Path.is_file, folder.rglob("*")):
            _sync(file)

    with _failure_in_a_sentence(path):
        write_folder_atomically(path, write)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())  # a full disk may say so only here


def _write_picture(path: Path, pixels: NDArray[Any]) -> None:
    import PIL.Image

    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"

    _write_whole(path, lambda file: PIL.Image.fromarray(pixels).save(file, format=kind))


def _write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write all of a file or nothing of it, and say in a sentence what stopped it."""

    def write_through(file: BinaryIO) -> None:
        write(file)
        file.flush()
        os.fsync(file.fileno())  # a full disk may say so only here

    with _failure_in_a_sentence(path):
        write_atomically(path, write_through)


@contextmanager
def _failure_in_a_sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{path} could not be written: {reason}; nothing of it was left") from error


def _shown(image: Image) -> NDArray[np.uint8]:
    """Return the picture as ``(H, W, 3)`` of 8 bits: 8-bit values as they are, others stretched."""
    channels = np.asarray(image.pixels)
    if image.channel_axis is None:
        channels = channels[..., np.newaxis]
    else:
        channels = np.moveaxis(channels, image.channel_axis, -1)
    if channels.shape[-1] != 3:
        channels = channels.mean(axis=-1, keepdims=True, dtype=np.float64)
    if image.pixels.dtype != np.uint8:
        channels = stretched(channels)
    return np.array(np.broadcast_to(channels.astype(np.uint8), (*channels.shape[:2], 3)))


def stretched(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Stretch intensities of any type to 0..255; what is not finite becomes 0."""
    values = pixels.astype(np.float64)
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.where(finite, (values - low) * scale, 0.0).round()
