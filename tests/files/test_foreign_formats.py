"""What is inside a file decides how it is read; a format that is none of ours is not tried."""

import io
import re
import threading
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile
from numpy.testing import assert_array_equal

from napari_pcnet.disk.labels import read_labels, read_notes
from napari_pcnet.disk.pictures import count_levels, read_image, read_mask

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 3\n%%EndComments\nshowpage\n"
FOREIGN = dict.fromkeys(("TGA", "PCX", "SGI", "ICO", "DDS", "XBM", "SPIDER"), "") | {
    "BMP": "a bmp",
    "GIF": "a gif",
    "PPM": "a pbm, pgm or ppm",
    "WEBP": "a webp",
    "JPEG2000": "a JPEG 2000",
}
"""Formats of Pillow, and the word for those that have one."""


def _refusal(path: Path, reason: str) -> str:
    return f"^{re.escape(f'{path} cannot be read as a tif, png or jpg picture: {reason}')}$"


def test_postscript_in_a_png_is_refused_and_no_program_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import EpsImagePlugin

    def start(*given: object, **options: object) -> None:
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    path = tmp_path / "a.png"
    path.write_bytes(POSTSCRIPT)
    for use in (read_image, read_mask, read_labels, count_levels):
        with pytest.raises(ValueError, match=_refusal(path, "it is PostScript; save it as tif or png")):
            use(path)
    assert read_notes(path) is None


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_format_that_only_pillow_knows_is_refused(tmp_path: Path, kind: str) -> None:
    picture = PIL.Image.fromarray(GREY)
    if kind == "XBM":
        picture = picture.convert("1")
    elif kind in ("DDS", "WEBP"):
        picture = picture.convert("RGB")
    elif kind == "SPIDER":
        picture = picture.convert("F")
    path = tmp_path / "a.jpg"
    content = io.BytesIO()  # by the name of a file, SPIDER would be made the format of all such names
    picture.save(content, format=kind)
    path.write_bytes(content.getvalue())
    begins = f"it begins with the bytes {path.read_bytes()[:8].hex(' ')}, as none of these does"
    known = f"it is {FOREIGN[kind]}; save it as tif or png" if FOREIGN[kind] else begins
    with pytest.raises(ValueError, match=_refusal(path, "it is text" if kind == "XBM" else known)):
        read_image(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(ValueError, match=_refusal(path, "it is empty")):
        read_image(path)


@pytest.mark.parametrize(
    ("kind", "kept", "reason"),
    [
        ("TIFF", slice(200), "it ends early, as a copy that was stopped does (mmap length is greater"),
        ("TIFF", slice(4), "it ends early, as a copy that was stopped does (unpack requires a buffer"),
        ("PNG", slice(100), "it ends early, as a copy that was stopped does (image file is truncated"),
        ("JPEG", slice(-200), "it ends early, as a copy that was stopped does (image file is truncated"),
    ],
)
def test_a_file_without_its_end_is_said_to_end_early(
    tmp_path: Path, kind: str, kept: slice, reason: str
) -> None:
    path, content = tmp_path / "a.tif", io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    if kind == "TIFF":
        tifffile.imwrite(content, noise, photometric="minisblack")  # pixels stand last
    else:
        PIL.Image.fromarray(noise).save(content, format=kind)
    path.write_bytes(content.getvalue()[kept])
    with pytest.raises(ValueError, match=_refusal(path, reason).removesuffix("$")):
        read_image(path)


def test_pixels_that_no_codec_takes_are_said_to_be_the_fault(tmp_path: Path) -> None:
    path, content = tmp_path / "a.tif", io.BytesIO()
    tifffile.imwrite(content, GREY, photometric="minisblack", compression="zlib")
    path.write_bytes(content.getvalue()[:-3] + b"abc")
    with pytest.raises(ValueError, match=_refusal(path, "its pixels cannot be decoded (").removesuffix("$")):
        read_image(path)


@pytest.mark.parametrize("inside", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".dat"])
def test_a_picture_is_read_by_its_content_whatever_its_name(tmp_path: Path, inside: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    PIL.Image.new("L", (4, 3), 200).save(path, format=inside)
    assert_array_equal(read_image(path).pixels, np.full((3, 4), 200))


def test_the_first_picture_of_an_mpo_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    first, second = PIL.Image.new("L", (4, 3), 200), PIL.Image.new("L", (4, 3), 10)
    first.save(path, format="MPO", save_all=True, append_images=[second])
    assert_array_equal(read_image(path).pixels, np.full((3, 4), 200))


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_pillows_limit_stays_what_it_is_and_does_not_matter(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    PIL.Image.fromarray(np.tile(GREY, (40, 40))).save(path)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 2)
    seen, done = set(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.add(PIL.Image.MAX_IMAGE_PIXELS)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert all(read_image(path).pixels.shape == (120, 160) for _ in range(50))
    finally:
        done.set()
        watcher.join()
    assert seen == {2}
