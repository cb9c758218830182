"""Damage files by the thousands and read them: a reader answers with a picture or with its own sentence.

    python tools/fuzz_readers.py                           2,000 damaged files of every kind
    python tools/fuzz_readers.py --count 5000 --seed 70000
    python tools/fuzz_readers.py --only zarr --count 100   kinds whose name begins so
    python tools/fuzz_readers.py --count 1 --seed 1234     one of them again

The damage of a file follows from its seed, and the seeds are consecutive numbers. Files are read in a
process of their own, which may take 1 GB of memory beyond what its imports took (not on Windows, which has
no such limit). A finding is

- an error that is none of the reader's own: another type, several lines, or no name of the file;
- a file that is read for more than 10 seconds;
- a process that dies.

What libraries print or warn of themselves is counted, and no finding. The exit status is 1 if there is a
finding.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

LIMIT_S = 10.0
LIMIT_BYTES = 1 << 30
STARTED = "started"
"""What a process says when its imports are done."""

Rng = np.random.Generator

# -- files without damage ------------------------------------------------------------------------------

GREY = (np.arange(40 * 48).reshape(40, 48) % 251).astype(np.uint8)
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
RGBA = np.dstack([RGB, np.where(GREY > 60, 255, 0).astype(np.uint8)])
LABELS = (GREY // 50).astype(np.uint16)
AXES = [{"name": each, "type": "channel" if each == "c" else "space"} for each in "cyx"]


def png(path: Path, rng: Rng) -> None:
    """Write one of the kinds of png."""
    import imagecodecs
    import PIL.Image

    exif = PIL.Image.Exif()
    exif[274] = 6
    palette = PIL.Image.fromarray(GREY).convert("P")
    deep = RGBA.astype(np.uint16) * 257
    writers: list[Callable[[], object]] = [
        lambda: PIL.Image.fromarray(RGBA).save(path, "PNG", exif=exif),
        lambda: PIL.Image.fromarray(RGB).save(path, "PNG", icc_profile=b"profile" * 20),
        lambda: PIL.Image.fromarray(GREY).save(path, "PNG", transparency=20),
        lambda: PIL.Image.fromarray(GREY > 90).save(path, "PNG"),
        lambda: PIL.Image.fromarray(GREY.astype(np.uint16) * 257).save(path, "PNG"),
        lambda: palette.save(path, "PNG", transparency=3),
        lambda: path.write_bytes(imagecodecs.png_encode(deep)),
        lambda: path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(deep[..., :3]))),
    ]
    writers[rng.integers(len(writers))]()


def jpg(path: Path, rng: Rng) -> None:
    """Write one of the kinds of jpg."""
    import PIL.Image

    exif = PIL.Image.Exif()
    exif[274] = 8
    colours = PIL.Image.fromarray(RGB)
    writers: list[Callable[[], object]] = [
        lambda: colours.save(path, "JPEG", exif=exif, comment=b"by hand"),
        lambda: colours.save(path, "JPEG", progressive=True),
        lambda: colours.convert("CMYK").save(path, "JPEG"),
        lambda: PIL.Image.fromarray(GREY).save(path, "JPEG"),
        lambda: colours.save(path, "MPO", save_all=True, append_images=[colours]),
    ]
    writers[rng.integers(len(writers))]()


def tif(path: Path, rng: Rng) -> None:
    """Write one of the kinds of tif."""
    import PIL.Image
    import tifffile

    deep = GREY.astype(np.uint16) * 257
    tiles = {"tile": (16, 16), "compression": "zlib", "predictor": True}
    turned = {"photometric": "rgb", "extratags": [(274, "H", 1, 6, True)]}
    nodata = {"compression": "lzw", "extratags": [(42113, "s", 0, "-9999", True)]}
    writers: list[Callable[[], object]] = [
        lambda: tifffile.imwrite(path, GREY),
        lambda: tifffile.imwrite(path, RGBA, **turned, extrasamples=["unassalpha"]),
        lambda: tifffile.imwrite(path, deep, compression="lzw", byteorder=">"),
        lambda: tifffile.imwrite(path, deep, bigtiff=True, **tiles),
        lambda: tifffile.imwrite(path, RGB, photometric="rgb", compression="jpeg"),
        lambda: tifffile.imwrite(path, RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        lambda: tifffile.imwrite(path, np.stack([deep] * 3), imagej=True, resolution=(2, 2)),
        lambda: tifffile.imwrite(path, np.stack([GREY] * 5), ome=True, metadata={"axes": "CYX"}),
        lambda: tifffile.imwrite(path, GREY.astype(np.float32), **nodata),
        lambda: tifffile.imwrite(path, GREY, photometric="miniswhite", compression="packbits"),
        lambda: pyramid(path),
        lambda: PIL.Image.fromarray(GREY).convert("P").save(path, "TIFF"),
        lambda: PIL.Image.fromarray(GREY > 90).save(path, "TIFF", compression="group4"),
        lambda: PIL.Image.fromarray(RGB).convert("CMYK").save(path, "TIFF", compression="tiff_lzw"),
        lambda: PIL.Image.fromarray(RGB).convert("YCbCr").save(path, "TIFF", compression="jpeg"),
    ]
    writers[rng.integers(len(writers))]()


def pyramid(path: Path) -> None:
    """Write a tif of two sizes, and a page of another size after them."""
    import tifffile

    with tifffile.TiffWriter(path) as file:
        file.write(RGB, subifds=1, photometric="rgb", compression="zlib", tile=(16, 16))
        file.write(RGB[::2, ::2], subfiletype=1, photometric="rgb", compression="zlib", tile=(16, 16))
        file.write(GREY[:10, :20])


def zarr_array(path: Path, rng: Rng) -> None:
    """Write one of the kinds of zarr arrays."""
    import numcodecs
    import zarr

    old = {"zarr_format": 2, "chunks": (16, 16)}
    options: list[dict[str, Any]] = [
        {**old, "compressors": numcodecs.Blosc()},
        {**old, "compressors": numcodecs.LZMA(), "filters": [numcodecs.Delta("u1")]},
        {**old, "compressors": numcodecs.BZ2(), "chunk_key_encoding": {"name": "v2", "separator": "/"}},
        {"chunks": (16, 16)},
        {"chunks": (16, 16), "compressors": zarr.codecs.GzipCodec(), "dimension_names": ("y", "x")},
        {"chunks": (8, 8), "shards": (16, 16)},
        {"chunks": (16, 16), "compressors": None, "fill_value": 7},
    ]
    chosen = options[rng.integers(len(options))]
    zarr.create_array(path, shape=GREY.shape, dtype=GREY.dtype, **chosen)[...] = GREY


def zarr_group(path: Path, rng: Rng) -> None:
    """Write an OME-Zarr, of several pictures or a plate at times, or a plain group."""
    kind = ("picture", "several", "plate", "plain")[rng.integers(4)]
    zarr_format = int(rng.integers(2, 4))
    if kind == "plain":
        group(path, zarr_format)
        zarr_array(path / "0", rng)
    elif kind == "picture":
        ome_zarr(path, zarr_format)
    elif kind == "several":
        group(path, zarr_format, **{"bioformats2raw.layout": 3})
        group(path / "OME", zarr_format, series=["1", "0"])
        ome_zarr(path / "0", zarr_format)
        ome_zarr(path / "1", zarr_format)
    else:
        group(path, zarr_format, plate={"wells": [{"path": "A/1"}]})
        group(path / "A", zarr_format)
        group(path / "A" / "1", zarr_format, well={"images": [{"path": "0"}]})
        ome_zarr(path / "A" / "1" / "0", zarr_format)


def ome_zarr(path: Path, zarr_format: int) -> None:
    """Write an OME-Zarr of two sizes."""
    import zarr

    scale = {"axes": AXES, "datasets": [{"path": "0"}, {"path": "1"}]}
    group(path, zarr_format, multiscales=[scale])
    whole = np.moveaxis(RGB, -1, 0)
    for at, pixels in enumerate([whole, whole[:, ::2, ::2]]):
        zarr.create_array(path / str(at), data=pixels, zarr_format=zarr_format, chunks=(1, 16, 16))


def group(path: Path, zarr_format: Any, **attributes: Any) -> None:
    """Write a zarr group, with what it says of itself where its version of OME-Zarr has it."""
    import zarr

    words = {"ome": attributes} if zarr_format == 3 and attributes else attributes
    zarr.open_group(path, mode="w", zarr_format=zarr_format, attributes=words)


def labels(path: Path, rng: Rng, suffix: str) -> None:
    """Write labels with the record of their run, as the plugin does; at times with notes that are damaged."""
    from napari_pcnet.disk.labels import write_labels
    from napari_pcnet.record import Origin, RunRecord, notes_of

    record = RunRecord(20, crop=(0, 0, 40, 48), channels=(0,), spacing=(2.0, 1.0))
    notes = notes_of(record, Origin("cat", "/data/cat.tif"))
    notes["layer"] = {"scale": [2.0, 1.0], "translate": [0.0, 0.0], "units": ["pixel", "pixel"]}
    notes["features"] = {"index": [1, 2], "area": [10.0, 20.0]}
    if rng.random() < 0.7:
        notes = damaged_words(notes, rng)
    write_labels(path.with_suffix(suffix), LABELS, notes=notes if isinstance(notes, dict) else None)
    path.with_suffix(suffix).rename(path)


def label_tif(path: Path, rng: Rng) -> None:
    """Write labels to a tif."""
    labels(path, rng, ".tif")


def label_zarr(path: Path, rng: Rng) -> None:
    """Write labels to a zarr."""
    labels(path, rng, ".zarr")


def label_png(path: Path, rng: Rng) -> None:  # noqa: ARG001  # one of the kinds
    """Write labels to a png."""
    from napari_pcnet.disk.labels import write_labels

    write_labels(path.with_suffix(".png"), LABELS)
    path.with_suffix(".png").rename(path)


def forest(path: Path, rng: Rng) -> None:
    """Write a forest of two trees; at times with a header that is damaged and well-formed."""
    from napari_pcnet.learning.forest import RegionForest
    from napari_pcnet.learning.trees import Trees

    trees = Trees(
        root=np.array([0, 3], np.int32),
        feature=np.array([1, 0, 0, 0], np.int32),
        threshold=np.array([0.5, np.inf, np.inf, np.inf], np.float32),
        children=np.array([[1, 2], [1, 1], [2, 2], [3, 3]], np.int32),
        share=np.array([[0.5, 0.5], [1, 0], [0, 1], [0.25, 0.75]], np.float32),
    )
    file = path.with_suffix(".safetensors")
    RegionForest(("area", "intensity_mean-0"), (1, 4), ("fur", "eye"), trees).save(file)
    content = file.read_bytes()
    file.unlink()
    if rng.random() < 0.7:
        content = with_damaged_header(content, rng)
    path.write_bytes(content)


def with_damaged_header(content: bytes, rng: Rng) -> bytes:
    """Damage what a safetensors says of its arrays, or the text of its own in there."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    (name, text), *_ = header["__metadata__"].items()
    if rng.random() < 0.5:
        header["__metadata__"][name] = json.dumps(damaged_words(json.loads(text), rng))
    else:
        header = damaged_words(header, rng)
    words = json.dumps(header).encode()
    return len(words).to_bytes(8, "little") + words + content[end:]


