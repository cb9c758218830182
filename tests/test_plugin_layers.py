"""What a napari layer is to a run: axes, levels, planes, where its labels lie, which region is meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels, Shapes
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_pcnet.geometry.grid import Window
from napari_pcnet.planes import Planes
from napari_pcnet.plugin.roi import inside_labels, inside_shapes
from napari_pcnet.plugin.source import Source, guess_channel_axis, level_shapes, shear_matrix
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
    labels = Labels(np.zeros(source.labels_shape(planes), int), **source.placement(planes))
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
    labels = Labels(np.zeros(source.labels_shape(planes), int), **source.placement(planes))
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
    labels = Labels(np.zeros(source.labels_shape(planes), int), **source.placement(planes))
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


# -- regions ---------------------------------------------------------------------------------------


def _whole(source: Source, crop: Window | None, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask of a crop as one of the plane."""
    if crop is None:
        return mask
    whole = np.zeros(source.plane_shape, bool)
    whole[crop.slices] = mask
    return whole


def test_a_polygon_is_the_pixels_whose_centres_it_encloses() -> None:
    source = Source(Image(_zeros(50, 60)))
    corners = np.array([[5.2, 8.3], [40.6, 20.2], [20.4, 50.7]])
    region = inside_shapes(source, Shapes([corners], shape_type="polygon", name="s"), (0, 0))
    assert region.mask is not None and region.crop is not None
    mask = _whole(source, region.crop, region.mask())
    assert_array_equal(mask, polygon2mask((50, 60), corners))
    assert region.crop == Window(5, 8, 42, 52)
    share = mask[region.crop.slices].mean()
    assert region.share == pytest.approx(share, abs=0.02)


def test_an_ellipse_is_as_large_as_its_axes_say() -> None:
    source = Source(Image(_zeros(100, 120)))
    box = np.array([[20, 30], [20, 90], [60, 90], [60, 30]], float)
    region = inside_shapes(source, Shapes([box], shape_type="ellipse"), (0, 0))
    assert region.mask is not None
    mask = _whole(source, region.crop, region.mask())
    rows, columns = np.mgrid[:100, :120]
    exact = ((rows - 40) / 20) ** 2 + ((columns - 60) / 30) ** 2 < 1
    assert (mask != exact).sum() <= 4
    assert mask.sum() == pytest.approx(np.pi * 20 * 30, rel=0.01)


def test_shapes_are_joined_and_paths_have_no_inside() -> None:
    source = Source(Image(_zeros(50, 60)))
    one = np.array([[5.2, 5.2], [5.2, 15.3], [15.3, 15.3], [15.3, 5.2]])
    two = one + np.array((20, 30))
    path = np.array([[0.0, 0], [49, 0], [49, 59]])
    shapes = Shapes([one, path, two], shape_type=["rectangle", "path", "polygon"])
    region = inside_shapes(source, shapes, (0, 0))
    assert region.mask is not None and region.crop == Window(5, 5, 37, 47)
    expected = _zeros(50, 60).astype(bool)
    expected[6:16, 6:16] = expected[26:36, 36:46] = True
    assert_array_equal(_whole(source, region.crop, region.mask()), expected)


def test_shapes_beside_the_image_end_with_it() -> None:
    source = Source(Image(_zeros(50, 60)))
    box = np.array([[-20, 40], [-20, 90], [10.5, 90], [10.5, 40]], float)
    region = inside_shapes(source, Shapes([box]), (0, 0))
    assert region.crop == Window(0, 40, 12, 60) and region.mask is not None
    mask = region.mask()
    assert mask.shape == (12, 20) and mask[1:10, 1:].all() and not mask[11].any()


@pytest.mark.parametrize("level", [0, 1])
def test_shapes_and_image_meet_in_the_world(level: int) -> None:
    layer = Image(_pyramid(64, 80, levels=2), multiscale=True, **TURNED)
    source = Source(layer, level)
    side = 2**level
    corners = np.array([[10.3, 12.4], [10.3, 50.6], [40.7, 50.6], [40.7, 12.4]])
    affine = np.array([[2.0, 0.3, 4], [0.1, 0.7, -3], [0, 0, 1]])
    world = [layer.data_to_world(each) for each in corners]
    drawn = np.array([np.linalg.solve(affine, [*each, 1])[:2] for each in world])
    shapes = Shapes([drawn], shape_type="polygon", affine=affine)
    region = inside_shapes(source, shapes, (0, 0))
    assert region.mask is not None
    in_level = (corners + 0.5) / side - 0.5
    expected = polygon2mask(source.plane_shape, in_level)
    assert_array_equal(_whole(source, region.crop, region.mask()), expected)


def test_only_shapes_in_the_plane_count() -> None:
    source = Source(Image(_zeros(5, 50, 60)))
    box = np.array([[5.2, 5.2], [5.2, 15.3], [15.3, 15.3], [15.3, 5.2]])
    in_plane = [np.column_stack([np.full(4, t), box + 10 * t]) for t in (1, 3)]
    shapes = Shapes(in_plane, shape_type="rectangle", name="boxes")
    region = inside_shapes(source, shapes, (3, 0, 0))
    assert region.crop == Window(35, 35, 47, 47)
    message = r"^no shape of the layer 'boxes' encloses pixels of 'image'$"
    source.layer.name = "image"
    with pytest.raises(ValueError, match=message):
        inside_shapes(source, shapes, (2, 0, 0))


