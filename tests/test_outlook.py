"""Before a large plane is labelled, the command says what that will take, by a window that it measures."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray

from napari_pcnet import arguments, outlook, pcnet_superpixels, pipeline, planes, read_labels
from napari_pcnet.cli import main
from napari_pcnet.geometry.picture import Picture
from napari_pcnet.geometry.tiling import Tile
from napari_pcnet.network import inference
from napari_pcnet.options import Options
from napari_pcnet.outlook import Copies, Outlook

SHAPE = (300, 260)
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 26, 3)).astype(np.uint8).repeat(15, 0).repeat(10, 1)
OPTIONS = Options(n_segments=40, window=128)


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> list[Tile]:
    """All windows of the picture; the first is measured, with seconds that are easy to sum up."""
    picture, seen = arguments.picture(IMAGE, None, -1), list[Tile]()
    inside = outlook.tiles_inside

    def counted(*given: object) -> list[Tile]:
        found: list[Tile] = inside(*given)  # type: ignore[arg-type]
        seen[:] = found if given[2] == (128, 128) else seen
        return found

    def measured(_: Picture, __: Options, ___: Tile) -> outlook._Measured:
        return outlook._Measured(seen[0], 5.0, 3.0, 2.0, 1.0, 100, 1000)

    monkeypatch.setattr(outlook, "tiles_inside", counted)
    monkeypatch.setattr(outlook, "_measured", measured)
    monkeypatch.setattr(outlook, "TREE_S", 0.01)
    monkeypatch.setattr(outlook, "PLAIN_TREE_S", 0.01)
    outlook.outlook(picture, OPTIONS, Copies(1))
    return seen


def times(tiles: list[Tile], name: str) -> float:
    sizes = [math.prod(getattr(tile, name).shape) for tile in tiles]
    return sum(sizes) / sizes[0]


def test_what_a_window_took_is_taken_by_all_that_windows_read_label_and_write(tiles: list[Tile]) -> None:
    picture = arguments.picture(IMAGE, None, -1)
    expected = outlook.outlook(picture, OPTIONS, Copies(2.0, 2))
    cores = times(tiles, "core")
    windows = 5 * times(tiles, "read") + 3 * times(tiles, "tail") + 2 * cores
    assert len(tiles) > 4
    assert times(tiles, "read") != cores != times(tiles, "tail")
    assert expected.seconds == pytest.approx(windows + cores * (1 + 100 * 0.01))
    assert expected.disk_bytes == round(1000 * cores * 4)
    shared = outlook.outlook(picture, OPTIONS, Copies(1), workers=2)
    assert shared.seconds == pytest.approx(windows * torch.get_num_threads() / 2 + cores * 2)
    assert expected.memory_bytes < shared.memory_bytes < 2 * expected.memory_bytes
    elsewhere = outlook.outlook(picture, OPTIONS, Copies(1), workers=2, here=False)
    assert elsewhere.memory_bytes == expected.memory_bytes


class _ReadSlowly:
    """An image that whoever reads it waits for."""

    shape, dtype, ndim = IMAGE.shape, IMAGE.dtype, IMAGE.ndim

    def __getitem__(self, key: Any) -> NDArray[Any]:
        time.sleep(0.5)
        part: NDArray[Any] = IMAGE[key]
        return part


def test_reading_takes_as_long_as_one_waits_for_it() -> None:
    picture = arguments.picture(_ReadSlowly(), None, -1)
    grid = pipeline.first_grid(picture.shape, 1.0, OPTIONS)
    tile = inference.tiles_inside(picture, grid, (1024, 1024), pipeline.load_prepared(OPTIONS).halo)[0]
    assert outlook._measured(picture, OPTIONS, tile).trunk_s > 0.5


def test_memory_counts_regions_and_the_mask(tiles: list[Tile]) -> None:
    mask = np.ones(SHAPE, bool)
    mask[0, 0] = False
    picture, masked = (arguments.picture(IMAGE, each, -1) for each in (None, mask))
    without, inside = (outlook.outlook(each, OPTIONS, Copies(1)).memory_bytes for each in (picture, masked))
    assert inside - without == mask.nbytes
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(outlook, "TABLE_BYTES", outlook.TABLE_BYTES + 10)
        more = outlook.outlook(picture, OPTIONS, Copies(1)).memory_bytes
        patch.setattr(outlook, "TREE_BYTES", 10**9)
        most = outlook.outlook(picture, OPTIONS, Copies(1)).memory_bytes
    regions = 100 * times(tiles, "core")
    assert more - without == pytest.approx(10 * regions, abs=1)
    assert most == pytest.approx(10**9 * regions, rel=0.01)


@pytest.mark.parametrize(
    ("memory", "disk", "end"),
    [
        (10**10, 10**10, ""),
        (10**8, 10**10, "; only 100 MB of memory are free"),
        (10**8, 10**9, "; only 100 MB of memory and 1.0 GB of the disk are free"),
    ],
)
def test_what_there_is_too_little_of_is_said(memory: int, disk: int, end: str) -> None:
    told = Outlook(100.0, 2 * 10**8, 10**9).sentence((300, 260), 2, memory, disk)
    said = "2 planes of 300 x 260 pixels will take about 3 min 20 s, 200 MB of memory and at most 2.0 GB of "
    said += "the disk"
    assert told == said + end


def test_the_command_says_it_of_a_large_picture_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planes, "SMALL_BYTES", 0)
    tifffile.imwrite("in.tif", IMAGE, tile=(64, 64), compression="zlib", photometric="rgb")
    words = ["segment", "in.tif", "out.ome.zarr", "-n", "40", "--window", "128"]
    assert main(words) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(outlook, "LARGE_PX", math.prod(SHAPE))
    assert main([*words, "--overwrite"]) == 0
    told = capsys.readouterr().err
    assert told.startswith("napari-pcnet: in.tif: 300 x 260 pixels will take about ")
    assert told.count("\n") == 1
    np.testing.assert_array_equal(read_labels("out.ome.zarr"), pcnet_superpixels(IMAGE, 40))
