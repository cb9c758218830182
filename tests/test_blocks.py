"""Blocks: parts of an array that is slow to slice, each chunk read about once."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import dask.array
import numpy as np
import pytest

from napari_pcnet import arguments, pcnet_superpixels
from napari_pcnet.geometry import blocks, picture
from napari_pcnet.geometry.blocks import Blocks, ReadingAhead
from napari_pcnet.geometry.grid import Window
from napari_pcnet.geometry.picture import read_raw
from napari_pcnet.network import inference

VALUES = np.random.default_rng(0).integers(0, 256, (300, 240, 3)).astype(np.uint8)


class Store:
    """An array that counts how often each of its chunks is decoded, as a compressed store would have to."""

    def __init__(self, values: np.ndarray, chunks: tuple[int, ...] | None) -> None:
        self.values, self.shape, self.dtype, self.decoded = values, values.shape, values.dtype, Counter[Any]()
        self.sides = chunks or (64, 64)
        if chunks is not None:
            self.chunks = chunks

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        rows, columns = (
            sorted({at // side for at in range(n)[span]})
            for n, side, span in zip(self.shape[:2], self.sides, key, strict=False)
        )
        self.decoded.update((row, column) for row in rows for column in columns)
        return self.values[key]


@pytest.mark.parametrize("chunks", [(64, 100, 3), (300, 240, 3), (7, 240, 1), None])
@pytest.mark.parametrize("kept", [0, 10**9])
def test_a_part_is_that_of_the_array(chunks: tuple[int, ...] | None, kept: int) -> None:
    read = Blocks(Store(VALUES, chunks), 2, kept)
    for window in (
        Window(0, 0, 300, 240),
        Window(5, 60, 200, 101),
        Window(63, 99, 65, 101),
        Window(299, 0, 300, 1),
    ):
        np.testing.assert_array_equal(read_raw(read, 2, window), VALUES[window.slices])


def test_what_is_forgotten_is_read_again() -> None:
    store = Store(VALUES, (64, 100, 3))
    read = Blocks(store, 2)
    for _ in range(2):
        read_raw(read, 2, Window(0, 0, 9, 9))
    assert store.decoded == {(0, 0): 1}
    read.forget()
    read_raw(read, 2, Window(0, 0, 9, 9))
    assert store.decoded == {(0, 0): 2}


def test_a_tree_has_the_memory_of_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten, forget = list[Blocks](), Blocks.forget
    monkeypatch.setattr(Blocks, "forget", lambda self: (forgotten.append(self), forget(self)))
    out = np.empty(VALUES.shape[:2], np.int32)
    pcnet_superpixels(Store(VALUES, (64, 100, 3)), 12, out=out)
    assert len(forgotten) == 1


def test_the_channels_may_come_first_and_dask_has_chunks_of_any_length() -> None:
    lazy = dask.array.from_array(np.moveaxis(VALUES, 2, 0), chunks=((1, 2), (100, 0, 200), (1, 238, 1)))
    part = read_raw(Blocks(lazy, 0), 0, Window(50, 0, 150, 240))
    np.testing.assert_array_equal(part, VALUES[50:150])


def test_a_mask_of_some_chunks_stays() -> None:
    hidden = np.zeros(VALUES.shape, bool)
    hidden[200:, :50] = True
    parts = [VALUES[:150], np.ma.masked_array(VALUES, hidden)[150:]]
    lazy = dask.array.concatenate([dask.array.from_array(part, asarray=False, chunks=-1) for part in parts])
    part = read_raw(Blocks(lazy, 2), 2, Window(100, 0, 300, 60))
    np.testing.assert_array_equal(np.ma.getmaskarray(part), hidden[100:, :60])


def test_overlapping_parts_decode_each_chunk_once_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "READ_BYTES", 64 * 150 * 3)  # two chunks of a row
    store = Store(VALUES, (64, 64, 3))
    read = Blocks(store, 2, 128 * 240 * 3)  # two rows of chunks and a little more
    for top in range(0, 290, 16):
        read_raw(read, 2, Window(top, 0, min(top + 40, 300), 240))
    assert set(store.decoded.values()) == {1}
    assert len(store.decoded) == 5 * 4


def test_what_is_kept_is_bounded() -> None:
    store = Store(VALUES, (64, 64, 3))
    read = Blocks(store, 2, 3 * 64 * 64 * 3)
    for _ in range(2):
        read_raw(read, 2, Window(0, 0, 300, 240))
    assert max(store.decoded.values()) == 2
    assert sum(block.nbytes for block in read._kept.values()) <= 3 * 64 * 64 * 3


def test_a_picture_that_is_sliced_is_decoded_once_for_its_range_and_its_labels() -> None:
    store = Store(VALUES, (64, 64, 3))
    labels = pcnet_superpixels(store, 30, window=64)
    assert set(store.decoded.values()) == {1}
    np.testing.assert_array_equal(labels, pcnet_superpixels(VALUES, 30))


def test_where_memory_is_short_less_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "free_bytes", lambda: 0)
    store = Store(VALUES, (64, 64, 3))
    labels = pcnet_superpixels(store, 30)
    assert min(store.decoded.values()) > 1
    np.testing.assert_array_equal(labels, pcnet_superpixels(VALUES, 30))


def test_a_wide_picture_is_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "READ_COLUMNS", 100)
    monkeypatch.setattr(picture, "READ_ROWS", 80)
    stretched = arguments.picture(VALUES, None, -1, ("5%", "95%"))
    expected = np.sort(VALUES.ravel())[[VALUES.size // 20 - 1, VALUES.size * 19 // 20 - 1]]
    assert [stretched.low[0], stretched.high[0]] == expected.tolist()


# -- a thread that reads ahead ---------------------------------------------------------------------


class Slow(Store):
    """An array whose reading waits until it may go on, and says which thread reads."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__(values, (64, 64, 3))
        self.may, self.began, self.readers = threading.Event(), threading.Event(), list[str]()

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        self.readers.append(threading.current_thread().name)
        self.began.set()
        assert self.may.wait(60)
        return super().__getitem__(key)


