"""A curve of a training, painted: the loss of each step, and the accuracy wherever it was measured.

Both fill the height, each from its least to its largest value; the numbers above are the latest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

LOSS_COLOUR, ACCURACY_COLOUR = "#56b4e9", "#e69f00"
"""Of Okabe and Ito's palette: to be told apart by everyone, on dark and on light."""

HEIGHT_PX = 100
MARGIN_PX, DOT_PX = 4, 3

Point = tuple[float, float]
"""A step, and the value there."""


class TrainingCurve(QWidget):
    """The curve of one training.

    Parameters
    ----------
    title : str
        What learns.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title
        self.steps = 1
        self.losses: list[Point] = []
        self.accuracies: list[Point] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802  # Qt's name
        """Half a dock wide."""
        return QSize(140, HEIGHT_PX)

    def begin(self, steps: int) -> None:
        """Empty the curve of a training of this many steps."""
        self.steps = steps
        self.losses, self.accuracies = [], []
        self.update()

    def add(self, record: dict[str, float]) -> None:
        """Add what was measured at a step."""
        step = record["step"]
        for name, points in (("total", self.losses), ("validation_asa", self.accuracies)):
            if math.isfinite(record.get(name, math.nan)):
                points.append((step, record[name]))
        self.update()

    @property
    def text(self) -> str:
        """The title with the latest loss."""
        loss = f" {self.losses[-1][1]:.3g}" if self.losses else ""
        return f"{self.title}{loss}"

    @property
    def accuracy_text(self) -> str:
        """The latest accuracy."""
        return f"ASA {self.accuracies[-1][1]:.4f}" if self.accuracies else ""

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802  # Qt's name
        """Paint frame, numbers and lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = self.fontMetrics().lineSpacing()
        plot = QRectF(self.rect()).adjusted(MARGIN_PX, 2 * line + MARGIN_PX, -MARGIN_PX, -MARGIN_PX)
        frame = QColor(self.palette().text().color())
        frame.setAlphaF(0.25)
        painter.setPen(frame)
        painter.drawRect(plot)
        room = QRectF(MARGIN_PX, 0, self.width() - 2 * MARGIN_PX, line)
        self._write(painter, room, self.text, LOSS_COLOUR)
        self._write(painter, room.translated(0, line), self.accuracy_text, ACCURACY_COLOUR)
        inner = plot.adjusted(DOT_PX, DOT_PX, -DOT_PX, -DOT_PX)
        self._draw(painter, placed(self.losses, self.steps, inner), LOSS_COLOUR)
        dots = placed(self.accuracies, self.steps, inner)
        self._draw(painter, dots, ACCURACY_COLOUR)
        painter.setBrush(QColor(ACCURACY_COLOUR))
        for dot in dots:
            painter.drawEllipse(dot, DOT_PX, DOT_PX)
        painter.end()

    def _write(self, painter: QPainter, room: QRectF, text: str, colour: str) -> None:
        painter.setPen(QColor(colour))
        painter.drawText(room, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, text)

    def _draw(self, painter: QPainter, points: Sequence[QPointF], colour: str) -> None:
        painter.setPen(QPen(QColor(colour), 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF(points))


def placed(points: Sequence[Point], steps: int, room: QRectF) -> list[QPointF]:
    """Place points in a rectangle: steps from left to right, the least value at the bottom."""
    values = [value for _, value in points]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    span = high - low
    return [
        QPointF(
            room.left() + room.width() * step / steps,
            room.bottom() - room.height() * ((value - low) / span if span else 0.5),
        )
        for step, value in points
    ]
