"""The command line: exit statuses, one sentence for what a user got wrong, files where they should be."""

import os
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import pytest
import tifffile
from numpy.testing import assert_array_equal

from napari_pcnet import __version__, weights
from napari_pcnet.cli import main
from napari_pcnet.disk import output, pictures
from napari_pcnet.disk.files import sha256_of
from napari_pcnet.disk.image import Image
from napari_pcnet.disk.labels import read_labels, read_notes, write_labels
from napari_pcnet.disk.overlay import BOUNDARY_COLOUR
from napari_pcnet.record import Origin, RunRecord, from_notes
from napari_pcnet.shapes import plane_axes

Progress = Callable[[int, int], None]
Calls = list[tuple[Image, RunRecord]]

PICTURE = np.zeros((48, 64, 3), np.uint8)
PICTURE[:, 30:] = (200, 120, 40)
PICTURE[20:30, 10:20] = (20, 220, 90)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the drawn picture in it."""
    monkeypatch.chdir(tmp_path)
    PIL.Image.fromarray(PICTURE).save("in.png")
    return tmp_path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What a stand-in for `run.run_image` was called with; it labels two halves."""
    made: Calls = []

    def halves(image: Image, record: RunRecord, *, progress: Progress) -> np.ndarray[Any, Any]:
        made.append((image, record))
        progress(1, 1)
        height, width = plane_axes(image.pixels.ndim, image.channel_axis)
        shape = image.pixels.shape[height], image.pixels.shape[width]
        labels = np.full(shape, record.start_label, np.int32)
        labels[:, labels.shape[1] // 2 :] += 1
        return labels

    _stand_in(monkeypatch, halves)
    return made


def _stand_in(monkeypatch: pytest.MonkeyPatch, run_image: Callable[..., Any]) -> None:
    """Put a function in the place of `run.run_image`, and keep torch out."""

    def image_by_windows(image: Image, record: RunRecord, streaming: Any) -> Any:
        labels = run_image(image, record, progress=streaming.progress)
        return types.SimpleNamespace(shape=labels.shape, dtype=labels.dtype, parts=iter([(..., labels)]))

    module = types.ModuleType("napari_pcnet.run")
    module.run_image = run_image  # type: ignore[attr-defined]  # a module of three functions
    module.image_by_windows = image_by_windows  # type: ignore[attr-defined]
    module.Streaming = types.SimpleNamespace  # type: ignore[attr-defined]
    module.naming_channels = lambda image, record: record  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "napari_pcnet.run", module)


