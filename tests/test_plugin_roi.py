"""Regions of interest: what Shapes and Labels layers outline, pixel by pixel, wherever they lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels, Shapes
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_pcnet.geometry.grid import Window
from napari_pcnet.plugin.roi import RegionOfInterest, inside_labels, inside_shapes
from napari_pcnet.plugin.source import Source

TURNED: dict[str, Any] = {
    "scale": (0.5, 2.0),
    "rotate": 30,
    "shear": (0.25,),
    "translate": (100, -50),
    "affine": np.array([[0.8, 0.3, 5], [-0.2, 1.1, -7], [0, 0, 1]]),
}


def _zeros(*shape: int) -> NDArray[np.uint8]:
    return np.zeros(shape, np.uint8)


def _pyramid(*shape: int) -> list[NDArray[np.uint8]]:
    """Two levels."""
    pixels = _zeros(*shape)
    return [pixels, pixels[::2, ::2]]


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
    layer = Image(_pyramid(64, 80), multiscale=True, **TURNED)
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


def test_a_region_has_the_size_of_its_crop_and_the_area_of_its_mask() -> None:
    source = Source(Image(_zeros(50, 60)))
    assert RegionOfInterest().shape(source) == (50, 60)
    region = RegionOfInterest(Window(10, 20, 30, 60), 0.25)
    assert (region.shape(source), region.area_px(source)) == ((20, 40), 200)
    assert RegionOfInterest(share=1e-9).area_px(source) == 1