def test_a_flat_shape_holds_for_every_plane() -> None:
    source = Source(Image(_zeros(5, 50, 60)))
    box = np.array([[5.2, 5.2], [5.2, 15.3], [15.3, 15.3], [15.3, 5.2]])
    assert inside_shapes(source, Shapes([box]), (3, 0, 0)).crop == Window(5, 5, 17, 17)


def test_shapes_that_enclose_nothing_are_refused() -> None:
    source = Source(Image(_zeros(50, 60), name="image"))
    message = r"^no shape of the layer 'nothing' encloses pixels of 'image'$"
    with pytest.raises(ValueError, match=message):
        inside_shapes(source, Shapes(name="nothing"), (0, 0))
    far = np.array([[200.0, 200], [200, 210], [210, 210], [210, 200]])
    with pytest.raises(ValueError, match=message):
        inside_shapes(source, Shapes([far], name="nothing"), (0, 0))
    tiny = np.array([[5.2, 5.2], [5.2, 5.8], [5.8, 5.8], [5.8, 5.2]])
    region = inside_shapes(source, Shapes([tiny], name="nothing"), (0, 0))
    assert region.mask is not None
    with pytest.raises(ValueError, match=r"^no shape of the layer 'nothing' encloses a pixel of 'image'$"):
        region.mask()


def test_labels_are_a_region_pixel_by_pixel() -> None:
    source = Source(Image(_zeros(50, 60)))
    drawn = _zeros(50, 60)
    drawn[10:20, 30:50], drawn[40, 3] = 7, 1
    region = inside_labels(source, Labels(drawn), (0, 0))
    assert region.mask is not None and region.crop is None
    assert_array_equal(region.mask(), drawn > 0)
    assert region.share == (drawn > 0).mean()


def test_labels_of_another_scale_and_place_are_a_region_too() -> None:
    source = Source(Image(_zeros(48, 60), scale=(0.5, 0.5)))
    drawn = _zeros(6, 20)
    drawn[2:4, 3:5] = 1
    # 4 x 4 image pixels each; its first pixel covers image rows 8 to 11, columns -4 to -1
    labels = Labels(drawn, scale=(2, 2), translate=(0.5 * 9.5, 0.5 * -2.5))
    region = inside_labels(source, labels, (0, 0))
    expected = _zeros(48, 60).astype(bool)
    expected[16:24, 8:16] = True
    assert region.mask is not None
    assert_array_equal(region.mask(), expected)


def test_turned_labels_are_read_where_they_lie() -> None:
    source = Source(Image(_zeros(40, 50)))
    drawn = _zeros(40, 40)
    drawn[5:10, 20:30] = 1
    turned = Labels(drawn, affine=np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]]))  # rows are columns
    region = inside_labels(source, turned, (0, 0))
    expected = _zeros(40, 50).astype(bool)
    expected[20:30, 5:10] = True
    assert region.mask is not None
    assert_array_equal(region.mask(), expected)


def test_labels_of_a_stack_are_read_in_the_plane_that_is_shown() -> None:
    source = Source(Image(_zeros(3, 20, 30)))
    drawn = _zeros(3, 20, 30)
    drawn[1, 5:10, 5:10], drawn[2, 10:15] = 1, 1
    for t in (1, 2):
        mask = inside_labels(source, Labels(drawn), (t, 0, 0)).mask
        assert mask is not None
        assert_array_equal(mask(), drawn[t] > 0)
    flat = inside_labels(source, Labels(drawn[1]), (2, 0, 0)).mask
    assert flat is not None
    assert_array_equal(flat(), drawn[1] > 0)


def test_labels_of_a_pyramid_are_a_region_at_full_resolution() -> None:
    drawn = _zeros(64, 80)
    drawn[11:30, 21:40] = 1
    labels = Labels([drawn, drawn[::2, ::2]], multiscale=True)
    mask = inside_labels(Source(Image(_zeros(64, 80))), labels, (0, 0)).mask
    assert mask is not None
    assert_array_equal(mask(), drawn > 0)


def test_labels_of_a_large_image_are_read_in_strips() -> None:
    drawn = _zeros(1300, 700)
    drawn[500:530, 20:600], drawn[1299, 699] = 1, 1
    region = inside_labels(Source(Image(_zeros(1300, 700))), Labels(drawn), (0, 0))
    assert region.mask is not None
    assert_array_equal(region.mask(), drawn > 0)
    assert region.share == pytest.approx((drawn > 0).mean(), rel=0.05)


def test_labels_that_are_0_everywhere_are_refused() -> None:
    source = Source(Image(_zeros(20, 30), name="image"))
    region = inside_labels(source, Labels(_zeros(20, 30), name="blank"), (0, 0))
    assert region.mask is not None
    with pytest.raises(ValueError, match=r"^the layer 'blank' is 0 everywhere on 'image'$"):
        region.mask()
    beside = inside_labels(source, Labels(_zeros(20, 30) + 1, name="blank", translate=(99, 99)), (0, 0))
    assert beside.mask is not None
    with pytest.raises(ValueError, match=r"^the layer 'blank' is 0 everywhere on 'image'$"):
        beside.mask()