def _refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that must fail with status 2: one line on stderr, nothing on stdout."""
    try:
        status = main(words)
    except SystemExit as end:
        status = int(str(end.code))
    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert printed.err.count("\n") == 1
    return printed.err.removeprefix("napari-pcnet: ").rstrip()


# -- segment ---------------------------------------------------------------------------------------


def test_segment_writes_labels_and_says_how_many(
    folder: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", "in.png", "out.tif", "-n", "2"]) == 0
    assert capsys.readouterr().out.startswith("out.tif: 2 superpixels in 48 x 64 pixels, ")
    labels = read_labels("out.tif")
    assert_array_equal(np.unique(labels), [1, 2])
    assert_array_equal(calls[0][0].pixels, PICTURE)


def test_every_argument_has_its_flag(folder: Path, calls: Calls) -> None:
    tifffile.imwrite("stack.tif", np.zeros((2, 4, 48, 64, 3), np.uint8), photometric="rgb")
    words = (
        "segment stack.tif out.tif --n-segments 7 --model own.safetensors --method lattice --compactness 2.5 "
        "--smoothing 1.5 --start-label 0 --mask mask.png --channel-axis -1 --intensity-range -5 300 "
        "--min-size 9 --spacing 2 0.5 --device cpu --precision float64 --window 512 --max-segments 20 "
        "--height 1.5 --plane 0 3 --crop 0 1 40 50 --channels 2 0"
    )
    assert main(words.split()) == 0
    assert calls[0][1] == RunRecord(
        7,
        model="own.safetensors",
        method="lattice",
        compactness=2.5,
        smoothing=1.5,
        start_label=0,
        mask="mask.png",
        channel_axis=-1,
        intensity_range=(-5.0, 300.0),
        min_size=9,
        spacing=(2.0, 0.5),
        device="cpu",
        precision="float64",
        window=512,
        max_segments=20,
        height=1.5,
        plane=(0, 3),
        crop=(0, 1, 40, 50),
        channels=(2, 0),
    )


def test_a_range_may_be_of_percentiles(
    folder: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", "in.png", "out.tif", "--intensity-range", "1%", "99.9%"]) == 0
    assert calls[0][1].intensity_range == ("1%", "99.9%")
    with pytest.raises(SystemExit):
        main(["segment", "in.png", "out.tif", "--intensity-range", "dark", "99.9%"])
    assert "--intensity-range: must be a number or a percentage, got 'dark'" in capsys.readouterr().err


def test_the_channel_axis_is_the_files(folder: Path, calls: Calls) -> None:
    PIL.Image.fromarray(PICTURE[..., 0]).save("grey.png")
    assert main(["segment", "grey.png", "out.png"]) == 0
    assert calls[0][1].channel_axis is None


@pytest.mark.parametrize(("word", "axis"), [("0", 0), ("none", None)])
def test_a_channel_axis_that_is_given_comes_before_the_files(
    folder: Path, calls: Calls, word: str, axis: int | None
) -> None:
    assert main(["segment", "in.png", "out.tif", "--channel-axis", word]) == 0
    assert calls[0][1].channel_axis == axis


@pytest.mark.parametrize("start_label", [0, 1])
def test_the_count_does_not_depend_on_the_first_number(
    folder: Path, calls: Calls, capsys: pytest.CaptureFixture[str], start_label: int
) -> None:
    assert main(["segment", "in.png", "out.tif", "--start-label", str(start_label)]) == 0
    assert capsys.readouterr().out.startswith("out.tif: 2 superpixels in 48 x 64 pixels, ")


def test_the_overlay_is_the_picture_with_borders(folder: Path, calls: Calls) -> None:
    assert main(["segment", "in.png", "out.tif", "--overlay", "borders.png"]) == 0
    shown = pictures.read_image("borders.png").pixels
    assert_array_equal(shown[:, 31], np.tile(BOUNDARY_COLOUR, (48, 1)))
    assert_array_equal(shown[:, :31], PICTURE[:, :31])


def test_an_existing_output_needs_overwrite(
    folder: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out.tif").write_bytes(b"mine")
    message = "output out.tif exists; pass --overwrite to replace it"
    assert _refused(["segment", "in.png", "out.tif"], capsys) == message
    assert calls == []
    assert main(["segment", "in.png", "out.tif", "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("none.png out.tif", "image none.png does not exist"),
        ("in.png none/out.tif", "output folder none does not exist; make it first"),
        ("in.png out.jpg", "output out.jpg must end in .tif, .tiff, .png or .zarr"),
        ("in.png out.tif --overlay o.gif", "output o.gif must end in .png, .jpg, .jpeg, .tif or .tiff"),
        (
            "in.png out.tif -n ten",
            "argument -n/--n-segments: must be a whole number, got 'ten' (see napari-pcnet segment --help)",
        ),
        (
            "in.png out.tif -n 1.5",
            "argument -n/--n-segments: must be a whole number, got '1.5' (see napari-pcnet segment --help)",
        ),
        (
            "in.png out.tif --window big",
            "argument --window: must be a whole number or none, got 'big' (see napari-pcnet segment --help)",
        ),
        (
            "in.png out.tif --spacing 1 wide",
            "argument --spacing: must be a number, got 'wide' (see napari-pcnet segment --help)",
        ),
        ("in.png out.tif --sigma 1", "unrecognized arguments: --sigma 1 (see napari-pcnet segment --help)"),
        (
            "in.png out.tif --n_segments=5",
            "unrecognized arguments: --n_segments=5; did you mean --n-segments? "
            "(see napari-pcnet segment --help)",
        ),
        (
            "in.png out.tif --Over",
            "unrecognized arguments: --Over; did you mean --overlay? (see napari-pcnet segment --help)",
        ),
        (
            "in.png out.tif --no-overwrite",
            "unrecognized arguments: --no-overwrite (see napari-pcnet segment --help)",
        ),
        (
            "in.png out.tif -- --overwrite --crop",
            "4 files are named; name IN and OUT, or any number of pictures and a folder by -o FOLDER",
        ),
        (
            "in.png --overwrit out.tif",
            "unrecognized arguments: --overwrit out.tif; did you mean --overwrite? "
            "(see napari-pcnet segment --help)",
        ),
        (
            "in.png",
            "1 file is named; name IN and OUT, or any number of pictures and a folder by -o FOLDER",
        ),
        (
            "in.png in.png out.tif",
            "3 files are named; name IN and OUT, or any number of pictures and a folder by -o FOLDER",
        ),
        ("in.png .", "output . is a folder; name a file, or the folder by -o ."),
        (
            f"in.png {'a' * 300}.tif",
            f"output {'a' * 237}... cannot be a file: File name too long; name another",
        ),
    ],
)
def test_what_a_user_got_wrong_is_one_sentence(
    folder: Path, calls: Calls, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    assert _refused(["segment", *words.split()], capsys) == message
    assert os.listdir(folder) == ["in.png"]


def test_a_refusal_of_the_function_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusing(*_arguments: object, **_keywords: object) -> None:
        raise ValueError("n_segments must be a whole number of at least 1,\n  got 0")

    _stand_in(monkeypatch, refusing)
    message = "--n-segments must be a whole number of at least 1, got 0"
    assert _refused(["segment", "in.png", "out.tif", "-n", "0"], capsys) == message


def test_a_picture_that_is_none_is_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("notes.png").write_text("notes")
    assert _refused(["segment", "notes.png", "out.tif"], capsys) == (
        "notes.png cannot be read as a tif, png or jpg picture: it is text"
    )


@pytest.mark.parametrize("words", ["shots -o out", "shots out.tif"])
def test_a_folder_of_pictures_is_refused_with_the_words_that_do(
    folder: Path, calls: Calls, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    Path("shots").mkdir()
    told = "IN shots is a folder; name its pictures: segment {} -o FOLDER"
    main(["segment", *words.split()])
    assert told.format("'shots/*.tif'") in capsys.readouterr().err
    for name in ("a.jpg", "b.png", "c.png", "d.txt"):
        Path("shots", name).touch()
    main(["segment", *words.split()])
    assert told.format("'shots/*.jpg' 'shots/*.png'") in capsys.readouterr().err
    assert not calls


def test_an_interruption_is_one_line_and_status_130(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_arguments: object, **_keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "read_image", interrupted)
    assert main(["segment", "in.png", "out.tif"]) == 130
    assert capsys.readouterr().err == "napari-pcnet: stopped\n"


def test_a_missing_extra_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_arguments: object, **_keywords: object) -> None:
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")

    monkeypatch.setattr(pictures, "read_image", missing)
    message = "cv2 is not installed; pip install 'napari-pcnet[benchmark]'"
    assert _refused(["segment", "in.png", "out.tif"], capsys) == message


def test_a_broken_installation_is_not_taken_for_a_users_mistake(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_arguments: object, **_keywords: object) -> None:
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    monkeypatch.setattr(pictures, "read_image", missing)
    with pytest.raises(ModuleNotFoundError):
        main(["segment", "in.png", "out.tif"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("in.png in.png", "IN and OUT are the same file in.png; name another one for OUT"),
        ("in.png ./link/../in.png", "IN and OUT are the same file link/../in.png; name another one for OUT"),
        ("in.png link.tif", "IN and OUT are the same file link.tif; name another one for OUT"),
        (
            "in.png o.tif --overlay in.png",
            "IN and --overlay are the same file in.png; name another one for --overlay",
        ),
        (
            "in.png o.png --overlay o.png",
            "OUT and --overlay are the same file o.png; name another one for --overlay",
        ),
        ("in.png m.png --mask m.png", "--mask and OUT are the same file m.png; name another one for OUT"),
        (
            "in.png o.tif --mask m.png --overlay m.png",
            "--mask and --overlay are the same file m.png; name another one for --overlay",
        ),
        (
            "in.png out.png -n 65536",
            "65536 superpixels do not fit into the 16 bits of a png; write out.tif instead",
        ),
    ],
)
def test_files_that_coincide_or_can_not_hold_the_labels_are_refused_before_any_work(
    folder: Path, calls: Calls, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    (folder / "link").mkdir()
    (folder / "link.tif").symlink_to(folder / "in.png")
    before = sorted(os.listdir(folder))
    assert _refused(["segment", *words.split(), "--overwrite"], capsys) == message
    assert (calls, sorted(os.listdir(folder))) == ([], before)


def test_a_picture_may_be_its_own_mask(folder: Path, calls: Calls) -> None:
    assert main(["segment", "in.png", "out.tif", "--mask", "in.png"]) == 0
    assert calls[0][1].mask == "in.png"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("1 TiB"), "memory ran out (1 TiB); close other programs or ask for less"),
        (MemoryError(), "memory ran out; close other programs or ask for less"),
        (FloatingPointError("lower the learning rate"), "lower the learning rate"),
    ],
)
def test_what_the_machine_can_not_do_is_one_sentence(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    message: str,
) -> None:
    def failing(*_arguments: object, **_keywords: object) -> None:
        raise error

    monkeypatch.setattr(pictures, "read_image", failing)
    assert _refused(["segment", "in.png", "out.tif"], capsys) == message


def test_four_plain_channels_are_shown_without_transparency(folder: Path, calls: Calls) -> None:
    four = np.dstack([PICTURE, PICTURE[..., 0]])
    tifffile.imwrite("four.tif", four, photometric="rgb", extrasamples=["unspecified"])
    assert main(["segment", "four.tif", "out.tif", "--overlay", "o.png"]) == 0
    assert_array_equal(calls[0][0].pixels, four)
    assert pictures.read_image("o.png").pixels.shape == (48, 64, 3)


def test_the_overlay_shows_the_part_that_was_segmented(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(monkeypatch, lambda image, record, progress: np.ones((30, 40), np.int32))
    words = "segment in.png out.tif --crop 10 20 40 60 --overlay o.png"
    assert main(words.split()) == 0
    assert_array_equal(pictures.read_image("o.png").pixels, PICTURE[10:40, 20:60])


def test_a_stack_is_refused_before_any_work_where_one_plane_is_shown(
    folder: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite("stack.tif", np.zeros((2, 48, 64), np.uint8), photometric="minisblack")
    message = "a png {} one plane of stack.tif, which has several; choose one by --plane, or write {} instead"
    words = ["segment", "stack.tif"]
    assert _refused([*words, "o.tif", "--overlay", "o.png"], capsys) == message.format(
        "shows", "o-borders.tif"
    )
    assert _refused([*words, "out.png"], capsys) == message.format("holds", "out.superpixels.tif")
    assert calls == []
    assert main([*words, "out.png", "--plane", "1", "--overlay", "o.png"]) == 0


@pytest.mark.parametrize("several", [False, True])
def test_the_overlay_of_a_stack_is_a_tif_of_its_planes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], several: bool
) -> None:
    stack = np.stack([PICTURE, PICTURE[::-1], PICTURE[:, ::-1]])
    tifffile.imwrite("stack.tif", stack, photometric="rgb", metadata={"axes": "ZYXS"})
    halves = np.ones((3, 48, 64), np.int32)
    halves[:, :, 32:] = 2
    _stand_in(monkeypatch, lambda image, record, progress: halves if image.pixels.ndim == 4 else halves[0])
    words = "stack.tif in.png -o out --overlay out" if several else "stack.tif o.tif --overlay borders.tif"
    assert main(["segment", *words.split()]) == 0
    overlay = "out/stack-borders.tif" if several else "borders.tif"
    assert f"{overlay}: the picture with their borders" in capsys.readouterr().out
    shown = pictures.read_image(overlay)
    assert (shown.pixels.shape, shown.channel_axis) == ((3, 48, 64, 3), 3)
    assert_array_equal(shown.pixels[:, :, 31], np.tile(BOUNDARY_COLOUR, (3, 48, 1)))
    assert_array_equal(shown.pixels[:, :, :31], stack[:, :, :31])
    made = {"stack.superpixels.tif", "stack-borders.tif", "in.superpixels.tif", "in-borders.png"}
    assert not several or set(os.listdir("out")) == made


def test_no_overlay_of_a_stack_replaces_another_file(
    pictures_there: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite("stack.tif", np.zeros((2, 48, 64), np.uint8), photometric="minisblack")
    tifffile.imwrite("stack-borders.tif", np.ones((48, 64), np.uint8))
    mine = Path("stack-borders.tif").read_bytes()
    assert main(["segment", "stack.tif", "-o", "out", "--overlay", "."]) == 1
    assert "output stack-borders.tif exists; pass --overwrite to replace it" in capsys.readouterr().err
    words = ["stack.tif", "-o", "out", "--overlay", ".", "--mask", "stack-borders.tif", "--overwrite"]
    assert main(["segment", *words]) == 1
    assert "--mask and --overlay are the same file stack-borders.tif" in capsys.readouterr().err
    assert (calls, Path("stack-borders.tif").read_bytes()) == ([], mine)


@pytest.mark.parametrize("output", ["out.tif", "out.zarr"])
def test_the_labels_carry_the_record_of_their_run(folder: Path, calls: Calls, output: str) -> None:
    assert main(["segment", "in.png", output, "-n", "2"]) == 0
    notes = read_notes(output)
    assert notes is not None
    assert from_notes(notes) == (RunRecord(2), Origin("in", str(folder / "in.png"), False))


@pytest.mark.parametrize("own", ["own.safetensors", os.path.join(".", "own")])
def test_a_record_names_every_file_so_that_it_is_found_from_elsewhere(
    own: str, folder: Path, calls: Calls
) -> None:
    PIL.Image.fromarray(PICTURE[..., 0]).save("mask.png")
    assert main(["segment", "in.png", "out.tif", "-n", "2", "--mask", "mask.png", "--model", own]) == 0
    found = from_notes(read_notes("out.tif"))
    assert found is not None
    record, origin = found
    assert [record.mask, record.model, origin.path] == [
        str(folder / name) for name in ("mask.png", own, "in.png")
    ]


def test_the_mask_may_be_any_picture_of_its_file(folder: Path) -> None:
    with tifffile.TiffWriter("masks.tif") as file:
        file.write(np.ones((3, 3), np.uint8), photometric="minisblack", metadata=None)
        file.write((PICTURE[..., 0] > 100).astype(np.uint8), photometric="minisblack", metadata=None)
    assert main(["segment", "in.png", "out.tif", "-n", "4", "--mask", "masks.tif", "--mask-series", "1"]) == 0
    assert_array_equal(read_labels("out.tif") > 0, PICTURE[..., 0] > 100)


def test_the_notes_tell_a_stack_from_a_plane(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _stand_in(monkeypatch, lambda image, record, progress: np.ones(image.pixels.shape, np.int32))
    for name, pixels in {"stack": PICTURE.transpose(2, 0, 1), "plane": PICTURE[..., 0]}.items():
        tifffile.imwrite(f"{name}.tif", pixels, photometric="minisblack")
        assert main(["segment", f"{name}.tif", f"{name}-labels.tif"]) == 0
        found = from_notes(read_notes(f"{name}-labels.tif"))
        assert found is not None
        assert found[1].has_planes == (name == "stack")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "a.zarr/b.zarr a.zarr",
            "IN a.zarr/b.zarr lies in OUT a.zarr, which would be replaced; name another OUT",
        ),
        (
            "in.png a.zarr --mask a.zarr/b.zarr",
            "--mask a.zarr/b.zarr lies in OUT a.zarr, which would be replaced; ",
        ),
        (
            "in.png a.zarr --model a.zarr/own.tar",
            "--model a.zarr/own.tar lies in OUT a.zarr, which would be ",
        ),
        ("in.png a.zarr --model a.zarr/own", "--model a.zarr/own lies in OUT a.zarr, which would be "),
        (
            "a.zarr a.zarr/b.zarr",
            "OUT a.zarr/b.zarr lies in IN a.zarr, which it would change; name another OUT",
        ),
        ("in.png twin.tif", "IN and OUT are the same file twin.tif; name another one for OUT"),
    ],
)
def test_no_output_takes_an_input_with_it(
    folder: Path,
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    message: str,
) -> None:
    from napari_pcnet.disk import output

    for name in ("a.zarr", "a.zarr/b.zarr"):
        write_labels(name, np.ones((4, 4), int))
    os.link("in.png", "twin.tif")
    monkeypatch.setattr(output, "_foreign_file", lambda array: None)  # which would refuse most of them, too
    assert message in _refused(["segment", *words.split(), "--overwrite"], capsys)
    assert calls == []
    assert_array_equal(read_labels("a.zarr/b.zarr"), np.ones((4, 4)))


@pytest.mark.parametrize(
    "words",
    [
        "in.png out.tif -n 3",
        "in.png -n 3 out.tif",
        "-n 3 in.png out.tif",
        "--overwrite in.png -n 3 -- out.tif",
    ],
)
def test_files_stand_before_between_and_after_flags(folder: Path, calls: Calls, words: str) -> None:
    assert main(["segment", *words.split()]) == 0
    assert calls[0][1].n_segments == 3
    assert sorted(os.listdir(folder)) == ["in.png", "out.tif"]


def test_files_behind_two_dashes_are_no_flags(folder: Path, calls: Calls) -> None:
    Path("-odd.png").write_bytes(Path("in.png").read_bytes())
    assert main(["segment", "-n", "3", "--", "-odd.png", "-n.tif"]) == 0
    assert sorted(os.listdir(folder)) == ["-n.tif", "-odd.png", "in.png"]


# -- segment, many pictures ------------------------------------------------------------------------


@pytest.fixture
def pictures_there(folder: Path) -> Path:
    """Pictures of three kinds, and a file that is none."""
    PIL.Image.fromarray(PICTURE).save("a.jpg")
    tifffile.imwrite("b.ome.tif", PICTURE, photometric="rgb")
    Path("c.png").write_text("notes")
    Path("file").touch()
    return folder


def test_many_pictures_become_labels_in_a_folder(
    pictures_there: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", "in.png", "-n", "2", "a.jpg", "b.ome.tif", "-o", "out", "--overlay", "out"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed[:-1:2]] == [
        f"out/{name}.superpixels.tif" for name in ("in", "a", "b")
    ]
    assert printed[-1].startswith("3 of 3 pictures segmented, ")
    assert sorted(os.listdir("out")) == sorted(
        f"{name}{kind}" for name in ("in", "a", "b") for kind in ("-borders.png", ".superpixels.tif")
    )
    assert [record.n_segments for _, record in calls] == [2, 2, 2]
    found = from_notes(read_notes("out/b.superpixels.tif"))
    assert found is not None
    assert found[1].path == str(pictures_there / "b.ome.tif")


def test_one_picture_that_fails_does_not_stop_the_rest(
    pictures_there: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", "c.png", "none.tif", "in.png", "a.jpg", "-o", "out"]) == 1
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "napari-pcnet: c.png cannot be read as a tif, png or jpg picture: it is text",
        "napari-pcnet: image none.tif does not exist",
    ]
    assert printed.out.splitlines()[-1].startswith("2 of 4 pictures segmented, ")
    assert sorted(os.listdir("out")) == ["a.superpixels.tif", "in.superpixels.tif"]


def test_where_nothing_is_made_no_folder_stays(
    pictures_there: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    for made in ("out", "empty"):
        assert main(["segment", "c.png", "none.tif", "-o", made, "--overlay", "borders"]) == 1
    assert not Path("out").exists() and not Path("borders").exists()
    assert Path("empty").is_dir()


def test_a_folder_that_is_refused_leaves_none_behind_that_was_made_before(
    pictures_there: Path, calls: Calls
) -> None:
    assert main(["segment", "in.png", "a.jpg", "-o", "out", "--overlay", "zzz/borders"]) == 2
    assert not Path("out").exists()


def test_what_is_there_stays_and_the_rest_is_made(
    pictures_there: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", "in.png", "-o", "out"]) == 0
    assert main(["segment", "in.png", "a.jpg", "-o", "out"]) == 1
    assert "output out/in.superpixels.tif exists; pass --overwrite" in capsys.readouterr().err
    assert len(calls) == 2
    assert main(["segment", "in.png", "a.jpg", "-o", "out", "--overwrite"]) == 0


def test_patterns_that_a_shell_has_left_are_filled(pictures_there: Path, calls: Calls) -> None:
    Path("[1].png").write_bytes(Path("in.png").read_bytes())  # a name may look like a pattern
    assert main(["segment", "*.jpg", "i*.png", "in.png", "[1].png", "-o", "out"]) == 0
    assert sorted(os.listdir("out")) == ["[1].superpixels.tif", "a.superpixels.tif", "in.superpixels.tif"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "in.png sub/in.png -o out",
            "in.png and sub/in.png would both become out/in.superpixels.tif; segment them",
        ),
        ("*.zarr -o out", "no file fits the pattern *.zarr"),
        (
            "in.png -o out.tif",
            "-o names a folder, got out.tif; for one picture: segment IN OUT --overlay PNG",
        ),
        (
            "in.png -o out --overlay o.png",
            "--overlay names a folder, got o.png; for one picture: segment IN OUT",
        ),
        ("in.png a.jpg -o file", "output file is a file; name a folder"),
        (
            "in.png a.zarr -o a.zarr/out",
            "-o a.zarr/out lies in IN a.zarr, which it would change; name another",
        ),
        (
            "in.png -o . --overlay in.png/out",
            "--overlay in.png/out lies in IN in.png, which it would change; name another",
        ),
        ("in.png a.jpg -o none/out", "output folder none does not exist; make it first"),
        ("in.png a.jpg -o out -n 0", "--n-segments must be a whole number of at least 1, got 0"),
        ("in.png a.jpg -o out --model pcnet", "no weights are called 'pcnet'; "),
        (
            "in.png a.jpg -o out --device tpu",
            "--device must be one of those that torch finds here (auto, cpu",
        ),
        ("-o out", "the following arguments are required: FILE (see napari-pcnet segment --help)"),
    ],
)
def test_what_is_wrong_for_all_is_said_once(
    pictures_there: Path, calls: Calls, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    assert _refused(["segment", *words.split()], capsys).startswith(message)
    assert calls == []
    assert not Path("out").exists()


def test_an_interruption_says_how_many_are_done(
    pictures_there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(image: Image, record: RunRecord, progress: Progress) -> np.ndarray[Any, Any]:
        if Path("out/in.superpixels.tif").exists():
            raise KeyboardInterrupt
        return np.ones((48, 64), np.int32)

    _stand_in(monkeypatch, interrupted)
    assert main(["segment", "in.png", "a.jpg", "-o", "out"]) == 130
    assert capsys.readouterr().err == "napari-pcnet: stopped; 1 of 2 pictures are segmented\n"


def test_the_weights_are_loaded_and_prepared_once(
    pictures_there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_pcnet import pipeline
    from napari_pcnet.network import checkpoint

    loaded: list[Path] = []
    load = checkpoint.load_model
    monkeypatch.setattr(checkpoint, "load_model", lambda path: loaded.append(path) or load(path))
    pipeline._load_version.cache_clear()
    pipeline._prepare_version.cache_clear()
    assert main(["segment", "in.png", "a.jpg", "b.ome.tif", "-o", "out", "-n", "5"]) == 0
    assert len(loaded) == pipeline._prepare_version.cache_info().misses == 1


def test_the_progress_is_that_of_all_pictures(
    pictures_there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]

    def slow(image: Image, record: RunRecord, progress: Progress) -> np.ndarray[Any, Any]:
        for done in (1, 2):
            now[0] += 60
            progress(done, 2)
        return np.ones((48, 64), np.int32)

    _stand_in(monkeypatch, slow)
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    assert main(["segment", "in.png", "a.jpg", "-o", "out"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "0.5 of 2 pictures, 03:00 left",
        "1.0 of 2 pictures, 02:00 left",
        "1.5 of 2 pictures, 01:00 left",
        "2.0 of 2 pictures, 00:00 left",
    ]


# -- the other commands ----------------------------------------------------------------------------


def test_demo_says_where_its_files_are(
    folder: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo"]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("2 superpixels in 300 x 451 pixels, ")
    assert second == f"labels:  {folder / 'napari-pcnet-demo' / 'labels.tif'}"
    assert third == f"overlay: {folder / 'napari-pcnet-demo' / 'overlay.png'}"
    assert read_labels(second.split()[1]).shape == (300, 451)
    assert pictures.read_image(third.split()[1]).pixels.shape == (300, 451, 3)
    assert main(["demo", "--output", "elsewhere"]) == 0
    assert sorted(os.listdir("elsewhere")) == ["labels.tif", "overlay.png"]
    assert main(["demo"]) == 0  # this folder is the demo's own


@pytest.mark.parametrize(
    ("words", "made", "remedy"),
    [
        ("demo", "napari-pcnet-demo", "name another by --output DIR"),
        ("segment in.png -o out", "out", "name another"),
    ],
)
def test_a_folder_that_cannot_be_made_is_one_sentence(
    folder: Path,
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    made: str,
    remedy: str,
) -> None:
    def denied(*_path: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", denied)
    told = f"output folder {folder / made} cannot be made (Permission denied); {remedy}"
    assert _refused(words.split(), capsys) == told
    assert not calls


def test_a_folder_that_takes_no_files_is_one_sentence_for_all_pictures(
    pictures_there: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(*_path: object) -> None:
        raise PermissionError(13, "Permission denied")

    Path("out").mkdir()
    monkeypatch.setattr(output, "try_folder", denied)
    told = f"output folder {Path('out').resolve()} cannot be written (Permission denied); name another"
    assert _refused(["segment", "in.png", "a.jpg", "-o", "out"], capsys) == told
    assert not calls


def test_demo_replaces_no_file_in_a_folder_of_the_users(
    folder: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("overlay.png").write_bytes(b"mine")
    message = "output overlay.png exists; pass --overwrite to replace it"
    assert _refused(["demo", "--output", "."], capsys) == message
    assert (calls, sorted(os.listdir(folder))) == ([], ["in.png", "overlay.png"])
    assert main(["demo", "--output", ".", "--overwrite"]) == 0


def test_the_list_of_weights_has_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert tuple(names) == weights.names()


def test_info_prints_the_record_of_every_network(capsys: pytest.CaptureFixture[str]) -> None:
    for record in weights.records():
        assert main(["weights", "info", record.name]) == 0
        printed = capsys.readouterr().out.splitlines()
        assert f"sha256: {record.sha256}" in printed
        assert f"licence: {record.licence}" in printed
        assert printed[-1] == f"file: {record.path}, SHA-256 as published"


def test_info_prints_the_training_that_is_in_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "info", "pcnet-faithful-bsds500-v1"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "seed: 0, steps: 1600, hours: 0.264" in printed
    assert "commit: 986ae501c2184714aa7430981c58c780ff6e82a2, torch: 2.13.0+cpu" in printed
    assert "started from: compare-nearest/weights.safetensors" in printed
    (optimizer,) = (line for line in printed if line.startswith("  optimizer: "))
    assert optimizer.startswith("  optimizer: learning_rate 0.0005, schedule cosine, warmup 100, ")


def test_info_prints_every_training_of_a_chain_and_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_pcnet.network import checkpoint
    from napari_pcnet.network.model import PCNet, PCNetConfig

    first = {"training": {"run": {"seed": 4, "start_from": ""}}, "step": 10, "hours": 1.0}
    second = {"training": {"run": {"seed": 5, "start_from": "a/b"}}, "step": 20, "hours": 2.0, "start": first}
    path = tmp_path / "own.safetensors"
    checkpoint.save_model(path, PCNet(PCNetConfig(widths=(4, 4, 4, 4, 4))), second)
    record = replace(
        weights.records()[0],
        filename=str(path),
        sha256=sha256_of(path),
        figures={"ASA": 0.95},
        figures_command="napari-pcnet benchmark quality",
    )
    monkeypatch.setattr(weights, "record", lambda name: record)
    assert main(["weights", "info", "own"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[printed.index("seed: 5, steps: 20, hours: 2.0") :] == [
        "seed: 5, steps: 20, hours: 2.0",
        "commit: None, torch: None",
        "started from: a/b",
        "seed: 4, steps: 10, hours: 1.0",
        "commit: None, torch: None",
        "figures: napari-pcnet benchmark quality",
        "  ASA: 0.95",
        f"file: {path}, SHA-256 as published",
    ]


def test_info_of_damaged_weights_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"1")
    record = replace(weights.records()[0], filename=str(tmp_path / "bad.safetensors"))
    monkeypatch.setattr(weights, "record", lambda name: record)
    assert main(["weights", "info", "bad"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"file: {weights.damage_of(record)}"


def test_info_of_unknown_weights_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert _refused(["weights", "info", "pcnet"], capsys).startswith("no weights are called 'pcnet'; ")


def test_train_takes_its_configuration_data_and_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_pcnet.training import config as training_config
    from napari_pcnet.training import loop

    given: dict[str, Any] = {}

    def train(config: object, run_folder: Path, **options: Any) -> Path:
        given.update(options, config=config, folder=run_folder)
        options["report"]({"step": 1, "total": 0.5})
        return run_folder / "weights.safetensors"

    config = types.SimpleNamespace(run=types.SimpleNamespace(steps=2))
    monkeypatch.setattr(training_config, "read_config", lambda path: config)
    monkeypatch.setattr(loop, "train", train)
    assert main(["train", "small.toml", "--data", "pictures", "--resume"]) == 0
    assert (given["config"], given["folder"]) == (config, Path("runs/small"))
    assert (given["base"], given["resume"]) == (Path("pictures"), True)
    assert capsys.readouterr().out == "weights: runs/small/weights.safetensors\n"


def test_of_several_processes_that_train_one_prints(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_pcnet.training import config as training_config
    from napari_pcnet.training import loop

    config = types.SimpleNamespace(run=types.SimpleNamespace(steps=2))
    monkeypatch.setattr(training_config, "read_config", lambda path: config)
    monkeypatch.setattr(loop, "train", lambda config, run_folder, **options: run_folder / "w.safetensors")
    for rank, printed in {"0": "weights: runs/small/w.safetensors\n", "1": ""}.items():
        monkeypatch.setenv("RANK", rank)
        assert main(["train", "small.toml"]) == 0
        assert capsys.readouterr().out == printed


def test_a_missing_configuration_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = "configuration none.toml does not exist"
    assert _refused(["train", "none.toml"], capsys) == message


@dataclass(frozen=True)
class _Options:
    data: Path = field(metadata={"help": "where the pictures are, 100 % of them"})
    counts: tuple[int, ...] = field(default=(200, 400), metadata={"help": "numbers of superpixels"})
    methods: tuple[str, ...] = ("hierarchy",)
    images: int | None = None
    plots: bool = False
    order: Literal["name", "size"] = "name"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the benchmarks that prints its options."""
    stand_in = types.ModuleType("napari_pcnet.evaluation.benchmark")

    def run(options: _Options, progress: Callable[[int, int], None]) -> str:
        progress(1, 1)
        return repr(options)

    for name, value in {
        "QualityOptions": _Options,
        "SpeedOptions": _Options,
        "ScaleOptions": _Options,
        "SeamsOptions": _Options,
        "ContractOptions": _Options,
        "main_quality": run,
        "main_speed": run,
        "main_scale": run,
        "main_seams": run,
        "main_contract": run,
    }.items():
        setattr(stand_in, name, value)
    monkeypatch.setitem(sys.modules, "napari_pcnet.evaluation.benchmark", stand_in)


