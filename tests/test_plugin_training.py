"""Training on layers without a window: it is the command's training; what is refused, kept, and cancelled."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from PIL import Image as Picture
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QObject, QRectF

from napari_pcnet import weights
from napari_pcnet.cli import main
from napari_pcnet.disk.datasets import Pair, sound_pairs
from napari_pcnet.network import checkpoint
from napari_pcnet.plugin.curve import TrainingCurve, placed
from napari_pcnet.plugin.layer_pairs import LayerPair, write_pairs
from napari_pcnet.plugin.source import Source
from napari_pcnet.plugin.training import Choice, Trained, Training
from napari_pcnet.training import report
from napari_pcnet.training.finetune_options import FinetuneOptions

STEPS, SEED, RATE = 3, 5, 0.002


def _two_halves(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture of two colours, and its labels."""
    random = np.random.default_rng(seed)
    labels = np.zeros((80, 96), np.uint8)
    labels[:, random.integers(30, 60) :] = 1
    return random.integers(0, 255, (2, 3)).astype(np.uint8)[labels], labels


def _pair(pixels: NDArray[Any], labels: NDArray[Any], axis: int | None = None, **place: Any) -> LayerPair:
    image = Image(pixels, name="cells", rgb=axis == pixels.ndim - 1)
    return LayerPair(Source(image, 0, axis), Labels(labels, name="drawn", **place))


PICTURES = [_two_halves(seed) for seed in range(3)]


@pytest.fixture
def pairs() -> tuple[LayerPair, ...]:
    """Three image layers with their labels; one has 16 bits."""
    (colour, labels), (other, others), (grey, greys) = PICTURES
    deep = grey[..., 0].astype(np.uint16) * 9 + 300
    return _pair(colour, labels, 2), _pair(other, others, 2), _pair(deep, greys)


