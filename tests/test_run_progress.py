"""Progress of a run on planes that are cut into windows."""

import numpy as np
import pytest

from napari_pcnet import RunRecord, run_record


@pytest.mark.parametrize("method", ["hierarchy", "lattice"])
def test_progress_counts_every_step_of_every_plane_once(method: str) -> None:
    stack = np.random.default_rng(0).integers(0, 256, (3, 96, 128, 3)).astype(np.uint8)
    seen: list[tuple[int, int]] = []
    record = RunRecord(60, method=method, window=64)
    run_record(stack, record, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) >= 3 * 4
    assert seen == [(done, len(seen)) for done in range(1, len(seen) + 1)]