KINDS: dict[str, Callable[[Path, Rng], None]] = {
    "png": png,
    "jpg": jpg,
    "tif": tif,
    "zarr array": zarr_array,
    "zarr group": zarr_group,
    "label tif": label_tif,
    "label zarr": label_zarr,
    "label png": label_png,
    "forest": forest,
}

# -- damage --------------------------------------------------------------------------------------------

ODD_BYTES = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\1\0",
)
ODD_WORDS: tuple[Any, ...] = (
    None, True, 0, -1, 1, 7, 2**31, 2**63, 10**400, 1.5, -1e308, float("nan"), float("inf"), "", "0",
    "pickle", "..", "/", "|O", "<U9", "é\n; rm -rf /", "x" * 300, "2**9**9", [], {}, [[]], [1, -1], ["a"],
    [None] * 9, {"id": "pickle"}, {"name": "sharding_indexed", "configuration": {}}, [10**9] * 2,
)  # fmt: skip


def damage(path: Path, rng: Rng) -> None:
    """Damage a file, or one or two of the files in a folder."""
    if path.is_file():
        content = damaged_bytes(path.read_bytes(), rng)
        path.write_bytes(with_checksums_of_png(content) if rng.random() < 0.5 else content)
        return
    for _ in range(rng.integers(1, 3)):
        files = sorted(each for each in path.rglob("*") if each.is_file())
        words = [each for each in files if each.name in (".zarray", ".zgroup", ".zattrs", "zarr.json")]
        pool = words if words and rng.random() < 0.7 else files
        if pool:
            damage_in_folder(pool[rng.integers(len(pool))], rng)


