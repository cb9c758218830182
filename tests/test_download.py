"""Files come whole and of the published hash or not at all, whatever their servers do."""

import errno
import hashlib
import http.server
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pooch
import pytest

from napari_pcnet.disk import download

CONTENT = bytes(range(256)) * 1500
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2

Answer = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the test planned it."""

    server: "Server"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        planned = self.server.answers[self.path]
        answer = planned.pop(0) if len(planned) > 1 else planned[0]
        answer(self)

    def begin(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.flush()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """A server on this machine; `answers` holds what it does, path by path, the last for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.waits, self.goes_on = threading.Event(), threading.Event()

    def at(self, path: str, *answers: Answer) -> str:
        """Plan answers; return the address to ask."""
        self.answers[path] = list(answers)
        return f"{self.url}{path[1:]}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, *_arguments: object) -> None:
        """A client that is gone is what some tests are about."""


def whole(handler: Handler) -> None:
    handler.begin(200, Content_Length=str(len(CONTENT)))
    handler.wfile.write(CONTENT)


def half(handler: Handler) -> None:
    handler.begin(200, Content_Length=str(len(CONTENT)))
    handler.wfile.write(CONTENT[:HALF])


def half_that_looks_whole(handler: Handler) -> None:
    handler.begin(200)
    handler.wfile.write(CONTENT[:HALF])


def half_then_wait(handler: Handler) -> None:
    half(handler)
    handler.server.waits.set()
    handler.server.goes_on.wait()
    handler.wfile.write(CONTENT[HALF:])


def silence(handler: Handler) -> None:
    handler.server.goes_on.wait()


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


def another_file(handler: Handler) -> None:
    handler.begin(200, Content_Length=str(len(CONTENT)))
    handler.wfile.write(CONTENT[::-1])


def endless(handler: Handler) -> None:
    handler.begin(200)
    while True:
        handler.wfile.write(CONTENT)


def missing(handler: Handler) -> None:
    handler.begin(404)


def redirect_to(url: str) -> Answer:
    return lambda handler: handler.begin(302, Location=url)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server without TLS, the only one of its kind that may be asked; nobody waits for it long."""
    with Server() as made:
        monkeypatch.setattr(download, "SECURE", (*download.SECURE, made.url))
        monkeypatch.setattr(download, "PAUSE_S", 0.0)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.goes_on.set()
        made.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be, in a cache folder that is not there yet."""
    return tmp_path / "cache" / "a.safetensors"


def fetch(path: Path, *urls: str, **options: Any) -> Path:
    return download.fetch(path, urls, SHA256, len(CONTENT), **options)


def refused(path: Path, *urls: str) -> str:
    """The text between the file's name and what to do; nothing may be left behind."""
    with pytest.raises(download.DownloadError) as caught:
        fetch(path, *urls)
    assert os.listdir(path.parent) == []
    problem = str(caught.value)
    assert "\n" not in problem
    start = f"{path.name} cannot be downloaded: "
    end = f"; try again later, or get the file by other means and save it as {path}"
    assert problem.startswith(start)
    assert problem.endswith(end)
    return problem[len(start) : -len(end)]


# -- a file comes ----------------------------------------------------------------------------------


def test_a_file_is_downloaded_and_nothing_else_is_there(server: Server, path: Path) -> None:
    assert fetch(path, server.at("/a", whole)) == path
    assert path.read_bytes() == CONTENT
    assert os.listdir(path.parent) == [path.name]


def test_progress_counts_bytes_up_to_the_size(server: Server, path: Path) -> None:
    calls: list[tuple[int, int]] = []
    fetch(path, server.at("/a", whole), progress=lambda done, total: calls.append((done, total)))
    counts = [done for done, _total in calls]
    assert {total for _done, total in calls} == {len(CONTENT)}
    assert counts == sorted(set(counts))
    assert counts[-1] == len(CONTENT)
    assert len(counts) > 1


