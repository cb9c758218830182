"""What a merge classifier learns from: trees of drawn pictures, held against their annotations."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import sparse

from napari_pcnet.disk.annotations import Annotation
from napari_pcnet.disk.datasets import Pair, read_pairs
from napari_pcnet.merging.graph import Features
from napari_pcnet.merging.tree import build
from napari_pcnet.network import checkpoint
from napari_pcnet.network.model import PCNet, PCNetConfig
from napari_pcnet.network.prepared import prepare
from napari_pcnet.network.quantise import quantise
from napari_pcnet.network.whole_numbers import as_tensors
from napari_pcnet.options import Options
from napari_pcnet.pipeline import merge_base
from napari_pcnet.training import loop
from napari_pcnet.training.config import (
    DataConfig,
    OptimizerConfig,
    RunConfig,
    TrainingConfig,
    WholeNumbersConfig,
)
from napari_pcnet.training.loop import train
from napari_pcnet.training.losses import LossConfig
from napari_pcnet.training.merge_classifier import (
    MergeClassifierConfig,
    Oracle,
    annotated_bases,
    fit_merge_classifier,
    overlap,
)
from napari_pcnet.training.samples import SampleConfig
from napari_pcnet.training.split import Split, spread_by_share

CPU = torch.device("cpu")
CONFIG = PCNetConfig(widths=(4, 4, 4, 4, 4), boundary=4, merge_classifier=6)
QUICK = MergeClassifierConfig(steps=200, counts=(20,), min_regions=4, batch=256, learning_rate=2e-2)


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """Pictures of a bright and a dark half, with noise that hides nothing."""
    folder = tmp_path / "drawn" / "train"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    random = np.random.default_rng(0)
    for name in "abc":
        labels = np.zeros((96, 128), np.uint8)
        labels[:, int(random.integers(40, 90)) :] = 1
        grey = 60 + 120 * labels + random.integers(0, 20, labels.shape)
        Image.fromarray(np.dstack([grey.astype(np.uint8)] * 3)).save(folder / "images" / f"{name}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{name}.png")
    return read_pairs(folder)


def lattice_model(config: PCNetConfig) -> PCNet:
    """A network that leaves every pixel in its own cell."""
    torch.manual_seed(0)
    model = PCNet(config).eval()
    torch.nn.init.zeros_(model.head.weight)
    model.head.bias.data[4] = 9.0
    return model


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Weights without a decoder."""
    path = tmp_path / "start.safetensors"
    checkpoint.save_model(path, lattice_model(PCNetConfig(widths=CONFIG.widths)), {})
    return path


def config_of(
    start: Path, pairs: list[Pair], merge_classifier: MergeClassifierConfig = QUICK, **run: object
) -> TrainingConfig:
    return TrainingConfig(
        data=DataConfig(train=(str(pairs[0].image.parent.parent),)),
        model=CONFIG,
        samples=SampleConfig(crop_px=64, batch=2, patches=False),
        loss=LossConfig(boundary=1.0),
        optimizer=OptimizerConfig(learning_rate=1e-2, warmup=2),
        run=RunConfig(
            **{"steps": 3, "device": "cpu", "precision": "float32", "start_from": str(start)}
            | {"trains": "boundary"}
            | run
        ),
        merge_classifier=merge_classifier,
    )


def test_what_a_merge_would_lose_is_counted_by_hand() -> None:
    # four strips of ten pixels; one annotator parts the picture in the middle, one within the third strip
    base = np.repeat(np.arange(4, dtype=np.int32), 10)[None]
    annotations = [(np.arange(40) >= at)[None].astype(np.uint8) for at in (20, 26)]
    oracle = Oracle([overlap(base, each) for each in annotations], min_regions=1)
    edges = np.array([[0, 1], [1, 2], [2, 3]])
    colour = np.array([[0.0, 0, 0], [0, 0, 0], [30, 0, 0], [90, 0, 0]])
    features = Features.of_lab(np.full(4, 10), colour, np.tile([20, 2], (4, 1)))
    build(features, edges, np.tile([0, 1, 0, 0], (3, 1)), Options(compactness=1.0), observer=oracle)
    samples = oracle.samples(100, np.random.default_rng(0))
    by_size = {}
    for features, lost in zip(samples.features, samples.lost_share, strict=True):
        by_size.setdefault(tuple(np.round(np.exp(features[:2]) - 0.1).astype(int)), []).append(float(lost))
    # the middle edge loses a strip for the first annotator, the last two of ten pixels for the second
    assert sorted(by_size[10, 10]) == pytest.approx([0, 0.1, 0.1, 0.5])
    assert by_size[10, 20] == pytest.approx([0.5])
    assert by_size[10, 30] == pytest.approx([1.0])


