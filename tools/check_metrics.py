"""Hold the metrics against the slow loop of tests/test_metrics.py on annotated images.

    python tools/check_metrics.py DATA/bsds500/val --rows 20

DATA is a folder `napari_pcnet.disk.datasets` reads. Rows are (image, annotation) pairs, spread evenly over
the images; the superpixels are scikit-image's, of another number for each row. Exit status 1 if any score is
further than 1e-6 from the loop's.
"""

import argparse
import importlib.util
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType

from skimage.segmentation import slic

from napari_pcnet import metrics
from napari_pcnet.disk.datasets import read_pairs

LIMIT = 1e-6
LOOP = Path(__file__).parents[1] / "tests" / "test_metrics.py"
FEWEST, STEP = 100, 45
"""Superpixels asked for in the first row, and how many more in each further one."""


def load_loop() -> ModuleType:
    """Import the tests of the metrics, where the slow loop is."""
    spec = importlib.util.spec_from_file_location("slow_loop", LOOP)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Compare row by row, and print the largest difference of each score."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="folder of a split")
    parser.add_argument("--rows", type=int, default=20, help="default: %(default)s")
    arguments = parser.parse_args()
    pairs, loop = read_pairs(arguments.data), load_loop()
    largest = {field.name: 0.0 for field in fields(metrics.Scores)}
    for row in range(arguments.rows):
        pair = pairs[row * len(pairs) // arguments.rows]
        image, truths = pair.read_image(), pair.read_annotations()
        annotation = row % len(truths)
        labels = slic(image, FEWEST + STEP * row, start_label=1)
        fast = metrics.score(labels, truths[annotation], image)
        slow = loop.slow_score(labels, truths[annotation], image, fast.tolerance_px)
        for name in largest:
            largest[name] = max(largest[name], abs(getattr(fast, name) - getattr(slow, name)))
        print(f"{pair.name}, annotation {annotation + 1}: K = {fast.superpixels}", flush=True)
    for name, difference in largest.items():
        print(f"{name:34s} differs by at most {difference:.1e}")
    return int(max(largest.values()) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
