"""Where the labels of a crop lie: on the pixels of its image, mirrored with them, no half pixel beside."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_pcnet.disk.datasets import Pair, read_pairs
from napari_pcnet.training.samples import SampleConfig, Sampler

PLAIN = SampleConfig(crop_px=64, batch=2, mirror=False, patches=False, global_scale=(1.0, 1.0))


def _pairs(folder: Path, *labels: np.ndarray) -> list[Pair]:
    """Pictures that are white where their labels are 1."""
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number, each in enumerate(labels):
        grey = np.dstack([255 * each.astype(np.uint8)] * 3)
        Image.fromarray(grey).save(folder / "images" / f"{number}.png")
        Image.fromarray(each.astype(np.uint8)).save(folder / "labels" / f"{number}.png")
    return read_pairs(folder)


def test_a_picture_smaller_than_its_crop_is_mirrored_about_its_outer_edges(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = [random.integers(0, 2, (40, 30)) for _ in range(2)]
    whole = Sampler(_pairs(tmp_path, *labels), PLAIN, seed=0).batch(0).whole
    expected = [np.pad(each, [(12, 12), (17, 17)], mode="symmetric").tolist() for each in labels]
    assert sorted(whole.labels.tolist()) == sorted(expected)
    torch.testing.assert_close(
        whole.image, whole.labels[:, None].expand(-1, 3, -1, -1).float(), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("scale", [0.75, 1.5])
@pytest.mark.parametrize("axis", [1, 2])
def test_labels_of_a_resized_crop_lie_where_its_image_does(tmp_path: Path, scale: float, axis: int) -> None:
    at = np.indices((100, 100))[axis - 1]
    pairs = _pairs(tmp_path, at >= 48, at >= 53)
    sampler = Sampler(pairs, SampleConfig(**vars(PLAIN) | {"global_scale": (scale, scale)}), seed=0)
    beside = []
    for step in range(20):
        whole = sampler.batch(step).whole
        for image, labels in zip(whole.image[:, 0], whole.labels, strict=True):
            if int(labels.max()) == 1:
                beside.append(float((labels - image).sum()) / 64)
    assert len(beside) > 20
    assert abs(np.mean(beside)) < 0.2  # pixels; half a pixel of the crop would be 0.5
