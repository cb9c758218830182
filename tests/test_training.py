"""Samples and the loop, on pictures drawn here."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from napari_pcnet.boundaries import boundary_pixels
from napari_pcnet.disk.annotations import Annotation
from napari_pcnet.disk.datasets import Pair, read_pairs
from napari_pcnet.network import checkpoint
from napari_pcnet.network.model import PCNet, PCNetConfig
from napari_pcnet.training import losses, samples, validation
from napari_pcnet.training.augment import AugmentConfig
from napari_pcnet.training.config import (
    DataConfig,
    OptimizerConfig,
    RunConfig,
    TrainingConfig,
    WholeNumbersConfig,
    read_config,
)
from napari_pcnet.training.loop import train
from napari_pcnet.training.losses import LossConfig, LossTerms, loss_terms
from napari_pcnet.training.merge_classifier import MergeClassifierConfig
from napari_pcnet.training.samples import Batch, Crops, SampleConfig, Sampler, guiding_mask
from napari_pcnet.training.split import split_pairs
from napari_pcnet.training.state import TrainingState, initial_state
from napari_pcnet.training.step import descend, learning_rate
from napari_pcnet.training.validation import raw_lattice


@pytest.fixture
def pairs_folder(tmp_path: Path) -> Path:
    """Two pictures of coloured rectangles; the first has two annotations."""
    folder = tmp_path / "drawn" / "train"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    random = np.random.default_rng(0)
    for name, shape in (("a", (70, 90)), ("b", (130, 40))):
        labels = np.zeros(shape, np.uint8)
        labels[shape[0] // 3 :, : shape[1] // 2] = 7
        labels[: shape[0] // 4, shape[1] // 2 :] = 9
        colours = random.integers(0, 255, (10, 3)).astype(np.uint8)
        Image.fromarray(colours[labels]).save(folder / "images" / f"{name}.png")
        for annotator in (1, 2) if name == "a" else (1,):
            Image.fromarray(labels).save(folder / "labels" / f"{name}-{annotator}.png")
    return folder


def config_of(folder: Path, **run: object) -> TrainingConfig:
    return TrainingConfig(
        data=DataConfig(train=(str(folder),), validation=(str(folder),)),
        model=PCNetConfig(widths=(4, 4, 4, 4, 4)),
        samples=SampleConfig(crop_px=64, batch=2),
        optimizer=OptimizerConfig(learning_rate=1e-2, warmup=2),
        run=replace(RunConfig(steps=4, device="cpu", precision="float32", save_every_s=0), **run),
    )


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_pairs_are_found_with_all_their_annotations(pairs_folder: Path) -> None:
    pairs = read_pairs(pairs_folder)
    assert [(pair.name, len(pair.annotations)) for pair in pairs] == [("a", 2), ("b", 1)]
    assert pairs[0].read_image().shape == (70, 90, 3)
    assert np.unique(pairs[0].read_annotations()[0]).tolist() == [0, 7, 9]


def test_an_image_without_labels_is_named(pairs_folder: Path) -> None:
    (pairs_folder / "labels" / "b-1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.png has no labels: looked for .*b\.png and b-\*\.png"):
        read_pairs(pairs_folder)


def test_a_folder_of_another_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"must hold images/ and labels/, and .*images is not there"):
        read_pairs(tmp_path)


def test_the_guiding_mask_is_the_class_found_most_often_on_boundaries() -> None:
    labels = np.array([[0, 0, 0, 0], [0, 1, 1, 2], [0, 1, 1, 2]])
    assert boundary_pixels(labels).sum() == 11
    assert guiding_mask(labels).tolist() == [[1, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert guiding_mask(np.ones((3, 3), int)).tolist() == np.zeros((3, 3)).tolist()


def test_each_set_gets_its_share_of_the_samples(pairs_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "drawn" / "other"
    shutil.copytree(pairs_folder, other)
    data = DataConfig(train=(str(pairs_folder), str(other)), shares=(1.0, 3.0))
    split = split_pairs(data, Path())
    sampler = Sampler(split.train, SampleConfig(crop_px=64, batch=2), 0, shares=split.shares)
    assert split.shares == pytest.approx([1 / 3, 1 / 3, 1, 1])
    assert sampler._shares == pytest.approx([1 / 12] * 3 + [1 / 4] * 3)


@pytest.mark.parametrize("shares", [(1.0,), (1.0, 0.0)])
def test_shares_that_say_nothing_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"^shares must be a positive number for each folder of train, got "):
        DataConfig(train=("a", "b"), shares=shares)


def test_crops_are_turned_all_four_ways(pairs_folder: Path) -> None:
    pairs = read_pairs(pairs_folder)[:1]
    config = SampleConfig(crop_px=64, batch=2, mirror=False, global_scale=(1.0, 1.0))
    turns = set()
    for step in range(12):
        plain = Sampler(pairs, config, seed=0).batch(step).whole
        turned = Sampler(pairs, replace(config, rotate=True), seed=0).batch(step).whole
        for sample in range(2):
            fitting = {
                number
                for number in range(4)
                if torch.equal(torch.rot90(plain.image[sample], number, (1, 2)), turned.image[sample])
                and torch.equal(torch.rot90(plain.labels[sample], number), turned.labels[sample])
            }
            assert fitting
            turns |= fitting
    assert turns == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"global_resize_px": 96},
        {"global_scale": (0.3, 4.0), "local_scale": (0.3, 3.0)},
        {"rotate": True},
        {"rotate": True, "augment": AugmentConfig(gamma=0.5, invert=0.5)},
    ],
)
def test_views_are_aligned_crops_with_labels_from_zero(
    pairs_folder: Path, options: dict[str, object]
) -> None:
    sampler = Sampler(read_pairs(pairs_folder), SampleConfig(crop_px=64, batch=3, **options), seed=1)  # type: ignore[arg-type]
    batch = sampler.batch(0)
    for view in batch:
        assert view.image.shape == (3, 3, 64, 64)
        assert view.labels.shape == (3, 64, 64)
        for image, labels in zip(view.image, view.labels, strict=True):
            assert int(labels.min()) == 0
            for label in labels.unique():  # each class has one colour, but where resampling blends
                inside = image[:, labels == label]
                assert (inside - inside.median(1, keepdim=True).values).abs().median() < 0.02
    assert int(batch.patch.labels.max()) <= 1


def test_a_batch_depends_on_seed_and_step_alone(pairs_folder: Path) -> None:
    pairs, config = read_pairs(pairs_folder), SampleConfig(crop_px=64, batch=2)
    first, again = Sampler(pairs, config, 5).batch(3), Sampler(pairs, config, 5).batch(3)
    other = Sampler(pairs, config, 6).batch(3)
    assert torch.equal(first.whole.image, again.whole.image)
    assert not torch.equal(first.whole.image, other.whole.image)


def test_a_dim_picture_is_stretched_as_the_network_will_see_it(pairs_folder: Path) -> None:
    for path in (pairs_folder / "images").iterdir():
        Image.fromarray(np.array(Image.open(path)) // 8 + 3).save(path)
    config = SampleConfig(crop_px=64, batch=2, global_scale=(0.5, 0.5), patches=False)
    batch = Sampler(read_pairs(pairs_folder), config, 0).batch(0)
    assert batch.patch is None
    for image in batch.whole.image:
        assert (float(image.min()), float(image.max())) == pytest.approx((0, 1), abs=0.01)


def test_a_patch_of_a_picture_without_boundary_is_allowed(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 30, 3), 9, np.uint8)).save(tmp_path / "i.png")
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "l.png")
    pair = Pair("i", tmp_path / "i.png", (Annotation(tmp_path / "l.png"),))
    batch = Sampler([pair], SampleConfig(crop_px=128, batch=1), 0).batch(0)
    assert int(batch.patch.labels.max()) == 0


def test_the_learning_rate_warms_up_and_falls() -> None:
    cosine = OptimizerConfig(learning_rate=1.0, warmup=10)
    assert learning_rate(cosine, 0, 100) == pytest.approx(0.1)
    assert learning_rate(cosine, 50, 100) == pytest.approx(0.5)
    assert learning_rate(cosine, 99, 100) < 0.001
    steps = OptimizerConfig(learning_rate=1.0, warmup=0, schedule="steps", every=20, factor=0.1)
    assert [learning_rate(steps, s, 100) for s in (0, 19, 20, 45)] == pytest.approx([1, 1, 0.1, 0.01])


def test_training_writes_a_log_and_weights_with_their_record(pairs_folder: Path, tmp_path: Path) -> None:
    config = config_of(pairs_folder)
    steps: list[float] = []
    path = train(config, tmp_path / "run", report=lambda record: steps.append(record["step"]))
    assert steps == [1, 2, 3, 4]
    rows = rows_of(tmp_path / "run")
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert 0 < float(rows[-1]["validation_asa"]) <= 1
    assert checkpoint.load_model(path).config == config.model
    record = checkpoint.read_record(path)
    assert record["step"] == 4
    assert record["training"]["run"]["seed"] == 0


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    pairs_folder: Path, tmp_path: Path, ema: float
) -> None:
    config = config_of(pairs_folder)
    config = replace(config, optimizer=replace(config.optimizer, ema=ema))
    whole = checkpoint.load_model(train(config, tmp_path / "whole"))

    def stop(record: dict[str, float]) -> None:
        if record["step"] == 3:  # its state was not saved
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", report=stop)
    assert len(rows_of(tmp_path / "parts")) == 3
    parts = checkpoint.load_model(train(config, tmp_path / "parts", resume=True))
    assert [row["step"] for row in rows_of(tmp_path / "parts")] == ["1", "2", "3", "4"]
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, msg=name)


def test_a_training_is_not_overwritten_unasked(pairs_folder: Path, tmp_path: Path) -> None:
    config = config_of(pairs_folder)
    train(config, tmp_path / "run")
    with pytest.raises(FileExistsError, match="holds a training already: pass --resume or another folder"):
        train(config, tmp_path / "run")


def test_training_leaves_torchs_random_state_as_found(pairs_folder: Path, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    train(config_of(pairs_folder, steps=1), tmp_path / "run")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_configuration_is_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[data]\ntrain = ["x"]\n[model]\nstem = "unshuffle"\n[run]\nsteps = 5\n')
    config = read_config(path)
    assert config.data.train == ("x",)
    assert (config.model.stem, config.run.steps) == ("unshuffle", 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data", "is not valid TOML"),
        (
            '[data]\ntrain = ["x"]\n[runs]\nsteps = 5',
            r"unknown runs; known are data, loss, merge_classifier, model",
        ),
        ('[data]\ntrain = ["x"]\n[run]\nstep = 5', r"\[run\]: unknown step; known are accumulate, device"),
        ('[data]\ntrain = "x"', r"\[data\]: train must be a list, got 'x'$"),
        ("[data]\ntrain = [1]", r"\[data\]: train must be text, got 1$"),
        (
            '[data]\ntrain = ["x"]\n[optimizer]\nschedule = "linear"',
            r"^.*c\.toml \[optimizer\]: schedule must be 'cosine' or 'steps', got 'linear'$",
        ),
        (
            '[data]\ntrain = ["x"]\n[run]\nprecision = "float8"',
            r"\[run\]: precision must be 'float32' or 'bfloat16' or 'float16', got 'float8'$",
        ),
        ('[data]\ntrain = ["x"]\n[run]\nsteps = "ten"', r"\[run\]: steps must be a whole number, got 'ten'$"),
        ('[data]\ntrain = ["x"]\n[run]\nsteps = true', r"\[run\]: steps must be a whole number, got True$"),
        ('[data]\ntrain = ["x"]\n[run]\nsteps = 0', r"\[run\]: steps must be at least 1, got 0$"),
        ('[data]\ntrain = ["x"]\n[run]\nseed = 0.5', r"\[run\]: seed must be a whole number, got 0\.5$"),
        (
            '[data]\ntrain = ["x"]\n[optimizer]\nclip = "no"',
            r"\[optimizer\]: clip must be a number, got 'no'$",
        ),
        (
            '[data]\ntrain = ["x"]\n[samples]\nmirror = 1',
            r"\[samples\]: mirror must be true or false, got 1$",
        ),
        (
            '[data]\ntrain = ["x"]\n[samples]\nlocal_scale = [1, 2, 3]',
            r"\[samples\]: local_scale must have 2 entries, got \[1, 2, 3\]$",
        ),
        ('samples = 3\n[data]\ntrain = ["x"]', r"c\.toml: samples must be a table, got 3$"),
        (
            '[data]\ntrain = ["x"]\n[loss]\nposition_power = 3',
            r"\[loss\]: position_power must be 1 or 2, got 3$",
        ),
        ("[run]\nsteps = 5", ": data must be given$"),
        ('[data]\ntrain = ["x"]\n[samples]\ncrop_px = 100', "crop_px must be a multiple of 64, got 100"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_config(path)


def test_whole_numbers_and_lists_become_what_a_field_has(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[data]\ntrain = ["x"]\n[optimizer]\nclip = 2\n[samples]\nlocal_scale = [1, 2]\n')
    config = read_config(path)
    assert isinstance(config.optimizer.clip, float)
    assert config.samples.local_scale == (1.0, 2.0)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[1].glob("configs/*.toml")), ids=lambda p: p.stem
)
def test_every_configuration_of_the_repository_is_read(path: Path) -> None:
    assert read_config(path).run.steps > 0


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"configuration .* does not exist"):
        read_config(tmp_path / "none.toml")


# -- resuming, and what stops a training -----------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "changes", "message"),
    [
        ("run", {"steps": 8}, "run.steps was 4, the configuration has 8"),
        ("run", {"seed": 1}, "run.seed was 0, the configuration has 1"),
        ("model", {"stem": "area"}, "model.stem was 'nearest', the configuration has 'area'"),
        ("samples", {"local_scale": (1.0, 2.0)}, None),
        ("optimizer", {"ema": 0.5, "clip": 2.0}, "optimizer.clip was 1.0, the configuration has 2.0"),
    ],
)
def test_a_resumed_run_must_have_the_same_configuration(
    pairs_folder: Path, tmp_path: Path, table: str, changes: dict[str, object], message: str | None
) -> None:
    config = config_of(pairs_folder)
    train(config, tmp_path / "run")
    other = replace(config, **{table: replace(getattr(config, table), **changes)})
    difference = message or "samples.local_scale was [1.0, 1.0], the configuration has [1.0, 2.0]"
    with pytest.raises(ValueError, match="another") as caught:
        train(other, tmp_path / "run", resume=True)
    state = tmp_path / "run" / "state.safetensors"
    assert str(caught.value) == f"{state} is of another training: {difference}; take another folder"


def test_a_resumed_run_may_save_and_look_at_other_times(pairs_folder: Path, tmp_path: Path) -> None:
    config = config_of(pairs_folder)
    train(config, tmp_path / "run")
    free = {"save_every_s": 5.0, "validate_every": 3, "validate_images": 1, "device": "auto"}
    train(replace(config, run=replace(config.run, **free)), tmp_path / "run", resume=True)  # type: ignore[arg-type]


def test_a_state_is_resumed_where_fields_with_defaults_were_added_since(
    pairs_folder: Path, tmp_path: Path
) -> None:
    config = config_of(pairs_folder, steps=1)
    train(config, tmp_path / "run")
    path = tmp_path / "run" / "state.safetensors"
    with safe_open(path, framework="pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    stored = json.loads(header["config"])
    del stored["samples"]["augment"]["blur"], stored["optimizer"]["clip"], stored["whole_numbers"]
    save_file(tensors, path, metadata=header | {"config": json.dumps(stored)})
    train(config, tmp_path / "run", resume=True)
    blurred = replace(config, samples=replace(config.samples, augment=AugmentConfig(blur=0.5)))
    difference = r"samples\.augment\.blur was 0\.0, the configuration has 0\.5"
    with pytest.raises(ValueError, match=difference):
        train(blurred, tmp_path / "run", resume=True)


@pytest.mark.parametrize("damage", ["empty", "cut", "foreign", "other tensors"])
def test_a_damaged_state_is_one_sentence(pairs_folder: Path, tmp_path: Path, damage: str) -> None:
    config = config_of(pairs_folder, steps=1)
    train(config, tmp_path / "run")
    path = tmp_path / "run" / "state.safetensors"
    if damage == "foreign":
        save_file({"a": torch.zeros(1)}, path)
    elif damage == "other tensors":
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
        save_file({"model.head.bias": torch.zeros(1)}, path, metadata=header)
    else:
        path.write_bytes(path.read_bytes()[: 5000 if damage == "cut" else 0])
    with pytest.raises(ValueError, match="damaged") as caught:
        train(config, tmp_path / "run", resume=True)
    assert str(caught.value) == (
        f"{path} is not the state of a training, or damaged: take another folder, or delete the file "
        "to begin again"
    )


def test_a_batch_larger_than_the_data_is_refused_at_the_start(pairs_folder: Path, tmp_path: Path) -> None:
    config = replace(config_of(pairs_folder), samples=SampleConfig(crop_px=64, batch=4))
    with pytest.raises(ValueError, match="batch") as caught:
        train(config, tmp_path / "run")
    message = "batch must be at most 3, the number of annotations for each process, got 4"
    assert str(caught.value) == message
    assert not (tmp_path / "run").exists()


def test_an_unknown_device_is_refused_at_the_start(pairs_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^device must be one of .*, got 'warp'$"):
        train(config_of(pairs_folder, device="warp"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_learning_rate_that_blows_up_ends_in_one_sentence(pairs_folder: Path, tmp_path: Path) -> None:
    config = config_of(pairs_folder, steps=20)
    config = replace(config, optimizer=OptimizerConfig(learning_rate=1e30, warmup=0))
    with pytest.raises(FloatingPointError) as caught:
        train(config, tmp_path / "run")
    assert re.fullmatch(r"the gradient is not finite at step \d+: lower the learning rate", str(caught.value))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_resumes_where_it_was(pairs_folder: Path, tmp_path: Path, precision: str) -> None:
    config = config_of(pairs_folder, precision=precision)
    whole = checkpoint.load_model(train(config, tmp_path / "whole"))

    def stop(record: dict[str, float]) -> None:
        if record["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", report=stop)
    parts = checkpoint.load_model(train(config, tmp_path / "parts", resume=True))
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, msg=name)
    with safe_open(tmp_path / "parts" / "state.safetensors", framework="pt") as file:
        scaler = json.loads(file.metadata()["scaler"])
    assert bool(scaler) == (precision == "float16")


def test_a_step_of_float16_that_overflows_is_left_out_and_the_scale_halved() -> None:
    model = PCNet(PCNetConfig(widths=(4, 4, 4, 4, 4)))
    before = model.head.weight.detach().clone()
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    state = TrainingState(model, model, torch.optim.Adam(model.parameters()), scaler, {})
    total = (model.head.weight * 1e36).sum()  # finite, but not times 65,536
    scaler.scale(total).backward()
    norm = descend(state, float(total.detach()), 1.0)
    assert not bool(torch.isfinite(norm))
    assert torch.equal(model.head.weight, before)
    assert scaler.get_scale() == 32768


def test_weights_keep_the_record_of_the_weights_they_started_from(pairs_folder: Path, tmp_path: Path) -> None:
    train(config_of(pairs_folder, steps=1, seed=5), tmp_path / "first")
    second = config_of(pairs_folder, steps=2, start_from="first/weights.safetensors")
    record = checkpoint.read_record(train(second, tmp_path / "second"))
    assert record["step"] == 2
    assert (record["start"]["step"], record["start"]["training"]["run"]["seed"]) == (1, 5)


BLOCKS = {"stem": "unshuffle", "block": (4,), "finer": (8, 4)}
NO_TAIL = LossConfig(reconstruction=0, local=0, discrimination=0)


def config_of_blocks(
    folder: Path, model: PCNetConfig, loss: LossConfig = NO_TAIL, **run: object
) -> TrainingConfig:
    """A training of a network that predicts blocks."""
    config = config_of(folder, **run)
    return replace(config, model=model, loss=loss, samples=replace(config.samples, patches=False))


def test_a_network_of_blocks_goes_on_from_the_layers_that_it_shares_with_another(
    pairs_folder: Path, tmp_path: Path
) -> None:
    config = config_of(pairs_folder, steps=1)
    config = replace(config, model=replace(config.model, stem="unshuffle"))
    start = train(config, tmp_path / "start")
    config = replace(config, run=replace(config.run, start_from=str(start)))
    samples = replace(config.samples, batch=3, patches=False)
    config = replace(config, model=replace(config.model, **BLOCKS), loss=NO_TAIL, samples=samples)
    theirs = checkpoint.load_model(start).state_dict()
    ours = initial_state(config, tmp_path, torch.device("cpu")).model.state_dict()
    shared = [name for name in ours if name in theirs and ours[name].shape == theirs[name].shape]
    assert all(torch.equal(ours[name], theirs[name]) for name in shared)
    assert {name.partition(".")[0] for name in shared} == {"mean", "encoder", "fuse"}


def test_a_wider_network_starts_by_computing_the_same(pairs_folder: Path, tmp_path: Path) -> None:
    model = PCNetConfig(widths=(4, 4, 4, 4, 4), boundary=3, merge_classifier=2, **BLOCKS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        narrow = PCNet(model)
    for layer in narrow.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # as if it had learnt
            torch.nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    checkpoint.save_model(tmp_path / "narrow.safetensors", narrow, {"step": 3})
    wider = replace(model, widths=(6, 5, 4, 8, 4), boundary=5)
    config = config_of_blocks(pairs_folder, wider, start_from="narrow.safetensors")
    state = initial_state(config, tmp_path, torch.device("cpu"))
    assert state.start["step"] == 3
    picture = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = narrow.eval()(picture), state.model.eval()(picture)
    torch.testing.assert_close(after.logits, before.logits)
    torch.testing.assert_close(after.boundary, before.boundary)
    assert all(
        map(torch.equal, state.model.merge_classifier.parameters(), narrow.merge_classifier.parameters())
    )
    state.model.train()(picture).logits.square().mean().backward()
    assert state.model.encoder[0][1][0].weight.grad[:4, 4:].abs().max() > 0  # new channels are learnt from


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"widths": (3, 4, 4, 4, 4)}, "widths is (4, 4, 4, 4, 4)"),
        ({"boundary": 2}, "widths is (4, 4, 4, 4, 4)"),
        ({"boundary": 0}, "widths is (4, 4, 4, 4, 4)"),
        ({"block": (8,)}, "widths is (4, 4, 4, 4, 4)"),
        ({"widths": (4, 4, 4, 4, 4), "block": (8,)}, "block is (4,)"),
        ({"widths": (4, 4, 4, 4, 4), "finer": (8,)}, "finer is (8, 4)"),
        ({"widths": (4, 4, 4, 4), "reduction": 8, "finer": (8,)}, "reduction is 4"),
    ],
    ids=str,
)
def test_a_network_that_is_more_than_wider_is_refused(
    pairs_folder: Path, tmp_path: Path, change: dict[str, object], differs: str
) -> None:
    model = PCNetConfig(widths=(4, 4, 4, 4, 4), boundary=3, **BLOCKS)
    checkpoint.save_model(tmp_path / "start.safetensors", PCNet(model), {})
    other = replace(model, **{"widths": (5, 4, 4, 4, 4)} | change)
    config = config_of_blocks(pairs_folder, other, start_from="start.safetensors")
    with pytest.raises(ValueError, match=rf"whose {re.escape(differs)}, the configuration asks for"):
        initial_state(config, tmp_path, torch.device("cpu"))


@pytest.mark.parametrize("change", [{"widths": (8, 4, 4, 4, 4)}, {"guide": 2}], ids=str)
def test_a_wider_network_with_the_papers_tail_is_refused(
    pairs_folder: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    config = config_of(pairs_folder, start_from="start.safetensors")
    checkpoint.save_model(tmp_path / "start.safetensors", PCNet(config.model), {})
    config = replace(config, model=replace(config.model, **change))
    with pytest.raises(ValueError, match=rf"whose {next(iter(change))} is .*, the configuration asks for"):
        initial_state(config, tmp_path, torch.device("cpu"))


def test_the_trunk_of_a_network_with_other_channels_is_refused(pairs_folder: Path, tmp_path: Path) -> None:
    tail = PCNetConfig(widths=(4, 4, 4, 4, 4), stem="unshuffle")
    checkpoint.save_model(tmp_path / "start.safetensors", PCNet(tail), {})
    wider = PCNetConfig(widths=(8, 4, 4, 4, 4), **BLOCKS)
    config = config_of_blocks(pairs_folder, wider, start_from="start.safetensors")
    with pytest.raises(ValueError, match=r"whose widths is \(4, 4, 4, 4, 4\)"):
        initial_state(config, tmp_path, torch.device("cpu"))


@pytest.mark.parametrize("lacks", ["block", "boundary"])
def test_boundaries_can_train_no_other_trunk(lacks: str) -> None:
    blocks = BLOCKS if lacks != "block" else {}
    loss = replace(NO_TAIL, boundary=float(lacks != "boundary"), boundary_trains_trunk=True)
    with pytest.raises(
        ValueError, match=r"^loss\.boundary_trains_trunk is for a network that predicts blocks"
    ):
        TrainingConfig(
            data=DataConfig(train=("x",)),
            model=PCNetConfig(boundary=3, **blocks),
            samples=SampleConfig(batch=3, patches=False),
            loss=loss,
        )


@pytest.mark.parametrize("trains", [False, True])
def test_boundaries_train_the_trunk_if_they_may(pairs_folder: Path, tmp_path: Path, trains: bool) -> None:
    loss = replace(NO_TAIL, boundary=1, boundary_trains_trunk=trains)
    model = PCNetConfig(widths=(4, 4, 4, 4, 4), boundary=3, **BLOCKS)
    config = config_of_blocks(pairs_folder, model, loss)
    state = initial_state(config, tmp_path, torch.device("cpu"))
    picture = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(2, 64, 64, dtype=torch.int64)
    labels[:, 20:] = 1
    terms = state.loss(Batch(Crops(picture, labels), None), torch.Generator())
    terms["boundary"].backward()
    assert (state.model.encoder[0][0][0].weight.grad is not None) == trains
    assert state.model.boundary.deepest.weight.grad.abs().max() > 0


def test_a_network_of_blocks_is_rounded_to_whole_numbers_when_it_is_trained(
    pairs_folder: Path, tmp_path: Path
) -> None:
    config = config_of(pairs_folder, steps=2)
    config = replace(
        config,
        model=replace(config.model, boundary=4, merge_classifier=3, **BLOCKS),
        loss=LossConfig(reconstruction=0, local=0, discrimination=0, boundary=1),
        samples=replace(config.samples, patches=False),
        whole_numbers=WholeNumbersConfig(batches=2),
        merge_classifier=MergeClassifierConfig(
            steps=2, images=2, counts=(4,), rounds=1, min_regions=2, samples_per_tree=100, batch=10
        ),
    )
    path = train(config, tmp_path / "run")
    model, record = checkpoint.load_model(path), checkpoint.read_record(path)
    assert model.whole_numbers is not None
    assert record["whole_numbers"] == {"views": 2 * config.samples.batch}
    assert record["merge_classifier"]["images"] > 0
    before = path.read_bytes()
    assert train(config, tmp_path / "run", resume=True).read_bytes() == before  # neither is done again
    for batches in (0, 3):
        message = f"{path} is rounded: whole_numbers.batches was 2, the configuration has {batches}; "
        other = replace(config, whole_numbers=WholeNumbersConfig(batches))
        with pytest.raises(ValueError, match=f"^{re.escape(message)}take another folder$"):
            train(other, tmp_path / "run", resume=True)
        assert path.read_bytes() == before


def test_only_a_network_of_blocks_can_be_rounded() -> None:
    with pytest.raises(ValueError, match=r"set model\.block$"):
        TrainingConfig(data=DataConfig(train=("x",)), whole_numbers=WholeNumbersConfig(batches=1))
    with pytest.raises(ValueError, match=r"^batches must be at least 0, got -1$"):
        WholeNumbersConfig(batches=-1)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"reconstruction": 1}, "need the features of the paper's tail"),
        ({"discrimination": 1}, "need the features of the paper's tail"),
        ({"local": 1}, "learns from whole views: set loss.local = 0"),
    ],
)
def test_what_a_network_of_blocks_can_not_learn_is_refused(loss: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(
            data=DataConfig(train=("x",)),
            model=PCNetConfig(**BLOCKS),
            samples=SampleConfig(batch=3, patches=False),
            loss=LossConfig(**{"reconstruction": 0, "local": 0, "discrimination": 0} | loss),
        )


def test_a_run_killed_before_its_first_save_begins_its_log_anew(pairs_folder: Path, tmp_path: Path) -> None:
    start = train(config_of(pairs_folder, steps=1), tmp_path / "start")
    config = config_of(pairs_folder, steps=2, start_from=str(start))
    train(config, tmp_path / "run")
    (tmp_path / "run" / "state.safetensors").unlink()
    train(config, tmp_path / "run", resume=True)
    assert [row["step"] for row in rows_of(tmp_path / "run")] == ["0", "1", "2"]


def test_pictures_are_kept_while_there_is_room(pairs_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    read_image = Pair.read_image

    def counted(pair: Pair) -> np.ndarray:
        reads.append(pair.name)
        return read_image(pair)

    monkeypatch.setattr(Pair, "read_image", counted)
    pairs, config = read_pairs(pairs_folder), SampleConfig(crop_px=64, batch=3)
    Sampler(pairs, config, 0).batch(0)
    assert sorted(reads) == ["a", "b"]
    monkeypatch.setattr(samples, "CACHE_BYTES", 130 * 40 * 4)  # b and its annotation; a is larger
    reads.clear()
    sampler = Sampler(pairs, config, 0)
    for step in range(3):
        sampler.batch(step)
    assert sorted(reads) == ["a"] * 6 + ["b"]


def test_the_raw_lattice_names_the_cell_of_every_pixel() -> None:
    model = PCNet(PCNetConfig(widths=(4, 4, 4, 4, 4))).eval()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.arange(9) == 4)  # every pixel stays in its own cell
    labels = raw_lattice(model, np.zeros((20, 40, 3), np.uint8), torch.device("cpu"))
    rows, columns = np.arange(20) // 16, np.arange(40) // 16
    assert np.array_equal(labels, rows[:, None] * 3 + columns)


def test_a_run_goes_on_in_another_precision(pairs_folder: Path, tmp_path: Path) -> None:
    config = config_of(pairs_folder, steps=4)

    def stop(record: dict[str, float]) -> None:
        if record["step"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", report=stop)
    elsewhere = replace(config, run=replace(config.run, precision="float16"))
    record = checkpoint.read_record(train(elsewhere, tmp_path / "run", resume=True))
    assert record["step"] == 4
    assert record["training"]["run"]["precision"] == "float16"


def test_a_batch_that_is_not_finite_stops_training_whichever_of_a_step_it_is(
    pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(*arguments: object) -> LossTerms:
        terms = loss_terms(*arguments)
        if next(calls) == 0:
            terms = replace(terms, semantic_global=terms.semantic_global * float("nan"))
        return terms

    calls = iter(range(100))
    monkeypatch.setattr(losses, "loss_terms", spoilt)
    config = config_of(pairs_folder, steps=2, accumulate=2, precision="float16")
    with pytest.raises(FloatingPointError, match="the gradient is not finite at step 0"):
        train(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patience": -1}, "^patience must be at least 0, got -1$"),
        (
            {"patience": 3, "trains": "boundary", "start_from": "x"},
            "^patience needs an association that learns: with trains = 'boundary' set it to 0$",
        ),
    ],
)
def test_patience_that_would_be_ignored_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunConfig(**fields)


def test_patience_needs_pictures_to_look_at() -> None:
    with pytest.raises(ValueError, match=r"set data\.validation or data\.holdout$"):
        TrainingConfig(data=DataConfig(train=("x",)), run=RunConfig(patience=2))


def test_of_a_huge_picture_the_middle_is_validated(
    pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []

    def recorded(model: PCNet, image: np.ndarray, device: torch.device) -> np.ndarray:
        shapes.append(image.shape)
        return raw_lattice(model, image, device)

    monkeypatch.setattr(validation, "raw_lattice", recorded)
    monkeypatch.setattr(validation, "VALIDATED_SIDE_PX", 64)
    accuracy, _ = validation.validate(
        PCNet(PCNetConfig(widths=(4, 4, 4, 4, 4))).eval(), read_pairs(pairs_folder)
    )
    assert shapes == [(64, 64, 3), (64, 40, 3)]
    assert 0.5 < accuracy <= 1


def test_a_run_has_a_folder_of_its_own(pairs_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(NotADirectoryError, match=r"taken is a file; the run needs a folder of its own$"):
        train(config_of(pairs_folder), tmp_path / "taken")


def test_a_decoder_that_does_not_learn_stays_as_it_was(pairs_folder: Path, tmp_path: Path) -> None:
    config = config_of(pairs_folder, steps=2)
    model = replace(config.model, boundary=4)
    learnt = replace(config, model=model, loss=replace(config.loss, boundary=1.0))
    train(learnt, tmp_path / "start")
    left = replace(config, model=model, run=replace(config.run, start_from="start/weights.safetensors"))
    before, after = (
        checkpoint.load_model(path).state_dict()
        for path in (tmp_path / "start" / "weights.safetensors", train(left, tmp_path / "run"))
    )
    decoder = [name for name in before if name.startswith("boundary.")]
    assert all(torch.equal(before[name], after[name]) for name in decoder)
    assert not torch.equal(before["head.weight"], after["head.weight"])
