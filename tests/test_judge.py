"""What a judge learns from: trees of drawn pictures, held against their annotations."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import sparse

from napari_pcnet.disk.datasets import Pair, read_pairs
from napari_pcnet.merging.tree import Features, Judge, build
from napari_pcnet.network import checkpoint
from napari_pcnet.network.model import PCNet, PCNetConfig
from napari_pcnet.pipeline import merge_base
from napari_pcnet.training import loop
from napari_pcnet.training.judge import JudgeConfig, Witness, _grounds, fit_judge, overlap
from napari_pcnet.training.loop import (
    DataConfig,
    OptimizerConfig,
    RunConfig,
    Split,
    TrainingConfig,
    _spread_by_share,
    train,
)
from napari_pcnet.training.losses import LossConfig
from napari_pcnet.training.samples import SampleConfig

CONFIG = PCNetConfig(widths=(4, 4, 4, 4, 4), boundary=4, judge=6)
QUICK = JudgeConfig(steps=200, counts=(20,), fewest=4, batch=256, learning_rate=2e-2)


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


def config_of(start: Path, pairs: list[Pair], judge: JudgeConfig = QUICK, **run: object) -> TrainingConfig:
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
        judge=judge,
    )


def test_what_a_merge_would_lose_is_counted_by_hand() -> None:
    # four strips of ten pixels; one annotator parts the picture in the middle, one within the third strip
    base = np.repeat(np.arange(4, dtype=np.int32), 10)[None]
    annotations = [(np.arange(40) >= at)[None].astype(np.uint8) for at in (20, 26)]
    witness = Witness([overlap(base, each) for each in annotations], fewest=1)
    edges = np.array([[0, 1], [1, 2], [2, 3]])
    colour = np.array([[0.0, 0, 0], [0, 0, 0], [30, 0, 0], [90, 0, 0]])
    features = Features(np.full(4, 10.0), colour, colour, np.full(4, 22.0))
    build(features, edges, np.ones(3), 1.0, observer=witness)
    seen = witness.lessons(100, np.random.default_rng(0))
    by_size = {}
    for evidence, lost in zip(seen.evidence, seen.lost, strict=True):
        by_size.setdefault(tuple(np.round(np.exp(evidence[:2]) - 0.1).astype(int)), []).append(float(lost))
    # the middle edge loses a strip for the first annotator, the last two of ten pixels for the second
    assert sorted(by_size[10, 10]) == pytest.approx([0, 0.1, 0.1, 0.5])
    assert by_size[10, 20] == pytest.approx([0.5])
    assert by_size[10, 30] == pytest.approx([1.0])


def test_a_witness_looks_away_when_few_are_left() -> None:
    witness = Witness([sparse.csr_array(np.ones((3, 1), np.int32))], fewest=2)
    features = Features(np.ones(3), np.zeros((3, 3)), np.zeros((3, 3)), np.full(3, 4.0))
    build(features, np.array([[0, 1], [1, 2]]), np.ones(2), 1.0, observer=witness)
    assert len(witness.lessons(100, np.random.default_rng(0)).lost) == 2


def test_a_judge_learns_what_is_lost_over_an_edge(pairs: list[Pair]) -> None:
    model = lattice_model(CONFIG)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss = fit_judge(model, pairs, QUICK, seed=0, device="cpu")
    assert loss < 0.3  # an even guess costs 0.69
    (ground,) = _grounds(model, pairs[0], QUICK, "cpu")
    witness = Witness(ground.counts, QUICK.fewest)
    merge_base(ground.base, model, 4.0, observer=witness)
    seen = witness.lessons(10_000, np.random.default_rng(0))
    said = Judge(model.judge.as_layers())(seen.evidence)
    assert said[seen.lost < 0.05].mean() < 0.15
    assert said[seen.lost > 0.95].mean() > 0.5
    changed = {
        name.partition(".")[0]
        for name, value in model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"judge"}


def test_counts_that_ask_for_one_lattice_are_looked_at_once(pairs: list[Pair]) -> None:
    model = lattice_model(CONFIG)
    config = replace(QUICK, counts=(1, 4, 30))
    grounds = _grounds(model, pairs[0], config, "cpu")
    assert [len(ground.base.regions) for ground in grounds] == [48, 432]
    assert [ground.counts[0].sum() for ground in grounds] == [96 * 128] * 2


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
    pairs = [Pair(str(k), Path(f"{k}.png"), (Path(f"{k}-1.png"),)) for k in range(len(shares))]
    assert [int(pair.name) for pair in _spread_by_share(Split(pairs, [], shares), number)] == taken


def test_a_judge_depends_on_the_seed_alone(pairs: list[Pair]) -> None:
    def fitted(seed: int) -> dict[str, torch.Tensor]:
        model = lattice_model(CONFIG)
        torch.manual_seed(int(np.random.default_rng().integers(1 << 30)))
        fit_judge(model, pairs, QUICK, seed, "cpu")
        return model.judge.state_dict()

    first, again, other = fitted(1), fitted(1), fitted(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_pictures_too_small_for_a_tree_are_one_sentence(pairs: list[Pair]) -> None:
    model = lattice_model(CONFIG)
    with pytest.raises(ValueError, match=r"^no picture has more than 1000 regions: lower judge\.fewest$"):
        fit_judge(model, pairs[:1], JudgeConfig(steps=1, counts=(20,), fewest=1000), 0, "cpu")


def test_the_decoder_and_the_judge_are_added_to_weights_that_stay(
    pairs: list[Pair], start: Path, tmp_path: Path
) -> None:
    file = train(config_of(start, pairs), tmp_path / "run")
    before, after = (checkpoint.load_model(path) for path in (start, file))
    assert (after.config.boundary, after.config.judge) == (4, 6)
    for name, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[name]), name
    record = checkpoint.read_record(file)
    assert record["judge"]["images"] == 3
    assert 0 < record["judge"]["loss"] < 0.3


def test_a_judge_that_is_not_asked_for_stays_as_it_was(
    pairs: list[Pair], start: Path, tmp_path: Path
) -> None:
    first = train(config_of(start, pairs), tmp_path / "run")
    again = train(config_of(first, pairs, JudgeConfig()), tmp_path / "again")
    before, after = (checkpoint.load_model(path).state_dict() for path in (first, again))
    judge = [name for name in before if name.startswith("judge")]
    assert judge
    assert all(torch.equal(before[name], after[name]) for name in judge)
    assert not torch.equal(before["boundary.deepest.weight"], after["boundary.deepest.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": PCNetConfig()}, "run.trains is 'boundary', but the network has no boundary decoder"),
        (
            {"model": PCNetConfig(boundary=4), "judge": JudgeConfig(steps=1)},
            "judge.steps is set, but the network has no judge",
        ),
        ({"samples": SampleConfig(patches=False)}, "loss.local needs local patches"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    run = RunConfig(trains="boundary" if "run.trains" in message else "all", start_from="x")
    with pytest.raises(ValueError, match=message):
        TrainingConfig(data=DataConfig(train=("x",)), run=run, **change)


def test_a_decoder_alone_needs_weights_to_stand_behind() -> None:
    with pytest.raises(ValueError, match=r"set start_from$"):
        RunConfig(trains="boundary")


@pytest.mark.parametrize(
    ("field", "value"), [("images", 0), ("rounds", 0), ("steps", -1), ("counts", ()), ("counts", (0,))]
)
def test_a_judge_is_not_told_nonsense(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be"):
        JudgeConfig(**{field: value})


def test_a_run_has_no_judge_until_it_has_learnt(
    pairs: list[Pair], start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> float:
        raise KeyboardInterrupt

    config = config_of(start, pairs)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "fit_judge", killed)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run")
    file = tmp_path / "run" / "weights.safetensors"
    assert checkpoint.load_model(file).judge is None
    assert checkpoint.load_model(train(config, tmp_path / "run", resume=True)).config == CONFIG


def test_a_judge_learns_once_unless_it_is_to_learn_otherwise(
    pairs: list[Pair], start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counted(*arguments: object) -> float:
        asked.append(arguments[2])
        return fit_judge(*arguments)

    monkeypatch.setattr(loop, "fit_judge", counted)
    config = config_of(start, pairs)
    train(config, tmp_path / "run")
    train(config, tmp_path / "run", resume=True)
    assert asked == [QUICK]
    longer = replace(QUICK, steps=20)
    record = checkpoint.read_record(train(replace(config, judge=longer), tmp_path / "run", resume=True))
    assert asked == [QUICK, longer]
    assert record["training"]["judge"]["steps"] == 20


def test_of_a_small_picture_fewer_superpixels_are_asked_for(pairs: list[Pair]) -> None:
    model = lattice_model(CONFIG)
    (ground,) = _grounds(model, pairs[0], replace(QUICK, counts=(10**6, 10**7)), "cpu")
    assert len(ground.base.regions) >= 96 * 128 // 16


def test_progress_is_told_while_a_judge_learns(pairs: list[Pair]) -> None:
    told = []
    fit_judge(lattice_model(CONFIG), pairs, QUICK, 0, "cpu", lambda done, total: told.append((done, total)))
    assert told == [(done, 9) for done in range(1, 10)]


def test_lost_pixels_are_those_of_dense_counts() -> None:
    random = np.random.default_rng(0)
    base = np.arange(60, dtype=np.int32).reshape(6, 10).repeat(4, 0).repeat(4, 1)
    annotation = random.integers(0, 7, base.shape)
    counts = overlap(base, annotation)
    dense = np.stack([[np.sum((base == leaf) & (annotation == k)) for k in range(7)] for leaf in range(60)])
    assert (counts.toarray() == dense).all()
    witness = Witness([counts], fewest=1)
    witness.after(np.arange(60) // 2)
    assert (witness.counts[0].toarray() == dense[::2] + dense[1::2]).all()
