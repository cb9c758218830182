"""Zarr behind an address: read as on the disk, only where a user names it, and refused in one sentence."""

import json
import pickle
import re
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal

from napari_pcnet import count_levels, count_series, read_image, read_labels
from napari_pcnet.cli import main
from napari_pcnet.disk import remote
from napari_pcnet.disk.labels import read_notes
from napari_pcnet.disk.pictures import read_mask

SIDE_PX = 100
IMAGE = np.random.default_rng(0).integers(0, 256, (12, 15, 3)).astype(np.uint8).repeat(25, 0).repeat(20, 1)
CHUNKS = 9
AXES = [{"name": each, "type": "space"} for each in "yx"] + [{"name": "c", "type": "channel"}]
EXTRA = "pip install 'napari-pcnet[remote]'"

Answer = tuple[int, dict[str, str], bytes]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has heard enough."""


class _Host:
    """Files of a folder on loopback; what was asked for is counted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()
        self.knows_parts = True
        self.answers = dict[str, Answer]()
        self.server = _Server(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def chunks(self) -> list[str]:
        return [each for each in self.asked if "/c/" in each]

    def answer(self, path: str, part: str | None) -> Answer:
        self.asked.append(path)
        file = self.folder / unquote(path).lstrip("/")
        if path in self.answers:
            return self.answers[path]
        if not file.is_file():
            return 404, {}, b""
        content = file.read_bytes()
        if part is None or not self.knows_parts:
            return 200, {}, content
        first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", part).groups()  # type: ignore[union-attr]
        if not first:
            return 206, {}, content[-int(last) :]
        return 206, {}, content[int(first) : int(last) + 1 if last else None]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, host: _Host, *arguments: Any) -> None:
        self.host = host
        super().__init__(*arguments)

    def do_GET(self) -> None:
        status, headers, body = self.host.answer(self.path, self.headers["Range"])
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # its name in Python
        pass


@pytest.fixture
def host(tmp_path: Path) -> Iterator[_Host]:
    (tmp_path / "served").mkdir()
    made = _Host(tmp_path / "served")
    thread = Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def _ome(path: Path, *levels: np.ndarray[Any, Any], **options: Any) -> Path:
    """Write an OME-Zarr 0.5."""
    scales = [{"axes": AXES, "datasets": [{"path": str(at)} for at in range(len(levels))]}]
    zarr.open_group(path, mode="w", zarr_format=3, attributes={"ome": {"multiscales": scales}})
    for at, pixels in enumerate(levels):
        array = zarr.create_array(
            path / str(at), shape=pixels.shape, chunks=(SIDE_PX, SIDE_PX, 3), dtype=pixels.dtype, **options
        )
        array[...] = pixels
    return path


def _refusal(call: Callable[[], object]) -> str:
    with pytest.raises((ValueError, OSError)) as refused:
        call()
    return str(refused.value)


def test_an_ome_zarr_behind_an_address_is_the_one_on_the_disk(host: _Host) -> None:
    here = _ome(host.folder / "a.ome.zarr", IMAGE, IMAGE[::2, ::2])
    there = f"{host.url}/a.ome.zarr"
    assert (count_levels(there), count_series(there)) == (2, 1)
    host.asked.clear()
    image = read_image(there)
    assert (image.channel_axis, host.asked) == (2, ["/a.ome.zarr/zarr.json", "/a.ome.zarr/0/zarr.json"])
    assert_array_equal(image.pixels[:10, 95:105], read_image(here).pixels[:10, 95:105])
    assert sorted(host.chunks()) == ["/a.ome.zarr/0/c/0/0/0", "/a.ome.zarr/0/c/0/1/0"]
    assert_array_equal(read_image(there, level=1).pixels, IMAGE[::2, ::2])


def test_it_can_be_sent_to_another_process(host: _Host) -> None:
    _ome(host.folder / "a.zarr", IMAGE)
    sent = pickle.dumps(read_image(f"{host.url}/a.zarr").pixels)
    host.asked.clear()
    assert_array_equal(pickle.loads(sent), IMAGE)
    assert sorted(host.asked) == sorted(host.chunks())


def test_an_array_of_format_2_is_read(host: _Host) -> None:
    array = zarr.create_array(
        host.folder / "a b.zarr", shape=IMAGE.shape, chunks=IMAGE.shape, dtype=np.uint8, zarr_format=2
    )
    array[...] = IMAGE
    for name in ("a%20b.zarr", "a b.zarr/"):
        assert_array_equal(read_image(f"{host.url}/{name}").pixels, IMAGE)


