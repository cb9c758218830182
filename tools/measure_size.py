"""What a picture of any size takes: memory and processor time, and where they go.

    python tools/draw_picture.py 16384x16384 in.tif
    python tools/measure_size.py in.tif out.ome.zarr -n 80000

It is ``napari-pcnet segment`` with all its options, in this process. Windows are labelled, then the tree is
built, then the labels are written: for each phase it prints the largest resident memory (Linux's
`VmHWM`: what is mapped of files is in it, the file cache is not) and the processor time of all threads. It
also says how many pieces and regions there were, and what share of the time each stage took.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from napari_pcnet import pipeline, weights
from napari_pcnet.cli import main as run_command
from napari_pcnet.network import checkpoint, inference
from napari_pcnet.network.model import multiply_adds_per_px
from napari_pcnet.stages import timed

MEBIBYTE = 1 << 20
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


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


def main(words: list[str]) -> int:
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
