"""What the windows of a run cost: each reads more than it answers for."""

import pytest

from napari_pcnet.geometry.estimate import BYTES_PER_WINDOW_PX, estimate
from napari_pcnet.geometry.tiling import Halo

SHAPE = (20_000, 20_000)
"""A picture so large that no window of these tests holds it."""


def _memory_px(window_px: int, halo: Halo) -> float:
    expected = estimate(SHAPE, 1000, window_px=window_px, halo=halo)
    return expected.memory_bytes / BYTES_PER_WINDOW_PX


@pytest.mark.parametrize(("before_px", "after_px"), [(0, 0), (320, 256), (64, 640)])
def test_a_window_holds_its_halo_too(before_px: int, after_px: int) -> None:
    halo = Halo(before_px, after_px)
    # of sides s + h and 2 s + h the squares differ by 3 s^2 + 2 s h
    side = 1024
    halo_px = (_memory_px(2 * side, halo) - _memory_px(side, halo) - 3 * side**2) / (2 * side)
    assert halo_px == before_px + after_px


def test_a_window_is_made_of_whole_strides() -> None:
    halo = Halo(320, 256)
    assert _memory_px(1000, halo) == _memory_px(1024, halo) < _memory_px(1025, halo)


def test_a_picture_smaller_than_a_window_has_no_halo() -> None:
    halo = Halo(320, 256)
    whole, larger = (estimate((1000, 1000), 200, window_px=side, halo=halo) for side in (1024, 4096))
    assert whole == larger


def test_regions_are_those_inside_the_mask() -> None:
    # as many superpixels in a quarter of the plane: cells of half the side, and a quarter of them inside
    whole, quarter = (estimate((4096, 4096), 8192, inside=share, window_px=64) for share in (1.0, 0.25))
    assert quarter.work_px == 4 * whole.work_px
    assert quarter.memory_bytes == pytest.approx(whole.memory_bytes, rel=0.01)
