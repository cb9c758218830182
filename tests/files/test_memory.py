"""A picture that needs more memory than is free is refused before it is decoded."""

import ctypes
import re
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import psutil
import pytest
import tifffile
import zarr

from napari_pcnet.cli import main
from napari_pcnet.disk import memory
from napari_pcnet.disk.pictures import read_image, read_mask


@pytest.fixture
def half_a_gigabyte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let half a gigabyte be free."""
    monkeypatch.setattr(memory, "free_bytes", lambda: 500_000_000)


def _png_that_says(path: Path, width: int, height: int, bits: int, colours: int) -> Path:
    """Write a png of some bytes whose header says how large it is."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


def _refusal(path: Path, need: str, remedy: str, what: str = "a tif, png or jpg picture") -> str:
    reason = f"it needs {need} of memory, and 500 MB are free; {remedy}"
    return f"^{re.escape(f'{path} cannot be read as {what}: {reason}')}$"


@pytest.mark.usefixtures("half_a_gigabyte")
@pytest.mark.parametrize(
    ("bits", "colours", "need"),
    [
        (8, 0, "7.5 GB"),  # grey
        (1, 0, "7.5 GB"),  # black and white, a byte for each bit
        (16, 0, "15.0 GB"),
        (8, 2, "25.0 GB"),
        (16, 2, "50.0 GB"),
        (8, 6, "50.0 GB"),
    ],
)
def test_a_png_of_2500_megapixels_is_refused(tmp_path: Path, bits: int, colours: int, need: str) -> None:
    path = _png_that_says(tmp_path / "a.png", 50_000, 50_000, bits, colours)
    with pytest.raises(ValueError, match=_refusal(path, need, "save it as a zarr, which is read in parts")):
        read_image(path)


@pytest.mark.usefixtures("half_a_gigabyte")
def test_a_jpg_of_4000_megapixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    PIL.Image.new("L", (8, 8)).save(path)
    start = path.read_bytes().index(b"\xff\xc0") + 5
    whole = bytearray(path.read_bytes())
    whole[start : start + 4] = struct.pack(">HH", 65_000, 65_000)
    path.write_bytes(whole)
    with pytest.raises(
        ValueError, match=_refusal(path, "12.7 GB", "save it as a zarr, which is read in parts")
    ):
        read_image(path)


def _tif_that_says(path: Path, side: int, **options: Any) -> Path:
    """Write a tif of one small strip whose tags say how large it is."""
    tifffile.imwrite(path, np.zeros((20, 20), np.uint16), compression="zlib", metadata=None, **options)
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages.first.tags[name].overwrite(side)
    return path


@pytest.mark.usefixtures("half_a_gigabyte")
def test_a_compressed_tif_is_refused_where_too_much_is_sliced(tmp_path: Path) -> None:
    path = _tif_that_says(tmp_path / "a.tif", 20_000)
    pixels = read_image(path).pixels
    whole = _refusal(path, "1.6 GB", "read a part of it, or a coarser level")
    with pytest.raises(ValueError, match=whole):
        np.asarray(pixels)
    with pytest.raises(ValueError, match=whole):
        read_mask(path)
    with pytest.raises(ValueError, match=_refusal(path, "800 MB", "read a part of it, or a coarser level")):
        pixels[:2, :2]  # of the one strip


@pytest.mark.usefixtures("half_a_gigabyte")
def test_a_compressed_tif_that_is_turned_is_refused_at_once(tmp_path: Path) -> None:
    path = _tif_that_says(tmp_path / "a.tif", 20_000, extratags=[(274, "H", 1, 6, True)])
    with pytest.raises(ValueError, match=_refusal(path, "1.6 GB", "read a part of it, or a coarser level")):
        read_image(path)


@pytest.mark.usefixtures("half_a_gigabyte")
def test_a_zarr_is_opened_and_refused_where_too_much_is_sliced(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    array = zarr.create_array(path, shape=(50_000, 50_000), chunks=(100, 100), dtype=np.uint8)
    array[:100, :100] = 7
    image = read_image(path)
    assert image.pixels[20:60, 20:60].max() == 7
    message = _refusal(path, "2.5 GB", "read a part of it, or a coarser level", "a zarr")
    for use in (lambda: image.pixels[...], lambda: np.asarray(image.pixels), lambda: read_mask(path)):
        with pytest.raises(ValueError, match=message):
            use()


@pytest.mark.usefixtures("half_a_gigabyte")
def test_a_chunk_counts_even_where_one_pixel_of_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, shape=(50_000, 50_000), chunks=(50_000, 50_000), dtype=np.uint8)
    with pytest.raises(
        ValueError, match=_refusal(path, "2.5 GB", "read a part of it, or a coarser level", "a zarr")
    ):
        read_image(path).pixels[0, 0]


