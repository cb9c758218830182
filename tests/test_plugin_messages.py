"""The line of messages: those of the preview stay out of the way of all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel

from napari_pcnet import pcnet_superpixels
from napari_pcnet.options import Options
from napari_pcnet.planes import Planes
from napari_pcnet.plugin.field_names import FIELDS, OTHERS, in_fields
from napari_pcnet.plugin.messages import NO_BREAK, MessageLine
from napari_pcnet.plugin.run_panel import RunPanel
from napari_pcnet.record import RunRecord
from napari_pcnet.run import build_hierarchy


def test_a_message_begins_with_a_capital_letter(qtbot: QtBot) -> None:
    line = MessageLine()
    qtbot.addWidget(line)
    line.show_message("open an image first")
    assert line.text() == "Open an image first"
    line.show_message("")
    assert line.text() == ""


def test_a_preview_takes_back_its_own_message_and_no_other(qtbot: QtBot) -> None:
    line = MessageLine()
    qtbot.addWidget(line)
    line.show_preview_message("nothing of 'a' is in view")
    assert line.text() == "Nothing of 'a' is in view"
    line.show_preview_message("")
    assert line.text() == ""
    line.show_preview_message("nothing of 'a' is in view")
    line.show_message("12 superpixels")
    line.show_preview_message("")
    assert line.text() == "12 superpixels"


def test_what_cannot_be_run_is_said_once(qtbot: QtBot) -> None:
    panel = RunPanel()
    for widget in (panel, panel.info, panel.message):
        qtbot.addWidget(widget)
    panel.show_info("Nothing of 'a' is in view")
    assert not panel.info.isHidden()
    panel.message.show_message("nothing of 'a' is in view")  # Run was pressed
    assert panel.info.isHidden()
    panel.show_info("12 superpixels, about 1 s")
    assert not panel.info.isHidden()
    panel.show_info("Nothing of 'a' is in view")
    assert panel.info.isHidden()
    panel.message.show_message("")
    assert not panel.info.isHidden()


def test_a_number_keeps_its_unit_at_the_end_of_a_line(qtbot: QtBot) -> None:
    line = MessageLine()
    qtbot.addWidget(line)
    text = "About 7 h 6 min and 2.5 GB for 300 x 451 pixels of 'a 1'; 3 shapes"
    line.show_message(text)
    assert line.text() == text
    assert QLabel.text(line).replace(NO_BREAK, "_") == (
        "About 7_h 6_min and 2.5_GB for 300_x_451 pixels of 'a 1'; 3 shapes"
    )


SPOTS = np.zeros((64, 80), np.uint8)
SPOTS[5:20, 5:20] = SPOTS[30:60, 30:60] = SPOTS[1, 70] = 1


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (
            lambda: pcnet_superpixels(np.zeros((4, 5), np.uint8), 21),
            "Superpixels must be at most 20, the pixels of the image, got 21",
        ),
        (
            lambda: pcnet_superpixels(SPOTS, 2, mask=SPOTS),
            "Superpixels must be at least 3, the number of connected parts of the region, got 2",
        ),
        (
            lambda: pcnet_superpixels(np.full((4, 5), np.inf), 2),
            "Image must be finite, got infinity; leave such pixels out of the region",
        ),
        (
            lambda: RunRecord(channels=()),
            "Channels must be one or more whole numbers from 0 on, got ()",
        ),
        (
            lambda: Planes.select(SPOTS, RunRecord(channel_axis=None, channels=(1,))),
            "Channels can be chosen of an image that has some: choose it under Channels",
        ),
        (
            lambda: Options(intensity_range=(5, 5)),
            "Intensities must be two numbers (low, high) with low below high, got (5, 5)",
        ),
        (
            lambda: Options(model=""),
            "Model must be the name of weights or of a file of them, got ''",
        ),
    ],
)
def test_what_the_library_refuses_is_said_in_the_words_of_the_form(
    qtbot: QtBot, refused: Callable[[], Any], said: str
) -> None:
    with pytest.raises(ValueError, match=r"got|channel") as error:
        refused()
    line = MessageLine()
    qtbot.addWidget(line)
    line.show_message(str(error.value))
    assert line.text() == said


RAMP = np.arange(64 * 80, dtype=np.float64).reshape(64, 80)


@pytest.mark.parametrize(
    ("index", "value", "axis", "said"),
    [
        (
            (3, 4),
            np.nan,
            None,
            "image holds NaN: such pixels count as outside the region; choose a Region to say yourself what "
            "is outside",
        ),
        (
            (0, 0),
            1e6,
            None,
            "image spends most of its range of intensities, 1 to 1000000, on 1 of 5120 values: all others "
            "are 1 to 5119; give the layer the contrast limits (1, 5119) and choose them under Intensities, "
            "or leave those out of the region",
        ),
        (
            (0, 0, 1),
            1e6,
            -1,
            "channel 1 of the image spends most of its range of intensities, 1 to 1000000, on 1 of 5120 "
            "values: all others are 1 to 5119; choose 0.1% to 99.9% under Intensities, or leave those out of "
            "the region",
        ),
    ],
)
def test_what_is_noticed_in_the_pixels_is_told_and_said_in_the_words_of_the_form(
    index: tuple[int, ...], value: float, axis: int | None, said: str
) -> None:
    image = RAMP.copy() if axis is None else np.stack([RAMP] * 2, axis=-1)
    image[index] = value
    told: list[str] = []
    build_hierarchy(image, RunRecord(5, channel_axis=axis), tell=told.append)  # a warning would be an error
    assert [in_fields(each) for each in told] == [said]


def test_names_of_files_and_layers_stay_as_they_are() -> None:
    for text in (
        "/tmp/n_segments/the mask.tif is damaged",
        "no shape of the layer 'n_segments of the mask' encloses pixels of 'channel_axis'",
        "the region of 'a' is of level 1: choose it",
    ):
        assert in_fields(text) == text


def test_every_option_has_a_field_or_words() -> None:
    assert {each.name for each in fields(Options)} <= FIELDS.keys() | OTHERS.keys()