def damage_in_folder(file: Path, rng: Rng) -> None:
    """Change what a file says, remove it, put a folder in its place, or damage its bytes."""
    way = rng.random()
    if way < 0.02:
        file.write_bytes(b"[" * 100_000)
    elif way < 0.1:
        file.unlink()
    elif way < 0.15:
        file.unlink()
        file.mkdir()
    elif way < 0.7 and (file.suffix == ".json" or file.name.startswith(".z")):
        try:
            words = json.loads(file.read_bytes())
        except (ValueError, RecursionError):
            words = {}
        file.write_text(json.dumps(damaged_words(words, rng)))
    else:
        file.write_bytes(damaged_bytes(file.read_bytes(), rng))


def damaged_words(words: Any, rng: Rng) -> Any:
    """Change, remove, repeat or wrap some values of a JSON text."""
    words = copy.deepcopy(words)
    for _ in range(rng.integers(1, 4)):
        places = list(places_in(words))
        if not places:
            return odd_word(rng)
        inside, key = places[rng.integers(len(places))]
        way = rng.random()
        if way < 0.6:
            inside[key] = odd_word(rng)
        elif way < 0.75:
            del inside[key]
        elif way < 0.85:
            inside[key] = [copy.deepcopy(inside[key]) for _ in range(rng.integers(1, 4))]
        else:
            other, name = places[rng.integers(len(places))]
            inside[key] = copy.deepcopy(other[name])
    return words


