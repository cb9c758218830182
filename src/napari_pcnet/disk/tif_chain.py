"""The chain of pages in a tif: each says where the next one is, and a damaged one may say where it was."""

import struct
from typing import Any


def check_chain(file: Any) -> None:  # Any: tifffile's file stays in the disk
    """Refuse pages that follow each other in a circle, of which tifffile would read four billion.

    It looks for circles itself, but at one place of the chain, and not while it walks page by page.

    Raises
    ------
    ValueError
        If they do, or if there is none.
    """
    if not file.pages:
        raise ValueError("it has no page")
    handle, tiff, offset = file.filehandle, file.tiff, file.pages.first.offset
    seen = set[int]()
    while 0 < offset < handle.size:
        if offset in seen:
            raise ValueError("its pages follow each other in a circle")
        seen.add(offset)
        handle.seek(offset)
        head = handle.read(tiff.tagnosize)
        if len(head) < tiff.tagnosize:
            return
        handle.seek(offset + tiff.tagnosize + struct.unpack(tiff.tagnoformat, head)[0] * tiff.tagsize)
        tail = handle.read(tiff.offsetsize)
        if len(tail) < tiff.offsetsize:
            return
        offset = struct.unpack(tiff.offsetformat, tail)[0]