@pytest.mark.usefixtures("benchmark")
def test_benchmark_flags_come_from_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "quality", "--data", "d"]) == 0
    assert capsys.readouterr().out == f"{_Options(Path('d'))!r}\n"
    words = "--data /d --counts 1 2 3 --methods a b --images 5 --plots --order size"
    assert main(["benchmark", "speed", *words.split()]) == 0
    expected = _Options(Path("/d"), (1, 2, 3), ("a", "b"), 5, plots=True, order="size")
    assert capsys.readouterr().out == f"{expected!r}\n"


@pytest.mark.usefixtures("benchmark")
def test_flags_come_before_what_a_configuration_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.toml"
    config.write_text('data = "e"\ncounts = [3]\nplots = true\n')
    assert main(["benchmark", "scale", str(config), "--data", "d", "--counts", "5", "7"]) == 0
    expected = _Options(Path("d"), counts=(5, 7), plots=True)
    assert capsys.readouterr().out == f"{expected!r}\n"


@pytest.mark.usefixtures("benchmark")
def test_an_interrupted_benchmark_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: _Options, progress: Callable[[int, int], None]) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["napari_pcnet.evaluation.benchmark"], "main_quality", interrupted)
    assert main(["benchmark", "quality", "--data", "d"]) == 130
    assert capsys.readouterr().err == "napari-pcnet: stopped; the same command goes on from here\n"


