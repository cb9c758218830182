"""An OME-TIFF whose planes are in several files, each named in the first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
        f' UUID="urn:uuid:{names[0]}"><Image ID="I"><Pixels ID="P" DimensionOrder="XYZCT" Type="uint8"'
        f' SizeX="{width}" SizeY="{height}" SizeZ="{len(names)}" SizeC="1" SizeT="1">'
        f'<Channel ID="C" SamplesPerPixel="1"/>{said}</Pixels></Image></OME>'
    )
    tifffile.imwrite(folder / names[0], plane, description=description, metadata=None)
    return folder / names[0]
