"""Learning: features of regions, whatever the windows; forests, whatever is in the table or in the file."""

import json
import re
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.numpy import save
from sklearn.ensemble import RandomForestClassifier

from napari_pcnet import RegionForest, drawn_classes, region_features, region_table
from napari_pcnet.learning.forest import FORMAT, TREES
from napari_pcnet.learning.responses import HALO_PX, responses
from napari_pcnet.learning.trees import Trees

RANDOM = np.random.default_rng(5)
LABELS = np.kron(np.arange(1, 31).reshape(5, 6), np.ones((9, 8), int))
"""30 rectangles."""

IMAGE = RANDOM.integers(0, 255, (*LABELS.shape, 3)).astype(np.uint8)

REFUSAL = r"forest\.safetensors is no forest that RegionForest\.save wrote, or is damaged$"


def _two_kinds() -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """Features of 30 regions, the left half dark, the right half bright; which of the two each is."""
    image = np.where(np.arange(LABELS.shape[1]) < 24, 40, 160) + RANDOM.integers(-20, 20, LABELS.shape)
    kinds = np.tile([1, 1, 1, 7, 7, 7], 5)
    return region_features(image, LABELS), kinds


def _forest() -> RegionForest:
    table, kinds = _two_kinds()
    return RegionForest.fit(table, kinds, names={7: "bright"}, trees=5)


# -- features --------------------------------------------------------------------------------------


def test_means_deviations_and_shapes_are_those_of_the_region_table() -> None:
    found = region_features(IMAGE, LABELS)
    expected = region_table(IMAGE, LABELS, ["label", "intensity_mean", "intensity_std", "area", "extent"])
    for name, values in expected.items():
        assert_allclose(found[name], values, rtol=1e-12, err_msg=name)
    assert_allclose(
        found["intensity_difference-0-2"], expected["intensity_mean-0"] - expected["intensity_mean-2"]
    )


@pytest.mark.parametrize("window", [7, 20, 64])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_no_window_changes_more_than_rounding(window: int, kind: type[np.generic]) -> None:
    image = IMAGE.astype(kind)
    if kind is np.float32:
        image[20, 20, 1] = np.nan
    whole = region_features(image, LABELS, window=1024)
    parts = region_features(image, LABELS, window=window)
    assert list(whole) == list(parts)
    for name, values in whole.items():
        assert_allclose(parts[name], values, rtol=1e-9, atol=1e-9, err_msg=name)


def test_a_filter_reads_no_further_than_its_halo() -> None:
    image = RANDOM.random((60, 60))
    other = image.copy()
    other[:, 40] += 1
    for one, changed in zip(responses(image), responses(other), strict=True):
        assert_array_equal(one[:, : 40 - HALO_PX], changed[:, : 40 - HALO_PX])


def test_a_ramp_has_its_slope_as_gradient_and_stripes_have_texture() -> None:
    rows, columns = np.indices((60, 64))
    labels = 1 + (columns >= 32)
    image = np.where(columns < 32, 3.0 * rows, 90.0 + 40.0 * (rows % 2))
    table = region_features(image, labels)
    assert table["gradient_1px-0"][0] == pytest.approx(3.0, rel=0.25)  # the rim and the other half are in it
    assert table["texture_1px-0"][1] > 5 * table["texture_1px-0"][0]


def test_neighbours_count_by_their_border() -> None:
    labels = np.array([[1, 1, 1, 2], [1, 1, 1, 3], [4, 4, 4, 0]])
    image = np.array([0, 0, 10, 40, 90])[labels]
    table = region_features(image, labels)
    assert table["neighbours_intensity_mean-0"][0] == pytest.approx((10 + 40 + 3 * 90) / 5)
    assert table["contrast-0"][0] == pytest.approx(-(10 + 40 + 3 * 90) / 5)


def test_a_region_alone_is_its_own_neighbour() -> None:
    labels = np.array([[1, 0, 2]])
    table = region_features(labels * 10.0, labels)
    assert table["neighbours_intensity_mean-0"].tolist() == [10.0, 20.0]
    assert table["contrast-0"].tolist() == [0.0, 0.0]


def test_nan_is_known_of_its_own_region_alone() -> None:
    image = IMAGE[..., 0].astype(float)
    image[0, 0] = np.nan
    table = region_features(image, LABELS)
    values = np.column_stack([*table.values()])
    assert np.isnan(table["intensity_mean-0"][0])
    assert np.isfinite(values[1:]).all()


def test_grey_is_a_picture_of_one_channel_and_five_channels_are_not_paired() -> None:
    grey = region_features(IMAGE[..., 0], LABELS)
    assert list(grey) == list(region_features(IMAGE[..., :1], LABELS))
    five = region_features(np.concatenate([IMAGE, IMAGE[..., :2]], axis=-1), LABELS)
    assert not any(name.startswith("intensity_difference") for name in five)