@pytest.mark.parametrize("knows_parts", [True, False])
def test_shards_are_read_from_a_host_with_and_without_parts_of_files(host: _Host, knows_parts: bool) -> None:
    host.knows_parts = knows_parts
    _ome(host.folder / "a.zarr", IMAGE, shards=(300, 300, 3))
    image = read_image(f"{host.url}/a.zarr")
    assert_array_equal(image.pixels[150:250, 50:120], IMAGE[150:250, 50:120])


def test_segment_writes_the_labels_of_the_local_store(host: _Host, tmp_path: Path) -> None:
    here = _ome(host.folder / "a.ome.zarr", IMAGE)
    there = f"{host.url}/a.ome.zarr"
    words = ["-n", "40", "--window", "256"]
    assert main(["segment", str(here), str(tmp_path / "here.zarr"), *words]) == 0
    assert main(["segment", there, str(tmp_path / "there.ome.zarr"), *words]) == 0
    assert_array_equal(read_labels(tmp_path / "there.ome.zarr"), read_labels(tmp_path / "here.zarr"))
    notes = read_notes(tmp_path / "there.ome.zarr")
    assert notes is not None
    assert (notes["image"], notes["path"]) == ("a.ome", there)
    asked = host.chunks()
    assert (len(set(asked)), len(asked)) == (CHUNKS, CHUNKS)


def test_segment_takes_addresses_and_files_for_a_folder(host: _Host, tmp_path: Path) -> None:
    here = _ome(host.folder / "a.ome.zarr", IMAGE)
    _ome(host.folder / "b.ome.zarr", IMAGE)
    words = ["segment", str(here), f"{host.url}/b.ome.zarr", "-o", str(tmp_path / "out"), "-n", "40"]
    assert main(words) == 0
    labels = [read_labels(tmp_path / "out" / f"{name}.superpixels.tif") for name in "ab"]
    assert_array_equal(*labels)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of distributed, about the machine
def test_workers_read_the_address_themselves(host: _Host, tmp_path: Path) -> None:
    here = _ome(host.folder / "a.ome.zarr", IMAGE)
    words = [f"{host.url}/a.ome.zarr", str(tmp_path / "out.zarr"), "-n", "40", "--window", "128"]
    assert main(["segment", *words, "--workers", "2"]) == 0
    assert main(["segment", str(here), str(tmp_path / "here.zarr"), "-n", "40"]) == 0
    assert_array_equal(read_labels(tmp_path / "out.zarr"), read_labels(tmp_path / "here.zarr"))
    assert set(host.chunks()) == {f"/a.ome.zarr/0/c/{row}/{column}/0" for row, column in np.ndindex(3, 3)}


# -- what is refused -------------------------------------------------------------------------------


def test_other_protocols_and_other_machines_by_http_are_refused() -> None:
    for address, reason in {
        "ftp://host/a.zarr": "an address begins with https:// or s3://",
        "file:///tmp/a.zarr": "an address begins with https:// or s3://",
        "http://host/a.zarr": "http:// is asked of this machine alone; name it by https://",
        "https:///a.zarr": "it names no host",
    }.items():
        assert _refusal(partial(read_image, address)) == f"{address} cannot be read: {reason}"


@pytest.mark.parametrize("address", ["https://me:word@host/a.zarr", "https://host/a.zarr?word=1"])
def test_an_address_with_a_secret_is_refused_without_it(address: str) -> None:
    assert _refusal(lambda: read_image(address)) == (
        "https://host/a.zarr cannot be read with a user, a query or a fragment, which would be recorded"
    )


def test_a_host_that_does_not_answer_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/a.zarr"
        assert _refusal(lambda: read_image(address)) == (
            f"{address} cannot be read: its host cannot be reached for zarr.json"
        )


def test_a_host_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/a.zarr"
        assert _refusal(lambda: read_image(address)) == (
            f"{address} cannot be read: in 0.2 s its host sent nothing for zarr.json"
        )


@pytest.mark.parametrize(("key", "most"), [("zarr.json", "67 MB"), ("c/1/1/0", "1 MB")])
def test_an_answer_without_end_is_given_up(host: _Host, key: str, most: str) -> None:
    _ome(host.folder / "a.zarr", IMAGE)
    address = f"{host.url}/a.zarr/0"
    host.answers[f"/a.zarr/0/{key}"] = (200, {}, bytes(1 << 27))
    assert _refusal(lambda: read_image(address).pixels[...]) == (
        f"{address} cannot be read: its host sends more than {most} for /a.zarr/0/{key}"
    )


