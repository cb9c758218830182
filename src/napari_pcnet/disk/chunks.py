"""Parts of a chunked array, decoded by zarr in a loop of events that ends with the part.

zarr decodes chunks side by side, in one loop that lives as long as the process. If one of them is damaged,
the others are left to that loop, and Python prints two lines about each of them when the process ends.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.deferred import Slices
from napari_pcnet.disk.remote import RemoteFolder, connected


def read_part(
    store: Path | RemoteFolder | Any,
    slices: Slices,
    zarr_format: Literal[2, 3],  # Any: tifffile's store
) -> NDArray[Any]:
    """Decode a part of an array, and leave nothing running if that fails.

    Parameters
    ----------
    store : Path, RemoteFolder or zarr store
        The folder of an array, or what holds one.
    slices : tuple of slice
        One for each axis.
    zarr_format : int
        A folder may hold metadata of both formats, of which one has been checked.
    """
    with ThreadPoolExecutor(1) as thread:  # the caller's own may run a loop already, as in a notebook
        return thread.submit(lambda: asyncio.run(_part(store, slices, zarr_format))).result()


async def _part(store: Path | Any, slices: Slices, zarr_format: Literal[2, 3]) -> NDArray[Any]:
    from zarr.api.asynchronous import open_array

    async with _held(store) as held:
        array = await open_array(store=held, mode="r", zarr_format=zarr_format)
        return np.asarray(await array.getitem(slices))


@asynccontextmanager
async def _held(store: Path | Any) -> AsyncIterator[Path | Any]:
    """Give a store; that of a folder behind an address lasts as long as the loop of events."""
    if isinstance(store, Path):
        from napari_pcnet.disk.local_store import LocalFiles

        yield LocalFiles(store, read_only=True)
        return
    if not isinstance(store, RemoteFolder):
        yield store
        return
    from napari_pcnet.disk.remote_store import RemoteStore

    async with connected(store) as system:
        yield RemoteStore(system, store)