def test_progress_counts_windows_and_labels_without_a_region_give_no_rows() -> None:
    told: list[tuple[int, int]] = []
    table = region_features(IMAGE, np.zeros_like(LABELS), window=30, progress=lambda *each: told.append(each))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert {len(values) for values in table.values()} == {0}


# -- a forest --------------------------------------------------------------------------------------


def test_a_forest_says_what_regions_are_that_it_has_not_seen() -> None:
    table, kinds = _two_kinds()
    known = np.where(np.arange(30) % 5 == 0, kinds, 0)
    found = RegionForest.fit(table, known).predict(table)
    assert_array_equal(found.number, kinds)
    assert_allclose(found.share.sum(axis=1), 1)
    assert found.uncertainty.max() < 1 and found.uncertainty.min() >= 0


def test_votes_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(size=(700, 6)).astype(np.float32)
    kinds = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(int) + (rows[:, 3] > 1)
    grown = RandomForestClassifier(20, random_state=3).fit(rows[:400], kinds[:400])
    trees = Trees.of(grown)
    assert trees.is_sound(6, 3)
    assert_allclose(trees.votes(rows), grown.predict_proba(rows), atol=1e-6)
    steps = grown.estimators_[0].tree_  # thresholds are the middle of two numbers: all go the same way
    on_it = np.repeat(np.float32(steps.threshold[steps.feature >= 0])[:, None], 6, axis=1)
    assert_allclose(trees.votes(on_it), grown.predict_proba(on_it), atol=1e-6)


def test_the_same_table_gives_the_same_forest_and_another_seed_another() -> None:
    table, kinds = _two_kinds()
    one, again, other = (RegionForest.fit(table, kinds, trees=9, seed=seed) for seed in (4, 4, 5))
    for each in fields(Trees):
        assert_array_equal(getattr(one.trees, each.name), getattr(again.trees, each.name))
    assert not np.array_equal(one.trees.feature, other.trees.feature)
    assert len(one.trees.root) == 9
    assert len(RegionForest.fit(table, kinds).trees.root) == TREES


def test_a_region_that_is_not_measured_has_no_class_and_teaches_none() -> None:
    table, kinds = _two_kinds()
    table["intensity_mean-0"][[0, 3]] = np.nan, np.inf
    found = RegionForest.fit(table, kinds).predict(table)
    assert found.number[[0, 3]].tolist() == [0, 0]
    assert found.uncertainty[[0, 3]].tolist() == [1, 1]
    assert_array_equal(np.delete(found.number, [0, 3]), np.delete(kinds, [0, 3]))


