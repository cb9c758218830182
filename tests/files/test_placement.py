"""Labels and overlays lie where their picture lies, with pixels of its size."""

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import rasterio
import tifffile
import zarr
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from napari_pcnet.cli import main
from napari_pcnet.disk.labels import write_labels
from napari_pcnet.disk.pictures import read_image
from napari_pcnet.disk.placement import Placement

PIXELS = np.kron(
    np.random.default_rng(0).integers(0, 255, (4, 5, 3), np.uint8), np.ones((12, 12, 1), np.uint8)
)
"""48 x 60 in squares of 12."""
NORTH_UP = rasterio.Affine(2, 0, 500_000, 0, -2, 5_000_000)
ROTATED = rasterio.Affine(2, 0.5, 500_000, 0.5, -2, 5_000_000)
MICRONS_PER_CM = 1e4
INCH_CM = 2.54


def _by_gdal(path: Path, transform: rasterio.Affine, **options: Any) -> Path:
    """Write a picture on the map as GDAL does."""
    size = {"count": 3, "height": PIXELS.shape[0], "width": PIXELS.shape[1], "dtype": "uint8"}
    place = {"crs": "EPSG:32633", "transform": transform, "photometric": "rgb"}
    with rasterio.open(path, "w", driver="GTiff", **size | place | options) as file:
        file.write(np.moveaxis(PIXELS, -1, 0))
    return path


def _segment(picture: Path, *words: str, output: str = "labels.tif") -> Path:
    """Run the command on a picture; return where its labels are."""
    labels = picture.with_name(output)
    assert main(["segment", str(picture), str(labels), "-n", "4", *words]) == 0
    return labels


def _place(path: Path) -> tuple[rasterio.Affine, Any]:
    with rasterio.open(path) as file:
        return file.transform, file.crs


