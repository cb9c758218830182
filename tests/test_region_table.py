"""Tables of regions: scikit-image's values under its names, whatever the windows, the type and the store."""

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from numpy.testing import assert_allclose, assert_array_equal
from skimage.measure import regionprops, regionprops_table

from napari_pcnet import groups, region_table
from napari_pcnet.geometry.grid import Window
from napari_pcnet.measuring import sums
from napari_pcnet.measuring.properties import FORMER_NAMES, NOT_MEASURED, PROPERTIES, find
from napari_pcnet.measuring.sums import gather, merge
from napari_pcnet.measuring.windows import numbered_windows

SHAPES = [name for name, each in PROPERTIES.items() if each.group != "intensity"]
INTENSITIES = [name for name, each in PROPERTIES.items() if each.group == "intensity"]
OF_SQUARES = ("perimeter", "perimeter_crofton")


def _drawn() -> np.ndarray[Any, Any]:
    """Labels with gaps in their numbers: a disk with a hole, a line, a pixel, two pieces, a diagonal."""
    labels = np.zeros((61, 75), np.int32)
    rows, columns = np.indices(labels.shape)
    labels[(rows - 24) ** 2 + (columns - 25) ** 2 < 19**2] = 7
    labels[(rows - 20) ** 2 + (columns - 30) ** 2 < 5**2] = 0
    labels[50, 3:70] = 900_000
    labels[5, 60] = 3
    labels[10:20, 50:58] = labels[30:33, 60:75] = 41
    labels[np.arange(45, 59), np.arange(45, 59) - 40] = 12
    labels[56:61, 60:75] = 1000
    labels[52:56, 60:75:2] = 1000
    labels[0:2, :] = 55
    labels[2, ::3] = 55
    return labels


LABELS = _drawn()


def _picture(kind: type[np.generic], channels: int = 0) -> np.ndarray[Any, Any]:
    shape = (*LABELS.shape, channels) if channels else LABELS.shape
    random = np.random.default_rng(3)
    if np.issubdtype(kind, np.floating):
        return (random.normal(0.0, 1.0, shape) + 1000).astype(kind)
    limits = np.iinfo(kind)
    return random.integers(limits.min, limits.max, shape, kind, endpoint=True)


def _assert_same(found: dict[str, Any], expected: dict[str, Any], tolerance: float = 1e-11) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        of_a_line = 1e-6 if name == "axis_minor_length" else 0  # the root of a rounding error
        assert_allclose(found[name], values, rtol=tolerance, atol=max(tolerance, of_a_line), err_msg=name)


@pytest.mark.parametrize("window", [7, 32, 1024])
def test_shapes_are_those_of_scikit_image(window: int) -> None:
    expected = regionprops_table(LABELS, properties=SHAPES)
    _assert_same(region_table(None, LABELS, SHAPES, window=window), expected)


@pytest.mark.parametrize("window", [7, 1024])
@pytest.mark.parametrize("channels", [0, 1, 3, 5])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.uint32, np.int32])
def test_intensities_of_whole_numbers_are_those_of_scikit_image(
    kind: type[np.generic], channels: int, window: int
) -> None:
    image = _picture(kind, channels)
    expected = regionprops_table(LABELS, image.astype(np.float64), properties=INTENSITIES)
    found = region_table(image, LABELS, INTENSITIES, window=window, channel_axis=-1 if channels else None)
    _assert_same(found, expected)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_intensities_of_other_numbers_are_those_of_scikit_image(kind: type[np.generic]) -> None:
    image = _picture(kind) if kind is not np.int64 else _picture(np.int16).astype(np.int64)
    expected = regionprops_table(LABELS, image.astype(np.float64), properties=INTENSITIES)
    _assert_same(region_table(image, LABELS, INTENSITIES, window=9), expected)


def test_a_boolean_picture_is_measured() -> None:
    image = _picture(np.uint8) > 100
    expected = regionprops_table(
        LABELS, image.astype(np.float64), properties=["intensity_mean", "intensity_std"]
    )
    _assert_same(region_table(image, LABELS, ["intensity_mean", "intensity_std"], window=9), expected)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
