"""The layer of what a forest predicts: fainter than the classes, and the fainter the less certain it is.

A number in it is a class and a step of certainty, since napari gives each number one colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.annotation.classes import AnnotationClass
from napari_pcnet.annotation.strokes import NOTHING, Annotation
from napari_pcnet.plugin.lookup_layer import LookupLayer

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_pcnet.plugin.result_layer import ResultLayer

OPACITY = 0.35
"""Of the layer: less than the classes have."""

STEPS = 4
"""Of certainty, from none to full, as parts of equal length."""

CLASSES = 256
"""Numbers of classes; the step of certainty is counted in these."""


class PredictedLayer:
    """What is predicted where nothing is annotated.

    Parameters
    ----------
    result : ResultLayer
        Whose superpixels are annotated.
    annotation : Annotation
    below : Labels
        The layer of classes, which stays the active one and above.
    """

    def __init__(self, result: ResultLayer, annotation: Annotation, below: Labels) -> None:
        self._annotation = annotation
        self._codes = np.zeros(annotation.nested.regions, np.uint16)
        self._table = np.zeros(annotation.nested.regions + 1, np.uint16)
        self._viewer = result.viewer
        name = f"{result.source.name} predicted"
        shape = (result.framed_base, self._table, result.is_pyramid, name, result.transform)
        self._lookup = LookupLayer(self._viewer, *shape)
        self.layer.opacity = OPACITY
        layers = self._viewer.layers
        layers.move(layers.index(self.layer), layers.index(below))
        layers.selection.active = below

    @property
    def layer(self) -> Labels:
        """The layer itself."""
        return self._lookup.layer

    def show(self, number: NDArray[np.uint8], uncertainty: NDArray[np.float64]) -> None:
        """Show the class of each region of the base, and how uncertain it is."""
        step = np.minimum(((1 - uncertainty) * STEPS).astype(np.uint16), STEPS - 1)
        self._codes = np.where(number == NOTHING, 0, number + CLASSES * step).astype(np.uint16)
        self.draw()

    def draw(self) -> None:
        """Heed what is annotated now."""
        given = self._annotation.table[:-1]
        self._table[:-1] = np.where(given == NOTHING, self._codes, 0)
        self._lookup.draw()

    def colour(self, classes: Mapping[int, AnnotationClass]) -> None:
        """Show classes in their colours, and say under the mouse what a number means."""
        colours, index, texts = dict[int, str](), [0], [""]
        for number, each in classes.items():
            for step in range(STEPS):
                code, alpha = number + CLASSES * step, round(255 * (step + 1) / STEPS)
                colours[code] = f"{each.colour}{alpha:02x}"
                index.append(code)
                share = f"{100 * step // STEPS} to {100 * (step + 1) // STEPS}%"
                texts.append(with_lead(each.name, "the next class", share))
        self._lookup.colour(colours)
        self.layer.features = {"index": index, "predicted": texts}

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)


def with_lead(name: str, other: str, share: str) -> str:
    """A class, and how certain that is: by which share of the votes it is ahead of another.

    >>> with_lead("fur", "background", "1%")
    'fur, ahead of background by 1% of the votes'
    """
    return f"{name}, ahead of {other} by {share} of the votes"
