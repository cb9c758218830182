"""An image layer as the source of a run: axes, levels, planes, and where its labels lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.layers._source import layer_source
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from napari_pcnet.disk import remote
from napari_pcnet.geometry.grid import Window
from napari_pcnet.planes import Planes
from napari_pcnet.plugin.pixels import StackedPixels
from napari_pcnet.plugin.segmentation import origin_of
from napari_pcnet.plugin.source import (
    LayerGroup,
    Source,
    guess_channel_axis,
    level_shapes,
    overlap,
    shear_matrix,
)
from napari_pcnet.record import RunRecord

TURNED: dict[str, Any] = {
    "scale": (0.5, 2.0),
    "rotate": 30,
    "shear": (0.25,),
    "translate": (100, -50),
    "affine": np.array([[0.8, 0.3, 5], [-0.2, 1.1, -7], [0, 0, 1]]),
}


def _zeros(*shape: int) -> NDArray[np.uint8]:
    return np.zeros(shape, np.uint8)


def _pyramid(*shape: int, levels: int = 3, rgb: bool = False) -> list[NDArray[np.uint8]]:
    pixels = _zeros(*shape)
    plane = slice(None, None, 2)
    made = [pixels]
    for _ in range(levels - 1):
        made.append(made[-1][..., plane, plane, :] if rgb else made[-1][..., plane, plane])
    return made


# -- axes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "axis"),
    [
        (Image(_zeros(8, 9)), None),
        (Image(_zeros(8, 9, 3), rgb=True), 2),
        (Image(_zeros(5, 8, 9, 4), rgb=True), 3),
        (Image(_zeros(4, 8, 9), axis_labels=("c", "y", "x")), 0),
        (Image(_zeros(2, 4, 8, 9), axis_labels=("t", "Channel", "y", "x")), 1),
        (Image(_zeros(4, 8, 9), axis_labels=("t", "y", "x")), None),
        (Image(_zeros(8, 9), axis_labels=("c", "x")), None),
    ],
    ids=["grey", "RGB", "RGBA of a stack", "c", "Channel", "t", "two axes"],
)
def test_channels_are_those_of_rgb_or_of_the_axis_named_so(layer: Image, axis: int | None) -> None:
    assert guess_channel_axis(layer) == axis


@pytest.mark.parametrize(
    ("shape", "rgb", "channel_axis", "record_axis"),
    [
        ((8, 9), False, None, None),
        ((8, 9, 3), True, 2, -1),
        ((4, 8, 9), False, 0, -3),
        ((2, 4, 8, 9), False, 1, -3),
        ((4, 2, 8, 9), False, 0, -4),
        ((1, 4, 8, 9), False, 1, -3),
        ((8, 4, 9), False, 1, -2),
    ],
)
def test_a_record_names_the_channel_axis_as_a_file_would_have_it(
    shape: tuple[int, ...], rgb: bool, channel_axis: int | None, record_axis: int | None
) -> None:
    layer = Image(_zeros(*shape), rgb=rgb)
    source = Source(layer, 0, channel_axis)
    assert source.record_axis == record_axis
    for pixels in (layer.data, np.squeeze(layer.data)):
        planes = Planes.select(pixels, RunRecord(channel_axis=record_axis))
        assert planes.plane_shape == source.plane_shape
        if channel_axis is not None:
            assert planes.channel_axis is not None
            assert pixels.shape[planes.channel_axis] == source.n_channels == shape[channel_axis]


def test_one_depth_between_channels_and_rows_is_no_obstacle() -> None:
    source = Source(Image(_zeros(4, 1, 8, 9), rgb=False), 0, 0)
    planes = source.planes()
    assert (planes.channel_axis, planes.leading, planes.plane_shape) == (0, (), (8, 9))
    assert not source.has_planes and source.labels_shape(planes) == (1, 8, 9)


def test_axes_of_the_labels_are_those_that_hold_no_channels() -> None:
    source = Source(Image(_zeros(2, 4, 8, 9), rgb=False), 0, 1)
    assert source.layer_axes == (0, 2, 3)
    assert (source.shape, source.plane_shape, source.n_channels) == ((2, 4, 8, 9), (8, 9), 4)
    assert source.has_planes and source.planes().indices == ((0,), (1,))
    assert source.labels_shape(source.planes()) == (2, 8, 9)
    one = source.planes(RunRecord(channel_axis=-3, plane=(1,), crop=(2, 3, 6, 8)))
    assert source.labels_shape(one) == (1, 4, 5)


def test_four_channels_are_named_where_they_are_no_transparency() -> None:
    assert Source(Image(_zeros(4, 8, 9), rgb=False), 0, 0).all_channels == (0, 1, 2, 3)
    assert Source(Image(_zeros(8, 9, 4), rgb=True), 0, 2).all_channels is None
    assert Source(Image(_zeros(5, 8, 9), rgb=False), 0, 0).all_channels is None


def test_an_image_of_one_plane_has_no_planes_whatever_its_axes() -> None:
    assert not Source(Image(_zeros(1, 1, 8, 9))).has_planes
    assert not Source(Image(_zeros(1, 8, 9, 3), rgb=True), 0, 3).has_planes
    assert Source(Image(_zeros(2, 8, 9))).has_planes


def test_levels_are_read_from_the_data() -> None:
    layer = Image(_pyramid(32, 48), multiscale=True)
    assert level_shapes(layer) == [(32, 48), (16, 24), (8, 12)]
    assert level_shapes(Image(_zeros(8, 9, 3), rgb=True)) == [(8, 9, 3)]
    source = Source(layer, 2)
    assert source.pixels is layer.data[2] and source.plane_shape == (8, 12)
    assert_array_equal(source.factors, (4, 4))
    assert_array_equal(Source(Image(_zeros(8, 9, 3), rgb=True), 0, 2).factors, (1, 1))


# -- positions -------------------------------------------------------------------------------------


def test_the_plane_at_a_point_is_the_one_that_is_shown() -> None:
    layer = Image(_zeros(5, 3, 8, 9), scale=(10, 2, 1, 1), translate=(100, 50, 0, 0))
    source = Source(layer)
    assert source.plane_at((130, 54, 3, 3)) == (3, 2)
    assert source.plane_at((134, 52.9, 0, 0)) == (3, 1)  # the nearest
    assert source.plane_at((-1e6, 1e6, 0, 0)) == (0, 2)  # beside the stack: its first or last
    channels = Source(Image(_zeros(5, 3, 8, 9), rgb=False), 0, 1)
    assert channels.plane_at((4, 2, 0, 0)) == (4,)


def test_a_layer_with_fewer_axes_than_the_viewer_has_the_last_ones() -> None:
    source = Source(Image(_zeros(4, 8, 9), translate=(20, 0, 0)))
    assert source.plane_at((7, 22, 3, 3)) == (2,)
    assert_allclose(source.to_level_pixels(np.array([[7, 22, 3, 4.5]])), [[3, 4.5]])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_labels_lie_where_the_pixels_lie_that_they_are_of(level: int) -> None:
    layer = Image(_pyramid(32, 48, 3, rgb=True), multiscale=True, rgb=True, **TURNED)
    source = Source(layer, level, 2)
    record = RunRecord(crop=(2, 3, 7, 9))
    planes = source.planes(record)
    labels = Labels(np.zeros(source.labels_shape(planes), int), **source.labels_transform(planes))
    side = 2**level
    for row, column in ((0, 0), (4, 5), (2, 1)):
        covered = [
            layer.data_to_world(((2 + row) * side + r, (3 + column) * side + c))
            for r in range(side)
            for c in range(side)
        ]
        world = labels.data_to_world((row, column))
        assert_allclose(world, np.mean(covered, axis=0), rtol=1e-12)
        assert_allclose(source.to_level_pixels(np.array([world])), [[2 + row, 3 + column]], atol=1e-9)


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
def test_a_plane_of_a_turned_stack_lies_on_that_plane() -> None:
    rng = np.random.default_rng(0)
    affine = np.eye(5)
    affine[:4] += rng.normal(0, 0.2, (4, 5))
    layer = Image(
        _zeros(3, 2, 8, 9),
        scale=(4, 3, 2, 0.5),
        translate=(9, 8, 7, 6),
        rotate=np.linalg.qr(rng.normal(size=(4, 4)))[0],
        shear=(0.1, 0.2, 0.3, 0.1, 0.2, 0.3),
        affine=affine,
        units=("s", "um", "um", "um"),
        axis_labels=("t", "z", "y", "x"),
    )
    source = Source(layer)
    planes = source.planes(RunRecord(channel_axis=None, plane=(2, 1), crop=(1, 2, 5, 8)))
    labels = Labels(np.zeros(source.labels_shape(planes), int), **source.labels_transform(planes))
    assert labels.data.shape == (1, 1, 4, 6)
    for row, column in ((0, 0), (3, 5)):
        assert_allclose(
            labels.data_to_world((0, 0, row, column)), layer.data_to_world((2, 1, 1 + row, 2 + column))
        )
    assert (labels.units, labels.axis_labels) == (layer.units, layer.axis_labels)


@pytest.mark.parametrize("axis", [0, 1])
def test_labels_do_without_the_axis_of_channels(axis: int) -> None:
    shape = (4, 3, 8, 9) if axis == 0 else (3, 4, 8, 9)
    scale = np.insert(np.array([7.0, 2.0, 0.5]), axis, 1)
    translate = np.insert(np.array([1.0, 2.0, 3.0]), axis, 0)
    names = ["t", "y", "x"]
    names.insert(axis, "c")
    layer = Image(_zeros(*shape), rgb=False, scale=scale, translate=translate, axis_labels=names)
    source = Source(layer, 0, axis)
    planes = source.planes()
    labels = Labels(np.zeros(source.labels_shape(planes), int), **source.labels_transform(planes))
    assert labels.data.shape == (3, 8, 9) and labels.axis_labels == ("t", "y", "x")
    assert_allclose(labels.data_to_world((2, 5, 7)), (15, 12, 6.5))


def test_the_size_of_a_pixel_is_that_in_the_world() -> None:
    assert Source(Image(_zeros(8, 9))).pixel_size == (1, 1)
    assert Source(Image(_zeros(8, 9))).spacing is None
    assert_allclose(Source(Image(_zeros(8, 9), scale=(2, 0.5), rotate=30)).pixel_size, (2, 0.5))
    assert_allclose(Source(Image(_zeros(8, 9), scale=(2, 0.5), rotate=30)).spacing, (2, 0.5))
    assert Source(Image(_zeros(8, 9), scale=(2, 2), rotate=30)).spacing is None
    pyramid = Image(_pyramid(32, 48), multiscale=True, scale=(2, 3))
    assert_allclose(Source(pyramid, 2).pixel_size, (8, 12))


def test_what_is_covered_ends_with_the_image() -> None:
    source = Source(Image(_zeros(20, 30)))

    def square(top: float, left: float, bottom: float, right: float) -> NDArray[np.float64]:
        return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])

    assert source.covered(square(-100, -100, 100, 100)) == Window(0, 0, 20, 30)
    assert source.covered(square(3, 4, 5, 6)) == Window(3, 4, 6, 7)  # pixels reach half beyond centres
    assert source.covered(square(2.5, 3.5, 5.5, 6.5)) == Window(3, 4, 6, 7)
    assert source.covered(square(2.4, 3.4, 5.6, 6.6)) == Window(2, 3, 7, 8)
    assert source.covered(square(30, 0, 40, 10)) is None
    level = Source(Image(_pyramid(32, 48), multiscale=True), 1)
    assert level.covered(square(3.5, 7.5, 7.5, 11.5)) == Window(2, 4, 4, 6)


def test_shear_is_a_matrix_either_way() -> None:
    expected = np.array([[1, 0.1, 0.2], [0, 1, 0.3], [0, 0, 1]])
    assert_array_equal(shear_matrix(np.array([0.1, 0.2, 0.3]), 3), expected)
    assert_array_equal(shear_matrix(expected, 3), expected)


def test_windows_overlap_in_the_pixels_that_both_have() -> None:
    assert overlap(Window(0, 0, 4, 6), Window(2, 3, 9, 9)) == Window(2, 3, 4, 6)
    assert overlap(Window(0, 0, 4, 6), Window(4, 0, 9, 9)) is None
    assert overlap(Window(0, 0, 4, 6), Window(0, 6, 9, 9)) is None


# -- several layers as channels ----------------------------------------------------------------------


def _stacked(*layers: Image, level: int = 0) -> Source:
    group = LayerGroup.of(layers)
    assert group is not None
    return Source(layers[0], level, layers[0].ndim, layers[1:])


def test_layers_of_one_shape_and_place_are_channels() -> None:
    one, other = (Image(_zeros(8, 9), name=name, scale=(2, 3)) for name in ("a", "b"))
    group = LayerGroup.of([one, other])
    assert group is not None and group.name == "a + b as channels"
    assert LayerGroup.of([one]) is None
    for different in (
        Image(_zeros(8, 9)),
        Image(_zeros(8, 9), scale=(2, 3), translate=(0, 1)),
        Image(_zeros(8, 9), scale=(2, 3), rotate=5),
        Image(_zeros(8, 9), scale=(2, 3), shear=(0.5,)),
        Image(_zeros(8, 9), scale=(2, 3), affine=np.diag([2.0, 1.0, 1.0])),
        Image(_zeros(8, 9), scale=(2, 3), units=("um", "um")),
        Image(_zeros(8, 10), scale=(2, 3)),
        Image(_zeros(1, 8, 9), scale=(1, 2, 3)),
        Image(_zeros(8, 9, 3), rgb=True, scale=(2, 3)),
        Image(_pyramid(8, 9), multiscale=True, scale=(2, 3)),
    ):
        assert LayerGroup.of([one, different]) is None


def test_channels_of_several_layers_are_read_as_of_one_array() -> None:
    pixels = np.arange(2 * 5 * 8 * 9).reshape(2, 5, 8, 9)
    dtypes = (np.uint8, np.uint16)
    layers = [Image(each.astype(dtype)) for each, dtype in zip(pixels, dtypes, strict=True)]
    source = _stacked(*layers)
    assert (source.shape, source.plane_axes, source.n_channels) == ((5, 8, 9, 2), (1, 2), 2)
    assert source.pixels.dtype == np.uint16 and source.record_axis == -1
    whole = np.stack([each.data for each in layers], axis=-1)
    for channels in (None, (1,), (1, 0)):
        record = RunRecord(channel_axis=-1, plane=(3,), crop=(1, 2, 7, 8), channels=channels)
        found, axis = source.planes(record).read((3,), 2)
        expected, expected_axis = Planes.select(whole, record).read((3,), 2)
        assert axis == expected_axis
        assert_array_equal(found, expected)
    assert source.labels_shape(source.planes()) == (5, 8, 9)


def test_what_is_masked_in_one_of_several_layers_stays_so() -> None:
    masked = np.ma.masked_equal(np.arange(72, dtype=np.uint8).reshape(8, 9), 5)
    stack = StackedPixels([masked, np.zeros((8, 9), np.uint8)])
    read = stack[:, :, :]
    assert np.ma.isMaskedArray(read) and np.argwhere(np.ma.getmaskarray(read)).tolist() == [[0, 5, 0]]


def test_an_address_that_a_layer_came_from_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a host is asked")

    monkeypatch.setattr(remote, "file_system", refuse)
    with layer_source(path="https://host/a.zarr"):
        layer = Image(_zeros(8, 9), name="a")
    assert origin_of(Source(layer, 0, None), RunRecord(2, channel_axis=None)).path is None
