"""Training on layers in a real viewer: the box, the buttons, the list of models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import napari
import numpy as np
import pytest
from actions import choose_in, close_dock_of, drawn_picture, run_widget, turn_wheel
from napari._app_model import get_app_model
from pytestqt.qtbot import QtBot

from napari_pcnet import weights
from napari_pcnet.plugin import jobs
from napari_pcnet.plugin.training_panel import NOT_USED
from napari_pcnet.plugin.widget import SuperpixelsWidget
from napari_pcnet.training import finetune, report


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Small crops, a small classifier, a training that helps; weights of no other test."""
    whole, merging = finetune._association, finetune._merging

    def smaller(*arguments: Any) -> Any:
        config = whole(*arguments)
        return replace(config, samples=replace(config.samples, crop_px=128))

    def fewer(*arguments: Any) -> Any:
        config = merging(*arguments)
        return replace(config, merge_classifier=replace(config.merge_classifier, counts=(200,)))

    accuracies = iter([0.5, 0.6, 0.7])
    monkeypatch.setattr(finetune, "_association", smaller)
    monkeypatch.setattr(finetune, "_merging", fewer)
    monkeypatch.setattr(finetune, "CLASSIFIER_STEPS", 3)
    monkeypatch.setattr(
        report,
        "scores_of",
        lambda pairs, _model: [{"ASA": next(accuracies), "BR": 0.5, "CO": 0.5}] * len(pairs),
    )
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path))


def _two_images(viewer: napari.Viewer) -> None:
    """Two images, the first with labels of its name, and labels of another size."""
    halves = np.zeros((96, 96), np.uint8)
    halves[:, 40:] = 2
    viewer.add_image(drawn_picture(96, 96, 3), name="a")
    viewer.add_labels(halves, name="a halves")
    viewer.add_image(drawn_picture(96, 96, 3, seed=3), name="b")
    viewer.add_labels(halves[:, ::-1].copy(), name="other halves")
    viewer.add_labels(halves[:50], name="a small one")


def test_a_model_is_trained_on_layers_and_is_in_the_list_at_once(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    panel = widget.training_panel
    _two_images(viewer)
    superpixels = run_widget(widget, qtbot)
    assert not panel.isChecked() and not panel.table.isVisible()
    get_app_model().commands.execute_command("napari-pcnet.train").result()
    assert panel.isChecked() and panel.table.isVisible()
    qtbot.waitUntil(lambda: not panel.train_button.visibleRegion().isEmpty())  # the column has scrolled
    assert [panel.table.item(row, 0).text() for row in range(2)] == ["a", "b"]
    first, second = (panel.table.cellWidget(row, 1) for row in range(2))
    assert (first.currentText(), second.currentText()) == ("a halves", NOT_USED)
    assert superpixels.name not in [first.itemText(k) for k in range(first.count())]
    assert not turn_wheel(first, -120) and first.currentText() == "a halves"

    panel.train_button.click()
    assert widget.run_panel.message.text() == "Give the weights that are trained a name"
    choose_in(second, "other halves")
    panel.name.setText("mine")
    panel.steps.setValue(2)
    panel.train_button.click()
    assert widget.training.job is not None and not panel.train_button.isEnabled()
    with qtbot.waitSignal(widget.training.over, timeout=180_000):
        pass
    assert widget.run_panel.message.text().startswith("'mine' is among the models now; accuracy 0.5000")
    assert panel.train_button.isEnabled() and not panel.cancel_button.isEnabled()
    assert len(panel.curves[0].losses) == 2 and len(panel.curves[0].accuracies) == 2
    assert second.currentText() == "other halves" and panel.name.text() == ""

    models = widget.form.network.model_box
    assert models.currentText() == "pcnet-v2"
    choose_in(models, "mine")
    assert run_widget(widget, qtbot).data.max() == 12
    assert widget.result is not None and widget.result.record.model == "mine"
    assert "mine" in weights.names()


def test_a_message_of_three_lines_covers_no_curve(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(96, 96, 3), name="a")
    qtbot.waitUntil(lambda: "memory" in widget.run_panel.info.text())
    curve = widget.training_panel.curves[0]
    widget.show_training()
    qtbot.waitUntil(lambda: not curve.visibleRegion().isEmpty())
    shown = curve.visibleRegion().boundingRect()
    assert shown == curve.rect()
    widget.show_message(
        "no training did better than the accuracy 0.9963 of the start on 1 of 4 pictures, held out; nothing "
        "is kept: label more, or take more steps"
    )
    qtbot.wait(50)
    assert curve.visibleRegion().boundingRect() == shown


def test_a_training_ends_with_the_dock(opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot) -> None:
    viewer, widget = opened
    _two_images(viewer)
    widget.training_panel.setChecked(True)
    widget.training_panel.name.setText("mine")
    widget.train()
    assert widget.training.job is not None
    close_dock_of(widget)
    qtbot.waitUntil(lambda: not jobs._running, timeout=60_000)
    assert "mine" not in weights.names()
