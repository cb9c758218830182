"""The plan of windows."""

from dataclasses import replace

import numpy as np
import pytest

from napari_pcnet.geometry.grid import STRIDE, Grid
from napari_pcnet.geometry.tiling import CORE_PX, Halo, default_core, plan

HALO = Halo(320, 256)


@pytest.mark.parametrize("window", [64, 100, 512, 9999])
@pytest.mark.parametrize("scale", [1, 3])
def test_cores_cover_every_pixel_once(scale: int, window: int) -> None:
    grid = Grid.enlarged((211, 333), scale)
    covered = np.zeros(grid.image_shape, int)
    for tile in plan(grid, (window, window), 48, HALO):
        covered[tile.core.slices] += 1
    assert covered.min() == covered.max() == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 1000), (17, 4099)])
def test_slivers_are_covered_too(shape: tuple[int, int]) -> None:
    grid = Grid.of_count(shape, 50)
    assert sum(np.prod(tile.core.shape) for tile in plan(grid, (64, 64), 48, HALO)) == np.prod(shape)


@pytest.mark.parametrize("halo", [HALO, Halo(128, 64), Halo(0, 0)])
def test_a_window_reads_the_reach_of_all_operators_on_whole_strides(halo: Halo) -> None:
    grid = Grid.enlarged((4096, 4096), 1)
    tile = list(plan(grid, (1024, 1024), 48, halo))[5]
    assert tile.core == (1024, 1024, 2048, 2048)
    assert tile.labelled == (976, 976, 2096, 2096)
    assert tile.tail == (960, 960, 2112, 2112)
    before, after = halo
    assert tile.read == (960 - before, 960 - before, 2112 + after, 2112 + after)
    assert all(side % STRIDE == 0 for side in (*tile.tail, *tile.read))


@pytest.mark.parametrize(("core", "image"), [((128, 192), (1500, 1000)), ((512, 64), (1000, 60))])
def test_windows_that_are_alike_read_as_much_and_all_of_what_they_need(
    core: tuple[int, int], image: tuple[int, int]
) -> None:
    grid = Grid.enlarged(image, 1)
    own = list(plan(grid, core, 48, Halo(320, 256)))
    alike = list(plan(grid, core, 48, Halo(320, 256), alike=True))
    assert len({each.read.shape for each in alike}) == 1 < len({each.read.shape for each in own})
    height, width = grid.padded_shape
    for less, more in zip(own, alike, strict=True):
        assert replace(more, read=less.read) == less
        assert 0 <= more.read.top <= less.read.top and less.read.bottom <= more.read.bottom <= height
        assert 0 <= more.read.left <= less.read.left and less.read.right <= more.read.right <= width


def test_one_window_reads_the_padded_frame() -> None:
    (tile,) = plan(Grid.enlarged((100, 130), 1), (9999, 9999), 48, HALO)
    assert tile.core == (0, 0, 100, 130)
    assert tile.read == (0, 0, 128, 192)


@pytest.mark.parametrize(
    "shape", [(1, 1), (300, 400), (2448, 3264), (4096, 4096), (700, 40_000), (40_000, 50)]
)
def test_default_cores_are_even_bands_within_the_budget(shape: tuple[int, int]) -> None:
    grid = Grid.enlarged(shape, 1)
    rows, columns = default_core(grid)
    assert rows % STRIDE == columns % STRIDE == 0
    assert rows * columns <= CORE_PX + STRIDE * columns
    if shape[1] <= 8192:
        assert columns == grid.padded_shape[1]


def test_eight_megapixels_are_one_window_and_sixteen_two_equal_bands() -> None:
    assert default_core(Grid.enlarged((2448, 3264), 1)) == (2496, 3264)
    assert default_core(Grid.enlarged((4096, 4096), 1)) == (2048, 4096)
