"""Objects: regions merged by hand into one thing, taken out of it, split along the tree.

An `Annotation` whose numbers are objects. Each of these is one stroke, or part of one under way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_pcnet.annotation.nested import NO_NODE
from napari_pcnet.annotation.strokes import NOTHING, Annotation


def merge_into(annotation: Annotation, object_number: int, node: int) -> bool:
    """Make a node part of an object, with all of the objects that it touches on; whether that changed any."""
    nested = annotation.nested
    first, end = nested.span(node)
    others = np.unique(annotation.numbers[first:end])
    others = others[(others != NOTHING) & (others != object_number)]
    if not len(others):  # as on most of a drag: the rest need not be looked at
        return annotation.assign(node, object_number)
    joins = np.isin(annotation.numbers, others)
    joins[first:end] = True
    merged = np.where(joins, annotation.checked(object_number), annotation.numbers)
    return annotation.set_from(0, merged)


def detach(annotation: Annotation, region: int, counts: Sequence[int]) -> bool:
    """Take the part of a cut that holds a region out of the object of this region; whether there was one."""
    number = annotation.number_of(region)
    if number == NOTHING:
        return False
    first, end = annotation.nested.span(annotation.nested.node_at(region, counts))
    here = annotation.numbers[first:end]
    return annotation.set_from(first, np.where(here == number, NOTHING, here))


def split(annotation: Annotation, region: int) -> bool:
    """Split the node of an object that holds a region into its two children; whether that was possible.

    The child that holds the region becomes an object of its own. The node is the largest one that holds the
    region and lies in its object.
    """
    nested, number = annotation.nested, annotation.number_of(region)
    if number == NOTHING:
        return False
    node = region
    while (above := int(nested.parent[node])) != NO_NODE:
        if (annotation.numbers[slice(*nested.span(above))] != number).any():
            break
        node = above
    if node < nested.regions:
        return False
    return annotation.assign(nested.child_of(node, region), unused_number(annotation))


def unused_number(annotation: Annotation) -> int:
    """The smallest number that no region has.

    Raises
    ------
    ValueError
        If all are taken.
    """
    taken = annotation.used()
    if len(taken) == annotation.largest:
        raise ValueError(f"there can be at most {annotation.largest} objects")
    return next(k for k, number in enumerate([*taken, 0], 1) if number != k)
