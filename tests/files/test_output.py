"""Outputs: what is there is never harmed, and one of several writers of a file succeeds."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_pcnet.disk.files import write_atomically, write_folder_atomically
from napari_pcnet.disk.formats import LABEL_SUFFIXES
from napari_pcnet.disk.labels import read_labels, write_labels
from napari_pcnet.disk.output import check_output, make_folder

LABELS = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 3, 3]], np.int32)
NAMES = pytest.mark.parametrize("name", ["out.tif", "out.png", "out.zarr"])


def _refusal(message: str) -> str:
    return f"^{re.escape(message)}$"


def _owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


def _no_link(*_paths: object) -> None:
    raise PermissionError(1, "Operation not permitted")  # as on a memory card


# -- links and rights ------------------------------------------------------------------------------


@NAMES
def test_a_link_to_nothing_is_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").mkdir()
    link, target = tmp_path / "link" / name, tmp_path / "there"
    link.symlink_to(target)
    write_labels(link, LABELS)
    assert link.readlink() == target
    assert_array_equal(read_labels(target), LABELS)
    with pytest.raises(FileExistsError):
        write_labels(link, LABELS + 1)
    assert_array_equal(read_labels(target), LABELS)


@NAMES
def test_what_a_link_leads_to_is_replaced_when_that_is_asked_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").mkdir()
    link, target = tmp_path / "link" / name, tmp_path / name
    write_labels(target, LABELS)
    link.symlink_to(f"../{name}")
    write_labels(link, LABELS + 1, overwrite=True)
    assert link.is_symlink()
    assert_array_equal(read_labels(target), LABELS + 1)
    assert os.listdir(tmp_path / "link") == [name]


def test_links_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    for name, leads_to in {"a.tif": "b.tif", "b.tif": "a.tif", "c.tif": "none/c.tif"}.items():
        (tmp_path / name).symlink_to(leads_to)
    loop, lost = tmp_path / "a.tif", tmp_path / "c.tif"
    message = f"output {loop} cannot be a file: Too many levels of symbolic links; name another"
    with pytest.raises(OSError, match=_refusal(message)):
        check_output(loop, LABEL_SUFFIXES, overwrite=True)
    message = f"output folder {tmp_path / 'none'} that {lost} leads to does not exist; make it first"
    with pytest.raises(FileNotFoundError, match=_refusal(message)):
        check_output(lost, LABEL_SUFFIXES)


@pytest.mark.parametrize(("name", "mode"), [("out.tif", 0o640), ("out.png", 0o600), ("out.zarr", 0o750)])
def test_what_is_replaced_leaves_its_rights_to_what_comes(tmp_path: Path, name: str, mode: int) -> None:
    write_labels(tmp_path / name, LABELS)
    (tmp_path / name).chmod(mode)
    if os.geteuid() == 0:
        os.chown(tmp_path / name, 1234, 1235)
    owner = _owner(tmp_path / name)
    write_labels(tmp_path / name, LABELS + 1, overwrite=True)
    assert (tmp_path / name).stat().st_mode & 0o777 == mode
    assert _owner(tmp_path / name) == owner
    assert_array_equal(read_labels(tmp_path / name), LABELS + 1)


@NAMES
def test_the_umask_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def touched(mask: int) -> int:
        raise AssertionError("a file that another thread makes now has other rights")

    monkeypatch.setattr(os, "umask", touched)
    write_labels(tmp_path / name, LABELS)
    write_labels(tmp_path / name, LABELS, overwrite=True)


# -- refusals before the work ----------------------------------------------------------------------


def test_a_name_that_is_too_long_is_refused_in_a_short_sentence(tmp_path: Path) -> None:
    path = tmp_path / f"{'a' * 300}.tif"
    with pytest.raises(
        OSError, match=r"^output .{237}\.\.\. cannot be a file: File name too long; name another$"
    ):
        check_output(path, LABEL_SUFFIXES)
    longest = tmp_path / f"{'a' * 251}.tif"
    write_labels(longest, LABELS)  # what lies beside it meanwhile has a short name
    assert_array_equal(read_labels(longest), LABELS)


def test_a_path_of_usual_length_is_shown_whole(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 60) / "out.bmp"
    with pytest.raises(ValueError, match=_refusal(f"output {path} must end in .png or .tif")):
        check_output(path, (".png", ".tif"))


def test_a_folder_that_takes_no_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(**_options: Any) -> str:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkdtemp", read_only)
    message = f"output folder {tmp_path} cannot be written (Read-only file system); name another"
    with pytest.raises(OSError, match=_refusal(message)):
        check_output(tmp_path / "out.tif", LABEL_SUFFIXES)


def test_a_folder_is_made_with_those_it_lies_in(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []


def test_a_folder_that_cannot_be_had_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_path: object, **_options: object) -> str:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "file").touch()
    with pytest.raises(
        NotADirectoryError, match=_refusal(f"output {tmp_path / 'file'} is a file; name a folder")
    ):
        make_folder(tmp_path / "file")
    monkeypatch.setattr(os, "mkdir", denied)
    monkeypatch.setattr(tempfile, "mkdtemp", denied)
    monkeypatch.chdir(tmp_path)
    message = f"output folder {tmp_path / 'new'} cannot be made (Permission denied); name another by -o"
    with pytest.raises(OSError, match=_refusal(message)):
        make_folder(Path("new"), "name another by -o")
    message = f"output folder {tmp_path} cannot be written (Permission denied); name another"
    with pytest.raises(OSError, match=_refusal(message)):
        make_folder(Path())


def test_a_check_leaves_nothing(tmp_path: Path) -> None:
    check_output(tmp_path / "out.tif", LABEL_SUFFIXES)
    assert os.listdir(tmp_path) == []


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "out.tif")
    message = f"output {tmp_path / 'out.tif'} is no regular file; name another"
    with pytest.raises(OSError, match=_refusal(message)):
        check_output(tmp_path / "out.tif", LABEL_SUFFIXES, overwrite=True)


def test_a_write_protected_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.tif").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write all
    message = f"output {tmp_path / 'out.tif'} is write-protected; name another or change its rights"
    with pytest.raises(PermissionError, match=_refusal(message)):
        check_output(tmp_path / "out.tif", LABEL_SUFFIXES, overwrite=True)


@pytest.mark.parametrize("inside", ["child.zarr/zarr.json", "0/zarr.json", "thesis.txt", "c/0/thesis.txt"])
def test_an_array_with_other_files_in_its_folder_is_not_replaced(tmp_path: Path, inside: str) -> None:
    path = tmp_path / "out.zarr"
    write_labels(path, LABELS)
    (path / inside).parent.mkdir(exist_ok=True)
    (path / inside).write_text("words")
    message = f"output {path} is a zarr array, but its folder holds {inside}, too; name another"
    with pytest.raises(IsADirectoryError, match=_refusal(message)):
        write_labels(path, LABELS, overwrite=True)
    assert (path / inside).read_text() == "words"


# -- several writers -------------------------------------------------------------------------------


def _race(write: Callable[[Callable[[Any], None]], None]) -> list[str]:
    """What becomes of four writers that are all at work before one of them is done."""
    together, ends = threading.Barrier(4), list[str]()

    def one() -> None:
        try:
            write(lambda _made: together.wait(timeout=60))  # type: ignore[arg-type, return-value]
        except FileExistsError:
            ends.append("exists")
        else:
            ends.append("written")

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(ends)


@pytest.mark.parametrize("link", [os.link, _no_link])
def test_of_several_writers_of_a_file_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: Callable[..., None]
) -> None:
    monkeypatch.setattr(os, "link", link)
    path = tmp_path / "out.tif"
    assert _race(lambda write: write_atomically(path, write, replace=False)) == ["exists"] * 3 + ["written"]
    assert os.listdir(tmp_path) == ["out.tif"]
    assert _race(lambda write: write_atomically(path, write, replace=True)) == ["written"] * 4


def test_of_several_writers_of_a_folder_one_succeeds(tmp_path: Path) -> None:
    def fill(meet: Callable[[Path], None]) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            (folder / "zarr.json").touch()
            meet(folder)

        return write

    path = tmp_path / "out.zarr"
    ends = _race(lambda meet: write_folder_atomically(path, fill(meet), replace=False))
    assert ends == ["exists"] * 3 + ["written"]
    assert os.listdir(tmp_path) == ["out.zarr"]


@NAMES
def test_a_writer_that_comes_second_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    write_labels(path, LABELS)
    monkeypatch.setattr("napari_pcnet.disk.labels.check_output", lambda *_: None)  # it passed before
    message = (
        f"output {path} was made by another program in the meantime and stays; "
        "pass overwrite=True to replace it"
    )
    with pytest.raises(FileExistsError, match=_refusal(message)):
        write_labels(path, LABELS + 1)
    assert_array_equal(read_labels(path), LABELS)
    assert os.listdir(tmp_path) == [name]


# -- writers that were killed ----------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from napari_pcnet.disk import files

def half(made):
    made.write(b"half") if sys.argv[1] == "file" else (made / "zarr.json").touch()
    os.kill(os.getpid(), signal.SIGKILL)

write = files.write_atomically if sys.argv[1] == "file" else files.write_folder_atomically
write(Path(sys.argv[2]), half)
"""