def odd_word(rng: Rng) -> Any:
    """Choose a value that a text should not have."""
    return copy.deepcopy(ODD_WORDS[rng.integers(len(ODD_WORDS))])


def places_in(words: Any) -> Iterator[tuple[Any, Any]]:
    """Every key or index of a JSON text, with what it is in."""
    if isinstance(words, dict | list):
        for key, value in list(words.items() if isinstance(words, dict) else enumerate(words)):
            yield words, key
            yield from places_in(value)


def damaged_bytes(content: bytes, rng: Rng) -> bytes:
    """Damage bytes in one to four ways; half of the places are among the first, where headers are."""
    for _ in range(rng.integers(1, 5)):
        at = place_in(content, rng)
        way = rng.integers(7)
        if way == 0:
            content = content[:at]
        elif way == 1:
            content = content[:at] + bytes([rng.integers(256)]) + content[at + 1 :]
        elif way == 2:
            odd = ODD_BYTES[rng.integers(len(ODD_BYTES))]
            content = content[:at] + odd + content[at + len(odd) :]
        elif way == 3:
            content = content[:at] + rng.bytes(int(rng.integers(1, 20))) + content[at:]
        elif way == 4:
            content = content[:at] + content[at + int(rng.integers(1, 50)) :]
        elif way == 5:
            other, length = place_in(content, rng), int(rng.integers(1, 30))
            content = content[:at] + content[other : other + length] + content[at + length :]
        elif at < len(content):
            content = content[:at] + bytes([content[at] ^ (1 << rng.integers(8))]) + content[at + 1 :]
    return content


def with_checksums_of_png(content: bytes) -> bytes:
    """Make the checksums of a png right, for else most damage ends there; another file stays as it is."""
    if not content.startswith(b"\x89PNG"):
        return content
    at, parts = 8, [content[:8]]
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4])
        chunk = content[at:end]
        parts += [chunk, zlib.crc32(chunk[4:]).to_bytes(4)]
        at = end + 4
    return b"".join(parts)


