"""Training without a configuration: files are checked, pictures held out, the report written."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_pcnet import pcnet_superpixels
from napari_pcnet.cli import main
from napari_pcnet.cli.exits import USER_ERROR
from napari_pcnet.disk.datasets import Pair, sound_pairs
from napari_pcnet.network import checkpoint
from napari_pcnet.network.model import PCNet, PCNetConfig
from napari_pcnet.network.quantise import quantise
from napari_pcnet.training import finetune, loop, report
from napari_pcnet.training.config import DataConfig
from napari_pcnet.training.finetune import (
    ASSOCIATION,
    CLASSIFIER_UNITS,
    MERGING,
    main_finetune,
)
from napari_pcnet.training.finetune_options import FinetuneOptions
from napari_pcnet.training.split import split_pairs

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures of two halves."""
    folder = tmp_path / "cells"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    random = np.random.default_rng(0)
    for name in NAMES:
        labels = np.zeros((80, 96), np.uint8)
        labels[:, random.integers(30, 60) :] = 1
        colours = random.integers(0, 255, (2, 3)).astype(np.uint8)
        Image.fromarray(colours[labels]).save(folder / "images" / f"{name}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{name}.png")
    return folder


def silent(steps: int) -> loop.Report:
    return lambda record: None


def options_of(folder: Path, start: Path, **options: object) -> FinetuneOptions:
    return FinetuneOptions(folder, str(start), folder.parent / "run", device="cpu", **options)


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def spoil(folder: Path) -> None:
    """One mistake of each kind."""
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(folder / "labels" / "a.png")
    Image.fromarray(np.zeros((80, 96, 3), np.uint8) + np.arange(96, dtype=np.uint8)[:, None]).save(
        folder / "labels" / "b.png"
    )
    Image.fromarray(np.zeros((80, 96), np.uint8)).save(folder / "labels" / "c.png")
    (folder / "images" / "d.png").write_bytes(b"not a picture")
    (folder / "labels" / "e.png").unlink()


def test_every_bad_file_is_named_in_one_go(folder: Path) -> None:
    spoil(folder)
    pairs, problems = sound_pairs(folder)
    assert pairs == []
    text = "\n".join(problems)
    assert len(problems) == 5
    assert re.search(r"e\.png has no labels: looked for ", text)
    assert re.search(r"labels/a\.png is 10 x 10 pixels, but its image .*a\.png is 80 x 96", text)
    assert re.search(r"labels/b\.png", text)
    assert re.search(r"labels/c\.png has a single class, so there is no boundary to learn from", text)
    assert re.search(r"images/d\.png", text)


