"""The layer of a run without a window: filled, cut anew, taken over, undone."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from napari_pcnet.geometry.grid import Window
from napari_pcnet.hierarchy import PCNetHierarchy
from napari_pcnet.plugin.layer_cut import LayerCut, LookupArray, at_cut, features_table
from napari_pcnet.plugin.metadata import KEY, TREES, recorded_run
from napari_pcnet.plugin.result_layer import ResultLayer
from napari_pcnet.plugin.roi import RecordedRegion
from napari_pcnet.plugin.source import Source
from napari_pcnet.record import Origin, RunRecord, notes_of
from napari_pcnet.run import build_hierarchy, run_record

N = 6
LARGE = 10**9
"""Pixels up to which a layer is plain."""


def _picture(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise on a few large patches: something to find edges in."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 200, [max(1, side // 16) if side > 8 else side for side in shape])
    for axis, side in enumerate(shape):
        coarse = np.repeat(coarse, -(-side // coarse.shape[axis]), axis=axis)
    fine: NDArray[np.uint8] = coarse[tuple(map(slice, shape))] + random.integers(0, 50, shape)
    return fine.astype(np.uint8)


def _opened(*shape: int, rgb: bool = True, **options: Any) -> tuple[ViewerModel, Source]:
    viewer = ViewerModel()
    layer = Image(_picture(*shape), name="image", rgb=rgb, **options)
    viewer.add_layer(layer)
    return viewer, Source(layer, 0, layer.ndim if rgb else None)


def _begun(
    viewer: ViewerModel,
    source: Source,
    record: RunRecord,
    editable_px: int = LARGE,
    layer: Labels | None = None,
) -> ResultLayer:
    return ResultLayer(viewer, source, source.planes(record), editable_px, layer)


def _done(
    viewer: ViewerModel,
    source: Source,
    record: RunRecord,
    editable_px: int = LARGE,
    layer: Labels | None = None,
) -> tuple[ResultLayer, PCNetHierarchy]:
    result = _begun(viewer, source, record, editable_px, layer)
    hierarchy = build_hierarchy(source.pixels, record, confidence=True)
    result.finish(hierarchy, LayerCut.make(hierarchy, record, Origin(source.layer.name)))
    return result, hierarchy


# -- records ---------------------------------------------------------------------------------------


def test_a_record_and_its_origin_come_back_from_a_layers_metadata() -> None:
    record = RunRecord(40, plane=(1, 2), crop=(1, 2, 3, 4), height=0.5, spacing=(2.0, 1.0))
    origin = Origin("cells", "/data/cells.tif", True)
    notes = notes_of(record, origin)
    assert recorded_run({KEY: notes, "other": 1}) == (record, origin)
    assert recorded_run({KEY: json.loads(json.dumps(notes))}) == (record, origin)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {KEY: None},
        {KEY: "text"},
        {KEY: {}},
        {KEY: {"record": 5}},
    ],
)
def test_what_is_no_record_is_none(metadata: dict[str, Any]) -> None:
    assert recorded_run(metadata) is None


def test_another_cut_remembers_the_tree_that_it_is_of() -> None:
    record = RunRecord(40, compactness=2.0)
    assert at_cut(record, 10) == RunRecord(10, compactness=2.0, max_segments=40)
    assert at_cut(at_cut(record, 10), 7) == RunRecord(7, compactness=2.0, max_segments=40)
    assert at_cut(at_cut(record, 10), 40) == record
    at_height = at_cut(at_cut(record, 10), height=0.25)
    assert at_height == RunRecord(40, compactness=2.0, height=0.25)
    assert at_cut(at_height, 10) == RunRecord(10, compactness=2.0, max_segments=40)
    assert at_cut(at_height, 40) == record


def test_a_table_begins_with_the_background() -> None:
    features = {"label": np.array([1, 2]), "area": np.array([5, 7]), "confidence": np.array([0.5, 0.25])}
    table = features_table(features)
    assert list(table) == ["label", "area", "confidence"]
    assert_array_equal(table["label"], [0, 1, 2])
    assert_array_equal(table["area"], [0, 5, 7])
    assert table["area"].dtype == features["area"].dtype
    assert_array_equal(table["confidence"], [np.nan, 0.5, 0.25])


def test_a_cut_has_labels_features_and_notes_that_agree() -> None:
    pixels = _picture(2, 40, 48, 3)
    hierarchy = build_hierarchy(pixels, RunRecord(N), confidence=True)
    record = RunRecord(4, max_segments=N)
    checks: list[int] = []
    cut = LayerCut.make(hierarchy, record, Origin("image", None, True), lambda: checks.append(1))
    assert_array_equal(cut.labels, run_record(pixels, record))
    assert_array_equal(cut.labels, cut.table[hierarchy.base])
    assert_array_equal(cut.features["area"], np.bincount(cut.labels.ravel()))
    assert recorded_run({KEY: cut.notes}) == (record, Origin("image", None, True)) and checks


# -- labels that are looked up ---------------------------------------------------------------------


def test_looked_up_labels_slice_as_an_array_does() -> None:
    ids = np.arange(24, dtype=np.int32).reshape(2, 3, 4) % 5
    table = np.array([0, 7, 7, 9, 2], np.int32)
    looked_up, plain = LookupArray(ids, table), table[ids]
    assert (looked_up.shape, looked_up.ndim, looked_up.size, looked_up.dtype) == ((2, 3, 4), 3, 24, np.int32)
    assert_array_equal(np.asarray(looked_up), plain)
    for key in (0, (1, 2), (..., 3), (slice(None), slice(1, 3), slice(None, None, 2)), (1, 2, 3)):
        assert_array_equal(looked_up[key], plain[key])
    assert np.asarray(looked_up, np.int64).dtype == np.int64


def test_napari_takes_looked_up_labels() -> None:
    ids = np.arange(48, dtype=np.int32).reshape(6, 8)
    table = np.arange(48, dtype=np.int32)[::-1].copy()
    layer = Labels([LookupArray(ids, table), LookupArray(ids[::2, ::2], table)], multiscale=True)
    assert layer.data[0].shape == (6, 8) and layer.get_value((2, 3)) is not None


# -- a run -----------------------------------------------------------------------------------------


def test_windows_are_shown_as_they_come() -> None:
    viewer, source = _opened(2, 40, 48, 3)
    result = _begun(viewer, source, RunRecord(N))
    layer = result.layer
    assert list(viewer.layers)[1:] == [layer] and layer.name == "image superpixels"
    assert layer.data.shape == (2, 40, 48) and not layer.data.any()
    result.write(1, Window(8, 4, 12, 10), np.arange(24, dtype=np.int32).reshape(4, 6))
    expected = np.zeros((2, 40, 48), np.int32)
    expected[1, 8:12, 4:10] = np.arange(1, 25).reshape(4, 6)
    assert_array_equal(layer.data, expected)


@pytest.mark.parametrize("editable_px", [LARGE, 100])
def test_a_finished_run_is_labels_features_and_record(editable_px: int) -> None:
    viewer, source = _opened(40, 48, 3)
    result, hierarchy = _done(viewer, source, RunRecord(N), editable_px)
    layer = result.layer
    assert layer.multiscale == result.is_pyramid == (editable_px == 100)
    shown = layer.data[0] if layer.multiscale else layer.data
    assert_array_equal(shown, run_record(source.pixels, RunRecord(N)))
    assert shown.dtype == np.int32 and layer.contour == 1
    assert_array_equal(layer.features["area"], np.bincount(shown.ravel()))
    assert recorded_run(layer.metadata) == (RunRecord(N), Origin("image"))
    assert result.hierarchy is hierarchy and result.is_there and not result.is_edited


def test_a_pyramid_is_views_of_one_array_down_to_a_small_one() -> None:
    viewer, source = _opened(1100, 700, rgb=False)
    result = _begun(viewer, source, RunRecord(N, channel_axis=None), 100)
    levels = result.layer.data
    assert [each.shape for each in levels] == [(1100, 700), (550, 350), (275, 175)]
    result.write(0, Window(0, 0, 1100, 700), np.full((1100, 700), 4, np.int32))
    assert all((level == 5).all() for level in levels)


@pytest.mark.parametrize("editable_px", [LARGE, 100])
def test_slide_shows_a_cut_and_settle_completes_it(editable_px: int) -> None:
    viewer, source = _opened(40, 48, 3)
    result, hierarchy = _done(viewer, source, RunRecord(N), editable_px)
    layer = result.layer
    for n in (3, 2, hierarchy.n_base, 4):
        result.slide(n)
        shown = layer.data[0] if layer.multiscale else layer.data
        assert_array_equal(np.asarray(shown), hierarchy.labels(n))
        assert not result.is_edited
    record = at_cut(RunRecord(N), 4)
    result.settle(LayerCut.make(hierarchy, record, Origin("image")))
    shown = layer.data[0] if layer.multiscale else layer.data
    assert isinstance(shown, np.ndarray)
    assert_array_equal(shown, run_record(source.pixels, record))
    assert len(layer.features) == 5 and result.record == record and not result.is_edited
    result.slide(height=float(hierarchy.trees[0].height[-3]))
    shown = layer.data[0] if layer.multiscale else layer.data
    assert_array_equal(np.asarray(shown), hierarchy.labels(height=float(hierarchy.trees[0].height[-3])))


@pytest.mark.parametrize("editable_px", [LARGE, 100])
def test_a_slide_is_smoothed_when_it_settles_and_smoothing_is_no_edit(editable_px: int) -> None:
    viewer, source = _opened(60, 72, 3)
    smooth = RunRecord(N, smoothing=2.0)
    result, hierarchy = _done(viewer, source, smooth, editable_px)
    layer = result.layer

    def shown() -> NDArray[np.int32]:
        return np.asarray(layer.data[0] if layer.multiscale else layer.data)

    assert_array_equal(shown(), run_record(source.pixels, smooth))
    assert not result.is_edited
    result.slide(4)
    assert_array_equal(shown(), hierarchy.look_up(hierarchy.table(4)))
    assert not result.is_edited
    record = at_cut(smooth, 4)
    result.settle(result.cut(record))
    expected = run_record(source.pixels, record)
    assert_array_equal(shown(), expected)
    assert (expected != hierarchy.look_up(hierarchy.table(4))).any()
    assert_array_equal(layer.features["area"], np.bincount(expected.ravel()))
    assert not result.is_edited
    assert_array_equal(result.editable_copy().data, expected)
    if not layer.multiscale:
        layer.data_setitem((np.array([5]), np.array([5])), 99)
        assert result.is_edited
        assert_array_equal(result.again().layer.data, expected)


def test_painting_and_new_data_are_edits_and_looks_are_not() -> None:
    viewer, source = _opened(40, 48, 3)
    result, _ = _done(viewer, source, RunRecord(N))
    layer = result.layer
    layer.opacity, layer.contour, layer.name, layer.scale = 0.3, 0, "mine", (2, 2)
    assert not result.is_edited
    before = layer.data[5, 5]
    layer.data_setitem((np.array([5]), np.array([5])), 99)
    assert result.is_edited
    layer.data_setitem((np.array([5]), np.array([5])), before)
    assert not result.is_edited
    layer.data = np.array(layer.data)
    assert result.is_edited


@pytest.mark.parametrize("editable_px", [LARGE, 100])
def test_undo_of_a_first_run_takes_the_layer_away(editable_px: int) -> None:
    viewer, source = _opened(40, 48, 3)
    result = _begun(viewer, source, RunRecord(N), editable_px)
    assert len(viewer.layers) == 2
    result.undo()
    assert list(viewer.layers) == [source.layer] and not result.is_there
    result.undo()  # nothing to undo is no error


@pytest.mark.parametrize("editable_px", [LARGE, 100])
def test_undo_of_a_second_run_gives_the_layer_back_as_it_was(editable_px: int) -> None:
    viewer, source = _opened(40, 48, 3)
    first, _ = _done(viewer, source, RunRecord(N), editable_px)
    layer = first.layer
    data = list(layer.data) if layer.multiscale else [layer.data]
    pixels, features, metadata = np.array(data[0]), layer.features.copy(), dict(layer.metadata)
    source.layer.scale, source.layer.rotate, source.layer.translate = (2, 3), 30, (4, 5)
    second = _begun(viewer, source, RunRecord(N, crop=(8, 8, 40, 40)), editable_px, layer)
    assert second.layer is layer and len(viewer.layers) == 2
    second.write(0, Window(0, 0, 4, 4), np.full((4, 4), 7, np.int32))
    assert_array_equal(layer.scale, (2, 3))
    second.undo()
    now = list(layer.data) if layer.multiscale else [layer.data]
    assert all(one is other for one, other in zip(now, data, strict=True))
    assert_array_equal(now[0], pixels)
    assert layer.features.equals(features) and layer.metadata == metadata
    assert_array_equal(layer.scale, (1, 1))
    assert_array_equal(layer.translate, (0, 0))
    assert_array_equal(layer.rotate, np.eye(2))
    assert not first.is_edited  # the first result still knows its labels


def test_a_layer_of_the_other_kind_is_replaced_when_the_run_is_done() -> None:
    viewer, source = _opened(40, 48, 3)
    first, _ = _done(viewer, source, RunRecord(N))
    second = _begun(viewer, source, RunRecord(N), 100, first.layer)
    assert second.layer is not first.layer and len(viewer.layers) == 3
    second.undo()
    assert list(viewer.layers) == [source.layer, first.layer]
    third, _ = _done(viewer, source, RunRecord(N), 100, first.layer)
    assert list(viewer.layers) == [source.layer, third.layer]
    assert third.layer.name == "image superpixels"


def test_nested_cuts_and_the_editable_copy_are_layers_of_their_own() -> None:
    viewer, source = _opened(40, 48, 3, scale=(2, 2))
    result, hierarchy = _done(viewer, source, RunRecord(N), 100)
    record = at_cut(RunRecord(N), 3)
    added = result.add_cut(LayerCut.make(hierarchy, record, Origin("image")), "coarse")
    assert added.multiscale and added.name == "coarse" and len(added.features) == 4
    assert_array_equal(added.data[0], hierarchy.labels(3))
    assert recorded_run(added.metadata) == (record, Origin("image"))
    result.slide(4)
    copy = result.editable_copy()
    assert isinstance(copy.data, np.ndarray) and copy.name == "image superpixels (editable)"
    assert_array_equal(copy.data, hierarchy.labels(4))
    assert_array_equal(copy.scale, (2, 2))
    copy.data[:] = 0
    assert_array_equal(np.asarray(result.layer.data[0]), hierarchy.labels(4))
    assert list(viewer.layers)[1:] == [result.layer, added, copy]


def test_one_plane_of_a_stack_and_a_crop_are_layers_of_that_part() -> None:
    viewer, source = _opened(3, 40, 48, 3)
    record = RunRecord(N, plane=(2,), crop=(4, 8, 36, 44))
    result, _ = _done(viewer, source, record)
    assert result.layer.data.shape == (1, 32, 36)
    assert_array_equal(result.layer.data[0], run_record(source.pixels, record))
    assert_array_equal(result.layer.data_to_world((0, 0, 0)), (2, 4, 8))


# -- as large as the image ---------------------------------------------------------------------------


@pytest.mark.parametrize("editable_px", [LARGE, 0], ids=["plain", "pyramid"])
@pytest.mark.parametrize("planes", [(), (3,)], ids=["plane", "stack"])
def test_labels_as_large_as_the_image_are_those_of_the_region_with_0_around(
    editable_px: int, planes: tuple[int, ...]
) -> None:
    viewer, source = _opened(*planes, 60, 70, 3, scale=(1,) * len(planes) + (2, 3))
    record = RunRecord(N, crop=(10, 20, 50, 65))
    result = ResultLayer(viewer, source, source.planes(record), editable_px, image_sized=True)
    assert result.buffer is None
    for k in range(3 if planes else 1):
        result.write(k, Window(0, 0, 40, 45), np.full((40, 45), k, np.int32))
    shown = np.asarray(result.layer.data[0] if result.is_pyramid else result.layer.data)
    inside = (..., slice(10, 50), slice(20, 65))
    assert_array_equal(np.unique(shown[inside]), np.arange(1, 4 if planes else 2))

    def check(expected: NDArray[Any], layer: Labels = result.layer) -> None:
        data = layer.data[0] if layer.multiscale else layer.data
        whole = np.zeros((*planes, 60, 70), np.int32)
        whole[inside] = expected
        assert_array_equal(np.asarray(data), whole)
        assert_array_equal(layer.extent.world, source.layer.extent.world)

    hierarchy = build_hierarchy(source.pixels, record, confidence=True)
    result.finish(hierarchy, LayerCut.make(hierarchy, record, Origin("image")))
    check(hierarchy.labels(N))
    result.slide(3)
    check(hierarchy.labels(3))
    cut = result.cut(at_cut(record, 4))
    result.settle(cut)
    check(hierarchy.labels(4))
    check(hierarchy.labels(4), result.add_cut(cut, "more"))
    check(hierarchy.labels(4), result.editable_copy())
    check(hierarchy.labels(4), result.again().layer)
    assert not result.is_edited
    smooth = replace(record, smoothing=3.0)
    result.settle(result.cut(smooth))
    check(run_record(source.pixels, smooth))
    region = RecordedRegion.of(result.layer, replace(record, mask="layer"))
    assert region.mask is not None and region.mask().shape[-2:] == (40, 45)
    assert region.mask().all()


def test_labels_as_large_as_the_image_are_refused_where_there_is_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, source = _opened(600, 700, 3)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1_000_000))
    planes = source.planes(RunRecord(N, crop=(10, 20, 50, 65)))
    refusal = "labels as large as the image need 3 MB of memory, and 1 MB are free: untick 'labels as large"
    with pytest.raises(ValueError, match=refusal):
        ResultLayer(viewer, source, planes, LARGE, image_sized=True)
    assert list(viewer.layers) == [source.layer]
    assert ResultLayer(viewer, source, planes, LARGE).layer.data.shape == (40, 45)


# -- from a file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("image_sized", [False, True])
def test_a_layer_that_brings_its_trees_is_cut_on_its_own(image_sized: bool) -> None:
    viewer, source = _opened(48, 64, 3, scale=(2.0, 2.0))
    record = RunRecord(N, crop=(8, 8, 40, 56))
    result = ResultLayer(viewer, source, source.planes(record), LARGE, image_sized=image_sized)
    hierarchy = build_hierarchy(source.pixels, record)
    result.finish(hierarchy, LayerCut.make(hierarchy, record, Origin("image")))
    brought = Labels(result.layer.data.copy(), metadata=dict(result.layer.metadata), scale=(2.0, 2.0))

    other = ViewerModel()
    other.add_layer(brought)
    opened = ResultLayer.opened(other, brought, LARGE)
    assert opened is not None and opened.layer is brought and not opened.has_image
    assert opened.origin == Origin("image") and opened.record == record
    for n in (3, 10):
        result.slide(n)
        opened.slide(n)
        assert_array_equal(brought.data, result.layer.data)
        assert_array_equal(brought.scale, (2, 2))


def test_a_layer_that_shows_no_cut_of_its_trees_is_none() -> None:
    viewer, source = _opened(48, 64, 3)
    _, hierarchy = _done(viewer, source, RunRecord(N))
    layer = viewer.layers[-1]
    painted = np.array(layer.data)
    painted[5, 5] = 99
    for pixels, metadata in (
        (painted, dict(layer.metadata)),
        (layer.data[:20], dict(layer.metadata)),
        (layer.data, {TREES: hierarchy}),
        (layer.data, {KEY: layer.metadata[KEY]}),
        (layer.data, layer.metadata | {TREES: "trees"}),
    ):
        assert ResultLayer.opened(viewer, Labels(pixels, metadata=metadata), LARGE) is None