def test_labels_are_scored_by_the_files_given(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    halves = np.repeat([[1, 2]], 32, 1).repeat(48, 0).astype(np.uint8)
    PIL.Image.fromarray(halves).save("labels.png")
    PIL.Image.fromarray(np.roll(halves, 4, 1)).save("truth.png")
    assert main(["evaluate", "labels.png", "truth.png", "--output", "scores.csv"]) == 0
    printed = capsys.readouterr().out
    headings, _, gap, *legend = printed.splitlines()
    assert gap == "" and [line.split()[0] for line in legend] == headings.split()
    assert "ASA           achievable segmentation accuracy (higher is better)" in legend
    assert "0.8750" in printed
    assert Path("scores.csv").read_text().startswith("labels,truth,annotation,K,ASA,")


@pytest.mark.usefixtures("benchmark")
def test_an_option_without_a_default_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    message = "the following arguments are required: --data (see napari-pcnet benchmark quality --help)"
    assert _refused(["benchmark", "quality"], capsys) == message


@pytest.mark.usefixtures("benchmark")
def test_benchmark_help_shows_the_fields_texts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["benchmark", "quality", "--help"])
    printed = capsys.readouterr().out
    assert "where the pictures are, 100 % of them" in printed
    assert "numbers of superpixels (default: 200 400)" in printed


