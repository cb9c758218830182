"""The store of one array behind an address: chunks from its host, metadata as they were checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.storage import FsspecStore

from napari_pcnet.disk.remote import RemoteFolder, file_system, naming_transport, path_in

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup")


class RemoteStore(FsspecStore):
    """An array in a folder whose node has been read; nothing is written.

    Parameters
    ----------
    system : fsspec.asyn.AsyncFileSystem
    folder : RemoteFolder
        Its `missing` takes the keys of chunks that are not there.
    """

    def __init__(self, system: Any, folder: RemoteFolder) -> None:
        super().__init__(system, read_only=True, path=path_in(system, folder))
        self._folder = folder

    def __reduce__(self) -> tuple[Any, ...]:  # connections can't be sent to another process
        return unconnected, (self._folder,)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Give a file, or a part of it; None if it is not there."""
        if key in _METADATA:
            file = self._folder / key
            return prototype.buffer.from_bytes(file.read_bytes()) if file.is_file() else None
        with naming_transport(self._folder, key):
            content = await super().get(key, prototype, byte_range)
        if content is None:
            self._folder.missing.add(key)
            return None
        return _part(content, byte_range)


def unconnected(folder: RemoteFolder) -> RemoteStore:
    """Make the store of an array of which only the metadata that were read are asked for."""
    return RemoteStore(file_system(folder), folder)


def _part(content: Buffer, asked: ByteRequest | None) -> Buffer:
    """Cut the part out of the whole, which a host without parts of files sends."""
    if isinstance(asked, RangeByteRequest) and len(content) > asked.end - asked.start:
        return content[asked.start : asked.end]
    if isinstance(asked, SuffixByteRequest) and len(content) > asked.suffix:
        return content[len(content) - asked.suffix : len(content)]
    return content
