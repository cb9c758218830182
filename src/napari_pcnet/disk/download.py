"""Downloads: a file is complete and has the published hash, or is not there at all.

A file has one or more addresses, tried in order. Its bytes are counted and hashed on their way into a
temporary file, which gets its name only if size and SHA-256 are the published ones. Proxies and
certificates are those that requests finds in the environment.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

from napari_pcnet.disk.files import sha256_of, write_atomically
from napari_pcnet.progress import Progress

if TYPE_CHECKING:
    import requests

SECURE = ("https://",)
"""How an address in the network, or one it redirects to, may begin. A local one begins with ``file://``."""

CACHE_VARIABLE = "NAPARI_PCNET_CACHE"
"""The environment variable that names the cache folder."""

TRIES = 3
"""How often an address is tried whose connection breaks."""

PAUSE_S = 1.0
TIMEOUT_S = 20.0
"""How long a server may stay silent, before its answer or within it."""

CHUNK_BYTES = 1 << 16


class DownloadError(OSError):
    """No address gave the file; the message gives the reason for each, and what to do by hand."""


class NoCacheFolderError(OSError):
    """There is no home, where the cache folder would be."""

    def __init__(self) -> None:
        super().__init__(f"there is no home folder to keep files in; name a folder by {CACHE_VARIABLE}")


class _NotServed(Exception):  # noqa: N818  # its message is the end of a sentence about an address
    """An address does not have the file."""


class _Dropped(_NotServed):
    """A connection broke; another try may succeed."""


def cache_folder() -> Path:
    """Return the folder of downloads: what `CACHE_VARIABLE` names, or the system's place for caches.

    Raises
    ------
    NoCacheFolderError
        If it would be in the home folder, and there is none, as in a container without an account.
    """
    import platformdirs

    given = os.environ.get(CACHE_VARIABLE)
    try:
        folder = Path(given) if given else platformdirs.user_cache_path("napari-pcnet")
        return folder.expanduser()  # older versions of platformdirs leave the "~" where there is no home
    except RuntimeError as error:
        raise NoCacheFolderError from error


@contextmanager
def naming_cache_failure(path: Path) -> Iterator[None]:
    """Name a file of the cache folder, the reason and the way out in the error of a write that failed."""
    try:
        yield
    except (DownloadError, NoCacheFolderError):
        raise
    except OSError as error:
        raise OSError(
            f"{path} cannot be written ({error.strerror or error}); "
            f"name another folder by {CACHE_VARIABLE} or make room there"
        ) from error


def fetch(
    path: Path, urls: Sequence[str], sha256: str, size_bytes: int, progress: Progress | None = None
) -> Path:
    """Download a file, unless it is there already or another process gets it first.

    Parameters
    ----------
    path : Path
        Where to keep it. Folders are made as needed; a file of another hash is replaced.
    urls : sequence of str
        Its addresses, ``https://`` or ``file://``, in the order in which to try them.
    sha256 : str
        The published hash, 64 hexadecimal digits.
    size_bytes : int
        The published size.
    progress : callable, optional
        ``progress(done, total)`` in bytes; begins again with each try.

    Returns
    -------
    Path
        The file, of this hash.

    Raises
    ------
    DownloadError
        If no address gave the file. Nothing is left behind, and what was there under `path` stays.
    OSError
        If it can't be written.
    """
    with naming_cache_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            if not (path.is_file() and sha256_of(path) == sha256):
                _try_each(urls, path, lambda file: _Published(file, sha256, size_bytes, progress))
    return path


class _Published:
    """A file being written whose size and hash are known beforehand."""

    def __init__(self, file: BinaryIO, sha256: str, size_bytes: int, progress: Progress | None) -> None:
        self.done_bytes = 0
        self.size_bytes = size_bytes
        self._file, self._sha256, self._progress = file, sha256, progress
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self.done_bytes += len(chunk)
        if self.done_bytes > self.size_bytes:
            raise _NotServed(f"sent more than the {self.size_bytes} bytes that were published")
        self._hash.update(chunk)
        self._file.write(chunk)
        if self._progress is not None:
            self._progress(self.done_bytes, self.size_bytes)

    def flush(self) -> None:
        """Do nothing: pooch calls this after each chunk, and the file is flushed when it is closed."""

    def check(self) -> None:
        if self.done_bytes < self.size_bytes:
            raise _Dropped(self.broke_off())
        digest = self._hash.hexdigest()
        if digest != self._sha256:
            raise _NotServed(f"sent a file whose SHA-256 is {digest}, published was {self._sha256}")

    def broke_off(self) -> str:
        return f"broke off after {self.done_bytes} of {self.size_bytes} bytes"