def test_what_is_read_ahead_is_not_read_again() -> None:
    store = Slow(VALUES)
    read = Blocks(store, 2, 10**9)
    with ReadingAhead(read) as ahead:
        begun = ahead.begin(Window(0, 0, 128, 240))
        assert begun is not None
        assert store.began.wait(60)
        store.may.set()
        part = read_raw(read, 2, Window(0, 0, 100, 240))  # waits for the thread
        begun.result(60)
    np.testing.assert_array_equal(part, VALUES[:100])
    assert set(store.decoded.values()) == {1}
    assert all(name.startswith("reading ahead") for name in store.readers)


def test_no_more_is_read_ahead_than_can_be_kept_twice() -> None:
    store = Store(VALUES, (64, 64, 3))
    read = Blocks(store, 2, 64 * 64 * 3 * 8 - 1)
    read.load(Window(0, 0, 128, 128))
    assert not store.decoded
    Blocks(store, 2, 64 * 64 * 3 * 8).load(Window(0, 0, 128, 128))
    assert len(store.decoded) == 4


def test_what_fails_ahead_is_told_to_whoever_asks() -> None:
    class Broken(Store):
        def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
            raise OSError("the disk is gone")

    read = Blocks(Broken(VALUES, (64, 64, 3)), 2, 10**9)
    with ReadingAhead(read) as ahead:
        begun = ahead.begin(Window(0, 0, 64, 64))
        assert begun is not None
        assert isinstance(begun.exception(60), OSError)
        with pytest.raises(OSError, match=r"^the disk is gone$"):
            read_raw(read, 2, Window(0, 0, 64, 64))


def test_the_thread_ends_with_the_statement() -> None:
    store = Slow(VALUES)
    store.may.set()

    def interrupted() -> None:
        with ReadingAhead(Blocks(store, 2, 10**9)) as ahead:
            for _ in range(9):
                ahead.begin(Window(0, 0, 300, 240))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reading ahead")]


def test_the_next_window_is_read_while_one_is_labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    store, label, seen = Store(VALUES, (64, 64, 3)), inference.label_window, list[bool]()
    loaded, load = list[Window](), Blocks.load

    def telling(self: Blocks, window: Window) -> None:
        load(self, window)
        loaded.append(window)

    def labelling(*arguments: Any) -> Any:
        if len(seen) < 3:  # the last of four has none behind it
            seen.append(wait_for(lambda: len(loaded) >= len(seen) + 2))
        return label(*arguments)

    monkeypatch.setattr(Blocks, "load", telling)
    monkeypatch.setattr(inference, "label_window", labelling)
    labels = pcnet_superpixels(store, 4, window=384)
    assert (seen, len(loaded)) == ([True] * 3, 4)
    monkeypatch.undo()
    np.testing.assert_array_equal(labels, pcnet_superpixels(VALUES, 4))


def wait_for(is_so: Callable[[], bool]) -> bool:
    """Whether something comes to be so."""
    end = time.monotonic() + 20
    while not is_so() and time.monotonic() < end:
        time.sleep(0.001)
    return is_so()


def _range_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The range of a picture that is read in parts, and how many of its chunks were decoded for it."""
    store = Store(values, (128, 128, values.shape[2]))
    seen = arguments.picture(store, None, 2)
    return seen.low, seen.high, len(store.decoded)


@pytest.mark.parametrize(("kind", "channels"), [(np.uint8, 3), (np.int8, 1), (np.uint16, 2), (np.bool_, 3)])
def test_the_range_is_known_as_soon_as_the_ends_of_the_type_were_seen(
    kind: type[np.generic], channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "READ_ROWS", 128)
    black, white = (0, 1) if kind is np.bool_ else (np.iinfo(kind).min, np.iinfo(kind).max)  # type: ignore[type-var]
    values = np.full((640, 128, channels), white, kind)
    values[130] = black
    low, high, decoded = _range_of(values)
    assert (low.tolist(), high.tolist(), decoded) == ([black] * channels, [white] * channels, 2)


def test_a_channel_with_a_range_of_its_own_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "READ_ROWS", 128)
    values = np.full((640, 128, 2), 255, np.uint8)
    values[0, :, 0] = 0
    values[600, :, 1] = 7
    low, high, decoded = _range_of(values)
    assert (low.tolist(), high.tolist(), decoded) == ([0, 7], [255, 255], 5)


def test_what_may_be_outside_is_looked_for_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "READ_ROWS", 128)
    values = np.zeros((640, 128, 4), np.uint8)
    values[0] = 255
    values[:-1, :, 3] = 1
    seen = arguments.picture(Store(values, (128, 128, 4)), None, 2)
    assert seen.mask is not None
    assert not seen.mask[-1].any()
    assert seen.mask[:-1].all()
    grey = dask.array.from_array(values[..., 0], (128, 128))
    half = dask.array.concatenate([grey[:512], dask.array.ma.masked_equal(grey[512:], 0)])
    seen = arguments.picture(half, None, None)
    assert seen.mask is not None
    assert (seen.mask[:512].all(), seen.mask[512:].any()) == (True, False)