def _age(*parts: Path) -> None:
    for part in parts:
        os.utime(part, (0, 0))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path, kind: str) -> None:
    words = [sys.executable, "-c", KILLED, kind, str(tmp_path / "killed")]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    (remains,) = os.listdir(tmp_path)
    assert remains.startswith(".napari-pcnet-")
    write_labels(tmp_path / "out.tif", LABELS)
    assert sorted(os.listdir(tmp_path)) == [remains, "out.tif"]  # its writer may be about to take the lock
    _age(tmp_path / remains)
    write_labels(tmp_path / "out.tif", LABELS, overwrite=True)
    assert os.listdir(tmp_path) == ["out.tif"]


def test_what_a_writer_is_at_work_on_stays(tmp_path: Path) -> None:
    def write(file: Any) -> None:
        _age(*tmp_path.iterdir())
        write_labels(tmp_path / "meanwhile.tif", LABELS)
        file.write(b"whole")

    write_atomically(tmp_path / "out", write)
    assert (tmp_path / "out").read_bytes() == b"whole"
    assert sorted(os.listdir(tmp_path)) == ["meanwhile.tif", "out"]


def test_the_only_copy_of_what_was_to_be_replaced_stays(tmp_path: Path) -> None:
    part = tmp_path / ".napari-pcnet-x.part"
    for name in ("old", "new"):
        (part / name).mkdir(parents=True)
    _age(part)
    write_labels(tmp_path / "out.tif", LABELS)
    assert sorted(os.listdir(part)) == ["new", "old"]
    (part / "new").rmdir()  # as when the new one has its name
    _age(part)
    write_labels(tmp_path / "other.tif", LABELS)
    assert not part.exists()


def test_remains_with_other_files_in_them_keep_these(tmp_path: Path) -> None:
    part = tmp_path / ".napari-pcnet-x.part"
    part.mkdir()
    (part / "thesis.txt").touch()
    _age(part)
    write_labels(tmp_path / "out.tif", LABELS)
    assert os.listdir(part) == ["thesis.txt"]


def test_a_part_that_was_taken_for_remains_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkdtemp

    def taken(**options: Any) -> str:
        part = make(**options)
        os.rmdir(part)
        return part

    monkeypatch.setattr(tempfile, "mkdtemp", taken)
    write_atomically(tmp_path / "out", lambda file: file.write(b"whole"))
    assert os.listdir(tmp_path) == ["out"]
