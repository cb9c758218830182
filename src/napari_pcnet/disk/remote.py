"""A folder of a zarr behind an address, read by fsspec, which the extra ``remote`` brings.

Only an address that a user gives as text becomes a `RemoteFolder`. What a file names is a node inside its own
folder, so no metadata make a request of another host.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias
from urllib.parse import quote, urljoin, urlsplit

from napari_pcnet.disk.damage import DamageError
from napari_pcnet.disk.memory import memory_text

if TYPE_CHECKING:
    import aiohttp

TIMEOUT_S = 20.0
"""How long a host may stay silent, before its answer or within it."""

METADATA_BYTES = 1 << 26
"""Largest file of metadata that is read."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

_FORBIDDEN = 403
"""How a bucket that may not be listed answers for a file that it does not have."""


class RemoteFolder:
    """A folder behind an address: what of `pathlib.Path` the readers of zarr ask for.

    Parameters
    ----------
    address : str
        Checked when the first file is asked for.
    files : dict, optional
        Content by address of the metadata that were fetched, None of those that are not there: of each there
        is one request, and what was checked is what is used.

    Attributes
    ----------
    missing : set of str
        Keys of chunks that were asked for and are not there.
    most_bytes : int
        Largest file that is read in it.
    """

    def __init__(self, address: str, files: dict[str, bytes | None] | None = None) -> None:
        self._address = address.rstrip("/")
        self._files: dict[str, bytes | None] = {} if files is None else files
        self.missing: set[str] = set()
        self.most_bytes = METADATA_BYTES

    def __str__(self) -> str:
        return self._address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteFolder) and str(other) == str(self)

    def __hash__(self) -> int:
        return hash(self._address)

    def __truediv__(self, name: str) -> RemoteFolder:
        inside = name if self.protocol == "s3" else quote(name)
        return RemoteFolder(f"{self._address}/{inside}", self._files)

    @property
    def name(self) -> str:
        """Last part of the address."""
        return self._address.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return Path(self.name).stem

    @property
    def protocol(self) -> str:
        """What stands before ``://``, in lower case."""
        return urlsplit(self._address).scheme

    def as_posix(self) -> str:
        """The address."""
        return self._address

    def resolve(self) -> RemoteFolder:
        """The same: an address is absolute."""
        return self

    def iterdir(self) -> NoReturn:
        """Refuse: what a host lists may be anything."""
        raise ValueError("its metadata name no picture, and a folder behind an address is not listed")

    def is_file(self) -> bool:
        """Whether a file of metadata is there."""
        if self._address not in self._files:
            self._files[self._address] = self._fetched()
        return self._files[self._address] is not None

    def read_bytes(self) -> bytes:
        """Content of a file that is there."""
        content = self._files[self._address]
        assert content is not None
        return content

    def _fetched(self) -> bytes | None:
        """Ask the host for a file; None if it is not there."""
        folder = RemoteFolder(self._address.rpartition("/")[0])
        refusal = _refusal_of(str(folder))
        if refusal:
            raise ValueError(refusal)
        with ThreadPoolExecutor(1) as thread:  # the caller's own may run a loop already, as in a notebook
            return thread.submit(lambda: asyncio.run(self._get(folder))).result()

    async def _get(self, folder: RemoteFolder) -> bytes | None:
        try:
            with naming_transport(folder, self.name):
                async with connected(folder) as system:
                    content: bytes = await system._cat_file(path_in(system, self))
                    return content
        except FileNotFoundError:
            return None
        except DamageError as error:
            if _is_forbidden(error.__cause__):
                return None
            raise


Folder: TypeAlias = Path | RemoteFolder


def location(path: str | os.PathLike[str]) -> Folder:
    """Return where a user's path or address leads; only text is ever taken for an address.

    >>> location("https://host/a.zarr/").name
    'a.zarr'
    >>> location(Path("https://host/a.zarr")) == Path("https:/host/a.zarr")
    True
    """
    return RemoteFolder(path) if isinstance(path, str) and _ADDRESS.match(path) else Path(path)


@asynccontextmanager
async def connected(folder: RemoteFolder) -> AsyncIterator[Any]:  # Any: fsspec's
    """Give the file system of a folder, whose connections end with the block.

    Raises
    ------
    DamageError
        If what reads the protocol is not installed.
    """
    system = file_system(folder)
    session = await system.set_session()
    try:
        yield system
    finally:
        await session.close()


def path_in(system: Any, folder: RemoteFolder) -> str:  # Any: fsspec's
    """Return the path of a folder as its file system has it."""
    path: str = system._strip_protocol(str(folder))
    return path