def test_no_window_changes_a_bit_of_whole_numbers(kind: type[np.generic]) -> None:
    image = _picture(kind, 3)
    whole = region_table(image, LABELS, list(PROPERTIES))
    for window in (1, 5, 16, 64):
        parts = region_table(image, LABELS, list(PROPERTIES), window=window)
        for name, values in whole.items():
            assert_array_equal(parts[name], values, err_msg=f"{name}, windows of {window}")


@pytest.mark.parametrize("kind", [np.uint8, np.int32])
def test_sums_are_the_same_however_many_pixels_are_added_at_once(
    kind: type[np.generic], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = _picture(kind, 3)
    whole = region_table(image, LABELS, list(PROPERTIES))
    monkeypatch.setattr(sums, "EXACT_PX", 97)
    for name, values in region_table(image, LABELS, list(PROPERTIES)).items():
        assert_array_equal(values, whole[name], err_msg=name)


def test_a_small_deviation_beside_a_large_mean_is_kept() -> None:
    labels = np.ones((40, 50), int)
    image = np.full((40, 50), 4_000_000_000, np.uint32)
    image[:, ::2] += 2
    for pixels in (image, image.astype(np.float64)):
        found = region_table(pixels, labels, ["intensity_std"], window=11)
        rounding = 1e-6 if pixels.dtype == np.float64 else 0  # of a float of 4e9
        assert_allclose(found["intensity_std"], [1.0], rtol=rounding)


def test_squares_of_the_largest_numbers_do_not_overflow() -> None:
    labels = np.ones((64, 64), int)
    image = np.zeros((64, 64), np.uint32)
    image[:32] = np.iinfo(np.uint32).max
    half = np.iinfo(np.uint32).max / 2
    assert region_table(image, labels, ["intensity_std"])["intensity_std"].tolist() == [half]


def test_a_region_far_from_the_first_pixel_has_the_shape_it_has_there() -> None:
    names = ["eccentricity", "orientation", "axis_minor_length", "inertia_tensor"]
    (near,) = numbered_windows(LABELS, 100, 0)
    # a column squared is 2**64 there: the sums pass over the end of their type
    far = near._replace(core=Window(2**31, 2**32, 2**31 + 61, 2**32 + 75))
    one, other = (merge([gather(window, frozenset(["moments"]))]) for window in (near, far))
    for name in names:
        expected = PROPERTIES[name].of(one, (1, 1))
        assert_allclose(PROPERTIES[name].of(other, (1, 1)), expected, rtol=1e-12, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("spacing", [0.5, (0.25, 0.25), (2.0, 0.7)])
def test_units_are_those_of_the_spacing(spacing: float | tuple[float, float]) -> None:
    is_square = isinstance(spacing, float) or spacing[0] == spacing[1]
    names = [name for name in SHAPES if is_square or name not in OF_SQUARES]
    pair = (spacing, spacing) if isinstance(spacing, float) else spacing
    expected = regionprops_table(LABELS, properties=names, spacing=pair)
    _assert_same(region_table(None, LABELS, names, spacing=spacing, window=16), expected)


def test_perimeters_of_pixels_that_are_not_square_are_left_out_or_refused() -> None:
    assert "perimeter" not in region_table(None, LABELS, spacing=(2, 1))
    with pytest.raises(
        ValueError, match=r"perimeter is known of square pixels, got spacing=\(2.0, 1.0\); leave"
    ):
        region_table(None, LABELS, ["perimeter"], spacing=(2, 1))


def test_former_names_give_the_same_values_under_these_names() -> None:
    image = _picture(np.uint16)
    found = region_table(image, LABELS, list(FORMER_NAMES))
    expected = region_table(image, LABELS, list(FORMER_NAMES.values()))
    for former, name in FORMER_NAMES.items():
        assert_array_equal(found[former], expected[name], err_msg=former)


def test_every_property_of_scikit_image_is_measured_or_refused_as_its_own() -> None:
    (region,) = regionprops(np.ones((2, 3), int), np.ones((2, 3)))
    assert set(region) <= {*PROPERTIES, *NOT_MEASURED}
    for name in ("convex_area", "weighted_centroid", "moments_hu"):
        with pytest.raises(ValueError, match=f"'{name}' is not measured here: skimage.measure.regionprops"):
            find(name)


@pytest.mark.parametrize("kind", ["dask", "zarr", "memmap", "channels first"])
def test_however_it_is_stored_the_values_are_the_same(kind: str, tmp_path: Path) -> None:
    image, axis = _picture(np.uint16, 3), -1
    expected = region_table(image, LABELS)
    stored: Any = image
    labels: Any = LABELS
    if kind == "dask":
        stored, labels = da.from_array(image, chunks=(20, 33, 2)), da.from_array(LABELS, chunks=(31, 17))
    elif kind == "zarr":
        stored = zarr.create_array(tmp_path / "image.zarr", data=image, chunks=(16, 16, 3))
        labels = zarr.create_array(tmp_path / "labels.zarr", data=LABELS, chunks=(64, 8))
    elif kind == "memmap":
        np.save(tmp_path / "image.npy", image)
        stored = np.load(tmp_path / "image.npy", mmap_mode="r")
    else:
        stored, axis = np.moveaxis(image, -1, 0), 0
    found = region_table(stored, labels, channel_axis=axis, window=24)
    for name, values in expected.items():
        assert_array_equal(found[name], values, err_msg=name)


def test_only_windows_are_read() -> None:
    asked = []

    class Watched:
        shape, dtype = LABELS.shape, LABELS.dtype

        def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray[Any, Any]:
            asked.append(LABELS[key].shape)
            return LABELS[key]

    region_table(Watched(), Watched(), ["area", "perimeter", "intensity_mean"], window=20)
    assert max(rows for rows, _ in asked) <= 24
    assert max(columns for _, columns in asked) <= 24


def test_channels_have_names() -> None:
    names = ["DAPI", "actin"]
    found = region_table(_picture(np.uint8, 2), LABELS, ["label", "mean_intensity"], channel_names=names)
    assert list(found) == ["label", "mean_intensity-DAPI", "mean_intensity-actin"]


def test_by_default_shape_and_intensity_are_measured() -> None:
    shape = ["label", "area", *(f"bbox-{at}" for at in range(4)), "centroid-0", "centroid-1", "eccentricity"]
    grey = region_table(_picture(np.uint8), LABELS)
    means = ["intensity_mean", "intensity_std", "intensity_min", "intensity_max"]
    assert list(grey) == [*shape, "perimeter", *means]
    assert list(region_table(None, LABELS)) == [*shape, "perimeter"]


def test_the_table_makes_a_data_frame() -> None:
    frame = pd.DataFrame(region_table(_picture(np.uint8), LABELS)).set_index("label")
    assert frame.loc[900_000, "area"] == 66
    assert frame.loc[3, "eccentricity"] == 0


def test_the_background_may_be_another_label_or_none() -> None:
    labels = np.array([[0, 0, 5], [-1, 5, 5]])
    assert region_table(None, labels, ["label"], background=-1)["label"].tolist() == [0, 5]
    found = region_table(None, labels, ["label", "area"], background=None)
    assert found["label"].tolist() == [-1, 0, 5]
    assert found["area"].tolist() == [1, 2, 3]


def test_of_no_region_the_table_has_no_rows() -> None:
    found = region_table(np.ones((4, 5), np.uint8), np.zeros((4, 5), int), list(PROPERTIES))
    assert {len(values) for values in found.values()} == {0}


def test_nan_stays_in_its_region() -> None:
    image = np.ones((4, 6))
    image[1, 1] = np.nan
    labels = np.repeat([[1, 1, 1, 2, 2, 2]], 4, axis=0)
    found = region_table(image, labels, ["intensity_mean", "intensity_std", "intensity_min"], window=2)
    assert np.isnan([found[name][0] for name in found]).all()
    assert [found[name][1] for name in found] == [1, 0, 1]


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_groups_of_rows_are_reduced_some_at_a_time(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GROUPS_AT_ONCE", at_once)
    values = np.random.default_rng(1).normal(size=(9, 2))
    starts = np.array([0, 1, 4, 6, 8])
    for ufunc in (np.add, np.minimum):
        assert_array_equal(groups.reduced(ufunc, values, starts), ufunc.reduceat(values, starts))
        assert groups.reduced(ufunc, values[:0], starts[:0]).shape == (0, 2)


def test_progress_counts_windows() -> None:
    calls: list[tuple[int, int]] = []
    region_table(None, LABELS, ["area"], window=40, progress=lambda *count: calls.append(count))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


IMAGE = np.ones((61, 75), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((IMAGE[:9], LABELS), {}, "image is 9 x 75 pixels, but labels are 61 x 75; they must be the same"),
        ((IMAGE, LABELS, ["aera"]), {}, "'aera' is no property of regions; did you mean 'area'?"),
        (
            (IMAGE, LABELS, ["solidity"]),
            {},
            "'solidity' is not measured here: skimage.measure.regionprops_table gives it",
        ),
        ((IMAGE, LABELS, "area"), {}, "properties must be a list of names, got 'area'"),
        ((None, LABELS, ["intensity_mean"]), {}, "intensity_mean is of the intensity: it needs an image"),
        (
            (None, LABELS.astype(float)),
            {},
            "labels must be an array of integers, of rows and columns, got float64 of shape (61, 75)",
        ),
        (
            (None, LABELS[None]),
            {},
            "labels must be one plane, got shape (1, 61, 75): pass the planes of a stack one by one",
        ),
        ((None, LABELS), {"background": "sky"}, "background must be a label or None, got 'sky'"),
        ((None, LABELS), {"window": 40_000}, "window must be at most 32768 pixels, got 40000"),
        (
            (IMAGE, LABELS),
            {"channel_names": ["DAPI"]},
            "channel_names can be given for an image that has channels: name its channel_axis",
        ),
        (
            (np.dstack([IMAGE] * 3), LABELS),
            {"channel_names": ["DAPI", "actin"]},
            "channel_names must be 3 different texts, one a channel, got ['DAPI', 'actin']",
        ),
        (
            (np.ma.masked_equal(IMAGE, 3), LABELS),
            {},
            "image is a masked array: pass its data, and labels that are 0 where it is masked",
        ),
        (
            (None, np.ma.masked_equal(LABELS, 7)),
            {},
            "labels are a masked array: pass labels.filled(0), or another background",
        ),
        (
            (None, LABELS.astype(np.uint64) + np.uint64(2**63)),
            {},
            "labels must be at most 9223372036854775807, got 9223372036855675808",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(
    arguments: tuple[Any, ...], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole sentence is compared
        region_table(*arguments, **options)
    assert str(refused.value) == sentence


def test_the_largest_and_the_smallest_label_are_told_apart() -> None:
    labels = np.array([[2**63 - 1, 5], [-(2**63), 5]])
    found = region_table(None, labels, ["label", "area"])
    assert found["label"].tolist() == [-(2**63), 5, 2**63 - 1]
    assert found["area"].tolist() == [1, 2, 1]


def test_labels_may_be_lists_and_tensors() -> None:
    labels = [[1, 1, 7], [1, 1, 7]]
    for given in (labels, torch.tensor(labels)):
        assert region_table(None, given, ["label", "area"])["area"].tolist() == [4, 2]


def test_labels_that_are_no_array_are_refused_in_one_sentence() -> None:
    with pytest.raises(TypeError, match=r"^labels cannot be made an array: setting an array elem"):
        region_table(None, [[1, 2], [3]])
    some = da.from_array(LABELS)[da.from_array(LABELS).sum(axis=1) > 0]
    with pytest.raises(ValueError, match=r"^an axis of labels .*let dask find them by labels.comp"):
        region_table(None, some)


def test_a_path_is_refused_with_what_reads_it() -> None:
    with pytest.raises(
        TypeError, match=r"labels must be an array, got the path 'a.tif'; read_labels reads it"
    ):
        region_table(None, "a.tif")
