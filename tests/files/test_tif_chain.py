"""Pages of a tif that follow each other in a circle are refused, whatever the length of the circle."""

import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_pcnet.disk.labels import read_labels
from napari_pcnet.disk.pictures import count_levels, read_image

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)


def _chained(path: Path, number: int, back_to: int, **options: Any) -> Path:
    """Write so many pages, after the last of which comes one of them again."""
    with tifffile.TiffWriter(path, **options) as file:
        for _ in range(number):
            file.write(GREY, contiguous=False, metadata=None)
    with tifffile.TiffFile(path) as file:
        pages, tiff = list(file.pages), file.tiff
        last = pages[-1].offset
        end = last + tiff.tagnosize + len(pages[-1].tags) * tiff.tagsize
    with path.open("r+b") as raw:
        raw.seek(end)
        raw.write(struct.pack(tiff.offsetformat, pages[back_to].offset))
    return path


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}], ids=str)
@pytest.mark.parametrize(("number", "back_to"), [(1, 0), (3, 1), (3, 2), (150, 20)])
def test_pages_in_a_circle_are_refused(tmp_path: Path, number: int, back_to: int, options: Any) -> None:
    path = _chained(tmp_path / "a.tif", number, back_to, **options)
    message = re.escape(
        f"{path} cannot be read as a tif, png or jpg picture: its pages follow each other in a circle"
    )
    for use in (read_image, read_labels, count_levels):
        with pytest.raises(ValueError, match=f"^{message}$"):
            use(path)


def test_a_tif_without_a_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0" + bytes(4))
    message = f"{path} cannot be read as a tif, png or jpg picture: it has no page"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_image(path)


def test_what_tifffile_logs_is_not_printed(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offset = file.pages.first.tags["ResolutionUnit"].offset
    with (tmp_path / "a.tif").open("r+b") as raw:
        raw.seek(offset + 2)
        raw.write(b"\xff\xff")
    code = f"from napari_pcnet import read_image; print(read_image({str(tmp_path / 'a.tif')!r}).pixels.shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("(3, 4)\n", "")
