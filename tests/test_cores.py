"""The windows that a picture is cut into where none are asked for: whole bands as far as memory goes."""

import pytest

from napari_pcnet.geometry.grid import Grid
from napari_pcnet.geometry.tiling import CORE_PX, default_core


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