@contextmanager
def naming_transport(folder: RemoteFolder, key: str) -> Iterator[None]:
    """Name the folder and the file that was asked for in the error of a host or of the way to it.

    Raises
    ------
    DamageError
        In the place of such an error; files that are not there stay `FileNotFoundError`.
    """
    try:
        yield
    except (FileNotFoundError, DamageError):
        raise
    except _transport_errors(folder) as error:
        raise DamageError(f"{folder} cannot be read: {_reason_of(error)} for {key}") from error


def file_system(folder: RemoteFolder) -> Any:
    """Make what reads files of the folder's protocol, for one loop of events."""
    try:
        import fsspec

        options = {} if folder.protocol == "s3" else {"client_kwargs": _client_options(folder)}
        return fsspec.filesystem(folder.protocol, asynchronous=True, skip_instance_cache=True, **options)
    except ImportError as error:
        raise DamageError(f"{folder} cannot be read: {_install_text(folder)}") from error


def _install_text(folder: RemoteFolder) -> str:
    if folder.protocol == "s3":
        return "s3:// needs s3fs, which is not installed; pip install 'napari-pcnet[remote]' s3fs"
    return "fsspec and aiohttp are not installed; pip install 'napari-pcnet[remote]'"


def _client_options(folder: RemoteFolder) -> dict[str, Any]:
    import aiohttp

    class Bounded(aiohttp.ClientResponse):
        """An answer of a host, which may have no end."""

        async def read(self) -> bytes:
            parts, size = list[bytes](), 0
            async for part in self.content.iter_any():
                size += len(part)
                if size > folder.most_bytes:
                    self.close()
                    raise DamageError(
                        f"{folder} cannot be read: its host sends more than {memory_text(folder.most_bytes)} "
                        f"for {self.url.path}"
                    )
                parts.append(part)
            return b"".join(parts)

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_check_redirect)
    return {
        "response_class": Bounded,
        "headers": {"Accept-Encoding": "identity"},  # parts of a file are parts of what it holds
        "timeout": aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=TIMEOUT_S),
        "trace_configs": [trace],
        "trust_env": folder.protocol == "https",  # proxies
    }


async def _check_redirect(_session: Any, _context: Any, params: aiohttp.TraceRequestRedirectParams) -> None:
    """Follow a host to another only if a user could have named that one."""
    answer = params.response
    target = urljoin(str(answer.url), answer.headers.get("location", ""))
    if _refusal_of(target) is None and urlsplit(target).scheme == answer.url.scheme:
        return
    answer.close()
    raise DamageError(f"{answer.url} cannot be read: it redirects to {target}, which is not followed")


def _refusal_of(address: str) -> str | None:
    """Say why an address is not asked, if it is not.

    >>> _refusal_of("ftp://host/a.zarr")
    'ftp://host/a.zarr cannot be read: an address begins with https:// or s3://'
    >>> _refusal_of("http://host/a.zarr")
    'http://host/a.zarr cannot be read: http:// is asked of this machine alone; name it by https://'
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        known = parts.username is not None or parts.password is not None
    except ValueError:  # brackets of no address
        return f"{address} cannot be read: it is no address"
    if parts.scheme not in ("https", "http", "s3"):
        return f"{address} cannot be read: an address begins with https:// or s3://"
    if not host:
        return f"{address} cannot be read: it names no host"
    if parts.scheme == "http" and not _is_loopback(host):
        return f"{address} cannot be read: http:// is asked of this machine alone; name it by https://"
    if known or parts.query or parts.fragment:
        bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        return f"{bare} cannot be read with a user, a query or a fragment, which would be recorded"
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _transport_errors(folder: RemoteFolder) -> tuple[type[Exception], ...]:
    """What the library of a protocol raises where a host fails."""
    if folder.protocol == "s3":
        from botocore.exceptions import BotoCoreError

        return OSError, BotoCoreError
    import aiohttp

    return OSError, aiohttp.ClientError


def _is_forbidden(error: BaseException | None) -> bool:
    return isinstance(error, PermissionError) or getattr(error, "status", None) == _FORBIDDEN


def _reason_of(error: Exception) -> str:
    """Say in a few words why a host did not give a file."""
    if getattr(error, "status", None):
        return f"its host answered {error.status} {error.message}"  # type: ignore[attr-defined]  # aiohttp's
    names = {each.__name__ for each in type(error).__mro__}
    if "TooManyRedirects" in names:
        return "its host redirects again and again"
    if "ClientSSLError" in names or "ClientConnectorCertificateError" in names:
        return "its host offers no connection that this machine trusts"
    if "TimeoutError" in names:
        return f"in {TIMEOUT_S:g} s its host sent nothing"
    if "ClientConnectorError" in names:
        return "its host cannot be reached"
    if "ServerDisconnectedError" in names or "ClientPayloadError" in names:
        return "its host broke off"
    return " ".join(str(error).split()) or type(error).__name__