def place_in(content: bytes, rng: Rng) -> int:
    """Choose a place in some bytes."""
    end = len(content) + 1
    return int(rng.integers(min(end, 300) if rng.random() < 0.5 else end))


# -- reading -------------------------------------------------------------------------------------------


@dataclass
class Answer:
    """What the readers said of one file.

    Attributes
    ----------
    kind : str
        Of the file.
    n_read : int
        Readers that gave a result.
    n_refused : int
        Readers that gave a sentence.
    findings : list of str
        Errors that are none of the reader's own.
    noise : list of str
        What libraries warned of.
    seconds : float
    """

    kind: str
    n_read: int
    n_refused: int
    findings: list[str]
    noise: list[str]
    seconds: float


def read_pixels(path: Path) -> object:
    """Read a picture whole, and a part of it, where it is small enough to be one of ours."""
    from napari_pcnet.disk.pictures import read_image

    pixels = read_image(path).pixels
    part = pixels[(0,) * (len(pixels.shape) - 2) + (slice(8), slice(8))]
    return np.asarray(pixels) if int(np.prod(pixels.shape, dtype=object)) < 10**7 else part


def read_layer(path: Path) -> object:
    """Read superpixels as napari opens them."""
    from napari_pcnet.plugin.files import get_reader

    reader = get_reader(str(path))
    return None if reader is None else reader(str(path))


def readers() -> dict[str, Callable[[Path], object]]:
    """Everything that takes a file of a user."""
    from napari_pcnet.disk.labels import read_labels, read_notes
    from napari_pcnet.disk.pictures import count_levels, read_mask
    from napari_pcnet.learning.forest import RegionForest

    each: dict[str, Callable[[Path], object]] = {
        "image": read_pixels,
        "mask": read_mask,
        "labels": read_labels,
    }
    return each | {
        "notes": read_notes,
        "levels": count_levels,
        "layer": read_layer,
        "forest": RegionForest.load,
    }


def read_damaged(seed: int, kinds: list[str], folder: Path) -> Answer:
    """Write the file of a seed, damage it, and let every reader answer."""
    rng = np.random.default_rng(seed)
    kind = kinds[seed % len(kinds)]
    path = folder / f"{seed}.{kind.rpartition(' ')[2]}"
    KINDS[kind](path, rng)
    damage(path, rng)
    answer = Answer(kind, 0, 0, [], [], 0.0)
    start = time.monotonic()
    for name, read in readers().items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                read(path)
                answer.n_read += 1
            except (ValueError, OSError) as error:
                answer.n_refused += 1
                if not is_sentence(error, path):
                    answer.findings.append(described(name, error))
            except Exception as error:  # whatever it is, it is the finding
                answer.findings.append(described(name, error))
        answer.noise += [
            f"{each.category.__name__} in {Path(each.filename).name}"
            for each in caught
            if str(path) not in str(each.message) and "napari_pcnet" not in each.filename
        ]
    answer.seconds = time.monotonic() - start
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return answer


def is_sentence(error: Exception, path: Path) -> bool:
    """Whether an error is one line that names the file, and not much longer than a screen's width twice."""
    text = str(error)
    rest = text.replace(str(path), "")
    foreign = type(error).__module__.partition(".")[0] not in ("builtins", "napari_pcnet")
    return rest != text and "\n" not in text and len(rest) < 400 and not foreign