@pytest.mark.usefixtures("half_a_gigabyte")
def test_a_picture_that_fits_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    PIL.Image.fromarray(np.zeros((300, 400, 3), np.uint8)).save(path)
    assert read_image(path).pixels.shape == (300, 400, 3)


@pytest.mark.usefixtures("half_a_gigabyte")
def test_the_command_line_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _png_that_says(tmp_path / "a.png", 50_000, 50_000, 8, 2)
    assert main(["segment", str(path), str(tmp_path / "out.tif")]) == 2
    assert capsys.readouterr().err == (
        f"napari-pcnet: {path} cannot be read as a tif, png or jpg picture: it needs 25.0 GB of memory, "
        f"and 500 MB are free; save it as a zarr, which is read in parts\n"
    )


def test_what_is_free_is_what_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.free_bytes() > 0
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=123, free=45, total=678))
    assert memory.free_bytes() == 123


V1 = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 {root} /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 {root} /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
"""
V2 = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
UNLIMITED = 9223372036854771712
"""What version 1 has for no limit."""


def _system(folder: Path, cgroup: str, mounts: str, root: str, files: dict[str, object]) -> Path:
    """Make a tree of files as Linux shows them to a process."""
    texts = {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts.format(root=root), **files}
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n")
    return folder


def _first(place: str, limit: int, usage: int, inactive: int = 0) -> dict[str, object]:
    return {
        f"sys/fs/cgroup/memory{place}/memory.limit_in_bytes": limit,
        f"sys/fs/cgroup/memory{place}/memory.usage_in_bytes": usage,
        f"sys/fs/cgroup/memory{place}/memory.stat": f"inactive_file 1\ntotal_inactive_file {inactive}",
    }


def _second(
    place: str, limit: object, usage: int, inactive: int = 0, high: object = "max"
) -> dict[str, object]:
    return {
        f"sys/fs/cgroup{place}/memory.max": limit,
        f"sys/fs/cgroup{place}/memory.high": high,
        f"sys/fs/cgroup{place}/memory.current": usage,
        f"sys/fs/cgroup{place}/memory.stat": f"anon 5\nfile 9\ninactive_file {inactive}",
    }


@pytest.mark.parametrize(
    ("cgroup", "mounts", "root", "files", "room"),
    [
        ("5:cpu,cpuacct:/\n4:memory:/job", V1, "/", _first("/job", 1000, 700, 50), [350]),
        ("4:memory:/docker/1f", V1, "/docker/1f", _first("", 1000, 700), [300]),
        ("4:memory:/docker/1f", V1, "/", _first("", 1000, 700), [300]),
        ("4:memory:/", V1, "/", _first("", UNLIMITED, 700), [UNLIMITED - 700]),
        ("0::/user/job", V2, "/", _second("/user/job", 1000, 700, 50), [350]),
        ("0::/user/job", V2, "/", _second("/user/job", "max", 700), []),
        (
            "0::/user/job",
            V2,
            "/",
            _second("/user/job", 1000, 700) | _second("/user", 1100, 900),
            [300, 200],
        ),
        ("0::/job", V2, "/", _second("/job", 1000, 700, high=800), [100]),
        ("0::/job", V2, "/", _second("/job", 1000, 1200), [0]),
        ("0::/", V2, "/", _second("", 1000, 700), [300]),
        ("0::/../job", V2, "/../..", _second("", 1000, 700), [300]),
        (
            "4:memory:/job\n0::/",
            V1 + V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified "),
            "/",
            _first("/job", 1000, 700),
            [300],
        ),
        ("0::/gone", V2, "/", {}, []),
        ("", "", "/", {}, []),
    ],
)
def test_a_cgroup_leaves_its_limit_less_what_is_used(
    tmp_path: Path, cgroup: str, mounts: str, root: str, files: dict[str, object], room: list[int]
) -> None:
    assert list(memory.cgroup_room(_system(tmp_path, cgroup, mounts, root, files))) == room


def test_freed_memory_is_given_back_where_the_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = list[int]()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(malloc_trim=kept.append))
    memory.give_back()
    assert kept == [0]

    def refuse(_: object) -> None:
        raise TypeError("bad argument type for built-in operation")

    for other in (lambda _: SimpleNamespace(), refuse):
        monkeypatch.setattr(ctypes, "CDLL", other)
        memory.give_back()
    assert kept == [0]


def test_where_there_are_no_cgroups_nothing_limits(tmp_path: Path) -> None:
    assert list(memory.cgroup_room(tmp_path)) == []


def test_a_cgroup_counts_among_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1230))
    monkeypatch.setattr(memory, "cgroup_room", lambda: iter([2000, 45, 678]))
    assert memory.free_bytes() == 45
