"""Regions coloured by a column of their table, without a window."""

from typing import Any

import dask.array
import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.testing import assert_array_equal

from napari_pcnet import region_table
from napari_pcnet.plugin.coloured_layer import colour_by, columns_of, is_coloured
from napari_pcnet.plugin.result_layer import pyramid_levels

LABELS = np.array([[0, 3, 3, 1], [0, 3, 7, 1]], np.int32)


def _layer(table: dict[str, Any], labels: Any = LABELS, **more: Any) -> tuple[ViewerModel, Labels]:
    viewer = ViewerModel()
    layer = Labels(labels, name="regions", **more)
    layer.features = pd.DataFrame(table)
    viewer.add_layer(layer)
    return viewer, layer


def test_each_region_has_the_value_of_its_row_and_the_rest_none() -> None:
    viewer, layer = _layer({"label": [0, 1, 3], "area": [99.0, 2.0, 5.0]})
    image = colour_by(viewer, layer, "area")
    expected = np.array([[np.nan, 5, 5, 2], [np.nan, 5, np.nan, 2]])
    assert_array_equal(image.data, expected)
    assert image.contrast_limits == [2, 5] and image.name == "regions: area"
    assert viewer.layers.selection.active is layer and is_coloured(image)


def test_the_layer_lies_where_the_regions_lie() -> None:
    place = {"scale": (0.5, 2.0), "translate": (3.0, 4.0), "rotate": 30.0, "units": ("um", "um")}
    viewer, layer = _layer({"label": [1, 3, 7], "x": [1, 2, 3]}, **place)
    image = colour_by(viewer, layer, "x")
    assert_array_equal(image.extent.world, layer.extent.world)
    assert image.units == layer.units


def test_a_pyramid_is_looked_up_in_each_level() -> None:
    labels = np.kron(LABELS, np.ones((400, 300), np.int32))
    viewer, layer = _layer({"label": [1, 3, 7], "x": [1, 2, 3]}, pyramid_levels(labels), multiscale=True)
    image = colour_by(viewer, layer, "x")
    assert image.multiscale and [level.shape for level in image.data] == [each.shape for each in layer.data]
    assert_array_equal(
        np.asarray(image.data[1])[::200, ::150], np.array([[np.nan, 2, 2, 1], [np.nan, 2, 3, 1]])
    )


def test_the_same_column_again_takes_the_place_of_its_layer_and_another_is_another() -> None:
    viewer, layer = _layer({"label": [1, 3, 7], "x": [1, 2, 3], "y": [True, False, True]})
    colour_by(viewer, layer, "x")
    layer.features = pd.DataFrame({"label": [1, 3, 7], "x": [4, 5, 6], "y": [True, False, True]})
    colour_by(viewer, layer, "x")
    colour_by(viewer, layer, "y")
    assert [each.name for each in viewer.layers] == ["regions", "regions: x", "regions: y"]
    assert viewer.layers[1].contrast_limits == [4, 6]


def test_equal_values_and_none_at_all_have_limits_too() -> None:
    viewer, layer = _layer({"index": [1, 3, 7], "same": [2.0] * 3, "nothing": [np.nan] * 3})
    assert colour_by(viewer, layer, "same").contrast_limits == [2, 3]
    assert colour_by(viewer, layer, "nothing").contrast_limits == [0, 1]


def test_columns_of_numbers_are_offered_where_rows_name_their_label() -> None:
    table = {"label": [1, 3, 7], "area": [1, 2, 3], "class": ["a", "b", "c"], "is_edge": [True, False, True]}
    assert columns_of(_layer(table)[1]) == ["area", "is_edge"]
    assert columns_of(_layer({"area": [1, 2, 3]})[1]) == []
    assert columns_of(_layer({"label": ["1", "3", "7"], "area": [1, 2, 3]})[1]) == []
    assert columns_of(Labels(LABELS)) == []


def test_labels_of_a_table_of_the_library_are_coloured() -> None:
    picture = np.arange(8).reshape(2, 4)
    viewer, layer = _layer(region_table(picture, LABELS))
    image = colour_by(viewer, layer, "intensity_mean")
    assert image.data[0, 1] == pytest.approx(np.mean([1, 2, 5]))
    assert isinstance(image, Image)


@pytest.mark.parametrize("is_pyramid", [False, True])
def test_labels_below_0_have_their_own_values_too(is_pyramid: bool) -> None:
    labels = np.array([[-2, 3, 3, 1], [0, 3, -1, 1]])
    data = pyramid_levels(labels) if is_pyramid else labels
    viewer, layer = _layer({"label": [-2, 1, 3], "x": [7, 1, 2]}, data, multiscale=is_pyramid)
    image = colour_by(viewer, layer, "x")
    shown = np.asarray(image.data[0] if is_pyramid else image.data)
    assert_array_equal(shown, [[7, 2, 2, 1], [np.nan, 2, np.nan, 1]])


def test_labels_that_cannot_be_read_are_one_sentence() -> None:
    viewer, layer = _layer({"label": [1], "x": [1]})
    layer._data = dask.array.from_array(LABELS).map_blocks(_gone, meta=LABELS[:0, :0])
    with pytest.raises(ValueError, match="'regions' could not be read: KeyError 'no such chunk'"):
        colour_by(viewer, layer, "x")


def _gone(block: Any) -> Any:
    raise KeyError("no such chunk")


def test_labels_too_far_apart_for_a_table_are_refused() -> None:
    viewer, layer = _layer({"label": [1, 2_000_000_000], "x": [1, 2]}, LABELS)
    with pytest.raises(ValueError, match="labels up to 2,000,000,000 of 2 regions are too far apart"):
        colour_by(viewer, layer, "x")
    viewer, layer = _layer({"label": [1, 3], "x": [1, 2]}, np.where(LABELS, LABELS, -(10**9)))
    with pytest.raises(ValueError, match="labels from -1,000,000,000 to 7 of 2 regions are too far apart"):
        colour_by(viewer, layer, "x")