def test_no_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    message = "the following arguments are required: COMMAND (see napari-pcnet --help)"
    assert _refused([], capsys) == message


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"napari-pcnet {__version__}\n"


# -- end to end, with the network ------------------------------------------------------------------


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    code = "import sys; from napari_pcnet.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)


def test_a_picture_becomes_exactly_the_labels_asked_for(folder: Path) -> None:
    done = _run("segment", "in.png", "out.tif", "-n", "12", "--overlay", "o.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert_array_equal(np.unique(read_labels("out.tif")), np.arange(1, 13))


def test_the_command_and_the_function_give_the_same_labels(folder: Path) -> None:
    from napari_pcnet import pcnet_superpixels

    assert main(["segment", "in.png", "out.tif", "-n", "9"]) == 0
    assert_array_equal(read_labels("out.tif"), pcnet_superpixels(PICTURE, 9))


def test_transparent_pixels_get_no_superpixel(folder: Path) -> None:
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:, :16] = 0
    PIL.Image.fromarray(np.dstack([PICTURE, alpha])).save("clear.png")
    assert main(["segment", "clear.png", "out.tif", "-n", "5"]) == 0
    labels = read_labels("out.tif")
    assert_array_equal(labels == 0, alpha == 0)
    assert labels.max() == 5