def test_the_oracle_stops_when_few_regions_are_left() -> None:
    oracle = Oracle([sparse.csr_array(np.ones((3, 1), np.int32))], min_regions=2)
    features = Features.of_lab(np.ones(3, int), np.zeros((3, 3)), np.full((3, 2), 2))
    lines = np.tile([0, 1, 0, 0], (2, 1))
    build(features, np.array([[0, 1], [1, 2]]), lines, Options(compactness=1.0), observer=oracle)
    assert len(oracle.samples(100, np.random.default_rng(0)).lost_share) == 2


def test_a_merge_classifier_learns_what_is_lost_over_an_edge(pairs: list[Pair]) -> None:
    model = lattice_model(CONFIG)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss = fit_merge_classifier(model, pairs, QUICK, seed=0, device="cpu")
    assert loss < 0.3  # an even guess costs 0.69
    (base,) = annotated_bases(prepare(model, CPU), pairs[0], QUICK)
    oracle = Oracle(base.overlaps, QUICK.min_regions)
    merge_base(base.base, model.merge_classifier.as_numpy(), Options(), observer=oracle)
    samples = oracle.samples(10_000, np.random.default_rng(0))
    predicted = model.merge_classifier.as_numpy()(samples.features)
    assert predicted[samples.lost_share < 0.05].mean() < 0.15
    assert predicted[samples.lost_share > 0.95].mean() > 0.5
    changed = {
        name.partition(".")[0]
        for name, value in model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"merge_classifier"}


def test_counts_that_ask_for_one_lattice_are_labelled_once(pairs: list[Pair]) -> None:
    model = lattice_model(CONFIG)
    config = replace(QUICK, counts=(1, 4, 30))
    bases = annotated_bases(prepare(model, CPU), pairs[0], config)
    assert [len(base.base.regions) for base in bases] == [48, 432]
    assert [base.overlaps[0].sum() for base in bases] == [96 * 128] * 2


@pytest.mark.parametrize(
    ("shares", "number", "taken"),
    [
        ([1, 1, 1, 1], 2, [0, 2]),
        ([1, 1e-3, 1e-3], 3, [0, 1, 2]),
        ([1, 1e-3, 1e-3], 2, [0, 1]),
        ([1, 1], 5, [0, 1]),
        ([2, 2, 1, 1, 1, 1], 4, [0, 1, 2, 4]),
    ],
)
def test_images_are_taken_by_share_and_once(shares: list[float], number: int, taken: list[int]) -> None:
    pairs = [Pair(str(k), Path(f"{k}.png"), (Annotation(Path(f"{k}-1.png")),)) for k in range(len(shares))]
    assert [int(pair.name) for pair in spread_by_share(Split(pairs, [], shares), number)] == taken


def test_a_merge_classifier_depends_on_the_seed_alone(pairs: list[Pair]) -> None:
    def fitted(seed: int) -> dict[str, torch.Tensor]:
        model = lattice_model(CONFIG)
        torch.manual_seed(int(np.random.default_rng().integers(1 << 30)))
        fit_merge_classifier(model, pairs, QUICK, seed, "cpu")
        return model.merge_classifier.state_dict()

    first, again, other = fitted(1), fitted(1), fitted(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_pictures_too_small_for_a_tree_are_one_sentence(pairs: list[Pair]) -> None:
    model = lattice_model(CONFIG)
    with pytest.raises(
        ValueError, match=r"^no picture has more than 1000 regions: lower merge_classifier\.min_regions$"
    ):
        fit_merge_classifier(
            model, pairs[:1], MergeClassifierConfig(steps=1, counts=(20,), min_regions=1000), 0, "cpu"
        )


def test_the_decoder_and_the_merge_classifier_are_added_to_weights_that_stay(
    pairs: list[Pair], start: Path, tmp_path: Path
) -> None:
    file = train(config_of(start, pairs), tmp_path / "run")
    before, after = (checkpoint.load_model(path) for path in (start, file))
    assert (after.config.boundary, after.config.merge_classifier) == (4, 6)
    for name, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[name]), name
    record = checkpoint.read_record(file)
    assert record["merge_classifier"]["images"] == 3
    assert 0 < record["merge_classifier"]["loss"] < 0.3


