"""The line of messages: those of the preview stay out of the way of all others."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from napari_pcnet.plugin.messages import MessageLine


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
