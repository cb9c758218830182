"""An estimate knows the enlargement and the window; memory follows the window, not the picture alone."""

from pathlib import Path

import pytest

from napari_pcnet import outlook
from napari_pcnet.geometry.estimate import (
    BYTES_PER_CELL,
    BYTES_PER_IMAGE_PX,
    BYTES_PER_WINDOW_PX,
    TABLE_BYTES,
    TREE_BYTES,
    estimate,
)
from napari_pcnet.geometry.tiling import Halo


def test_a_large_picture_is_looked_at_once() -> None:
    assert estimate((1000, 1000), 250).work_px == 1024 * 1024


def test_a_small_picture_is_looked_at_enlarged() -> None:
    # 20,000 cells of 16 pixels on a side need three times the side
    assert estimate((1000, 1000), 2500).work_px == 3008 * 3008


def test_a_mask_needs_finer_cells() -> None:
    assert estimate((1000, 1000), 250, inside=0.1).work_px == 3008 * 3008


def test_anisotropic_pixels_are_enlarged_along_the_coarse_axis() -> None:
    assert estimate((640, 640), 100, spacing=(2.0, 1.0)).work_px == 1280 * 640


def test_memory_counts_the_regions_of_cells() -> None:
    few, many = (estimate((1024, 1024), n, window_px=256).memory_bytes for n in (250, 1000))
    assert many - few == BYTES_PER_CELL * (128**2 - 64**2)


def test_a_region_takes_what_the_page_on_memory_says() -> None:
    page = Path(__file__).parents[1].joinpath("docs", "performance.md").read_text(encoding="utf-8")
    assert "a region takes 24 bytes" in page and "2.7 for a region, 16;" in page
    assert f"at most {TREE_BYTES} bytes a region" in page
    assert round(24 + 2.7 * 16) == TABLE_BYTES == outlook.TABLE_BYTES


def test_memory_follows_the_window() -> None:
    small, large = (estimate((20_000, 20_000), 1000, window_px=side).memory_bytes for side in (1024, 8192))
    assert large - small > 500 << 20


def test_memory_of_labels_that_are_not_held_is_that_of_windows_and_regions() -> None:
    held, written = (estimate((1000, 2000), 500, held=held).memory_bytes for held in (True, False))
    assert held - written == BYTES_PER_IMAGE_PX * 2_000_000


def test_a_halo_ends_at_the_frame() -> None:
    without = estimate((4000, 600), 1000, window_px=1024)
    halo = estimate((4000, 600), 1000, window_px=1024, halo=Halo(320, 256))
    assert halo.memory_bytes - without.memory_bytes == BYTES_PER_WINDOW_PX * (1600 - 1024) * 640


def test_memory_per_pixel_falls_with_the_size_of_the_picture() -> None:
    shares = [estimate((side, side), 1000).memory_bytes / side**2 for side in (1000, 4000, 16_000)]
    assert shares == sorted(shares, reverse=True)


def test_seconds_follow_the_speed() -> None:
    assert estimate((1000, 1000), 250).seconds(2e6) == pytest.approx(1024 * 1024 / 2e6)
