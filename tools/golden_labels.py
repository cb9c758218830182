"""The golden labels: what a picture's superpixels are, pixel by pixel, kept in ``tests/golden_labels.npz``.

    python tools/golden_labels.py           say what differs from the labels that are kept
    python tools/golden_labels.py --write   keep today's instead, and say what changed by how much

A change of one number somewhere in the network, the geometry or the merging moves pixels; a test compares
today's labels with these. They are made in float64, whose sums may differ in the last bit from one
processor to the next, so a test allows for `TOLERANCE`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import pcnet_hierarchy, pcnet_superpixels, weights
from napari_pcnet.disk import pictures
from napari_pcnet.metrics import achievable_segmentation_accuracy
from napari_pcnet.shapes import Labels

FILE = Path(__file__).resolve().parents[1] / "tests" / "golden_labels.npz"

CROP = slice(16, 128), slice(96, 256)
"""The cat's left eye and ear: fur, whiskers and a plain background."""

COUNT = 60

TOLERANCE = 1e-4
"""Share of the pixels that may lie in another superpixel: one in ten thousand."""


def cases() -> Iterator[tuple[str, Callable[[], Labels]]]:
    """Name of each case, and the call that labels it."""
    rgb = np.asarray(pictures.read_image(pictures.SAMPLE).pixels)[CROP]
    rows, columns = np.ogrid[: rgb.shape[0], : rgb.shape[1]]
    five = np.stack([rgb[..., 0], rgb[..., 1], rgb[..., 2], rgb[::-1, :, 0], rgb[:, ::-1, 1]])
    disc = (rows - 60) ** 2 + (columns - 70) ** 2 < 50**2
    holed = disc & ((rows - 50) ** 2 + (columns - 60) ** 2 > 15**2)

    def call(image: NDArray[Any] = rgb, n: int = COUNT, **options: Any) -> Callable[[], Labels]:
        return lambda: pcnet_superpixels(image, n, device="cpu", precision="float64", **options)

    for record in weights.records():
        for method in ("hierarchy", "lattice"):
            yield f"{record.name} {method}", call(model=record.name, method=method)
    yield "grey", call(rgb[..., 1], channel_axis=None)
    yield "five channels", call(five, channel_axis=0)
    yield "five channels, lattice", call(five, channel_axis=0, method="lattice")
    yield "without a merge classifier", call(five, channel_axis=0, model="pcnet-faithful-bsds500-v1")
    yield "mask", call(mask=holed)
    yield "mask, lattice", call(mask=holed, method="lattice")
    yield "spacing", call(spacing=(3.0, 1.0))
    yield "spacing, lattice", call(spacing=(3.0, 1.0), method="lattice")
    yield "compactness 0", call(compactness=0.0)
    yield "compactness 40", call(compactness=40.0)
    yield "smoothing", call(smoothing=2.0, spacing=(1.0, 2.0))
    yield "smoothing, wide, from 0", call(smoothing=3.7, start_label=0, n=25)
    yield "intensity range", call(intensity_range=(40.0, 160.0))
    yield "windows", call(window=192)
    yield "fine", call(n=400)
    yield (
        "coarse cut of a fine tree",
        lambda: pcnet_hierarchy(rgb, 400, device="cpu", precision="float64").labels(12),
    )


def share_moved(golden: Labels, labels: Labels) -> float:
    """Share of the pixels outside the best partner of their superpixel, whatever its number.

    The larger of both directions, so that a superpixel that is split counts as well as two that are merged.
    """
    accuracies = (
        achievable_segmentation_accuracy(golden, labels),
        achievable_segmentation_accuracy(labels, golden),
    )
    return 1 - min(accuracies)


def difference(golden: Labels | None, labels: Labels) -> str:
    """Say how labels differ from the golden ones; empty if they do not, to the last number."""
    if golden is None:
        return "new"
    if golden.shape != labels.shape:
        return f"shape {labels.shape}, was {golden.shape}"
    if np.array_equal(golden, labels):
        return ""
    share = share_moved(golden, labels)
    counts = f"{np.unique(labels).size} labels, were {np.unique(golden).size}"
    return f"{round(share * labels.size)} of {labels.size} pixels ({share:.3%}) moved, {counts}"


def is_close(golden: Labels, labels: Labels) -> bool:
    """Whether labels are the golden ones, but for what processors may differ by."""
    if golden.shape != labels.shape or np.unique(golden).size != np.unique(labels).size:
        return False
    return share_moved(golden, labels) <= TOLERANCE


def read() -> Mapping[str, Labels]:
    """The labels that are kept, by case."""
    if not FILE.exists():
        return {}
    with np.load(FILE, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def main(words: list[str]) -> int:
    """Compare or rewrite; the exit status is 1 if anything differs and was not rewritten."""
    if words not in ([], ["--write"]):
        print(__doc__)
        return 2
    kept, made, differs = read(), {}, False
    for name, label in cases():
        made[name] = label().astype(np.uint16)
        text = difference(kept.get(name), made[name])
        differs |= bool(text)
        print(f"{name}: {text or 'equal'}", flush=True)
    for name in kept.keys() - made.keys():
        print(f"{name}: gone")
    if words:
        np.savez_compressed(FILE, **made)  # type: ignore[arg-type]
        print(f"{FILE}: {FILE.stat().st_size / 1e3:.0f} kB")
    return int(differs and not words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
