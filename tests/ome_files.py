"""Tifs whose planes are in several files: an OME-TIFF, in which each is named, and one of Micro-Manager."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray


def write_first_of(names: Sequence[str], folder: Path, plane: NDArray[Any]) -> Path:
    """Write the file of the first plane, ``(H, W)`` uint8, which says that the others are in those names."""
    said = "".join(
        f'<TiffData IFD="0" FirstZ="{at}"><UUID FileName="{name}">urn:uuid:{name}</UUID></TiffData>'
        for at, name in enumerate(names)
    )
    height, width = plane.shape
    description = (
        '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY pipe "b.ome.tif">]><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
        f' UUID="urn:uuid:{names[0]}"><Image ID="I"><Pixels ID="P" DimensionOrder="XYZCT" Type="uint8"'
        f' SizeX="{width}" SizeY="{height}" SizeZ="{len(names)}" SizeC="1" SizeT="1">'
        f'<Channel ID="C" SamplesPerPixel="1"/>{said}</Pixels></Image></OME>'
    )
    tifffile.imwrite(folder / names[0], plane, description=description, metadata=None)
    return folder / names[0]


def write_of_micro_manager(path: Path, plane: NDArray[np.uint8]) -> None:
    """Write a plane, ``(H, W)``, as Micro-Manager does, which names other files in an index beside it."""
    summary, (height, width) = b"{}", plane.shape
    own = struct.pack("<IIII", 483729, 2, 2355492, len(summary)) + summary
    first, number = 8 + len(own), 9
    pixels = first + 2 + 12 * number + 4
    values = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: pixels, 278: height, 279: plane.size}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items()]
    entries.append(struct.pack("<HHII", 51123, 2, len(summary), first - len(summary)))
    page = struct.pack("<H", number) + b"".join(entries) + bytes(4)
    path.write_bytes(b"II" + struct.pack("<HI", 42, first) + own + page + plane.tobytes())
