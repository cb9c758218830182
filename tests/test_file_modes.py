"""Who may read a file that was written: whoever may read any other of the same user."""

from pathlib import Path

import numpy as np
import pytest

from napari_pcnet.disk import images


@pytest.mark.parametrize("name", ["labels.tif", "labels.png"])
def test_labels_can_be_read_by_whoever_can_read_other_files(tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    other.touch()
    images.write_labels(tmp_path / name, np.arange(6).reshape(2, 3))
    assert (tmp_path / name).stat().st_mode == other.stat().st_mode