def test_the_functions_own_refusals_have_no_traceback(folder: Path) -> None:
    done = _run("segment", "in.png", "out.tif", "-n", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "napari-pcnet: --n-segments must be a whole number of at least 1, got 0\n"
    assert os.listdir(folder) == ["in.png"]


def test_the_demo_works_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = _run("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("250 superpixels in 300 x 451 pixels, ")
    labels = read_labels("napari-pcnet-demo/labels.tif")
    assert_array_equal(np.unique(labels), np.arange(1, 251))


def test_the_doctor_finds_this_machine_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"napari-pcnet {__version__}, Python ")
    assert "device: " in printed
    assert printed.count("SHA-256 as published") == len(weights.names())
    assert "self-test passed: " in printed


@pytest.mark.parametrize(
    ("changed", "damage", "status"), [(0.001, "", 0), (0.0011, "", 1), (0.0, "its file is damaged", 1)]
)
def test_the_doctor_fails_on_changed_pixels_and_on_damaged_weights(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: float,
    damage: str,
    status: int,
) -> None:
    from napari_pcnet.cli import doctor

    monkeypatch.setattr(doctor, "_self_test", lambda: changed)
    monkeypatch.setattr(doctor, "damage_here", lambda record: damage)
    assert main(["doctor"]) == status
    printed = capsys.readouterr().out
    verdict = "passed" if changed <= 0.001 else "FAILED"
    assert f"self-test {verdict}: {changed:.4%} of pixels change superpixel" in printed
    assert damage in printed


def test_a_reader_that_has_read_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "napari_pcnet.cli", "weights", "list"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, env=buffered)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_standard_output_is_one_sentence(unbuffered: str) -> None:
    words = [sys.executable, "-m", "napari_pcnet.cli", "weights", "list"]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            words, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )
    assert done.returncode == 2
    assert done.stderr.startswith("napari-pcnet: ")
    assert done.stderr.endswith("No space left on device\n")
    assert done.stderr.count("\n") == 1