# -- one process, one address after the other ------------------------------------------------------


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Make other processes that want this file wait."""
    from filelock import FileLock

    lock = path.with_name(f".{path.name}.lock")
    with FileLock(lock):
        try:
            yield
        finally:
            # While it is held: a process that waits for it notices that it is gone, and makes a new one.
            with suppress(OSError):  # an open file can't be removed on Windows; filelock does it there
                lock.unlink()


def _try_each(urls: Sequence[str], path: Path, published: Callable[[BinaryIO], _Published]) -> None:
    problems = []
    for url in urls:
        try:
            _try(url, path, published)
            return
        except _NotServed as problem:
            problems.append(f"{url} {problem}")
    raise DownloadError(
        f"{path.name} cannot be downloaded: {', '.join(problems)}; "
        f"try again later, or get the file by other means and save it as {path}"
    )


def _try(url: str, path: Path, published: Callable[[BinaryIO], _Published]) -> None:
    for _ in range(TRIES - 1):
        with suppress(_Dropped):
            write_atomically(path, lambda file: _transfer(url, published(file)))
            return
        time.sleep(PAUSE_S)
    write_atomically(path, lambda file: _transfer(url, published(file)))


def _transfer(url: str, published: _Published) -> None:
    if urlsplit(url).scheme == "file":
        _copy(url, published)
    elif _is_secure(url):
        _get(url, published)
    else:
        raise _NotServed(f"cannot be used: an address must begin with {' or '.join(SECURE)} or file://")
    published.check()


def _is_secure(url: str) -> bool:
    return url.lower().startswith(SECURE)


def _copy(url: str, published: _Published) -> None:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise _NotServed("cannot be read: the file must be on this machine (file:///...)")
    try:
        file = Path(url2pathname(parts.path)).open("rb")  # noqa: SIM115  # closed below
    except OSError as error:
        raise _NotServed(f"cannot be read ({error.strerror})") from error
    with file:
        shutil.copyfileobj(file, published, CHUNK_BYTES)


# -- the network -----------------------------------------------------------------------------------


def _get(url: str, published: _Published) -> None:
    import pooch
    import requests

    answers: list[requests.Response] = []

    def look_at(answer: requests.Response, **_options: Any) -> None:
        answers.append(answer)
        if answer.is_redirect:  # before it is followed
            target = urljoin(answer.url, answer.headers["location"])
            if not _is_secure(target):
                raise _NotServed(f"redirects to {target}, which does not begin with {' or '.join(SECURE)}")

    downloader = pooch.HTTPDownloader(
        chunk_size=CHUNK_BYTES,
        timeout=TIMEOUT_S,
        headers={"Accept-Encoding": "identity"},  # the bytes that were hashed
        hooks={"response": look_at},
    )
    try:
        downloader(url, published, None)
    except requests.exceptions.RequestException as error:
        raise _problem(error, published) from error
    finally:
        for answer in answers:
            answer.close()


def _problem(error: requests.exceptions.RequestException, published: _Published) -> _NotServed:
    """Return what went wrong with an address, as the end of a sentence; `_Dropped` if a retry may help."""
    from requests import exceptions
    from urllib3.exceptions import ReadTimeoutError

    reason = error.args[0] if error.args else None
    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return _NotServed(f"answered {error.response.status_code} {error.response.reason}")
    if isinstance(error, exceptions.SSLError):
        return _NotServed("offers no connection that this machine trusts")
    if isinstance(error, exceptions.ProxyError):
        return _Dropped("cannot be reached through the proxy")
    if isinstance(error, exceptions.Timeout) or isinstance(reason, ReadTimeoutError):
        return _Dropped(f"sent nothing for {TIMEOUT_S:g} s")
    if isinstance(error, (exceptions.ConnectionError, exceptions.ChunkedEncodingError)):
        return _Dropped(published.broke_off() if published.done_bytes else "cannot be reached")
    return _NotServed(f"cannot be read ({error})")
