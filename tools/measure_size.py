"""What a picture of any size takes: memory and processor time, and where they go.

    python tools/measure_size.py draw 16384x16384 in.tif
    python tools/measure_size.py segment in.tif out.ome.zarr -n 80000

`draw` writes the picture that the benchmarks draw, as a tiled tif with deflate, a band of rows at a time.
`segment` is ``napari-pcnet segment`` with all its options, in this process. Windows are labelled, then the
tree is built, then the labels are written: for each phase it prints the largest resident memory (Linux's
`VmHWM`: what is mapped of files is in it, the file cache is not) and the processor time of all threads. It
also says how many pieces and regions there were, and what share of the time each stage took.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import pipeline, weights
from napari_pcnet.cli import main as run_command
from napari_pcnet.evaluation.pictures import draw_bands, shape_of
from napari_pcnet.network import checkpoint, inference
from napari_pcnet.network.model import multiply_adds_per_px
from napari_pcnet.stages import timed

TILE_PX = 512
MEBIBYTE = 1 << 20
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def draw(size: str, path: Path, seed: int) -> None:
    """Write a drawn picture."""
    import tifffile

    height, width = shape_of(size)
    tifffile.imwrite(
        path,
        _tiles((height, width), seed),
        shape=(height, width, 3),
        dtype=np.uint8,
        tile=(TILE_PX, TILE_PX),
        photometric="rgb",
        compression="zlib",
        compressionargs={"level": 1},
        bigtiff=True,
    )
    print(f"{path}: {width} x {height} pixels, {path.stat().st_size / MEBIBYTE:,.0f} MiB")


def _tiles(shape: tuple[int, int], seed: int) -> Iterator[NDArray[np.uint8]]:
    """Tiles of a drawn picture in raster order, filled up with zeros at its ends."""
    height, width = shape
    rows = np.empty((0, width, 3), np.uint8)
    for band in draw_bands(shape, seed):
        rows = np.concatenate([rows, band])
        height -= len(band)
        while len(rows) >= TILE_PX or (len(rows) and not height):
            for left in range(0, width, TILE_PX):
                part = rows[:TILE_PX, left : left + TILE_PX]
                missing = [(0, TILE_PX - side) for side in part.shape[:2]]
                yield np.pad(part, [*missing, (0, 0)])
            rows = rows[TILE_PX:]


class Phase(NamedTuple):
    """A part of the work."""

    name: str
    peak_bytes: int
    cpu_s: float


class Watch:
    """Takes memory and time at the end of each phase."""

    def __init__(self) -> None:
        self.phases = list[Phase]()
        self.regions = list[str]()
        self._since_s = 0.0
        self.begin()

    def begin(self) -> None:
        """Forget the peak so far."""
        self._since_s = time.process_time()
        CLEAR_REFS.write_text("5")

    def end(self, name: str) -> None:
        """End a phase; the next one begins."""
        found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())
        assert found is not None, "Linux has it"
        self.phases.append(Phase(name, int(found[1]) << 10, time.process_time() - self._since_s))
        self.begin()

    def around_graph(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`pipeline.region_graph`, which begins when all windows are done."""

        def graph(base: inference.Base, *rest: Any, **named: Any) -> Any:
            self.end("windows")
            self.regions.append(f"{base.pieces:,} pieces, {len(base.regions):,} regions to merge")
            return call(base, *rest, **named)

        return graph

    def around_tree(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`pipeline.build_using_up`."""

        def tree(*rest: Any, **named: Any) -> Any:
            made = call(*rest, **named)
            self.end("tree")
            return made

        return tree


def segment(words: list[str]) -> int:
    """Run the command and print what it took; its exit status is given back."""
    watch = Watch()
    with (
        timed() as stages,
        patch.object(pipeline, "region_graph", watch.around_graph(pipeline.region_graph)),
        patch.object(pipeline, "build_using_up", watch.around_tree(pipeline.build_using_up)),
    ):
        status = run_command(["segment", *words])
    watch.end("labels")
    if status == 0:
        _print(watch, stages, Path(words[0]), Path(words[1]))
    return status


def _print(watch: Watch, stages: dict[str, float], image: Path, labels: Path) -> None:
    from napari_pcnet import read_image

    pixels = math.prod(read_image(image).pixels.shape[:2])
    phases = [*watch.phases]
    total = Phase("all", max(each.peak_bytes for each in phases), sum(each.cpu_s for each in phases))
    print(f"{'phase':8} {'peak MiB':>9} {'CPU s':>8} {'ns a pixel':>11}")
    for name, peak_bytes, cpu_s in [*phases, total]:
        print(f"{name:8} {peak_bytes / MEBIBYTE:9,.0f} {cpu_s:8,.1f} {cpu_s / pixels * 1e9:11,.1f}")
    print(*watch.regions, sep="\n")
    whole = sum(stages.values())
    print("stages: " + ", ".join(f"{name} {seconds / whole:.1%}" for name, seconds in stages.items()))
    written = sum(file.stat().st_size for file in labels.rglob("*") if file.is_file())
    print(f"bytes a pixel: {image.stat().st_size / pixels:.2f} read, {written / pixels:.2f} written")
    model = checkpoint.load_model(weights.locate("pcnet-v2"))
    print(f"multiply-adds a pixel: {multiply_adds_per_px(model):,.0f} (pcnet-v2, halos apart)")


def main(words: list[str]) -> int:
    """Do what the words say."""
    if words[:1] == ["segment"]:
        return segment(words[1:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("size", help="WIDTHxHEIGHT")
    drawing.add_argument("path", type=Path)
    drawing.add_argument("--seed", type=int, default=0)
    commands.add_parser("segment", help="IN OUT and options, as of napari-pcnet segment")
    asked = parser.parse_args(words)
    draw(asked.size, asked.path, asked.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
