"""A dask array in gives a dask array out, of the same labels, and nothing is computed early."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import pytest
import xarray
from dask.highlevelgraph import HighLevelGraph

from blobs import blobs, disc
from napari_pcnet import delayed, pcnet_superpixels, pipeline
from napari_pcnet.network import machine

SHAPE = (300, 390)
CHUNKS = [(100, 128, 3), (300, 390, 3), ((7, 200, 93), (389, 1), (1, 2))]
IMAGE, DISC = blobs(SHAPE), disc(SHAPE)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return pcnet_superpixels(IMAGE, 60)


def counted(image: np.ndarray, chunks: Any, seen: Counter[Any]) -> dask.array.Array:
    """A dask array that counts how often each of its chunks is computed."""
    lazy = dask.array.from_array(image, chunks=chunks)

    def load(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        seen[tuple(block_info[0]["chunk-location"])] += 1
        return block

    return lazy.map_blocks(load, dtype=image.dtype, meta=lazy._meta)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_labels_are_those_of_the_array_for_any_chunks_and_each_is_read_once(
    chunks: Any, expected: np.ndarray
) -> None:
    seen = Counter[Any]()
    lazy = counted(IMAGE, chunks, seen)
    labels: Any = pcnet_superpixels(lazy, 60, window=192)
    assert not seen
    assert (labels.dtype, labels.chunks) == (np.int32, lazy.chunks[:2])
    np.testing.assert_array_equal(labels.compute(scheduler="threads"), expected)
    assert set(seen.values()) == {1}


@pytest.mark.parametrize(
    "options",
    [
        {"mask": DISC, "start_label": 0},
        {"mask": dask.array.from_array(DISC, chunks=90)},
        {"method": "lattice"},
        {"intensity_range": (40.0, 200.0), "n_segments": 900, "spacing": (1.0, 2.0)},
        {"model": "pcnet-v1", "precision": "float64", "n_segments": 9},
    ],
    ids=["mask", "mask of dask", "lattice", "range", "v1"],
)
def test_every_option_is_heeded(options: dict[str, Any]) -> None:
    options = {"n_segments": 60} | options
    lazy = dask.array.from_array(IMAGE, chunks=(150, 200, 3))
    labels: Any = pcnet_superpixels(lazy, window=192, **options)
    np.testing.assert_array_equal(labels.compute(), pcnet_superpixels(IMAGE, **options))


def test_the_channels_may_come_first_or_not_at_all() -> None:
    lazy = dask.array.from_array(np.moveaxis(IMAGE, 2, 0), chunks=((2, 1), 300, 200))
    labels: Any = pcnet_superpixels(lazy, 9, channel_axis=0)
    np.testing.assert_array_equal(labels.compute(), pcnet_superpixels(IMAGE, 9))
    grey: Any = pcnet_superpixels(dask.array.from_array(IMAGE[..., 0], chunks=200), 9)
    np.testing.assert_array_equal(grey.compute(), pcnet_superpixels(IMAGE[..., 0], 9))


def test_a_part_of_the_labels_can_be_computed(expected: np.ndarray) -> None:
    labels: Any = pcnet_superpixels(dask.array.from_array(IMAGE, chunks=(100, 128, 3)), 60, window=192)
    np.testing.assert_array_equal(labels[120:130, 250:].compute(), expected[120:130, 250:])


def test_one_image_and_the_same_options_have_one_name() -> None:
    lazy = dask.array.from_array(IMAGE, chunks=(100, 128, 3))
    names = [pcnet_superpixels(lazy, n).name for n in (5, 5, 6)]  # type: ignore[attr-defined]
    assert names[0] == names[1] != names[2]


def test_extremes_of_many_chunks_are_joined_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delayed, "MERGED_AT_ONCE", 3)
    labels: Any = pcnet_superpixels(dask.array.from_array(IMAGE, chunks=(50, 60, 3)), 9)
    assert isinstance(labels.dask, HighLevelGraph)
    np.testing.assert_array_equal(labels.compute(), pcnet_superpixels(IMAGE, 9))


@pytest.mark.filterwarnings("default")  # those of distributed, about the machine
def test_so_they_are_on_a_cluster_of_two_processes(expected: np.ndarray, tmp_path: Path) -> None:
    from dask.distributed import Client, LocalCluster

    lazy = dask.array.from_array(IMAGE, chunks=(100, 128, 3))
    labels: Any = pcnet_superpixels(lazy, 60, window=192)
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=0,
            local_directory=str(tmp_path),
        ) as cluster,
        Client(cluster) as client,
    ):
        np.testing.assert_array_equal(client.compute(labels).result(timeout=300), expected)
        loaded = client.run(lambda: pipeline._prepare_version.cache_info().misses)
    assert set(loaded.values()) <= {0, 1}  # weights, once a worker
    assert max(loaded.values()) == 1


def test_of_several_windows_one_is_on_a_gpu() -> None:
    with machine.one_at_a_time("cuda"):
        assert not machine._GPU.acquire(blocking=False)
    with machine.one_at_a_time("cpu"):
        assert machine._GPU.acquire(blocking=False)
    machine._GPU.release()


def lazily(image: np.ndarray) -> dask.array.Array:
    return dask.array.from_array(image, chunks=200, asarray=False)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (IMAGE, {"smoothing": 2}, "smoothing takes the labels of the whole plane, and those of a dask array"),
        (IMAGE, {"intensity_range": "1%-99%"}, "intensity_range in percentages reads a dask array several"),
        (IMAGE, {"n_segments": 10**6}, "n_segments must be at most 117000, the pixels of the image, got 10"),
        (IMAGE, {"mask": np.zeros(SHAPE)}, "the mask must hold at least one pixel to segment"),
        (
            IMAGE,
            {"mask": np.eye(300, 390), "n_segments": 5},
            "n_segments must be at least 300, the number of connected parts of the mask, got 5",
        ),
        (IMAGE, {"progress": print}, "progress cannot be told of a dask array, whose labels are computed"),
        (
            np.ma.masked_array(IMAGE[..., 0], ~DISC),
            {},
            "image is a dask array of masked arrays, whose masks are not known: pass mask=, which is read",
        ),
    ],
)
def test_what_only_a_picture_that_is_read_can_give_is_refused_at_once(
    image: np.ndarray, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        pcnet_superpixels(lazily(image), **options)


def holed() -> np.ndarray:
    image = IMAGE.astype(np.float32)
    image[250, 380] = np.nan
    return image


def transparent() -> np.ndarray:
    return np.dstack([IMAGE, np.where(DISC, 0, 255).astype(np.uint8)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (holed, "image holds NaN, which would be outside the mask: pass mask=, which is read at once, or"),
        (transparent, "image is masked or transparent somewhere, which would be outside: pass mask=, which"),
        (lambda: np.where(DISC, np.inf, 1.0), "image must be finite, got infinity; leave such pixels out"),
    ],
)
def test_what_the_values_forbid_is_one_sentence_when_they_are_read(
    make: Callable[[], np.ndarray], message: str
) -> None:
    labels: Any = pcnet_superpixels(lazily(make()), 5)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        labels.compute()


def test_what_is_outside_may_be_said_by_a_mask() -> None:
    inside = ~np.isnan(holed()).any(axis=2)
    labels: Any = pcnet_superpixels(lazily(np.nan_to_num(holed())), 5, mask=inside)
    np.testing.assert_array_equal(labels.compute(), pcnet_superpixels(np.nan_to_num(holed()), 5, mask=inside))


def test_more_regions_than_the_first_lattice_gives_are_refused() -> None:
    image = np.zeros((70, 70), np.uint8)
    labels: Any = pcnet_superpixels(lazily(image), 4900)
    with pytest.raises(ValueError, match=r"^n_segments must be at most \d+, the regions that were found in "):
        labels.compute()
    out = np.empty((70, 70), np.int32)
    assert pcnet_superpixels(lazily(image), 4900, out=out).max() == 4900


@pytest.mark.parametrize("lazy", [False, True])
def test_a_data_array_keeps_axes_coordinates_and_attributes(lazy: bool, expected: np.ndarray) -> None:
    y, x = np.arange(SHAPE[0]) * 0.5, np.arange(SHAPE[1]) * 0.25
    coordinates = {"y": y, "x": x, "band": ["r", "g", "b"], "time": 3, "gain": ("band", [1, 2, 3])}
    image = xarray.DataArray(
        dask.array.from_array(IMAGE, chunks=(100, 128, 3)) if lazy else IMAGE,
        dims=("y", "x", "band"),
        coords=coordinates,
        attrs={"crs": "EPSG:32632"},
        name="scene",
    )
    image.encoding["scale_factor"] = 0.5
    labels: Any = pcnet_superpixels(image, 60)
    assert isinstance(labels, xarray.DataArray)
    assert (labels.dims, set(labels.coords)) == (("y", "x"), {"y", "x", "time"})
    assert (labels.attrs, labels.name, labels.encoding) == (image.attrs, "scene", {})
    assert (labels.chunks is not None) == lazy
    np.testing.assert_array_equal(labels, expected)