def described(reader: str, error: Exception) -> str:
    """Say what an error is and where it came from."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"{reader}: {type(error).__name__} at {place}: {str(error)[:300]}"


def serve(questions: Connection, kinds: list[str], folder: Path, printed: Path) -> None:
    """Answer one seed after the other, with limited memory; what libraries print goes to a file."""
    os.dup2(os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    import napari_pcnet.plugin.files  # noqa: F401  # before memory is limited

    for module in ("PIL.Image", "imagecodecs", "napari_pcnet.learning.forest", "tifffile", "zarr"):
        __import__(module)
    limit_memory()
    questions.send(STARTED)
    while (seed := questions.recv()) is not None:
        questions.send(read_damaged(seed, kinds, folder))


def limit_memory() -> None:
    """Let this process take no more than `LIMIT_BYTES` beyond what it has."""
    try:
        import resource
    except ImportError:  # Windows
        return
    import psutil

    limit = psutil.Process().memory_info().vms + LIMIT_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


class Reader:
    """A process that reads; a new one takes the place of one that died or reads for too long."""

    def __init__(self, kinds: list[str], folder: Path) -> None:
        self.kinds, self.folder = kinds, folder
        self.printed = folder / "printed"
        self.process: Any = None

    def start(self) -> None:
        """Start the process."""
        # Threads have room of their own with glibc, 64 MB of addresses each, which would count as memory.
        os.environ["MALLOC_ARENA_MAX"] = "1"
        context = multiprocessing.get_context("spawn")
        self.questions, theirs = context.Pipe()
        given = (theirs, self.kinds, self.folder, self.printed)
        self.process = context.Process(target=serve, args=given, daemon=True)
        self.process.start()
        theirs.close()  # or its end would not be noticed
        assert self.questions.recv() == STARTED

    def ask(self, seed: int) -> Answer:
        """Let the process read the file of a seed."""
        if self.process is None:
            self.start()
        kind = self.kinds[seed % len(self.kinds)]
        self.questions.send(seed)
        if not self.questions.poll(2 * LIMIT_S):
            self.stop()
            return Answer(kind, 0, 0, [f"is read for more than {2 * LIMIT_S:.0f} s"], [], 2 * LIMIT_S)
        try:
            answer: Answer = self.questions.recv()
        except EOFError:
            self.process.join()
            last = self.printed.read_text(errors="replace").splitlines()[-1:]
            found, self.process = f"the process died, exit code {self.process.exitcode}: {last}", None
            return Answer(kind, 0, 0, [found], [], 0.0)
        if answer.seconds > LIMIT_S:
            answer.findings.append(f"was read for {answer.seconds:.1f} s")
        return answer

    def stop(self) -> None:
        """End the process, which may be reading for ever."""
        self.process.kill()
        self.process.join()
        self.process = None

    def end(self) -> None:
        """Let the process end."""
        if self.process is not None:
            self.questions.send(None)
            self.process.join()


def main() -> int:
    """Read the damaged files of some seeds, print what was found, and return the exit status."""
    parser = argparse.ArgumentParser(
        description="damage files, read them, and find errors that no reader means"
    )
    parser.add_argument("--count", type=int, default=2000, help="damaged files (default 2000)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first; the others follow (default 0)"
    )
    parser.add_argument("--only", default="", metavar="KIND", help=f"kinds that begin so: {', '.join(KINDS)}")
    chosen = parser.parse_args()
    kinds = [each for each in KINDS if each.startswith(chosen.only)]
    if not kinds:
        parser.error(f"--only must begin one of {', '.join(KINDS)}, got {chosen.only}")
    repeat = f" --only {chosen.only!r}" if chosen.only else ""
    files, read, refused, noise = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    n_findings, slowest = 0, (0.0, chosen.seed)
    with tempfile.TemporaryDirectory() as name:
        reader = Reader(kinds, Path(name))
        for seed in range(chosen.seed, chosen.seed + chosen.count):
            answer = reader.ask(seed)
            files[answer.kind] += 1
            read[answer.kind] += answer.n_read
            refused[answer.kind] += answer.n_refused
            noise.update(answer.noise)
            slowest = max(slowest, (answer.seconds, seed))
            n_findings += bool(answer.findings)
            for finding in answer.findings:
                print(f"seed {seed}{repeat}, {answer.kind}: {finding}", flush=True)
        reader.end()
        printed = reader.printed.read_text(errors="replace").splitlines()
    for kind in files:
        print(f"{kind}: {files[kind]} files, {read[kind]} readings, {refused[kind]} refusals")
    print(f"libraries: {len(printed)} lines printed; warnings: {dict(noise.most_common(8)) or 'none'}")
    print(f"slowest: {slowest[0]:.1f} s, seed {slowest[1]}")
    last = chosen.seed + chosen.count - 1
    print(f"seeds {chosen.seed} to {last}{repeat}: {n_findings} of {chosen.count} files with findings")
    return int(n_findings > 0)


if __name__ == "__main__":
    sys.exit(main())
