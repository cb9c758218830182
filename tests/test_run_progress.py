"""Progress of a run on planes that are cut into windows."""

import numpy as np
import pytest

from napari_pcnet import RunRecord, run_record


@pytest.mark.parametrize(("method", "n", "window"), [("hierarchy", 5, 64), ("lattice", 20, 64)])
def test_progress_counts_every_step_of_every_plane_once(method: str, n: int, window: int) -> None:
    stack = np.random.default_rng(0).integers(0, 256, (3, 48, 96, 3)).astype(np.uint8)
    seen: list[tuple[int, int]] = []
    record = RunRecord(n, method=method, window=window)
    run_record(stack, record, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) >= 3 * 2  # more than one step a plane
    assert seen == [(done, len(seen)) for done in range(1, len(seen) + 1)]