def test_two_classes_that_tie_are_as_uncertain_as_can_be_and_the_smaller_wins() -> None:
    forest = _forest()
    found = forest.decide(np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75], [0.0, 0.0]]))
    assert found.number.tolist() == [1, 1, 7, 0]
    assert found.uncertainty.tolist() == [1.0, 0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        (np.zeros(30, int), "at least two classes must have regions to learn from, got none"),
        (
            np.eye(30, dtype=int)[3] * 2,
            "at least two classes must have regions to learn from, got class 2 alone",
        ),
        (np.ones(29, int), "numbers must be a class for each of 30 rows, got int64 of shape (29,)"),
        (np.full(30, 256), "a class must be a number from 1 to 255, or 0 for none, got 256"),
        (np.full(30, -1), "a class must be a number from 1 to 255, or 0 for none, got -1"),
        (np.ones(30), "numbers must be a class for each of 30 rows, got float64 of shape (30,)"),
        (np.ma.ones(30, int), "numbers are a masked array: pass numbers.filled(0)"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(numbers: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        RegionForest.fit(_two_kinds()[0], numbers)


def test_a_class_of_few_regions_is_learnt_beside_one_of_very_many() -> None:
    kinds = np.where(np.arange(60_000) < 12, 3, 1)
    table = {"intensity_mean-0": np.where(kinds == 3, 0.3, 0.0) + np.linspace(0, 0.2, len(kinds))}
    found = RegionForest.fit(table, kinds, trees=16).predict(table)
    assert_array_equal(found.number, kinds)


def test_ten_regions_of_two_shades_of_noise_are_enough() -> None:
    kinds = np.arange(64) % 8 // 4 + 1
    labels = np.kron(np.arange(64).reshape(8, 8), np.ones((6, 6), int))
    noise = np.random.default_rng(4).integers(0, 40, labels.shape)
    table = region_features(120 * (kinds[labels] - 1) + noise, labels, background=None)
    known = np.isin(np.arange(64), [0, 9, 18, 35, 48, 6, 15, 29, 39, 62])
    found = RegionForest.fit(table, np.where(known, kinds, 0)).predict(table)
    assert_array_equal(found.number, kinds)


def test_classes_whose_regions_are_all_unmeasured_are_none() -> None:
    table, kinds = _two_kinds()
    table["extent"][kinds == 7] = np.nan
    with pytest.raises(ValueError, match="got class 1 alone"):
        RegionForest.fit(table, kinds)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"seed": -1}, r"seed must be a whole number from 0 to 2\*\*32 - 1, got -1"),
        ({"trees": 0}, "trees must be a whole number of at least 1, got 0"),
        ({"names": {1: "a\nb"}}, "a class must have a name of one line"),
        ({"names": {1: " "}}, "a class must have a name of one line"),
    ],
)
def test_arguments_of_a_forest_are_checked(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        RegionForest.fit(*_two_kinds(), **more)


def test_what_is_no_table_is_refused() -> None:
    sentence = "^a table must map names to columns, as region_table does, got 5$"
    no_table: Any = 5
    for use in (partial(RegionForest.fit, numbers=_two_kinds()[1]), _forest().predict):
        with pytest.raises(TypeError, match=sentence):
            use(no_table)


def test_a_masked_column_is_refused() -> None:
    table, numbers = _two_kinds()
    with pytest.raises(ValueError, match="column 'extent' is a masked array: fill it, such as with NaN"):
        RegionForest.fit(table | {"extent": np.ma.array(table["extent"])}, numbers)


def test_a_picture_of_other_channels_is_refused_in_a_sentence() -> None:
    colour = region_features(IMAGE, LABELS)
    with pytest.raises(ValueError, match="the forest is for pictures of 1 channel, got 3 channels"):
        _forest().predict(colour)
    with pytest.raises(ValueError, match="the forest is for pictures of 3 channels, got 1 channel"):
        RegionForest.fit(colour, np.arange(30) % 2 + 1, trees=2).predict(_two_kinds()[0])
    table = _two_kinds()[0]
    del table["extent"]
    with pytest.raises(ValueError, match="the forest looks at 'extent', and the table has no such column"):
        _forest().predict(table)


# -- its file --------------------------------------------------------------------------------------


def test_a_forest_comes_back_from_its_file_and_says_the_same(tmp_path: Path) -> None:
    forest, (table, _) = _forest(), _two_kinds()
    forest.save(tmp_path / "forest.safetensors")
    again = RegionForest.load(tmp_path / "forest.safetensors")
    assert (again.features, again.classes) == (forest.features, (1, 7))
    assert again.names == ("class 1", "bright")
    assert_array_equal(again.predict(table).share, forest.predict(table).share)
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "forest.safetensors").read_bytes()


def test_a_forest_is_loaded_and_asked_without_scikit_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forest().save(tmp_path / "forest.safetensors")
    monkeypatch.setitem(__import__("sys").modules, "sklearn.ensemble", None)
    table, kinds = _two_kinds()
    assert_array_equal(RegionForest.load(tmp_path / "forest.safetensors").predict(table).number, kinds)
    with pytest.raises(ModuleNotFoundError):
        RegionForest.fit(table, kinds)


def _parts(forest: RegionForest) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays = {each.name: getattr(forest.trees, each.name).copy() for each in fields(Trees)}
    text = {"version": 1, "features": forest.features, "classes": forest.classes, "names": forest.names}
    return arrays, text


def _damage() -> dict[str, Any]:
    """What may be done to the arrays and the text of a file."""

    def put(name: str, at: Any, value: Any) -> Any:
        return lambda arrays, text: arrays[name].__setitem__(at, value)

    def cast(name: str, kind: str) -> Any:
        return lambda arrays, text: arrays.__setitem__(name, arrays[name].astype(kind))

    def say(name: str, value: Any) -> Any:
        return lambda arrays, text: text.__setitem__(name, value)

    return {
        "a way that never ends": put("children", (2, 0), 1),
        "a way into another tree": lambda arrays, text: arrays["children"].__setitem__(0, arrays["root"][1]),
        "a child beyond the end": put("children", (0, 1), 10**6),
        "a child before the first": put("children", (0, 0), -1),
        "a column that is none": put("feature", 0, 99),
        "a negative column": put("feature", 0, -1),
        "a threshold of NaN": put("threshold", 0, np.nan),
        "shares beyond 1": put("share", 0, 2.0),
        "negative shares": put("share", 0, [-1.0, 2.0]),
        "shares of NaN": put("share", 0, np.nan),
        "a tree that begins late": put("root", 0, 1),
        "trees in disorder": put("root", 1, 0),
        "a tree beyond the end": put("root", -1, 10**6),
        "other numbers": cast("threshold", "float64"),
        "fewer nodes": lambda arrays, text: arrays.__setitem__("feature", arrays["feature"][:-1]),
        "no trees": lambda arrays, text: arrays.__setitem__("root", arrays["root"][:0]),
        "an array missing": lambda arrays, text: arrays.pop("share"),
        "a class too many": say("classes", [1, 7, 9]),
        "a class of no number": say("classes", [1, "7"]),
        "classes in disorder": say("classes", [7, 1]),
        "a class that is none": say("classes", [0, 7]),
        "names that are none": say("names", ["a", "b\n"]),
        "one name": say("names", ["a"]),
        "a column twice": lambda arrays, text: text.__setitem__(
            "features", [text["features"][0]] * len(text["features"])
        ),
        "no columns": say("features", []),
        "columns that are no list": say("features", 3),
        "nothing of the names": lambda arrays, text: text.pop("names"),
    }


