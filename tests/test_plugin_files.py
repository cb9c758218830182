"""Superpixels in files: what is written comes back, where it lay, with its record."""

from __future__ import annotations

import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels
from npe2 import PluginManifest
from numpy.testing import assert_allclose, assert_array_equal

from napari_pcnet.disk import labels
from napari_pcnet.hierarchy import Measures, PCNetHierarchy
from napari_pcnet.merging.tree import Tree
from napari_pcnet.plugin import files
from napari_pcnet.plugin.files import get_reader, open_in, read, write
from napari_pcnet.plugin.layer_cut import LayerCut
from napari_pcnet.plugin.metadata import KEY, TREES, is_on_disk, recorded_run, trees_of
from napari_pcnet.plugin.result_layer import ResultLayer
from napari_pcnet.plugin.settings import Settings, read_settings
from napari_pcnet.plugin.source import Source
from napari_pcnet.record import DroppedFieldWarning, Origin, RunRecord, notes_of
from napari_pcnet.run import build_hierarchy

RECORD = RunRecord(6, compactness=2.0, plane=(1,), channel_axis=None)
ORIGIN = Origin("cells", "/data/cells.tif", True)
AFFINE = np.array([[0.8, 0.3, 5], [-0.2, 1.1, -7], [0, 0, 1]])


def _labels(**options: Any) -> Labels:
    pixels = np.arange(48, dtype=np.int32).reshape(6, 8) // 8
    metadata = {KEY: notes_of(RECORD, ORIGIN), "other": object()}
    return Labels(pixels, name="cells superpixels", metadata=metadata, **options)


def _written(path: Path, layer: Labels) -> Path:
    data, meta, _ = layer.as_layer_data_tuple()
    return Path(write(str(path), data, meta)[0])


@pytest.mark.parametrize("ending", [".tif", ".tiff", ".zarr"])
def test_superpixels_come_back_with_record_and_place(tmp_path: Path, ending: str) -> None:
    layer = _labels(
        scale=(0.5, 2),
        translate=(3, -4),
        rotate=30,
        shear=(0.25,),
        affine=AFFINE,
        units=("micrometer", "mm"),
        axis_labels=("down", "across"),
    )
    path = _written(tmp_path / f"a.superpixels{ending}", layer)
    assert path == tmp_path / f"a.superpixels{ending}"
    ((data, options, kind),) = read(str(path))
    assert kind == "labels" and options["name"] == "a" and data.dtype == np.int32
    back = Labels(data, **options)
    assert_array_equal(back.data, layer.data)
    assert recorded_run(back.metadata) == (RECORD, ORIGIN)
    for corner in ((0, 0), (0, 7), (5, 0)):
        assert_allclose(back.data_to_world(corner), layer.data_to_world(corner), rtol=1e-12)
    assert (back.units, back.axis_labels) == (layer.units, layer.axis_labels)
    again = _written(tmp_path / f"again{ending}", back)
    assert labels.read_notes(again) == labels.read_notes(path)


def _trees(*heights: float) -> PCNetHierarchy:
    """Six rows of 8 pixels, which are merged from above."""
    base = np.arange(48, dtype=np.int32).reshape(6, 8) // 8
    tree = Tree(6, np.array([[0, 1], [6, 2], [7, 3], [8, 4], [9, 5]]), np.array(heights, np.float64))
    return PCNetHierarchy(base, (tree,), (Measures(np.full(6, 8), np.ones((6, 1)), np.empty(0)),))


def _with_trees(n: int) -> Labels:
    trees, record = _trees(1, 2, 3, 4, 5), RunRecord(n, max_segments=6, channel_axis=None)
    return Labels(trees.labels(n), metadata={KEY: notes_of(record, ORIGIN), TREES: trees})


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
def test_trees_come_back_with_the_labels_that_they_are_of(tmp_path: Path, ending: str) -> None:
    layer = _with_trees(3)
    data, meta, _ = layer.as_layer_data_tuple()
    path = tmp_path / f"a.superpixels{ending}"
    beside = tmp_path / "a.superpixels.trees.npz"
    assert write(str(path), data, meta) == [str(path), str(beside)]
    layer = open_in(ViewerModel(), str(path))
    trees = trees_of(layer.metadata)
    assert trees is not None
    for n in (1, 3, 6):
        assert_array_equal(trees.labels(n), _trees(1, 2, 3, 4, 5).labels(n))
    assert _written(path, layer) == path  # and once more, with both