def test_a_host_that_redirects_in_a_circle_is_named(host: _Host) -> None:
    host.answers["/a.zarr/zarr.json"] = (302, {"Location": "/a.zarr/zarr.json"}, b"")
    address = f"{host.url}/a.zarr"
    assert _refusal(lambda: read_image(address)) == (
        f"{address} cannot be read: its host redirects again and again for zarr.json"
    )


@pytest.mark.parametrize("status", [403, 404])
def test_what_a_host_does_not_give_does_not_exist(host: _Host, status: int) -> None:
    names = ("zarr.json", ".zarray", ".zgroup")
    host.answers = {f"/a.zarr/{name}": (status, {}, b"") for name in names}
    address = f"{host.url}/a.zarr"
    assert _refusal(lambda: read_image(address)) == (
        f"image {address} does not exist: its host gives none of zarr.json, .zarray, .zgroup there"
    )


@pytest.mark.parametrize("target", ["file:///etc/hostname", "http://192.0.2.1/zarr.json", "ftp://host/a"])
def test_a_redirect_to_a_file_or_another_host_by_http_is_not_followed(host: _Host, target: str) -> None:
    host.answers["/a.zarr/zarr.json"] = (302, {"Location": target}, b"")
    address = f"{host.url}/a.zarr"
    assert _refusal(lambda: read_image(address)) == (
        f"{address}/zarr.json cannot be read: it redirects to {target}, which is not followed"
    )


def test_a_redirect_that_a_user_could_name_is_followed(host: _Host) -> None:
    _ome(host.folder / "a.zarr", IMAGE)
    host.answers["/b.zarr/zarr.json"] = (302, {"Location": "/a.zarr/0/zarr.json"}, b"")
    assert read_image(f"{host.url}/b.zarr").pixels.shape == IMAGE.shape