def test_a_merge_classifier_that_is_not_asked_for_stays_as_it_was(
    pairs: list[Pair], start: Path, tmp_path: Path
) -> None:
    first = train(config_of(start, pairs), tmp_path / "run")
    again = train(config_of(first, pairs, MergeClassifierConfig()), tmp_path / "again")
    before, after = (checkpoint.load_model(path).state_dict() for path in (first, again))
    classifier = [name for name in before if name.startswith("merge_classifier")]
    assert classifier
    assert all(torch.equal(before[name], after[name]) for name in classifier)
    assert not torch.equal(before["boundary.deepest.weight"], after["boundary.deepest.weight"])


WHOLE = replace(CONFIG, stem="unshuffle", block=(8, 4), finer=(8,))


@pytest.fixture
def whole_start(tmp_path: Path) -> Path:
    """Weights in whole numbers, of a run beside those that start from them, with a merge classifier."""
    torch.manual_seed(0)
    model = PCNet(WHOLE).eval()
    model.whole_numbers = quantise(model, torch.rand(2, 3, 64, 64))
    path = tmp_path / "whole" / "weights.safetensors"
    path.parent.mkdir()
    record = {"training": {}, "whole_numbers": {"views": 4}, "merge_classifier": {"images": 1, "loss": 0.5}}
    checkpoint.save_model(path, model, record)
    return path


def merges_alone(start: Path, pairs: list[Pair], **change: object) -> TrainingConfig:
    """A configuration that fits merges behind weights in whole numbers."""
    config = config_of(start, pairs, trains="merges")
    return replace(config, model=WHOLE, whole_numbers=WholeNumbersConfig(2), loss=LossConfig(), **change)


def test_merges_alone_are_fitted_behind_weights_that_stay_to_the_bit(
    pairs: list[Pair], whole_start: Path, tmp_path: Path
) -> None:
    config = merges_alone(whole_start, pairs)
    file = train(config, tmp_path / "run")
    before, after = (checkpoint.load_model(path) for path in (whole_start, file))
    assert before.whole_numbers is not None and after.whole_numbers is not None
    numbers = as_tensors(before.whole_numbers)
    assert all(torch.equal(value, numbers[name]) for name, value in as_tensors(after.whole_numbers).items())
    differs = [
        name
        for name, value in before.state_dict().items()
        if not torch.equal(value, after.state_dict()[name])
    ]
    assert differs and all(name.startswith("merge_classifier.") for name in differs)
    record = checkpoint.read_record(file)
    assert (record["step"], record["whole_numbers"]) == (0, {"views": 4})
    assert record["merge_classifier"]["images"] == 3
    assert record["start"]["merge_classifier"] == {"images": 1, "loss": 0.5}

    expected = checkpoint.load_model(whole_start)
    expected.add_merge_classifier(CONFIG.merge_classifier)
    fit_merge_classifier(expected, pairs, QUICK, config.run.seed, "cpu")
    assert expected.merge_classifier is not None and after.merge_classifier is not None
    fitted = after.merge_classifier.state_dict()
    for name, value in expected.merge_classifier.state_dict().items():
        assert torch.equal(value, fitted[name]), name


