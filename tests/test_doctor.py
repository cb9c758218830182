"""``napari-pcnet doctor``: what it makes of a device that labels otherwise than the CPU."""

from typing import Any

import numpy as np
import pytest

from napari_pcnet.cli import doctor, main
from napari_pcnet.record import RunRecord


@pytest.mark.parametrize(
    ("moved_px", "status", "verdict"), [(0, 0, "passed"), (3, 0, "passed"), (5, 1, "FAILED")]
)
def test_a_thousandth_of_the_pixels_may_move(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    moved_px: int,
    status: int,
    verdict: str,
) -> None:
    def label(image: object, record: RunRecord, progress: object) -> tuple[np.ndarray[Any, Any], float]:
        labels = np.repeat([[1, 2]], 2000, axis=1)
        if record.precision != "float64":
            labels[0, :moved_px] = 2
        return labels, 0.1

    monkeypatch.setattr(doctor, "label", label)
    assert main(["doctor"]) == status
    assert (
        f"self-test {verdict}: {moved_px / 4000:.4%} of pixels change superpixel" in capsys.readouterr().out
    )
