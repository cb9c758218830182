"""`--resume`: a call that was stopped goes on from the windows that are done; what has changed is refused."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from filelock import FileLock

from napari_pcnet import pcnet_superpixels, read_labels, run_record, write_labels
from napari_pcnet.cli import main
from napari_pcnet.disk.pictures import files_of
from napari_pcnet.disk.window_files import WindowFiles, state_of
from napari_pcnet.network import inference
from napari_pcnet.record import RunRecord
from ome_files import write_first_of

SHAPE = (300, 260)
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 26, 3)).astype(np.uint8).repeat(15, 0).repeat(10, 1)
WORDS = ["segment", "in.tif", "out.zarr", "-n", "40", "--window", "256", "--resume"]
WINDOWS = 9
"""Of 256 x 256 pixels of the doubled picture."""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("in.tif", IMAGE, tile=(64, 64), compression="zlib", photometric="rgb")


def counted(monkeypatch: pytest.MonkeyPatch, stop_after: int | None = None) -> list[Any]:
    """Windows that are labelled from now on; one more than `stop_after` is interrupted."""
    label, made = inference.label_window, list[Any]()

    def counting(*arguments: Any) -> Any:
        if len(made) == stop_after:
            raise KeyboardInterrupt
        made.append(arguments[3].core)
        return label(*arguments)

    monkeypatch.setattr(inference, "label_window", counting)
    return made


def test_it_goes_on_from_the_windows_that_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        counted(patch, stop_after=4)
        assert main(WORDS) == 130
    assert not Path("out.zarr").exists()
    made = counted(monkeypatch)
    assert main(WORDS) == 0
    assert len(made) == WINDOWS - 4
    np.testing.assert_array_equal(read_labels("out.zarr"), pcnet_superpixels(IMAGE, 40))
    assert sorted(path.name for path in Path().iterdir()) == ["in.tif", "out.zarr"]


def test_a_call_that_is_refused_before_a_window_is_done_keeps_nothing() -> None:
    refused = [each if each != "40" else "1000000" for each in WORDS]
    assert main(refused) == 2
    assert [path.name for path in Path().iterdir()] == ["in.tif"]


def test_so_it_does_for_a_tif(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["out.tif" if word == "out.zarr" else word for word in WORDS]
    with monkeypatch.context() as patch:
        counted(patch, stop_after=4)
        assert main(words) == 130
    assert sorted(path.name for path in Path().iterdir()) == ["in.tif", "out.tif.windows"]
    made = counted(monkeypatch)
    assert main(words) == 0
    assert len(made) == WINDOWS - 4
    np.testing.assert_array_equal(read_labels("out.tif"), pcnet_superpixels(IMAGE, 40))
    assert sorted(path.name for path in Path().iterdir()) == ["in.tif", "out.tif"]


def test_a_process_that_is_killed_loses_the_window_that_it_was_at(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; from napari_pcnet.cli import main; main(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", script, *WORDS], stderr=subprocess.DEVNULL)
    folder = Path("out.zarr.windows")
    while len(list(folder.glob("*.npz"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = len(list(folder.glob("*.npz")))
    made = counted(monkeypatch)
    assert main(WORDS) == 0
    assert len(made) == WINDOWS - kept
    np.testing.assert_array_equal(read_labels("out.zarr"), pcnet_superpixels(IMAGE, 40))


def test_so_it_is_for_the_planes_of_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite("in.tif", np.moveaxis(IMAGE, 2, 0), photometric="minisblack")
    words = [*WORDS, "--channel-axis", "none"]
    with monkeypatch.context() as patch:
        counted(patch, stop_after=WINDOWS + 2)
        assert main(words) == 130
    made = counted(monkeypatch)
    assert main(words) == 0
    assert len(made) == 2 * WINDOWS - 2
    expected = run_record(np.moveaxis(IMAGE, 2, 0), RunRecord(40, channel_axis=None))
    np.testing.assert_array_equal(read_labels("out.zarr"), expected)


def test_a_damaged_window_is_labelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        counted(patch, stop_after=4)
        main(WORDS)
    first, second, *_ = sorted(Path("out.zarr.windows").glob("*.npz"))
    first.write_bytes(first.read_bytes()[:-50])
    np.savez(second, ids=np.zeros(3))
    made = counted(monkeypatch)
    assert main(WORDS) == 0
    assert len(made) == WINDOWS - 2
    np.testing.assert_array_equal(read_labels("out.zarr"), pcnet_superpixels(IMAGE, 40))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (["--compactness", "9"], "--compactness"),
        (["-n", "41"], "--n-segments"),
        (["--model", "pcnet-v1"], "weights and another --model"),
        ("image", "image"),
    ],
)
def test_what_has_changed_is_refused(
    change: list[str] | str, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        counted(patch, stop_after=1)
        main(WORDS)
    capsys.readouterr()
    words = list(change) if isinstance(change, list) else []
    if change == "image":
        tifffile.imwrite("in.tif", IMAGE[::-1], photometric="rgb")
    assert main([*WORDS, *words]) == 2
    refusal = f"out.zarr.windows was begun with another {what}; remove it to begin again\n"
    assert capsys.readouterr().err == f"napari-pcnet: {refusal}"


@pytest.mark.parametrize("output", ["out.zarr", "out.tif"])
def test_an_output_that_is_finished_stays(
    output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [output if word == "out.zarr" else word for word in WORDS]
    assert main(words) == 0
    before, made = state_of(output), counted(monkeypatch)
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr() == (f"{output}: is finished already; --overwrite makes it anew\n", "")
    assert not made and state_of(output) == before
    assert main([*words, "--overwrite"]) == 0
    assert len(made) == WINDOWS


def test_of_pictures_in_a_folder_those_that_are_finished_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-o", "out", "--overlay", "borders", "--resume", "-n", "40", "--window", "256"]
    assert main(["segment", "in.tif", *words]) == 0
    tifffile.imwrite("other.tif", IMAGE[::-1], photometric="rgb")
    made = counted(monkeypatch)
    capsys.readouterr()
    assert main(["segment", "in.tif", "other.tif", *words]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == "out/in.superpixels.tif: is finished already; --overwrite makes it anew"
    assert last.startswith("2 of 2 pictures segmented, ")
    assert len(made) == WINDOWS


def test_an_overlay_that_is_missing_is_made_of_what_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main([*WORDS, "--overlay", "first.png"]) == 0
    made = counted(monkeypatch)
    assert main([*WORDS, "--overlay", "second.png"]) == 0
    assert not made
    assert Path("second.png").read_bytes() == Path("first.png").read_bytes()


@pytest.mark.parametrize("change", ["-n", "image", "labels"])
def test_an_output_of_another_run_is_refused(change: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(WORDS) == 0
    words = [*WORDS, "-n", "41"] if change == "-n" else WORDS
    if change == "image":
        later = time.time_ns() + 10**9
        os.utime("in.tif", ns=(later, later))
    if change == "labels":  # of no run
        write_labels("out.zarr", np.zeros(SHAPE, int), overwrite=True)
    before = state_of("out.zarr")
    capsys.readouterr()
    assert main(words) == 2
    told = "output out.zarr exists and is of another run, picture or version; pass --overwrite to replace it"
    assert capsys.readouterr().err == f"napari-pcnet: {told}\n"
    assert state_of("out.zarr") == before


@pytest.mark.parametrize("words", [["out.png"], ["out.zarr", "--smoothing", "2"]])
def test_where_it_cannot_help_it_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", "in.tif", *words, "--resume"]) == 2
    told = "--resume takes a zarr or tif as OUT, and no --smoothing, which is of the whole plane"
    assert capsys.readouterr().err == f"napari-pcnet: {told}\n"


def test_two_processes_do_not_work_in_one_folder() -> None:
    Path("a.windows").mkdir()
    with (
        FileLock("a.windows/lock"),
        pytest.raises(OSError, match=r"^another process is at work on a\.windows"),
    ):
        WindowFiles(Path("a.windows"), {})


def test_windows_of_nobody_knows_which_work_are_labelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        counted(patch, stop_after=4)
        main(WORDS)
    Path("out.zarr.windows/begun.json").write_text("")  # as after a power failure
    tifffile.imwrite("in.tif", IMAGE[::-1], tile=(64, 64), compression="zlib", photometric="rgb")
    made = counted(monkeypatch)
    assert main(WORDS) == 0
    assert len(made) == WINDOWS
    np.testing.assert_array_equal(read_labels("out.zarr"), pcnet_superpixels(IMAGE[::-1], 40))


def test_windows_that_a_finished_output_has_left_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    def be_killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(WindowFiles, "__exit__", be_killed)
        assert main(WORDS) == 130
    assert Path("out.zarr").exists()
    assert main([*WORDS, "-n", "41"]) == 2
    assert len(list(Path("out.zarr.windows").glob("*.npz"))) == WINDOWS
    assert main(WORDS) == 0
    assert sorted(path.name for path in Path().iterdir()) == ["in.tif", "out.zarr"]


def test_a_folder_of_someone_else_stays(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.zarr.windows").mkdir()
    Path("out.zarr.windows/mine.txt").write_text("mine")
    assert main(WORDS) == 2
    told = "out.zarr.windows holds mine.txt, which is no window; move it away or name another OUT"
    assert capsys.readouterr().err == f"napari-pcnet: {told}\n"
    with pytest.raises(NotADirectoryError, match=r"^in\.tif is a file where a folder of windows is made"):
        WindowFiles(Path("in.tif"), {})


def test_what_someone_else_has_put_beside_the_windows_stays() -> None:
    with WindowFiles(Path("a.windows"), {"n": 1}) as files:
        files.write("one", {"a": np.arange(3)})
        Path("a.windows/mine.txt").write_text("mine")
    assert [path.name for path in Path("a.windows").iterdir()] == ["mine.txt"]


def test_a_full_disk_leaves_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def fill() -> None:
        with WindowFiles(Path("a.windows"), {"n": 1}) as files:
            files.write("one", {"a": np.arange(3)})
            monkeypatch.setattr("napari_pcnet.disk.window_files.write_atomically", full)
            files.write("two", {"a": np.arange(3)})

    with pytest.raises(OSError, match=r"^a\.windows takes no more windows: No space left on device; what is"):
        fill()
    with WindowFiles(Path("a.windows"), {"n": 1}) as files:
        one = files.read("one")
        assert one is not None and one["a"].tolist() == [0, 1, 2]
        assert files.read("two") is None
    assert not Path("a.windows").exists()


def _in_two_files() -> None:
    first = write_first_of(["a.ome.tif", "b.ome.tif"], Path(), IMAGE[..., 0])
    tifffile.imwrite("b.ome.tif", IMAGE[..., 1], metadata=None)
    assert files_of(first) == [first, Path("b.ome.tif").resolve()]


def test_a_change_in_another_file_of_an_ome_tif_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _in_two_files()
    words = ["a.ome.tif" if word == "in.tif" else word for word in WORDS]
    with monkeypatch.context() as patch:
        counted(patch, stop_after=WINDOWS + 2)
        assert main(words) == 130
    tifffile.imwrite("b.ome.tif", IMAGE[::-1, :, 1], metadata=None)
    capsys.readouterr()
    assert main(words) == 2
    refusal = "out.zarr.windows was begun with another image; remove it to begin again\n"
    assert capsys.readouterr().err == f"napari-pcnet: {refusal}"


def test_so_is_one_after_labels_of_it_are_finished(capsys: pytest.CaptureFixture[str]) -> None:
    _in_two_files()
    words = ["a.ome.tif" if word == "in.tif" else word for word in WORDS]
    assert main(words) == 0
    later = time.time_ns() + 10**9
    os.utime("b.ome.tif", ns=(later, later))
    capsys.readouterr()
    assert main(words) == 2
    assert "is of another run, picture or version" in capsys.readouterr().err


def test_what_an_image_is_known_by_is_looked_at_once_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = list[Path]()

    def counting(*paths: Path) -> str:
        looked_at.extend(paths)
        return state_of(*paths)

    monkeypatch.setattr("napari_pcnet.cli.segment.state_of", counting)
    assert main(WORDS) == 0
    assert looked_at == [Path("in.tif")] * 2  # and once behind it


def test_the_state_of_a_folder_changes_with_any_of_its_files() -> None:
    Path("a/b").mkdir(parents=True)
    Path("a/b/c").write_text("1")
    states = [state_of("a")]
    Path("a/b/c").write_text("12")
    states.append(state_of("a"))
    Path("a/b/d").write_text("")
    states.append(state_of("a"))
    assert len(set(states)) == 3
    assert state_of("a") == states[-1]


def test_so_it_does_with_files_behind_a_link() -> None:
    Path("a").mkdir()
    Path("elsewhere").mkdir()
    Path("elsewhere/c").write_text("1")
    Path("a/b").symlink_to(Path("elsewhere").resolve())
    Path("elsewhere/round").symlink_to(Path("a").resolve())
    before = state_of("a")
    Path("elsewhere/c").write_text("12")
    assert state_of("a") != before
