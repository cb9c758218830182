"""Pictures as the network sees them: range, channels, resampling by global coordinates."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_pcnet.geometry.grid import Grid, Window
from napari_pcnet.geometry.picture import FILL, Picture, to_three


def picture_of(pixels: Any, axis: int | None = None, low: float = 0, high: float = 1) -> Picture:
    channels = 1 if axis is None else pixels.shape[axis]
    return Picture(pixels, axis, None, np.full(channels, float(low)), np.full(channels, float(high)))


def whole(grid: Grid) -> Window:
    return Window(0, 0, *grid.padded_shape)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, ">u2", np.float32, np.float64])
def test_the_stretch_does_not_depend_on_type_gain_or_offset(dtype: Any) -> None:
    values = np.arange(12).reshape(3, 4)
    expected = picture_of(values.astype(np.float64), None, 0, 11).read(Window(0, 0, 3, 4))
    moved = (7 * values + 3).astype(dtype)
    np.testing.assert_array_equal(picture_of(moved, None, 3, 80).read(Window(0, 0, 3, 4)), expected)


@pytest.mark.parametrize("span", [2, 10, 144, 250, 254, 4096, 65534])
@pytest.mark.parametrize("gain", [1, 1 / 255, 0.1, 1e-7, 3e4])
def test_a_float_copy_has_the_same_whole_steps(span: int, gain: float) -> None:
    values = np.arange(span + 1)[None]
    window = Window(0, 0, 1, span + 1)
    exact, floats = picture_of(values, None, 0, span), picture_of(values * gain, None, 0, span * gain)
    steps = exact.read(window, np.uint8)
    assert (steps[0, 0, 0], steps[0, -1, 0]) == (0, 255)
    assert np.abs(steps[0, :, 0] - values[0] * 255 / span).max() <= 0.501  # halves are rounded up
    np.testing.assert_array_equal(floats.read(window, np.uint8), steps)
    np.testing.assert_array_equal(floats.read_steps(window), exact.read_steps(window))
    if span < 256:
        single = (values * gain).astype(np.float32)
        np.testing.assert_array_equal(picture_of(single, None, 0, single.max()).read(window, np.uint8), steps)


def test_a_bool_picture_is_black_and_white() -> None:
    pixels = np.array([[True, False]])
    assert picture_of(pixels).read(Window(0, 0, 1, 2))[..., 0].tolist() == [[1, 0]]


def test_values_outside_the_range_are_clipped_and_nan_is_filled() -> None:
    pixels = np.array([[-5.0, 0.25, 9.0, np.nan, np.inf]])
    assert picture_of(pixels).read(Window(0, 0, 1, 5))[..., 0].tolist() == [[0, 0.25, 1, FILL, 1]]


def test_a_uniform_picture_is_black() -> None:
    assert picture_of(np.full((2, 2), 7.0), None, 7, 7).read(Window(0, 0, 2, 2)).max() == 0


@pytest.mark.parametrize("work", [(80, 160), (40, 160), (80, 60), (25, 60), (40, 30), (40, 60)])
def test_the_order_of_a_picture_in_memory_is_not_seen(work: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    grid = Grid((40, 60), work)
    expected = picture_of(pixels, 2, 0, 255).read_work(grid, Window(0, 0, *work), np.uint8)
    first, turned = np.moveaxis(pixels, 2, 0).copy(), np.asfortranarray(pixels)
    for same, axis in ((first, 0), (turned, 2), (pixels[::-1].copy()[::-1], 2)):
        frame = picture_of(same, axis, 0, 255).read_work(grid, Window(0, 0, *work), np.uint8)
        np.testing.assert_array_equal(frame, expected)
        assert frame.flags.c_contiguous


def test_channels_first_read_like_channels_last() -> None:
    pixels = np.random.default_rng(0).random((5, 6, 3))
    window = Window(1, 2, 4, 6)
    expected = picture_of(pixels, 2).read(window)
    np.testing.assert_array_equal(picture_of(np.moveaxis(pixels, 2, 0), 0).read(window), expected)
    np.testing.assert_array_equal(picture_of(np.moveaxis(pixels, 2, 1), 1).read(window), expected)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [([5.0], [5, 5, 5]), ([1.0, 3], [1, 2, 3]), ([1.0, 2, 3], [1, 2, 3]), ([1.0, 3, 5, 7, 9], [2, 6, 9])],
)
def test_any_number_of_channels_becomes_three(channels: list[float], expected: list[float]) -> None:
    assert to_three(np.array([[channels]]))[0, 0].tolist() == expected


def test_at_its_own_scale_the_frame_is_the_picture_with_its_rim_repeated() -> None:
    pixels = np.random.default_rng(0).random((50, 70, 3))
    grid = Grid.enlarged((50, 70), 1)
    frame = picture_of(pixels, 2).read_work(grid, whole(grid), np.float64)
    np.testing.assert_array_equal(frame, np.pad(pixels, ((0, 14), (0, 58), (0, 0)), mode="edge"))


def test_shrinking_by_a_whole_factor_takes_block_means() -> None:
    pixels = np.random.default_rng(0).random((192, 256))
    frame = picture_of(pixels).read_work(Grid((192, 256), (64, 128)), Window(0, 0, 64, 128), np.float64)
    blocks = pixels.reshape(64, 3, 128, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(frame[..., 0], blocks)


def test_shrinking_by_any_factor_keeps_the_mean() -> None:
    pixels = np.random.default_rng(1).random((211, 333))
    frame = picture_of(pixels).read_work(Grid((211, 333), (64, 192)), Window(0, 0, 64, 192), np.float64)
    assert frame.mean() == pytest.approx(pixels.mean())


@pytest.mark.parametrize("scale", [2, 3])
def test_enlarging_is_exact_for_a_straight_ramp(scale: int) -> None:
    ramp = np.linspace(0.2, 0.8, 40)[None, :].repeat(40, 0)
    grid = Grid.enlarged((40, 40), scale)
    frame = picture_of(ramp).read_work(grid, Window(0, 0, 40 * scale, 40 * scale), np.float64)
    x = (np.arange(40 * scale) + 0.5) / scale - 0.5
    inner = slice(2 * scale, -2 * scale)
    np.testing.assert_allclose(frame[20, inner, 0], np.interp(x, np.arange(40), ramp[0])[inner])


def test_enlarging_is_near_a_spline_on_a_smooth_picture() -> None:
    smooth = ndimage.gaussian_filter(np.random.default_rng(2).random((60, 60)), 4)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    grid = Grid.enlarged((60, 60), 2)
    frame = picture_of(smooth).read_work(grid, Window(0, 0, 120, 120), np.float64)[..., 0]
    at = (np.arange(120) + 0.5) / 2 - 0.5
    expected = ndimage.map_coordinates(smooth, np.meshgrid(at, at, indexing="ij"), order=3)
    assert np.abs(frame - expected)[6:-6, 6:-6].max() < 0.01


@pytest.mark.parametrize("work", [(90, 130), (180, 260), (270, 390), (64, 96), (96, 240), (100, 777)])
def test_every_window_agrees_with_the_whole_to_the_last_bit(work: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 130, 3)).astype(np.uint8)
    picture = picture_of(pixels, 2, 0, 255)
    grid = Grid((90, 130), work)
    frame = picture.read_work(grid, whole(grid))
    height, width = grid.padded_shape
    for window in (Window(0, 0, 64, 64), Window(height - 64, width - 64, height, width)):
        np.testing.assert_array_equal(picture.read_work(grid, window), frame[window.slices])


def test_only_the_window_is_read() -> None:
    class Watched:
        shape, dtype = (1000, 1000), np.dtype(np.uint8)
        largest = 0

        def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
            block = np.zeros([len(range(*s.indices(1000))) for s in index], np.uint8)
            Watched.largest = max(Watched.largest, block.size)
            return block

    picture = picture_of(Watched(), None, 0, 255)
    picture.read_work(Grid.enlarged((1000, 1000), 2), Window(512, 512, 640, 640))
    assert 0 < Watched.largest <= 70 * 70
