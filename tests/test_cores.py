"""The windows that a picture is cut into: whole bands where none are asked for, and what each reads."""

import pytest

from napari_pcnet.geometry.grid import Grid
from napari_pcnet.geometry.tiling import CORE_PX, Halo, default_core, plan


@pytest.mark.parametrize(
    ("shape", "core"),
    [
        ((1000, 2000), (1024, 2048)),  # all of it
        ((4096, 8192), (1024, 8192)),  # bands as wide as the picture
        ((64, 8256), (64, 4160)),  # two, of which none is wider than 8192
        ((4160, 8192), (832, 8192)),  # five equal bands, not four and a rest
    ],
)
def test_cores_are_equal_bands_that_fit_into_memory(shape: tuple[int, int], core: tuple[int, int]) -> None:
    assert default_core(Grid(shape, shape)) == core
    assert core[0] * core[1] <= CORE_PX


def test_a_window_reads_its_halo_before_and_behind_as_far_as_there_is_a_picture() -> None:
    grid = Grid((640, 640), (640, 640))
    tiles = list(plan(grid, (128, 128), 48, Halo(192, 64)))
    # along either axis, cores of 128 work pixels with 64 more on both sides
    spans = [(0, 256), (0, 384), (0, 512), (128, 640), (256, 640)]
    assert [(tile.read.top, tile.read.bottom) for tile in tiles[::5]] == spans
    assert [(tile.read.left, tile.read.right) for tile in tiles[:5]] == spans
