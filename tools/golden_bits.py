"""One hash of the labels of five pictures by a network in whole numbers, kept in ``tests/golden_bits.txt``.

    python tools/golden_bits.py             print today's hash, and say whether it is the one that is kept
    python tools/golden_bits.py --write     keep today's instead

The labels are the same to the last bit on every processor and device, for all windows and threads, computed
by oneDNN or by float convolutions, with and without numba. A test runs this under each of these. Options
``--window PX``, ``--threads N`` and ``--floats`` (without oneDNN's 8-bit convolutions) choose how.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from napari_pcnet import pcnet_superpixels
from napari_pcnet.disk import pictures
from napari_pcnet.network import whole_numbers

FILE = Path(__file__).resolve().parents[1] / "tests" / "golden_bits.txt"
MODEL = "pcnet-v2"


def cases() -> Iterator[tuple[NDArray[Any], int, dict[str, Any]]]:
    """Each picture, the number of superpixels, and options."""
    cat = np.asarray(pictures.read_image(pictures.SAMPLE).pixels)
    face = np.ascontiguousarray(cat[16:128, 96:256])
    rows, columns = np.ogrid[: face.shape[0], : face.shape[1]]
    disc = (rows - 60) ** 2 + (columns - 70) ** 2 < 50**2
    mirrored = np.concatenate([cat, cat[:, ::-1]], axis=1)
    yield face, 60, {}
    yield np.concatenate([mirrored, mirrored[::-1]]), 400, {}
    yield face[..., 1].astype(np.uint16) * 37 + 5, 90, {"channel_axis": None}
    yield np.stack([*np.moveaxis(face, -1, 0), face[::-1, :, 0], face[:, ::-1, 1]]), 500, {"channel_axis": 0}
    yield face, 2000, {"mask": disc, "spacing": (2.0, 1.0)}


def digest(window: int | None) -> str:
    """The hash of all labels."""
    found = hashlib.sha256()
    for image, number, options in cases():
        labels = pcnet_superpixels(image, number, model=MODEL, window=window, **options)
        found.update(labels.astype("<i4").tobytes())
    return found.hexdigest()


def main(words: list[str]) -> int:
    """Print the hash; the exit status is 1 if it is not the one that is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--window", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--floats", action="store_true")
    asked = parser.parse_args(words)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    agrees = not asked.floats and whole_numbers.onednn_agrees()
    with patch.object(whole_numbers, "onednn_agrees", return_value=agrees):
        found = digest(asked.window)
    if asked.write:
        FILE.write_text(found + "\n")
    kept = FILE.read_text().strip() if FILE.exists() else ""
    print(found, "as kept" if found == kept else "DIFFERS")
    return int(found != kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