def test_merges_alone_are_fitted_again_if_they_are_to_be_others(
    pairs: list[Pair], whole_start: Path, tmp_path: Path
) -> None:
    config = merges_alone(whole_start, pairs)
    file = train(config, tmp_path / "run")
    with pytest.raises(FileExistsError, match=r"pass --resume or another folder$"):
        train(config, tmp_path / "run")
    content = file.read_bytes()
    assert train(config, tmp_path / "run", resume=True).read_bytes() == content
    other = replace(config, merge_classifier=replace(QUICK, rounds=1))
    assert not torch.equal(_first_weight(file), _first_weight(train(other, tmp_path / "run", resume=True)))
    seed = replace(config, run=replace(config.run, seed=1))
    with pytest.raises(
        ValueError, match=r"is of another training: run\.seed was 0, the configuration has 1; "
    ):
        train(seed, tmp_path / "run", resume=True)


def _first_weight(file: Path) -> torch.Tensor:
    classifier = checkpoint.load_model(file).merge_classifier
    assert classifier is not None
    return next(classifier.parameters())


def test_merges_alone_go_on_behind_the_weights_that_a_killed_run_wrote(
    pairs: list[Pair], whole_start: Path, tmp_path: Path
) -> None:
    config = merges_alone(whole_start, pairs)
    expected = train(config, tmp_path / "whole run")
    with (
        patch.object(loop, "fit_merge_classifier", side_effect=KeyboardInterrupt),
        suppress(KeyboardInterrupt),
    ):
        train(config, tmp_path / "run")
    assert checkpoint.load_model(tmp_path / "run" / "weights.safetensors").merge_classifier is None
    file = train(config, tmp_path / "run", resume=True)
    assert torch.equal(_first_weight(file), _first_weight(expected))


def test_weights_in_floats_stay_in_floats_behind_which_merges_alone_are_fitted(
    pairs: list[Pair], tmp_path: Path
) -> None:
    start = tmp_path / "floats.safetensors"
    torch.manual_seed(0)
    checkpoint.save_model(start, PCNet(WHOLE).eval(), {})
    after = checkpoint.load_model(train(merges_alone(start, pairs), tmp_path / "run"))
    assert after.whole_numbers is None
    for name, value in checkpoint.load_model(start).state_dict().items():
        assert name.startswith("merge_classifier.") or torch.equal(value, after.state_dict()[name]), name


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_another_kind_of_run_is_left_alone(
    pairs: list[Pair], whole_start: Path, tmp_path: Path, resume: bool
) -> None:
    merges = merges_alone(whole_start, pairs)
    boundary = replace(merges, run=replace(merges.run, trains="boundary"), loss=LossConfig(boundary=1.0))
    for first, second in ((merges, boundary), (boundary, merges)):
        folder = tmp_path / first.run.trains
        content = train(first, folder).read_bytes()
        with pytest.raises(ValueError, match=r"; take another folder$"):
            train(second, folder, resume=resume)
        assert (folder / "weights.safetensors").read_bytes() == content


