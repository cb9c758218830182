"""The store of an array in a folder, in which a pipe or a device is no chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zarr.storage import LocalStore

from napari_pcnet.disk.files import is_special

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


class LocalFiles(LocalStore):
    """An array in a folder."""

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Give a file, or a part of it; None if it is not there. What is no file is refused."""
        if is_special(self.root / key):
            raise ValueError(f"its {key} is a pipe or a device")
        return await super().get(key, prototype, byte_range)