def test_a_file_that_is_there_is_not_asked_for(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch(path, server.at("/a", missing)) == path
    assert server.asked == []


def test_a_damaged_file_is_replaced(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(CONTENT[:-1])
    fetch(path, server.at("/a", whole))
    assert path.read_bytes() == CONTENT


def test_a_damaged_file_stays_if_no_other_can_be_had(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"old")
    with pytest.raises(download.DownloadError):
        fetch(path, server.at("/a", missing))
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_a_file_may_come_from_this_machine(tmp_path: Path, path: Path) -> None:
    source = tmp_path / "a file of mine"
    source.write_bytes(CONTENT)
    fetch(path, source.as_uri())
    assert path.read_bytes() == CONTENT


def test_a_redirect_is_followed(server: Server, path: Path) -> None:
    server.at("/b", whole)
    fetch(path, server.at("/a", redirect_to("/b")))
    assert server.asked == ["/a", "/b"]
    assert path.read_bytes() == CONTENT


def test_the_proxy_of_the_environment_is_asked(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://weights.invalid/a"
    monkeypatch.setattr(download, "SECURE", (url,))
    monkeypatch.setenv("http_proxy", server.url)
    server.at(url, whole)
    fetch(path, url)
    assert server.asked == [url]
    assert path.read_bytes() == CONTENT


# -- a file does not come --------------------------------------------------------------------------


def test_a_dropped_connection_is_tried_again(server: Server, path: Path) -> None:
    fetch(path, server.at("/a", hang_up, half, whole))
    assert server.asked == ["/a"] * 3
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("answer", [half, half_that_looks_whole])
def test_a_truncated_file_is_never_kept(server: Server, path: Path, answer: Answer) -> None:
    url = server.at("/a", answer)
    assert re.fullmatch(rf"{re.escape(url)} broke off after \d+ of {len(CONTENT)} bytes", refused(path, url))
    assert server.asked == ["/a"] * download.TRIES


def test_a_server_that_hangs_up_is_named(server: Server, path: Path) -> None:
    url = server.at("/a", hang_up)
    assert refused(path, url) == f"{url} cannot be reached"


@pytest.mark.parametrize("answer", [silence, half_then_wait])
def test_a_server_that_sends_nothing_is_not_waited_for(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.25)
    url = server.at("/a", answer)
    assert refused(path, url) == f"{url} sent nothing for 0.25 s"


def test_a_file_of_another_hash_is_never_kept_and_not_asked_for_twice(server: Server, path: Path) -> None:
    url = server.at("/a", another_file)
    other = hashlib.sha256(CONTENT[::-1]).hexdigest()
    assert refused(path, url) == f"{url} sent a file whose SHA-256 is {other}, published was {SHA256}"
    assert server.asked == ["/a"]


def test_a_file_without_end_ends_at_the_published_size(server: Server, path: Path) -> None:
    url = server.at("/a", endless)
    assert refused(path, url) == f"{url} sent more than the {len(CONTENT)} bytes that were published"


def test_the_next_mirror_is_asked(server: Server, path: Path) -> None:
    fetch(path, server.at("/a", missing), server.at("/b", another_file), server.at("/c", whole))
    assert server.asked == ["/a", "/b", "/c"]
    assert path.read_bytes() == CONTENT


def test_every_mirror_is_named_with_what_it_did(server: Server, path: Path) -> None:
    first, second = server.at("/a", missing), server.at("/b", hang_up)
    assert refused(path, first, second) == f"{first} answered 404 Not Found, {second} cannot be reached"
    assert server.asked == ["/a", *["/b"] * download.TRIES]


@pytest.mark.parametrize("target", ["http://localhost:{port}/b", "//localhost:{port}/b", "file:///etc/b"])
def test_a_redirect_to_what_is_not_secure_is_refused_before_it_is_followed(
    server: Server, path: Path, target: str
) -> None:
    server.at("/b", whole)
    target = target.format(port=server.server_port)
    url = server.at("/a", redirect_to(target))
    whole_target = f"http:{target}" if target.startswith("//") else target
    assert refused(path, url) == (
        f"{url} redirects to {whole_target}, which does not begin with https:// or {server.url}"
    )
    assert server.asked == ["/a"]


@pytest.mark.parametrize("url", ["http://127.0.0.1/a", "ftp://127.0.0.1/a", "a.safetensors"])
def test_an_address_of_another_kind_is_refused(path: Path, url: str) -> None:
    problem = f"{url} cannot be used: an address must begin with https:// or file://"
    assert refused(path, url) == problem


def test_a_server_that_only_claims_to_have_tls_is_not_trusted(path: Path) -> None:
    def answer_in_the_clear() -> None:
        connection, _address = listener.accept()
        with connection, suppress(OSError):  # the other side may be gone at any time
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass  # until the other side is through

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/a"
        thread = threading.Thread(target=answer_in_the_clear)
        thread.start()
        problem = refused(path, url)
        thread.join()
    assert problem == f"{url} offers no connection that this machine trusts"


def test_without_a_network_the_address_and_the_place_are_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    with pytest.raises(download.DownloadError) as caught:
        fetch(path, "https://weights.invalid/a.safetensors")
    assert str(caught.value) == (
        "a.safetensors cannot be downloaded: https://weights.invalid/a.safetensors cannot be reached; "
        f"try again later, or get the file by other means and save it as {path}"
    )
    assert os.listdir(path.parent) == []


def test_a_file_that_is_not_on_this_machine_is_named(tmp_path: Path, path: Path) -> None:
    url = (tmp_path / "none").as_uri()
    assert refused(path, url) == f"{url} cannot be read (No such file or directory)"
    url = "file://elsewhere/a"
    problem = f"{url} cannot be read: the file must be on this machine (file:///...)"
    assert refused(path, url) == problem


def test_a_full_disk_is_one_sentence(server: Server, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, write: Callable[[BinaryIO], object]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "write_atomically", full)
    with pytest.raises(OSError, match="written") as caught:
        fetch(path, server.at("/a", whole))
    assert str(caught.value) == (
        f"{path} cannot be written (No space left on device); "
        "name another folder by NAPARI_PCNET_CACHE or make room there"
    )
    assert os.listdir(path.parent) == []


def test_a_cache_folder_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "a.safetensors"
    with pytest.raises(OSError, match=f"^{re.escape(str(path))} cannot be written "):
        fetch(path, "https://weights.invalid/a")


def test_an_interrupted_download_leaves_nothing(server: Server, path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(path, server.at("/a", whole), progress=interrupt)
    assert os.listdir(path.parent) == []


# -- several processes -----------------------------------------------------------------------------

FETCH = f"""
import logging, sys
from pathlib import Path
from napari_pcnet.disk import download

logging.basicConfig(stream=sys.stdout, level=logging.DEBUG)
download.SECURE += (sys.argv[2],)
download.fetch(Path(sys.argv[1]), [sys.argv[2]], {SHA256!r}, {len(CONTENT)})
"""


def _start(path: Path, url: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", FETCH, str(path), url]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_second_process_waits_for_the_first_and_uses_its_file(server: Server, path: Path) -> None:
    url = server.at("/a", half_then_wait, missing)
    with _start(path, url) as first:
        assert server.waits.wait(timeout=120)
        with _start(path, url) as second:
            assert second.stdout is not None
            assert any("not acquired" in line for line in second.stdout)  # it found the lock taken
            server.goes_on.set()
            second.communicate()
        first.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    assert server.asked == ["/a"]
    assert path.read_bytes() == CONTENT
    assert os.listdir(path.parent) == [path.name]


def test_after_a_kill_the_next_download_leaves_the_file_alone(server: Server, path: Path) -> None:
    url = server.at("/a", half_then_wait, whole)
    with _start(path, url) as killed:
        assert server.waits.wait(timeout=120)
        killed.kill()
        killed.communicate()
    assert path.name not in os.listdir(path.parent)
    (part,) = path.parent.glob("*.part")
    os.utime(part, (0, 0))  # a part this young may be that of a process about to lock it
    fetch(path, url)
    assert path.read_bytes() == CONTENT
    assert os.listdir(path.parent) == [path.name]


# -- the cache folder ------------------------------------------------------------------------------


def test_the_cache_folder_is_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path / "mine"))
    assert download.cache_folder() == tmp_path / "mine"


@pytest.mark.parametrize("given", [None, ""])
def test_the_cache_folder_is_else_where_the_system_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    monkeypatch.delenv("NAPARI_PCNET_CACHE", raising=False)
    if given is not None:
        monkeypatch.setenv("NAPARI_PCNET_CACHE", given)
    assert download.cache_folder() == pooch.os_cache("napari-pcnet")
