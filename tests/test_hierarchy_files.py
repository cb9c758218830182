"""A hierarchy in a file: what is saved comes back, what is damaged does not."""

import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_pcnet import PCNetHierarchy, RunRecord, build_hierarchy


@pytest.fixture(scope="module")
def stack() -> PCNetHierarchy:
    image = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 3), np.uint8)
    mask = np.ones((2, 40, 48), bool)
    mask[1, :, :9] = False
    record = RunRecord(12, smoothing=1.5, spacing=(2.0, 1.0), start_label=0)
    return build_hierarchy(image, record, mask=mask, confidence=True)


def test_planes_and_their_smoothing_come_back(stack: PCNetHierarchy, tmp_path: Path) -> None:
    stack.save(tmp_path / "stack.npz")
    stack.save(tmp_path / "stack.npz")  # replaces it
    assert [path.name for path in tmp_path.iterdir()] == ["stack.npz"]
    loaded = PCNetHierarchy.load(tmp_path / "stack.npz")
    saved, read = stack.cut(12), loaded.cut(12)
    np.testing.assert_array_equal(read.labels, saved.labels)
    assert read.features.keys() == saved.features.keys()
    for name, values in saved.features.items():
        np.testing.assert_array_equal(read.features[name], values)
    assert (loaded.start_label, loaded.smoothing, loaded.spacing) == (0, 1.5, (2.0, 1.0))
    assert loaded.timings == {}


def test_a_hierarchy_is_printed_in_a_line(stack: PCNetHierarchy) -> None:
    assert repr(stack) == f"PCNetHierarchy(2 x 40 x 48, 1 to {stack.n_base} segments, smoothing 1.5)"


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("base", lambda base: np.where(base < 0, -5, base)),
        ("base", lambda base: base.astype(np.int64)),
        ("base", lambda base: base[:1]),
        ("base", lambda base: np.minimum(base, base.max() - 1)),
        ("base", lambda base: base[..., ::-1]),
        ("base", lambda base: base.astype(np.float32)),
        ("base", lambda base: base[:0]),
        ("base", lambda _base: np.zeros(5, np.int32)),
        ("intensity_mean", lambda mean: mean[:-1]),
        ("intensity_mean", lambda mean: mean[:, 0]),
        ("intensity_mean", lambda mean: mean * np.inf),
        ("confidence", lambda confidence: confidence[1:]),
        ("confidence", lambda confidence: confidence * np.nan),
        ("area", lambda area: area[:-1]),
        ("area", lambda area: area[::-1]),
        ("area", lambda area: area + 1),
        ("area", lambda area: -area),
        ("area", lambda area: area.astype(np.float64)),
        ("children", lambda children: children[::-1]),
        ("children", lambda children: children.astype(np.float64)),
        ("children", lambda children: children + 0.25),
        ("children", lambda children: children.astype(str)),
        ("children", lambda children: np.append(children, children[-1:] + 2, axis=0)),
        ("children", lambda children: children[:-1]),
        ("height", lambda height: height[::-1]),
        ("height", lambda height: height - height.max()),
        ("height", lambda height: np.append(height[:-1], np.inf)),
        ("height", lambda height: np.append(height, height.max())),
        ("height", lambda height: height + np.inf),
        ("regions", lambda regions: np.add(regions, (1, -1))),
        ("regions", lambda regions: regions * 0.5),
        ("regions", lambda regions: regions[:1]),
        ("regions", lambda _regions: np.full(2, 2**63 - 1)),
        ("merges", lambda merges: np.add(merges, (1, 0))),
        ("merges", lambda merges: np.multiply(merges, (1, -1))),
        ("merges", lambda merges: merges.reshape(1, -1)),
        ("start_label", lambda _label: np.asarray(7)),
        ("start_label", lambda _label: np.asarray(0.5)),
        ("start_label", lambda _label: np.asarray([0])),
        ("smoothing", lambda _width: np.asarray(np.nan)),
        ("smoothing", lambda _width: np.asarray("1.5")),
        ("spacing", lambda spacing: spacing * -1),
        ("spacing", lambda spacing: spacing[:1]),
        ("spacing", lambda spacing: spacing.reshape(1, 2)),
    ],
)
def test_damage_is_refused(stack: PCNetHierarchy, tmp_path: Path, name: str, damage: Any) -> None:
    path = tmp_path / "stack.npz"
    stack.save(path)
    with np.load(path) as file:
        arrays = {each: file[each] for each in file.files}
    np.savez(path, **arrays | {name: damage(arrays[name])})
    with pytest.raises(ValueError, match=r"is not a hierarchy that .* wrote, or is damaged"):
        PCNetHierarchy.load(path)


def test_one_more_merge_than_is_announced_is_refused(stack: PCNetHierarchy, tmp_path: Path) -> None:
    path = tmp_path / "stack.npz"
    stack.save(path)
    with np.load(path) as file:
        arrays = {each: file[each] for each in file.files}
    more = {"children": arrays["children"][[-1]] + 2, "height": arrays["height"][[-1]]}
    np.savez(path, **arrays | {name: np.concatenate([arrays[name], rows]) for name, rows in more.items()})
    with pytest.raises(ValueError, match="or is damaged"):
        PCNetHierarchy.load(path)


def test_bytes_that_are_changed_are_refused_or_change_nothing(stack: PCNetHierarchy, tmp_path: Path) -> None:
    path = tmp_path / "stack.npz"
    stack.save(path)
    whole, labels = path.read_bytes(), stack.labels(12)
    random = np.random.default_rng(0)
    for at in random.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[at] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        with suppress(ValueError):
            np.testing.assert_array_equal(PCNetHierarchy.load(path).labels(12), labels)


def _replace_base(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in (members | {"base.npy": content}).items():
            file.writestr(name, data)


def test_a_header_that_breaks_off_is_refused(stack: PCNetHierarchy, tmp_path: Path) -> None:
    path = tmp_path / "stack.npz"
    stack.save(path)
    header = b"{'shape': (2, \n"
    _replace_base(path, np.lib.format.magic(1, 0) + len(header).to_bytes(2, "little") + header)
    with pytest.raises(ValueError, match="or is damaged"):
        PCNetHierarchy.load(path)


def test_an_array_that_no_memory_holds_is_refused(stack: PCNetHierarchy, tmp_path: Path) -> None:
    path = tmp_path / "stack.npz"
    stack.save(path)
    header = np.lib.format.header_data_from_array_1_0(stack.base) | {"shape": (2**40, 2**10, 2**10)}
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, header)
    _replace_base(path, content.getvalue())
    with pytest.raises(ValueError, match="or is damaged"):
        PCNetHierarchy.load(path)


def test_arrays_that_unpack_to_more_than_the_free_memory_are_refused(
    stack: PCNetHierarchy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stack.npz"
    stack.save(path)
    with zipfile.ZipFile(path) as members:
        unpacked_bytes = sum(each.file_size for each in members.infolist())
    assert path.stat().st_size < unpacked_bytes
    monkeypatch.setattr("napari_pcnet.disk.memory.free_bytes", lambda: unpacked_bytes - 1)
    with pytest.raises(ValueError, match="is not a hierarchy"):
        PCNetHierarchy.load(path)
    monkeypatch.setattr("napari_pcnet.disk.memory.free_bytes", lambda: unpacked_bytes)
    PCNetHierarchy.load(path)


def test_a_hierarchy_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^hierarchy .*none\.npz does not exist$"):
        PCNetHierarchy.load(tmp_path / "none.npz")