def test_weights_without_a_record_are_no_run_to_go_on_with(
    pairs: list[Pair], whole_start: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    checkpoint.save_model(tmp_path / "run" / "weights.safetensors", PCNet(WHOLE).eval(), {})
    with pytest.raises(ValueError, match=r"is of another training: it has no record; take another folder$"):
        train(merges_alone(whole_start, pairs), tmp_path / "run", resume=True)


def test_merges_alone_need_the_network_that_the_configuration_names(
    pairs: list[Pair], whole_start: Path, tmp_path: Path
) -> None:
    config = merges_alone(whole_start, pairs)
    with pytest.raises(
        ValueError, match=r"holds a network whose boundary is 4, the configuration asks for 8$"
    ):
        train(replace(config, model=replace(WHOLE, boundary=8)), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    plain = tmp_path / "plain.safetensors"
    checkpoint.save_model(plain, PCNet(replace(WHOLE, boundary=0, merge_classifier=0)), {})
    bare = replace(config, run=replace(config.run, start_from=str(plain)))
    with pytest.raises(
        ValueError, match=r"holds a network whose boundary is 0, the configuration asks for 4$"
    ):
        train(bare, tmp_path / "run")
    more = replace(config, model=replace(WHOLE, merge_classifier=9))  # it is new anyway
    assert checkpoint.load_model(train(more, tmp_path / "run")).config.merge_classifier == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": PCNetConfig()}, "run.trains is 'boundary', but the network has no boundary decoder"),
        (
            {"model": PCNetConfig(boundary=4), "merge_classifier": MergeClassifierConfig(steps=1)},
            "merge_classifier.steps is set, but the network has no merge classifier",
        ),
        ({"samples": SampleConfig(patches=False)}, "loss.local needs local patches"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    run = RunConfig(trains="boundary" if "run.trains" in message else "all", start_from="x")
    with pytest.raises(ValueError, match=message):
        TrainingConfig(data=DataConfig(train=("x",)), run=run, **change)


@pytest.mark.parametrize(
    ("trains", "what"), [("boundary", "a boundary decoder"), ("merges", "a merge classifier")]
)
def test_a_part_alone_needs_weights_to_stand_behind(trains: str, what: str) -> None:
    with pytest.raises(ValueError, match=rf"^{what}.* set start_from$"):
        RunConfig(trains=trains)


def test_merges_alone_need_steps() -> None:
    run = RunConfig(trains="merges", start_from="x")
    with pytest.raises(ValueError, match=r"^run\.trains is 'merges', .* set merge_classifier\.steps$"):
        TrainingConfig(data=DataConfig(train=("x",)), model=CONFIG, run=run)


@pytest.mark.parametrize(
    ("field", "value"), [("images", 0), ("rounds", 0), ("steps", -1), ("counts", ()), ("counts", (0,))]
)
def test_a_merge_classifier__configuration_of_nonsense_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be"):
        MergeClassifierConfig(**{field: value})


def test_a_run_has_no_merge_classifier_until_it_has_learnt(
    pairs: list[Pair], start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> float:
        raise KeyboardInterrupt

    config = config_of(start, pairs)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "fit_merge_classifier", killed)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run")
    file = tmp_path / "run" / "weights.safetensors"
    assert checkpoint.load_model(file).merge_classifier is None
    assert checkpoint.load_model(train(config, tmp_path / "run", resume=True)).config == CONFIG


def test_a_merge_classifier_learns_once_unless_it_is_to_learn_otherwise(
    pairs: list[Pair], start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counted(*arguments: object) -> float:
        asked.append(arguments[2])
        return fit_merge_classifier(*arguments)

    monkeypatch.setattr(loop, "fit_merge_classifier", counted)
    config = config_of(start, pairs)
    train(config, tmp_path / "run")
    train(config, tmp_path / "run", resume=True)
    assert asked == [QUICK]
    longer = replace(QUICK, steps=20)
    record = checkpoint.read_record(
        train(replace(config, merge_classifier=longer), tmp_path / "run", resume=True)
    )
    assert asked == [QUICK, longer]
    assert record["training"]["merge_classifier"]["steps"] == 20


def test_of_a_small_picture_fewer_superpixels_are_asked_for(pairs: list[Pair]) -> None:
    model = lattice_model(CONFIG)
    (base,) = annotated_bases(prepare(model, CPU), pairs[0], replace(QUICK, counts=(10**6, 10**7)))
    assert len(base.base.regions) >= 96 * 128 // 16


def test_progress_is_reported_while_a_merge_classifier_learns(pairs: list[Pair]) -> None:
    reported = []
    fit_merge_classifier(
        lattice_model(CONFIG), pairs, QUICK, 0, "cpu", lambda done, total: reported.append((done, total))
    )
    assert reported == [(done, 9) for done in range(1, 10)]


def test_lost_pixels_are_those_of_dense_counts() -> None:
    random = np.random.default_rng(0)
    base = np.arange(60, dtype=np.int32).reshape(6, 10).repeat(4, 0).repeat(4, 1)
    annotation = random.integers(0, 7, base.shape)
    counts = overlap(base, annotation)
    dense = np.stack([[np.sum((base == leaf) & (annotation == k)) for k in range(7)] for leaf in range(60)])
    assert (counts.toarray() == dense).all()
    oracle = Oracle([counts], min_regions=1)
    oracle.after(np.arange(60) // 2)
    assert (oracle.overlaps[0].toarray() == dense[::2] + dense[1::2]).all()