def _pixel_cm(path: Path) -> NDArray[np.float64]:
    """Height and width of a pixel in cm, by the resolution tags."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        columns, rows = page.resolution
        return np.array([1 / rows, 1 / columns]) * {1: 1.0, 2: INCH_CM, 3: 1.0}[page.resolutionunit]


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED], ids=["north up", "rotated"])
def test_labels_and_overlay_lie_on_the_map_as_their_picture(
    tmp_path: Path, transform: rasterio.Affine
) -> None:
    picture = _by_gdal(tmp_path / "a.tif", transform)
    overlay = tmp_path / "overlay.tif"
    labels = _segment(picture, "--overlay", str(overlay))
    for path in (labels, overlay):
        assert _place(path) == (transform, rasterio.CRS.from_epsg(32633))
    with rasterio.open(overlay) as file:
        assert (file.count, file.width, file.height) == (3, 60, 48)


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED], ids=["north up", "rotated"])
def test_a_crop_lies_where_it_was_cut(tmp_path: Path, transform: rasterio.Affine) -> None:
    labels = _segment(_by_gdal(tmp_path / "a.tif", transform), "--crop", "12", "24", "48", "60")
    corner, _ = _place(labels)
    assert corner == transform @ rasterio.Affine.translation(24, 12)


@pytest.mark.parametrize("options", [{}, {"AREA_OR_POINT": "Point"}], ids=["corners", "centres"])
def test_a_level_has_the_corner_of_the_picture(tmp_path: Path, options: dict[str, str]) -> None:
    picture = _by_gdal(tmp_path / "a.tif", NORTH_UP)
    with rasterio.open(picture, "r+") as file:
        file.update_tags(**options)
        file.build_overviews([2])
    labels = _segment(picture, "--level", "1")
    transform, _ = _place(labels)
    assert_allclose(transform[:6], (NORTH_UP @ rasterio.Affine.scale(2))[:6])
    with rasterio.open(labels) as file:
        assert file.shape == (24, 30)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_keeps_every_pixel_in_place(tmp_path: Path, orientation: int) -> None:
    stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
    tags = [
        (33550, "d", 3, (2.0, 2.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 500.0, 900.0, 0.0), True),
        (274, "H", 1, orientation, True),
    ]
    tifffile.imwrite(tmp_path / "a.tif", stored, extratags=tags, resolution=(2, 4), resolutionunit=3)
    image = read_image(tmp_path / "a.tif")
    placement = image.placement
    assert placement is not None and placement.geo is not None
    a, b, c, d, e, f = placement.geo.transform
    rows, columns = np.indices(image.pixels.shape)
    x, y = a * (columns + 0.5) + b * (rows + 0.5) + c, d * (columns + 0.5) + e * (rows + 0.5) + f
    at_row, at_column = np.divmod(image.pixels, 4)  # where the pixel is stored, by its value
    assert_allclose(x, 500 + 2 * (at_column + 0.5))
    assert_allclose(y, 900 - 2 * (at_row + 0.5))
    assert placement.pixel_size == ((0.25, 0.5) if orientation < 5 else (0.5, 0.25))


def test_an_overlay_in_png_says_what_it_cannot_hold(tmp_path: Path) -> None:
    picture = _by_gdal(tmp_path / "a.tif", NORTH_UP)
    with pytest.warns(
        UserWarning, match=r"overlay\.png has no place on the map, .*write .*overlay\.tif to keep"
    ):
        _segment(picture, "--overlay", str(tmp_path / "overlay.png"))


def test_the_size_of_a_pixel_in_imagej_survives(tmp_path: Path) -> None:
    picture = tmp_path / "a.tif"
    size = {"resolution": (4.0, 2.0), "metadata": {"unit": "micron"}}  # pixels in a micron, columns and rows
    tifffile.imwrite(picture, PIXELS[..., 0], imagej=True, **size)
    assert read_image(picture).placement == Placement((0.5, 0.25), "µm")
    assert_allclose(_pixel_cm(_segment(picture)) * MICRONS_PER_CM, (0.5, 0.25))


def test_the_size_of_a_pixel_in_ome_survives(tmp_path: Path) -> None:
    picture = tmp_path / "a.ome.tif"
    size = {
        "PhysicalSizeY": 650.0,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeX": 325.0,
        "PhysicalSizeXUnit": "nm",
    }
    tifffile.imwrite(picture, PIXELS[..., 0], metadata={"axes": "YX", **size})
    assert_allclose(_pixel_cm(_segment(picture)) * MICRONS_PER_CM, (0.65, 0.325))


def test_the_size_of_a_pixel_in_a_slide_survives(tmp_path: Path) -> None:
    text = "Aperio Image Library v11\r\n60x48 |AppMag = 20|MPP = 0.4990"
    tifffile.imwrite(
        tmp_path / "a.svs", PIXELS, photometric="rgb", description=text, metadata=None, tile=(16, 16)
    )
    placement = read_image(tmp_path / "a.svs").placement
    assert placement == Placement((0.499, 0.499), "µm")


def test_dots_per_inch_survive(tmp_path: Path) -> None:
    picture = tmp_path / "a.tif"
    tifffile.imwrite(picture, PIXELS, photometric="rgb", resolution=(300, 600), resolutionunit="inch")
    overlay = tmp_path / "overlay.tif"
    for path in (_segment(picture, "--overlay", str(overlay)), overlay):
        assert_allclose(INCH_CM / _pixel_cm(path), (600, 300))


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_dots_per_inch_survive_in_pictures(tmp_path: Path, ending: str) -> None:
    picture, overlay = tmp_path / f"a.{ending}", tmp_path / f"overlay.{ending}"
    PIL.Image.fromarray(PIXELS).save(picture, dpi=(300, 600))
    labels = _segment(picture, "--overlay", str(overlay), output="labels.png")
    for path in (labels, overlay):
        with PIL.Image.open(path) as file:
            assert_allclose(file.info["dpi"], (300, 600), rtol=1e-3)


def test_a_level_has_larger_pixels(tmp_path: Path) -> None:
    picture = tmp_path / "a.tif"
    with tifffile.TiffWriter(picture) as file:
        size = {"photometric": "rgb", "resolution": (1000, 2000), "resolutionunit": 3}
        file.write(PIXELS, subifds=1, **size)
        file.write(PIXELS[::2, ::2], subfiletype=1, photometric="rgb")
    assert_allclose(_pixel_cm(_segment(picture, "--level", "1")), (0.001, 0.002))


def test_a_zarr_names_the_size_of_a_pixel(tmp_path: Path) -> None:
    picture = tmp_path / "a.tif"
    tifffile.imwrite(picture, PIXELS[..., 0], imagej=True, resolution=(4, 2), metadata={"unit": "um"})
    attributes = zarr.open(_segment(picture, output="labels.zarr"), mode="r").attrs
    assert (attributes["pixel_size"], attributes["unit"]) == ([0.5, 0.25], "µm")


def test_a_picture_that_says_nothing_has_no_placement(tmp_path: Path) -> None:
    for name in ("a.tif", "a.png", "a.jpg"):
        PIL.Image.fromarray(PIXELS).save(tmp_path / name)
        assert read_image(tmp_path / name).placement is None
    tifffile.imwrite(tmp_path / "b.tif", PIXELS, photometric="rgb")
    assert read_image(tmp_path / "b.tif").placement is None


@pytest.mark.parametrize(
    "tag",
    [
        (33550, "d", 1, (2.0,), True),
        (33922, "d", 3, (0.0, 0.0, 0.0), True),
        (34264, "d", 4, (1.0, 0.0, 0.0, 0.0), True),
        (34735, "H", 3, (1, 1, 0), True),
    ],
    ids=["scale", "tie", "matrix", "keys"],
)
def test_a_broken_tag_is_no_placement(tmp_path: Path, tag: tuple[Any, ...]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", extratags=[tag])
    assert read_image(tmp_path / "a.tif").placement is None


def test_a_size_beyond_the_tags_is_left_out(tmp_path: Path) -> None:
    for size, expected in [(1e-13, 1.0), (1e5, 1e5)]:
        path = tmp_path / f"{size}.tif"
        write_labels(path, PIXELS[..., 0].astype(np.int32), placement=Placement((size, size), "m"))
        assert_allclose(_pixel_cm(path), expected if size < 1 else 100 * expected)


_SCALE = (33550, "d", 3, (2.0, 2.0, 0.0), True)
_TIE = (33922, "d", 6, (0.0, 0.0, 0.0, 500.0, 900.0, 0.0), True)
_NOWHERE = float("nan")


@pytest.mark.parametrize(
    ("tags", "transform"),
    [
        ([_SCALE, _TIE, (34735, "I", 8, (1, 1, 0, 1, 1024, 0, 1, 70_000), True)], (2, 0, 500, 0, -2, 900)),
        ([_SCALE, _TIE, (34735, "d", 4, (1, _NOWHERE, 0, 1), True)], (2, 0, 500, 0, -2, 900)),
        ([_SCALE, _TIE, (34737, "s", 0, "Gr~~e|", True)], (2, 0, 500, 0, -2, 900)),
        ([(33550, "d", 3, (_NOWHERE, 2, 0), True), _TIE], None),
        ([(33550, "d", 3, (0, 0, 0), True), _TIE], None),
        ([(33550, "d", 3, (1e308, 1e308, 0), True), _TIE], None),
        ([(34264, "d", 16, (_NOWHERE,) * 16, True)], None),
    ],
)
def test_a_place_that_is_none_or_could_not_be_written_counts_as_missing(
    tmp_path: Path, tags: list[Any], transform: tuple[int, ...] | None
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS[..., 0], extratags=tags, metadata=None)
    path.write_bytes(path.read_bytes().replace(b"Gr~~e|", "Größe|".encode("latin-1")))
    placement = read_image(path).placement
    write_labels(tmp_path / "labels.tif", np.ones(PIXELS.shape[:2], int), placement=placement)
    kept = read_image(tmp_path / "labels.tif").placement
    assert (None if kept is None or kept.geo is None else kept.geo.transform) == transform


@pytest.mark.parametrize(("size", "unit"), [(1e-320, "µm"), (5e-324, "pm"), (1e300, "µm"), (1e308, "km")])
@pytest.mark.parametrize("name", ["labels.tif", "labels.png", "labels.zarr"])
def test_labels_of_pixels_that_are_too_small_or_large_to_be_noted_are_written(
    tmp_path: Path, size: float, unit: str, name: str
) -> None:
    write_labels(tmp_path / name, np.ones((3, 4), int), placement=Placement((size, size), unit))
    assert read_image(tmp_path / name).placement is None