@pytest.fixture(autouse=True)
def _small(small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fine-tune in little time, with an empty cache."""
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def score(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float, float], None]:
    """Give the weights of the start and of both trainings scores."""

    def score_by(*accuracies: float) -> None:
        left: list[float] = []

        def scored(pairs: list[Pair], model: Path) -> list[dict[str, float]]:
            left[:] = left or accuracies
            return [{"ASA": left.pop(0), "BR": 0.5, "CO": 0.5}] * len(pairs)

        monkeypatch.setattr(report, "scores_of", scored)

    return score_by


def _choice(pairs: tuple[LayerPair, ...], start: Path, name: str = "mine") -> Choice:
    options = FinetuneOptions(
        Path(), start=str(start), steps=STEPS, learning_rate=RATE, seed=SEED, device="cpu"
    )
    return Choice(name, pairs, options)


class _Log:
    """What a training says, and what came out."""

    def __init__(self, training: Training) -> None:
        self.said: list[str] = []
        self.parts: list[tuple[int, int]] = []
        self.records: list[dict[str, float]] = []
        self.trained: list[Trained] = []
        training.refused.connect(self.said.append)
        training.part_begun.connect(lambda *part: self.parts.append(part))
        training.stepped.connect(self.records.append)
        training.finished.connect(self.trained.append)


@pytest.fixture
def training(qtbot: QtBot) -> Iterator[Training]:
    parent = QObject()
    made = Training(parent)
    yield made
    made.stop()
    qtbot.waitUntil(lambda: made.job is None, timeout=60_000)


def _train(training: Training, choice: Choice, qtbot: QtBot) -> _Log:
    log = _Log(training)
    with qtbot.waitSignal(training.over, timeout=120_000):
        training.start(choice)
    return log


def _parts_of(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The numbers in a file of weights, and its record without the times that it took."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    record = checkpoint.read_record(path)
    for each in (record, record["start"]):
        del each["hours"]
    return content[end:], record


def _command_folder(folder: Path) -> Path:
    """The same pictures as files."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for at, (pixels, labels) in enumerate(PICTURES):
        if at < 2:
            Picture.fromarray(pixels).save(folder / "images" / f"{at:04d}.png")
        else:
            tifffile.imwrite(folder / "images" / f"{at:04d}.tif", pixels[..., 0].astype(np.uint16) * 9 + 300)
        Picture.fromarray(labels).save(folder / "labels" / f"{at:04d}.png")
    return folder


def test_a_training_on_layers_gives_the_weights_of_the_command(
    training: Training,
    pairs: tuple[LayerPair, ...],
    start: Path,
    tmp_path: Path,
    score: Callable[..., None],
    qtbot: QtBot,
) -> None:
    score(0.5, 0.6, 0.7)
    log = _train(training, _choice(pairs, start), qtbot)
    assert log.said == [] and weights.is_imported("mine")
    folder, run = _command_folder(tmp_path / "mine"), tmp_path / "run"
    words = ["train", str(folder), "--from", str(start), "--output", str(run), "--device", "cpu"]
    words += ["--steps", str(STEPS), "--seed", str(SEED), "--learning-rate", str(RATE)]
    assert main(words) == 0
    ours, theirs = _parts_of(weights.locate("mine")), _parts_of(run / "weights.safetensors")
    assert ours[0] == theirs[0] and len(ours[0]) > 10_000
    assert json.dumps(ours[1]) == json.dumps(theirs[1])
    assert ours[1]["start"]["training"]["optimizer"]["learning_rate"] == RATE
    before = {name: value.numpy() for name, value in checkpoint.load_model(start).state_dict().items()}
    after = checkpoint.load_model(weights.locate("mine")).state_dict()
    assert any((after[name].numpy() != value).any() for name, value in before.items())  # it has learnt


def test_losses_and_accuracies_come_while_it_trains(
    training: Training, pairs: tuple[LayerPair, ...], start: Path, score: Callable[..., None], qtbot: QtBot
) -> None:
    score(0.5, 0.6, 0.7)
    log = _train(training, _choice(pairs, start), qtbot)
    assert log.parts == [(0, STEPS), (1, 2)]
    assert [record["step"] for record in log.records] == [0, 1, 2, 3, 1, 2]
    assert ["total" in record for record in log.records] == [False, *[True] * 5]
    assert ["validation_asa" in record for record in log.records] == [*[True] * 4, False, False]
    (trained,) = log.trained
    assert trained == Trained("mine", True, 0.5, 0.7, 1, 3)
    assert trained.message == (
        "'mine' is among the models now; accuracy 0.5000 before, 0.7000 after, on 1 of 3 pictures, held out"
    )


def test_weights_no_better_than_the_start_are_not_kept(
    training: Training, pairs: tuple[LayerPair, ...], start: Path, score: Callable[..., None], qtbot: QtBot
) -> None:
    score(0.7, 0.6, 0.5)
    log = _train(training, _choice(pairs, start), qtbot)
    (trained,) = log.trained
    assert trained.message.startswith(
        "no training did better than the accuracy 0.7000 of the start on 1 of 3"
    )
    assert "mine" not in weights.names()


def test_a_training_that_is_cancelled_leaves_nothing(
    training: Training,
    pairs: tuple[LayerPair, ...],
    start: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: QtBot,
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    log = _Log(training)
    training.stepped.connect(lambda _: training.stop())
    with qtbot.waitSignal(training.over, timeout=120_000):
        training.start(_choice(pairs, start))
    assert log.trained == log.said == [] and len(log.records) < STEPS + 3
    assert list(place.iterdir()) == [] and "mine" not in weights.names()


def test_each_wrong_choice_is_one_sentence(
    training: Training, pairs: tuple[LayerPair, ...], start: Path, score: Callable[..., None], qtbot: QtBot
) -> None:
    pixels, labels = PICTURES[0]
    log = _Log(training)
    whole = _choice(pairs, start)
    for choice in (
        replace(whole, pairs=()),
        replace(whole, pairs=(_pair(pixels, labels[:-1], 2),)),
        replace(whole, pairs=(_pair(pixels, labels, 2, translate=(0, 3)),)),
        replace(whole, name=""),
        replace(whole, name="pcnet-v2"),
        replace(whole, name="a/b"),
    ):
        training.start(choice)
        assert training.job is None
    assert log.said[:-1] == [
        "choose the labels of an image to learn from",
        "'drawn' is 79 x 96 pixels, but its image 'cells' is 80 x 96; they must be the same",
        "'drawn' lies elsewhere than its image 'cells'; choose labels made of it",
        "give the weights that are trained a name",
        "the name pcnet-v2 is that of published weights; choose another by --name",
    ]
    assert log.said[-1].startswith("a name of weights may contain only letters")
    of_one_class = replace(whole, pairs=(_pair(pixels, labels * 0, 2),))
    assert _train(training, of_one_class, qtbot).said == [
        "'drawn' has a single class, so there is no boundary to learn from"
    ]
    score(0.5, 0.6, 0.7)
    assert _train(training, whole, qtbot).said == []
    training.start(whole)
    assert log.said[-1].startswith("weights mine are there already; choose another name by --name")


# -- what is written -----------------------------------------------------------------------------------


def _written(folder: Path, *pairs: LayerPair) -> list[Pair]:
    assert write_pairs(folder, pairs, lambda: None) == len(sound_pairs(folder)[0])
    return sound_pairs(folder)[0]


def test_each_plane_of_a_stack_with_a_boundary_is_a_picture(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    stack = random.integers(0, 255, (2, 1, 3, 20, 30)).astype(np.uint8)  # times, a depth, channels
    labels = np.zeros((2, 1, 20, 30), np.int64)
    labels[:, :, 5:9] = 70_000
    pair = _pair(stack, labels, 2)
    pair.check()
    first, second = _written(tmp_path / "a", pair)
    assert_array_equal(first.read_image(), np.moveaxis(stack[0, 0], 0, -1))
    assert_array_equal(second.read_image(), np.moveaxis(stack[1, 0], 0, -1))
    assert_array_equal(second.read_annotations()[0], labels[1, 0])
    labels[0] = 4
    (only,) = {each.read_image().shape for each in _written(tmp_path / "b", _pair(stack, labels, 2))}
    assert only == (10, 15, 3)  # the quarters of the other one


def test_one_picture_alone_is_cut_into_quarters_with_a_boundary(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 255, (21, 31)).astype(np.uint8)
    labels = np.zeros((21, 31), np.uint8)
    labels[:5, 3:20] = 1
    top_left, top_right = _written(tmp_path / "a", _pair(pixels, labels))
    assert_array_equal(top_left.read_image()[..., 0], pixels[:10, :15])
    assert_array_equal(top_right.read_annotations()[0], labels[:10, 15:])
    labels[:, 15:] = 0
    with pytest.raises(ValueError, match=r"^one picture alone is cut into quarters, and fewer than two of"):
        write_pairs(tmp_path / "b", [_pair(pixels, labels)], lambda: None)


def test_labels_of_a_pyramid_are_taken_at_full_resolution() -> None:
    labels = PICTURES[0][1]
    image = Image([np.zeros((80, 96)), np.zeros((40, 48))], multiscale=True, name="cells")
    pair = LayerPair(Source(image, 0, None), Labels([labels, labels[::2, ::2]], name="drawn"))
    pair.check()
    ((_, read),) = pair.pictures()
    assert_array_equal(read, labels)


def test_labels_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    pixels, labels = PICTURES[0]
    pair = _pair(pixels, labels, 2)
    pair.labels._data = dask.array.from_array(labels).map_blocks(_gone, meta=labels[:0, :0])
    with pytest.raises(ValueError, match=r"^'drawn' could not be read: KeyError 'no such chunk'$"):
        write_pairs(tmp_path, [pair], lambda: None)


def _gone(block: NDArray[Any]) -> NDArray[Any]:
    raise KeyError("no such chunk")


# -- the curve -----------------------------------------------------------------------------------------


def test_points_of_a_curve_fill_its_rectangle() -> None:
    points = placed([(0, 0.2), (5, 0.8), (10, 0.5)], 10, QRectF(0, 0, 100, 60))
    assert [(each.x(), each.y()) for each in points] == [(0, 60), (50, 0), (100, pytest.approx(30))]
    assert [each.y() for each in placed([(1, 0.3)], 10, QRectF(0, 0, 100, 60))] == [30]
    assert placed([], 10, QRectF(0, 0, 100, 60)) == []


def test_a_curve_shows_what_was_measured(qtbot: QtBot) -> None:
    curve = TrainingCurve("association")
    qtbot.addWidget(curve)
    curve.resize(160, 84)
    empty = curve.grab().toImage()
    curve.begin(10)
    curve.add({"step": 0, "validation_asa": 0.9})
    for step in range(1, 6):
        curve.add({"step": step, "total": 1 / step, "validation_asa": float("nan")})
    assert (curve.text, curve.accuracy_text) == ("association 0.2", "ASA 0.9000")
    drawn = curve.grab().toImage()
    assert drawn != empty
    curve.begin(3)
    assert curve.grab().toImage() == empty
