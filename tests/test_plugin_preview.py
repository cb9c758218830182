"""The preview of a part: every k-th pixel of it, with the options of the run that it stands for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from numpy.testing import assert_array_equal

from napari_pcnet.plugin import preview
from napari_pcnet.plugin.preview import Preview, make
from napari_pcnet.plugin.source import Source
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_record


class _Job:
    """As much of a job as a preview needs."""

    def progress(self, done: int, total: int) -> None:
        pass


def test_of_a_large_part_every_second_pixel_is_taken_and_smoothed_over_half_as_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preview, "PREVIEW_PX", 96 * 128 // 4)
    random = np.random.default_rng(0)
    pixels = np.kron(random.integers(0, 200, (6, 8)), np.ones((16, 16), int)) + random.integers(
        0, 50, (96, 128)
    )
    source = Source(Image(pixels.astype(np.uint8), scale=(2, 2)))
    record = RunRecord(6, channel_axis=None, smoothing=4.0)
    job: Any = _Job()
    labels, transform = make(Preview(source, record), job)
    small = source.pixels[::2, ::2]
    assert_array_equal(labels, run_record(small, replace(record, smoothing=2.0)))
    assert (labels != run_record(small, replace(record, smoothing=0.0))).any()
    assert_array_equal(transform["scale"], (4, 4))
    assert_array_equal(transform["translate"], (1, 1))  # the middle of pixels 0 and 1, 2 wide