def test_an_error_of_the_host_amid_the_chunks_is_one_sentence(
    host: _Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _ome(host.folder / "a.zarr", IMAGE)
    host.answers["/a.zarr/0/c/1/1/0"] = (500, {}, b"")
    words = ["segment", f"{host.url}/a.zarr", str(tmp_path / "out.zarr"), "-n", "40"]
    assert main(words) == 2
    assert capsys.readouterr().err == (
        f"napari-pcnet: {host.url}/a.zarr/0 cannot be read: its host answered 500 Internal Server Error for "
        "c/1/1/0\n"
    )
    assert not (tmp_path / "out.zarr").exists()


def test_a_chunk_that_breaks_off_is_named(host: _Host) -> None:
    _ome(host.folder / "a.zarr", IMAGE)
    host.answers["/a.zarr/0/c/0/0/0"] = (200, {"Content-Length": "9", "Connection": "close"}, b"1234")
    image = read_image(f"{host.url}/a.zarr")
    assert _refusal(lambda: image.pixels[:5, :5]) == (
        f"{host.url}/a.zarr/0 cannot be read: its host broke off for c/0/0/0"
    )


def test_a_damaged_chunk_is_told_as_on_the_disk(host: _Host) -> None:
    here = _ome(host.folder / "a.zarr", IMAGE)
    (here / "0" / "c" / "0" / "0" / "0").write_bytes(b"short")
    told = [
        _refusal(lambda folder=folder: read_image(folder).pixels[:5, :5])  # type: ignore[misc]
        for folder in (str(here), f"{host.url}/a.zarr")
    ]
    assert told[1] == told[0].replace(str(here), f"{host.url}/a.zarr")


def test_a_missing_chunk_is_told_once(host: _Host) -> None:
    here = _ome(host.folder / "a.zarr", IMAGE)
    (here / "0" / "c" / "0" / "0" / "0").unlink()
    image = read_image(f"{host.url}/a.zarr")
    message = (
        f"chunk c/0/0/0 is missing in {host.url}/a.zarr/0, and is read as its fill value, 0; others may be "
        "missing, too"
    )
    with pytest.warns(UserWarning, match=re.escape(message)):
        assert not image.pixels[:5, :5].any()
    assert not image.pixels[:5, :5].any()


def test_a_codec_that_may_run_code_is_refused_also_if_the_host_changes_its_mind(host: _Host) -> None:
    here = _ome(host.folder / "a.zarr", IMAGE)
    words = json.loads((here / "0" / "zarr.json").read_text())
    checked = (here / "0" / "zarr.json").read_bytes()
    words["codecs"] = [{"name": "numcodecs.pickle", "configuration": {"id": "pickle"}}]
    (here / "0" / "zarr.json").write_text(json.dumps(words))
    assert "its codec 'numcodecs.pickle' may give more than numbers" in _refusal(
        lambda: read_image(f"{host.url}/a.zarr")
    )
    unsafe = (here / "0" / "zarr.json").read_bytes()
    (here / "0" / "zarr.json").write_bytes(checked)
    image = read_image(f"{host.url}/a.zarr")
    (here / "0" / "zarr.json").write_bytes(unsafe)
    assert_array_equal(image.pixels[:5, :5], IMAGE[:5, :5])


def test_a_group_that_names_no_picture_is_not_listed(host: _Host) -> None:
    zarr.open_group(host.folder / "a.zarr", mode="w")
    host.answers["/a.zarr/"] = (200, {"Content-Type": "text/html"}, b'<a href="0/">0</a>')
    address = f"{host.url}/a.zarr"
    assert _refusal(lambda: read_image(address)) == (
        f"{address} cannot be read as a zarr: its metadata name no picture, and a folder behind an address "
        "is not listed"
    )
    assert "/a.zarr/" not in host.asked


def test_a_remote_picture_is_not_resumed_and_an_address_is_no_output(
    host: _Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = _ome(host.folder / "a.zarr", IMAGE), f"{host.url}/a.zarr"
    assert main(["segment", there, str(tmp_path / "out.zarr"), "-n", "40", "--resume"]) == 2
    assert main(["segment", str(here), f"{host.url}/out.zarr", "-n", "40"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"napari-pcnet: --resume takes a picture on this machine: of {there} it is not known when it was "
        "changed",
        f"napari-pcnet: OUT {host.url}/out.zarr is an address, where nothing is written; name a file",
    ]
    assert host.asked == []


# -- what a file says is never an address ----------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_address_in_the_metadata_of_a_zarr_is_refused_and_not_fetched(
    host: _Host, tmp_path: Path, zarr_format: Any
) -> None:
    _ome(host.folder / "a.zarr", IMAGE)
    elsewhere = f"{host.url}/a.zarr/0"
    scales = [{"axes": AXES, "datasets": [{"path": elsewhere}]}]
    words = {"multiscales": scales}
    for folder in (tmp_path / "b.zarr", host.folder / "b.zarr"):
        attributes = words if zarr_format == 2 else {"ome": words}
        zarr.open_group(folder, mode="w", zarr_format=zarr_format, attributes=attributes)
    for path in (str(tmp_path / "b.zarr"), f"{host.url}/b.zarr"):
        assert _refusal(partial(read_image, path)) == (
            f"{path} cannot be read as a zarr: it names '{elsewhere}', which is no path of a node inside it"
        )
    assert not [path for path in host.asked if "a.zarr" in path]


def test_a_name_in_remote_metadata_stays_below_its_folder(host: _Host) -> None:
    scales = [{"datasets": [{"path": "%2e%2e/a.zarr?x#y"}]}]
    zarr.open_group(host.folder / "b.zarr", mode="w", attributes={"ome": {"multiscales": scales}})
    assert "it has no array or group" in _refusal(lambda: read_image(f"{host.url}/b.zarr"))
    inside = "/b.zarr/%252e%252e/a.zarr%3Fx%23y/"
    assert host.asked[1:] == [inside + name for name in ("zarr.json", ".zarray", ".zgroup")]


def test_masks_and_paths_of_a_record_are_never_fetched(host: _Host, tmp_path: Path) -> None:
    here = _ome(host.folder / "a.zarr", IMAGE)
    address = f"{host.url}/a.zarr"
    for call in (
        partial(read_image, here, address),
        partial(read_mask, address),
        partial(read_image, Path(address)),
        partial(read_labels, address),
    ):
        assert "does not exist" in _refusal(call)
    assert host.asked == []


# -- off by default --------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["fsspec", "aiohttp"])
def test_without_the_extra_one_sentence_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.implementations.http", None)
    monkeypatch.setitem(sys.modules, module, None)
    assert _refusal(lambda: read_image("https://host/a.zarr")) == (
        f"https://host/a.zarr cannot be read: fsspec and aiohttp are not installed; {EXTRA}"
    )


def test_s3_asks_for_s3fs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert _refusal(lambda: read_image("s3://bucket/a.zarr")) == (
        f"s3://bucket/a.zarr cannot be read: s3:// needs s3fs, which is not installed; {EXTRA} s3fs"
    )
