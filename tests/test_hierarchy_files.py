"""A hierarchy in a file: what is saved comes back, what is damaged does not."""

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
        ("intensity_mean", lambda mean: mean[:-1]),
        ("confidence", lambda confidence: confidence[1:]),
        ("area", lambda area: area[:-1]),
        ("children", lambda children: children[::-1]),
        ("height", lambda height: height[::-1]),
        ("start_label", lambda _label: np.asarray(7)),
        ("smoothing", lambda _width: np.asarray(np.nan)),
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