def test_a_dry_run_says_what_is_wrong_and_leaves_nothing_behind(
    folder: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(folder), "--from", str(start), "--output", str(folder.parent / "run"), "--dry-run"]
    assert main(words) == 0
    assert capsys.readouterr().out == "5 pictures with 5 annotations, nothing wrong\n"
    Image.fromarray(np.zeros((80, 96), np.uint8)).save(folder / "labels" / "c.png")
    assert main(words) == USER_ERROR
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 pictures with 4 annotations, 1 problem"
    assert lines[1].endswith("c.png has a single class, so there is no boundary to learn from")
    assert main([*words, "--skip-bad"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "without them: 4 pictures would be used"
    assert not (folder.parent / "run").exists()


def test_bad_files_stop_a_training_unless_they_are_to_be_left_out(
    folder: Path, start: Path, small: None
) -> None:
    (folder / "images" / "d.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"1 problem: .*d\.png.* Cure them, or pass --skip-bad"):
        main_finetune(options_of(folder, start, steps=1), silent)
    assert not (folder.parent / "run").exists()
    main_finetune(options_of(folder, start, steps=1, skip_bad=True), silent)
    assert (folder.parent / "run" / "weights.safetensors").exists()


def test_one_picture_is_not_enough(folder: Path, start: Path) -> None:
    for name in NAMES[1:]:
        (folder / "images" / f"{name}.png").unlink()
    message = f"{folder} needs at least 2 pictures with labels, one to look at; 1 pictures with 1 annotations"
    with pytest.raises(ValueError, match=re.escape(message)):
        main_finetune(options_of(folder, start), silent)


def test_the_report_has_scores_before_and_after_with_curves_and_pictures(
    folder: Path, start: Path, small: None
) -> None:
    run = folder.parent / "run"
    text = main_finetune(options_of(folder, start, steps=2), silent)
    assert re.search(r"ASA before   after.*BR before   after.*CO before   after\n", text)
    assert re.search(r"\na +[01]\.\d{4} +[01]\.\d{4} ", text)
    assert re.search(r"\nmean +[01]\.\d{4} ", text)
    report = (run / "report.md").read_text()
    assert "On 1 pictures that were held out" in report
    assert "chosen on these pictures" in report
    assert "\nKept: those of " in report or "\nKept: the weights it started from" in report
    assert "commit: " in report
    for name in ("curves.png", "pictures.png"):
        assert name in report
        with Image.open(run / name) as picture:
            assert picture.size[0] > 500
    assert [row["step"] for row in rows_of(run / MERGING)] == ["1"]
    rows = rows_of(run / ASSOCIATION)
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert all(float(row["validation_asa"]) > 0.5 for row in rows)


def test_the_weights_kept_are_those_of_the_best_validation(
    folder: Path, start: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, 0.6, 0.7, 0.1, 0.2, 0.3, 0.4, 0.9])
    monkeypatch.setattr(loop, "validate", lambda model, pairs: (next(scores), 0.0))
    run = folder.parent / "run"
    main_finetune(options_of(folder, start, steps=20), silent)
    rows = rows_of(run / ASSOCIATION)
    assert [row["step"] for row in rows] == [str(step) for step in range(7)]  # 4 without a better
    assert checkpoint.read_record(run / ASSOCIATION / "weights.safetensors")["step"] == 2
    before = checkpoint.load_model(run / "weights.safetensors").state_dict()
    main_finetune(options_of(folder, start, steps=20, resume=True), silent)  # it is over: nothing to do
    assert len(rows_of(run / ASSOCIATION)) == 7
    after = checkpoint.load_model(run / "weights.safetensors").state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_an_association_that_is_never_bettered_is_kept(
    folder: Path, start: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, *([0.1] * 9)])
    monkeypatch.setattr(loop, "validate", lambda model, pairs: (next(scores), 0.0))
    main_finetune(options_of(folder, start, steps=9), silent)
    kept = checkpoint.load_model(folder.parent / "run" / MERGING / "weights.safetensors").state_dict()
    for name, value in checkpoint.load_model(start).state_dict().items():
        assert torch.equal(kept[name], value), name


@pytest.mark.parametrize("best", [0, 1, 2])
def test_what_serves_the_held_out_pictures_best_is_kept(
    folder: Path, start: Path, small: None, monkeypatch: pytest.MonkeyPatch, best: int
) -> None:
    accuracies = iter([0.9 if number == best else 0.8 for number in range(3)])

    def scored(pairs: list[Pair], model: Path) -> list[dict[str, float]]:
        return [{"ASA": next(accuracies), "BR": 0.5, "CO": 0.5}] * len(pairs)

    monkeypatch.setattr(report, "scores_of", scored)
    main_finetune(options_of(folder, start, steps=1), silent)
    run = folder.parent / "run"
    file = [start, run / ASSOCIATION / "weights.safetensors", run / MERGING / "weights.safetensors"][best]
    expected, kept = (checkpoint.load_model(path) for path in (file, run / "weights.safetensors"))
    assert expected.config == kept.config
    assert all(torch.equal(kept.state_dict()[name], v) for name, v in expected.state_dict().items())


def test_of_equals_the_one_that_learnt_more_is_kept(
    folder: Path, start: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    even = {"ASA": 0.8, "BR": 0.5, "CO": 0.5}
    monkeypatch.setattr(report, "scores_of", lambda pairs, model: [even] * len(pairs))
    main_finetune(options_of(folder, start, steps=1), silent)
    assert (
        checkpoint.load_model(folder.parent / "run" / "weights.safetensors").config.merge_classifier
        == CLASSIFIER_UNITS
    )


@pytest.mark.parametrize(("share", "held"), [(0.2, ["a"]), (0.4, ["a", "c"]), (0.9, ["a", "b", "c", "d"])])
def test_held_out_pictures_are_spread_over_the_names(folder: Path, share: float, held: list[str]) -> None:
    split = split_pairs(DataConfig(train=(str(folder),), holdout=share), Path())
    assert [pair.name for pair in split.validation] == held
    assert [pair.name for pair in split.train] == [name for name in NAMES if name not in held]


def test_a_batch_is_no_larger_than_what_is_not_held_out(folder: Path, start: Path) -> None:
    for name in NAMES[2:]:
        (folder / "images" / f"{name}.png").unlink()
        (folder / "labels" / f"{name}.png").unlink()
    for number in range(1, 5):  # of the picture that is held out
        (folder / "labels" / f"a-{number}.png").write_bytes((folder / "labels" / "a.png").read_bytes())
    (folder / "labels" / "a.png").unlink()
    model = checkpoint.load_model(start).config
    config = finetune._association(options_of(folder, start), sound_pairs(folder)[0], model)
    assert config.samples.batch == 1


@pytest.mark.parametrize(("supported", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_half_precision_is_used_where_the_processor_has_it(
    folder: Path, start: Path, monkeypatch: pytest.MonkeyPatch, supported: bool, precision: str
) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: supported, raising=False)
    model = checkpoint.load_model(start).config
    config = finetune._association(options_of(folder, start), sound_pairs(folder)[0], model)
    assert config.run.precision == precision


def test_a_share_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^holdout must be a share from 0 to below 1, got 1\.0$"):
        DataConfig(train=("x",), holdout=1.0)


def test_the_command_takes_a_folder(
    folder: Path, start: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(folder), "--from", str(start), "--output", str(folder.parent / "run")]
    assert main([*words, "--steps", "1", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.endswith("weights.safetensors\n")
    assert main([*words, "--steps", "1"]) == USER_ERROR
    assert "holds a training already: pass --resume or another folder" in capsys.readouterr().err


def test_what_a_configuration_says_is_not_told_by_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "c.toml", "--steps", "3"]) == USER_ERROR
    assert capsys.readouterr().err == "napari-pcnet: --steps goes with a folder; c.toml says it itself\n"
    assert main(["train", str(tmp_path), "--data", "x"]) == USER_ERROR
    assert "--data goes with a configuration" in capsys.readouterr().err


def test_a_run_that_was_moved_goes_on(folder: Path, start: Path, small: None) -> None:
    main_finetune(options_of(folder, start, steps=1), silent)
    place = folder.parent / "elsewhere"
    place.mkdir()
    moved = folder.rename(place / folder.name)
    (folder.parent / "run").rename(place / "run")
    main_finetune(options_of(moved, start.rename(place / "start.safetensors"), steps=1, resume=True), silent)
    record = checkpoint.read_record(place / "run" / "weights.safetensors")
    assert str(folder.parent) not in str(record)


def test_a_run_goes_on_with_the_weights_it_began_with(folder: Path, start: Path, small: None) -> None:
    main_finetune(options_of(folder, start, steps=1), silent)
    torch.manual_seed(1)
    other = folder.parent / "other.safetensors"
    checkpoint.save_model(other, PCNet(PCNetConfig(widths=(4, 4, 4, 4, 4))), {})
    with pytest.raises(ValueError, match=r"run began with other weights than .*other\.safetensors"):
        main_finetune(options_of(folder, other, steps=1, resume=True), silent)


def test_of_pictures_too_small_for_a_merge_classifier_the_rest_is_learnt(
    folder: Path, start: Path, small: None
) -> None:
    for file in [*(folder / "images").iterdir(), *(folder / "labels").iterdir()]:
        with Image.open(file) as picture:
            part = picture.crop((20, 0, 76, 24)).copy()
        part.save(file)
    pairs, problems = sound_pairs(folder)
    assert (len(pairs), problems) == (len(NAMES), [])
    main_finetune(options_of(folder, start, steps=1), silent)
    kept = checkpoint.load_model(folder.parent / "run" / MERGING / "weights.safetensors").config
    assert (kept.boundary, kept.merge_classifier) == (finetune.DECODER_CHANNELS, 0)


def test_what_is_no_folder_is_said_before_anything_is_read(
    folder: Path, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotADirectoryError, match=r"a\.png is a file: name a folder with images/ and labels/"):
        main_finetune(options_of(folder / "images" / "a.png", start), silent)
    (folder.parent / "run").write_text("")
    with pytest.raises(NotADirectoryError, match=r"run is a file; --output must be a folder$"):
        main_finetune(options_of(folder, start), silent)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"^a folder is trained on in one process: leave torchrun out"):
        main_finetune(options_of(folder, start), silent)


@pytest.mark.usefixtures("small")
def test_a_network_in_whole_numbers_stays_one(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = PCNetConfig("unshuffle", widths=(4, 4, 4, 4, 4), boundary=4, block=(4,), finer=(8, 4))
    model = PCNet(config).eval()
    model.whole_numbers = quantise(model, torch.rand(2, 3, 64, 64))
    checkpoint.save_model(tmp_path / "whole.safetensors", model, {})
    main_finetune(options_of(folder, tmp_path / "whole.safetensors", steps=2), silent)
    for part in (ASSOCIATION, MERGING):
        trained = checkpoint.load_model(tmp_path / "run" / part / "weights.safetensors")
        assert trained.whole_numbers is not None
        assert trained.config == replace(config, merge_classifier=trained.config.merge_classifier)
    kept = tmp_path / "run" / "weights.safetensors"
    assert pcnet_superpixels(np.eye(70), 30, model=str(kept)).max() == 30


def test_a_learning_rate_that_is_none_is_refused(
    folder: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(folder), "--from", str(start), "--output", str(folder.parent / "run")]
    for rate in ("0", "nan"):
        assert main([*words, "--learning-rate", rate]) == USER_ERROR
        message = f"napari-pcnet: --learning-rate must be a number above 0, got {float(rate)}\n"
        assert capsys.readouterr().err == message
    assert not (folder.parent / "run").exists()
