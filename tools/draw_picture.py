"""Draw a picture of any size like a photograph, as a tif in tiles of 512 x 512 with deflate.

    python tools/draw_picture.py 32768x32768 large.tif

It is the picture of `napari-pcnet benchmark scale` of this size, and is never held whole.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import tifffile

from napari_pcnet.evaluation.pictures import draw_bands, shape_of
from napari_pcnet.evaluation.segmenter import Pixels

TILE_PX = 512


def main() -> int:
    """Draw the picture that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("size", type=shape_of, metavar="WIDTHxHEIGHT")
    parser.add_argument("path", type=Path, metavar="OUT.tif")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    shape = arguments.size
    tifffile.imwrite(
        arguments.path,
        tiles_of(draw_bands(shape, arguments.seed)),
        shape=(*shape, 3),
        dtype=np.uint8,
        tile=(TILE_PX, TILE_PX),
        compression="zlib",
        predictor=True,
        photometric="rgb",
        bigtiff=shape[0] * shape[1] * 3 > 2**32 - 2**25,
    )
    return 0


def tiles_of(bands: Iterable[Pixels]) -> Iterator[Pixels]:
    """Tiles in raster order, ``(h, w, 3)``, of bands of rows of any height."""
    waiting, height = list[Pixels](), 0
    for band in chain(bands, [None]):
        if band is not None:
            waiting.append(band)
            height += len(band)
        while height >= TILE_PX or (band is None and height):
            rows = np.concatenate(waiting)
            for left in range(0, rows.shape[1], TILE_PX):
                yield rows[:TILE_PX, left : left + TILE_PX]
            waiting, height = [rows[TILE_PX:]], max(0, height - TILE_PX)


if __name__ == "__main__":
    sys.exit(main())