@pytest.mark.parametrize("damage", _damage())
def test_a_damaged_file_is_refused_in_a_sentence(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "forest.safetensors"
    arrays, text = _parts(_forest())
    _damage()[damage](arrays, text)
    arrays = {name: np.ascontiguousarray(each) for name, each in arrays.items()}
    path.write_bytes(save(arrays, {FORMAT: json.dumps(text)}))
    with pytest.raises(ValueError, match=REFUSAL):
        RegionForest.load(path)


def test_a_file_that_is_no_forest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "forest.safetensors"
    with pytest.raises(FileNotFoundError, match=r"forest .* does not exist"):
        RegionForest.load(path)
    arrays, text = _parts(_forest())
    contents = [
        b"",
        b"cos\nsystem\n(S'exit 1'\ntR.",
        save(arrays),
        save(arrays, {FORMAT: "[" * 100_000}),
        save(arrays, {FORMAT: "3"}),
        save(arrays, {FORMAT: json.dumps(text)})[:-4],
    ]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=REFUSAL):
            RegionForest.load(path)
    path.write_bytes(save(arrays, {FORMAT: json.dumps(text | {"version": 2})}))
    with pytest.raises(ValueError, match="is a forest of another version of napari-pcnet; fit it again"):
        RegionForest.load(path)


def test_a_forest_has_one_ending_and_may_be_kept_from_replacing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"forest .*forest.pkl must end in .safetensors"):
        _forest().save(tmp_path / "forest.pkl")
    _forest().save(tmp_path / "forest.safetensors", overwrite=False)
    with pytest.raises(FileExistsError, match="exists; pass overwrite=True to replace it"):
        _forest().save(tmp_path / "forest.safetensors", overwrite=False)


# -- what is drawn ---------------------------------------------------------------------------------


def test_a_region_has_the_class_of_most_of_its_drawn_pixels_across_windows() -> None:
    labels = np.ones((10, 1500), np.int64)
    labels[5:] = 900_000
    drawing = np.zeros_like(labels)
    drawing[0, 0:3], drawing[0, 1200:1204] = 2, 5
    drawing[0, 10], drawing[0, 1100] = 5, 2  # 4 pixels of 2, 5 of 5
    drawing[7, 3], drawing[8, 1300] = 9, 4
    assert drawn_classes(labels, drawing).tolist() == [5, 4]
    assert drawn_classes(labels, np.zeros_like(labels)).tolist() == [0, 0]
    assert drawn_classes(labels - 1, drawing, background=None).tolist() == [5, 4]


def test_what_is_outside_counts_for_no_region_and_other_sizes_and_numbers_are_refused() -> None:
    labels = np.array([[0, 3, 3], [0, 3, 5]])
    assert drawn_classes(labels, np.array([[9, 0, 2], [9, 0, 0]])).tolist() == [2, 0]
    with pytest.raises(
        ValueError, match="drawing is 1 x 3 pixels, but labels are 2 x 3; they must be the same"
    ):
        drawn_classes(labels, np.array([[1, 1, 1]]))
    with pytest.raises(ValueError, match="drawing must hold whole numbers, got float64"):
        drawn_classes(labels, labels / 2)
    with pytest.raises(ValueError, match="drawing is 1 x 2 x 3 pixels, but labels are 2 x 3"):
        drawn_classes(labels, labels[None])
    with pytest.raises(ValueError, match="a class must be a number from 1 to 255, or 0 for none, got 256"):
        drawn_classes(labels, labels * 256 // 3)
    with pytest.raises(ValueError, match=r"drawing is a masked array: pass drawing.filled\(0\)"):
        drawn_classes(labels, np.ma.masked_equal(labels, 3))
    assert drawn_classes(labels, torch.tensor([[9, 0, 2], [9, 0, 0]])).tolist() == [2, 0]
