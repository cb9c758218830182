"""What is inside a file decides how it is read; a format that is none of ours is not tried."""

import io
import os
import re
import threading
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.testing import assert_array_equal

from napari_pcnet.disk.labels import read_labels, read_notes
from napari_pcnet.disk.pictures import count_levels, read_image, read_mask

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 3\n%%EndComments\nshowpage\n"
FOREIGN = ("BMP", "GIF", "PPM", "TGA", "PCX", "SGI", "WEBP", "JPEG2000", "ICO", "DDS", "XBM", "SPIDER")


def _refusal(path: Path, head: bytes) -> str:
    return re.escape(
        f"{path} cannot be read as a tif, png or jpg picture: it begins with {head!r}, as none of these does"
    )


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
        with pytest.raises(ValueError, match=f"^{_refusal(path, b'%!PS-Ado')}$"):
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
    with pytest.raises(ValueError, match=f"^{_refusal(path, path.read_bytes()[:8])}$"):
        read_image(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    message = re.escape(f"{path} cannot be read as a tif, png or jpg picture: it is empty")
    with pytest.raises(ValueError, match=f"^{message}$"):
        read_image(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    os.mkfifo(path)
    with pytest.raises(
        ValueError, match=f"^image {re.escape(str(path))} is a pipe or a device; name a file$"
    ):
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