def test_trees_beside_labels_that_are_replaced_by_some_without_stay_and_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    beside = Path(write(str(path), *_with_trees(3).as_layer_data_tuple()[:2])[1])
    before = beside.read_bytes()
    other = Labels(np.ones((6, 8), int), metadata={KEY: notes_of(RECORD, ORIGIN)})
    assert write(str(path), *other.as_layer_data_tuple()[:2]) == [str(path)]
    assert beside.read_bytes() == before
    with pytest.warns(
        DroppedFieldWarning, match=r"left alone: its trees are not those of these labels; move it away$"
    ):
        assert trees_of(open_in(ViewerModel(), str(path)).metadata) is None


@pytest.mark.parametrize("what", ["other labels", "other trees", "damage", "nothing"])
def test_trees_that_are_not_of_the_labels_are_left_alone(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.tif"
    layer = _with_trees(3)
    data, meta, _ = layer.as_layer_data_tuple()
    beside = Path(write(str(path), data, meta)[1])
    sentence = f"{beside} was left alone: its trees are not those of these labels; move it away"
    if what == "other labels":
        painted = np.array(data)
        painted[5, 5] = 1
        labels.write_labels(path, painted, overwrite=True, notes=labels.read_notes(path))
    elif what == "other trees":
        short = replace(_trees(1, 2, 3, 4, 5), base=np.zeros((2, 2), np.int32))
        tree, measures = Tree(1, np.empty((0, 2), np.int64), np.empty(0)), _trees(1, 2, 3, 4, 5).measures[0]
        one = replace(measures, area=np.array([4]), intensity_mean=np.ones((1, 1)))
        replace(short, trees=(tree,), measures=(one,)).save(beside)
    elif what == "damage":
        beside.write_bytes(beside.read_bytes()[:-100])
        sentence = f"{beside} is not a hierarchy that PCNetHierarchy.save wrote, or is damaged"
    else:
        beside.unlink()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ((_, options, _),) = read(str(path))
    assert trees_of(options["metadata"]) is None and recorded_run(options["metadata"]) is not None
    assert [str(each.message) for each in told] == ([] if what == "nothing" else [sentence])


def test_trees_of_a_smoothed_region_come_back_with_labels_as_large_as_the_image(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    record = RunRecord(12, channel_axis=None, crop=(5, 5, 35, 40), smoothing=3.0)
    viewer, image = ViewerModel(), Image(pixels, name="a")
    viewer.add_layer(image)
    source = Source(image, 0, None)
    result = ResultLayer(viewer, source, source.planes(record), 10**9, image_sized=True)
    hierarchy = build_hierarchy(pixels, record)
    result.finish(hierarchy, LayerCut.make(hierarchy, record, Origin("a")))
    assert result.layer.data.shape == pixels.shape
    path = _written(tmp_path / "a.superpixels.tif", result.layer)
    ((saved, options, _),) = read(str(path))
    assert trees_of(options["metadata"]) is not None
    again = Labels(saved, **options)
    viewer.add_layer(again)
    opened = ResultLayer.opened(viewer, again, 10**9)
    assert opened is not None
    assert_array_equal(opened.layer.data, result.layer.data)


def test_a_stack_of_one_plane_keeps_its_axes(tmp_path: Path) -> None:
    pixels = np.ones((1, 1, 6, 8), np.int32)
    shear = (0.0, 0.0, 0.0, 0.0, 0.0, 0.25)
    layer = Labels(pixels, metadata={KEY: notes_of(RECORD, ORIGIN)}, translate=(4, 3, 2, 1), shear=shear)
    for ending in (".tif", ".zarr"):
        ((data, options, _),) = read(str(_written(tmp_path / f"b{ending}", layer)))
        assert data.shape == (1, 1, 6, 8)
        back = Labels(data, **options)
        assert_allclose(back.data_to_world((0, 0, 5, 7)), layer.data_to_world((0, 0, 5, 7)))


def test_a_pyramid_is_written_at_full_resolution(tmp_path: Path) -> None:
    full = np.arange(64, dtype=np.int32).reshape(8, 8)
    layer = Labels([full, full[::2, ::2]], multiscale=True, metadata={KEY: notes_of(RECORD, ORIGIN)})
    ((data, options, _),) = read(str(_written(tmp_path / "c.tif", layer)))
    assert_array_equal(data, full)
    assert_array_equal(Labels(data, **options).scale, (1, 1))


def test_a_large_pyramid_is_read_where_it_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "HELD_BYTES", 0)
    path, full = tmp_path / "b.ome.zarr", np.arange(1500 * 9, dtype=np.int32).reshape(1500, 9)
    labels.write_labels(path, full, notes=notes_of(RECORD, ORIGIN))
    ((levels, options, _),) = read(str(path))
    assert [(type(level), level.shape) for level in levels] == [
        (zarr.Array, (1500, 9)),
        (zarr.Array, (750, 5)),
    ]
    layer = Labels(levels, **options)
    assert_array_equal(layer.data[0], full)
    assert is_on_disk(layer.metadata) and recorded_run(layer.metadata) == (RECORD, ORIGIN)
    (path / "0/zarr.json").write_text((path / "0/zarr.json").read_text().replace('"zstd"', '"pickle"'))
    with pytest.raises(ValueError, match="its codec 'pickle' may give more than numbers"):
        read(str(path))


def test_a_name_without_an_ending_becomes_a_tif_and_an_old_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "d"
    assert _written(path, _labels()) == tmp_path / "d.tif"
    changed = _labels()
    changed.data = changed.data + 1
    assert _written(path, changed) == tmp_path / "d.tif"
    assert_array_equal(read(str(tmp_path / "d.tif"))[0][0], changed.data)


def test_labels_without_a_record_keep_their_place(tmp_path: Path) -> None:
    layer = Labels(np.ones((6, 8), np.int32), scale=(2, 3))
    ((data, options, _),) = read(str(_written(tmp_path / "e.tif", layer)))
    back = Labels(data, **options)
    assert_array_equal(back.scale, (2, 3))
    assert recorded_run(back.metadata) is None


def test_the_reader_takes_what_has_notes_of_ours(tmp_path: Path) -> None:
    path = _written(tmp_path / "f.superpixels.tif", _labels())
    assert get_reader(str(path)) is read
    plain = tmp_path / "plain.superpixels.tif"
    tifffile.imwrite(plain, np.zeros((6, 8), np.uint16))
    assert get_reader(str(plain)) is None
    text = tmp_path / "text.superpixels.tif"
    text.write_text("no picture")
    assert get_reader(str(text)) is None
    assert get_reader(str(tmp_path / "missing.superpixels.tif")) is None
    assert get_reader([str(path), str(path)]) is None
    assert get_reader(str(tmp_path)) is None


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
def test_files_open_in_a_viewer(tmp_path: Path, ending: str) -> None:
    path = _written(tmp_path / f"g.superpixels{ending}", _labels(scale=(2, 2)))
    viewer = ViewerModel()
    chosen = path / "zarr.json" if ending == ".zarr" else path  # a dialogue for files chooses a file
    layer = open_in(viewer, str(chosen))
    assert list(viewer.layers) == [layer] and layer.name == "g"
    assert_array_equal(layer.data, _labels().data)
    assert_array_equal(layer.scale, (2, 2))
    assert recorded_run(layer.metadata) == (RECORD, ORIGIN)


def test_labels_of_the_command_line_open_with_their_record(tmp_path: Path) -> None:
    path = tmp_path / "h.tif"
    notes = notes_of(RunRecord(6), Origin("cat.png"))
    labels.write_labels(path, np.ones((6, 8), np.int32), notes=notes)
    layer = open_in(ViewerModel(), str(path))
    assert recorded_run(layer.metadata) == (RunRecord(6), Origin("cat.png")) and layer.name == "h"


def test_plain_labels_open_without_a_record_and_a_photograph_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, np.arange(48, dtype=np.uint16).reshape(6, 8))
    layer = open_in(ViewerModel(), str(plain))
    assert_array_equal(layer.data, np.arange(48).reshape(6, 8))
    assert recorded_run(layer.metadata) is None
    photograph = tmp_path / "photograph.tif"
    tifffile.imwrite(photograph, np.zeros((6, 8, 3), np.uint8), photometric="rgb")
    viewer = ViewerModel()
    with pytest.raises(ValueError, match="must be one channel of whole numbers"):
        open_in(viewer, str(photograph))
    assert len(viewer.layers) == 0


def test_preferences_begin_as_the_manifest_says() -> None:
    manifest = PluginManifest.from_distribution("napari-pcnet")
    configuration = manifest.contributions.configurations["superpixels"]
    defaults = {name: each.default for name, each in configuration.properties.items()}
    own = asdict(Settings())
    assert defaults == {**own.pop("options"), **own}


def test_preferences_are_read_from_napari_and_the_defaults_where_it_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_pcnet.plugin import settings

    def unknown(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(settings, "get_plugin_settings", unknown)
    assert read_settings() == Settings()
