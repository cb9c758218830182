"""The first and last plane, row and channel that a record may select."""

import re

import numpy as np
import pytest

from napari_pcnet.planes import Planes
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_record

STACK = np.zeros((2, 40, 48, 3), np.uint8)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"crop": (39, 47, 40, 48)}, (2, 1, 1)),
        ({"crop": (0, 0, 1, 1)}, (2, 1, 1)),
        ({"plane": (1,), "channels": (2,)}, (40, 48)),
    ],
)
def test_a_selection_may_be_one_pixel_at_an_end(options: dict[str, tuple[int, ...]], shape: tuple) -> None:
    assert Planes.select(STACK, RunRecord(**options)).shape == shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (5, 0, 5, 10)}, "crop must be top, left, bottom, right, with top above bottom and left"),
        ({"crop": (0, 7, 10, 7)}, "crop must be top, left, bottom, right, with top above bottom and left"),
        ({"crop": (-1, 0, 10, 10)}, "crop must be four whole numbers from 0 on, got (-1, 0, 10, 10)"),
        ({"crop": (0, 0, 40, 49)}, "crop must be top, left, bottom, right inside the 40 x 48 pixels"),
        ({"plane": (2,)}, "plane must name one of 2 planes, counted from 0, got (2,)"),
        ({"plane": (-1,)}, "plane must be a whole number from 0 on for each leading axis, got (-1,)"),
        ({"channels": (-1,)}, "channels must be one or more whole numbers from 0 on, got (-1,)"),
    ],
)
def test_nothing_and_what_is_counted_from_the_end_are_refused(
    options: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Planes.select(STACK, RunRecord(**options))


@pytest.mark.parametrize("start_label", [0, 1])
@pytest.mark.parametrize("method", ["hierarchy", "lattice"])
def test_labels_of_planes_follow_each_other_without_a_gap(method: str, start_label: int) -> None:
    stack = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3)).astype(np.uint8)
    labels = run_record(stack, RunRecord(5, method=method, start_label=start_label))
    found = np.unique(labels)
    assert found.tolist() == list(range(start_label, start_label + len(found)))
    firsts, lasts = labels.reshape(3, -1).min(axis=1), labels.reshape(3, -1).max(axis=1)
    assert (firsts[1:] == lasts[:-1] + 1).all()


@pytest.mark.parametrize(
    ("channels", "needs_none"), [(None, True), ((0, 1, 2), True), ((3,), False), ((4, 0), False)]
)
def test_the_fourth_channel_is_no_transparency_where_it_or_a_later_one_is_chosen(
    channels: tuple[int, ...] | None, needs_none: bool
) -> None:
    assert RunRecord(channels=channels).alpha_apart is needs_none