# -- a process without what processes have ---------------------------------------------------------


def test_a_closed_standard_output_is_refused(
    folder: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    status = main(["segment", "in.png", "out.tif"])
    message = "napari-pcnet: standard output is closed; send it to a file or to /dev/null\n"
    assert (status, calls, capsys.readouterr().err) == (2, [], message)


def test_without_standard_error_all_else_is_as_ever(
    folder: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["segment", "in.png", "out.tif"]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert main(["segment", "none.png", "out.tif", "--overwrite"]) == 2
    assert capsys.readouterr().out == ""


def test_nothing_is_asked_of_standard_input(folder: Path) -> None:
    words = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "napari_pcnet.cli", "segment"]
    done = subprocess.run([*words, "in.png", "out.tif"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("cache", ["~nobody-has-this-name/cache", ""])
def test_without_a_home_only_what_keeps_files_there_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache: str
) -> None:
    from napari_pcnet.network import checkpoint
    from napari_pcnet.network.model import PCNet, PCNetConfig

    checkpoint.save_model(folder / "own.safetensors", PCNet(PCNetConfig(widths=(4, 4, 4, 4, 4))), {})
    monkeypatch.setenv("NAPARI_PCNET_CACHE", cache)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as it does where there is no home
    assert main(["weights", "list"]) == 0
    assert main(["segment", "in.png", "out.tif", "-n", "5"]) == 0
    capsys.readouterr()
    message = "there is no home folder to keep files in; name a folder by NAPARI_PCNET_CACHE"
    assert _refused(["weights", "import", "own.safetensors", "--name", "mine"], capsys) == message
    assert not list(folder.glob("~*"))


def test_a_cache_folder_that_takes_no_files_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_pcnet.network import checkpoint
    from napari_pcnet.network.model import PCNet, PCNetConfig

    checkpoint.save_model(folder / "own.safetensors", PCNet(PCNetConfig(widths=(4, 4, 4, 4, 4))), {})
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(folder / "in.png"))
    message = (
        f"{folder / 'in.png' / 'imported' / 'mine.safetensors'} cannot be written (Not a directory); "
        "name another folder by NAPARI_PCNET_CACHE or make room there"
    )
    assert _refused(["weights", "import", "own.safetensors", "--name", "mine"], capsys) == message


@pytest.mark.parametrize("when", ["parser_for", "exits.refuse"])
def test_an_interruption_at_any_time_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], when: str
) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"napari_pcnet.cli.{when}", interrupted)
    assert main(["segment", "none.png", "out.tif"]) == 130
    assert capsys.readouterr().err == "napari-pcnet: stopped\n"


def test_a_pattern_passes_over_superpixels_of_an_earlier_call(
    folder: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite("a.tif", PICTURE)
    assert main(["segment", "*.tif", "-o", "."]) == 0
    assert main(["segment", "*.tif", "-o", ".", "--overwrite"]) == 0
    assert capsys.readouterr().err == "napari-pcnet: a.superpixels.tif passed over: superpixels\n"
    assert sorted(each.name for each in folder.glob("*.tif")) == ["a.superpixels.tif", "a.tif"]
    assert main(["segment", "a.superpixels.tif", "-o", ".", "--overwrite"]) == 2


def test_the_folder_of_outputs_is_no_zarr(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_labels("a.zarr", np.ones((3, 4), int))
    assert main(["segment", "in.png", "-o", "a.zarr"]) == 2
    assert capsys.readouterr().err == "napari-pcnet: -o names a folder, got the zarr a.zarr; name another\n"


def test_an_overlay_shows_the_intensities_that_were_chosen(folder: Path, calls: Calls) -> None:
    pixels = np.tile(np.arange(100, dtype=np.uint16), (100, 1))
    pixels[0, 0] = 65_535
    tifffile.imwrite("a.tif", pixels)
    words = ["--overlay", "a.png", "--intensity-range", "0%", "99.9%"]
    assert main(["segment", "a.tif", "out.tif", *words]) == 0
    assert np.asarray(PIL.Image.open("a.png"))[50, 50].tolist() == [129] * 3


def test_a_warning_is_one_sentence(folder: Path) -> None:
    tifffile.imwrite("nan.tif", np.where(np.eye(40) > 0, np.nan, np.random.default_rng(0).random((40, 40))))
    words = [sys.executable, "-m", "napari_pcnet.cli", "segment", "nan.tif", "out.tif", "-n", "4"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    (warned,) = (line for line in done.stderr.splitlines() if "NaN" in line)
    assert warned == (
        "napari-pcnet: image holds NaN: such pixels count as outside the mask; "
        "pass --mask to say yourself what is outside"
    )


def test_of_many_pictures_each_is_named_in_its_warnings(folder: Path) -> None:
    noise = np.random.default_rng(0).random((40, 40))
    for name in ("a", "b"):
        tifffile.imwrite(f"{name}.tif", np.where(np.eye(40) > 0, np.nan, noise))
    words = [sys.executable, "-m", "napari_pcnet.cli", "segment", "a.tif", "b.tif", "-o", "out", "-n", "4"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert [line for line in done.stderr.splitlines() if "NaN" in line] == [
        f"napari-pcnet: {name}.tif: image holds NaN: such pixels count as outside the mask; "
        "pass --mask to say yourself what is outside"
        for name in ("a", "b")
    ]
