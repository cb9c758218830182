"""Where the boundaries between labels run: the one definition for scores, samples and losses.

A *boundary pixel* has another label at one of its 4 neighbours. Both sides of a boundary are
boundary pixels; the edge of the image is not a boundary. (D. Stutz, A. Hermans and B. Leibe, "Superpixels: an
evaluation of the state-of-the-art", Computer Vision and Image Understanding 166 (2018) 1-27.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@overload
def boundary_pixels(
    labels: NDArray[np.integer], inside: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]: ...


@overload
def boundary_pixels(labels: Tensor) -> Tensor: ...


def boundary_pixels(labels: Any, inside: Any = None) -> Any:  # Any: arrays of scores, tensors of losses
    """Mark the pixels that have a 4-neighbour with another label.

    Parameters
    ----------
    labels : (..., H, W) integer array or tensor
        One plane, or several that do not touch each other.
    inside : (..., H, W) bool array, optional
        Pixels that count; like the edge of the image, the edge of this region is not a boundary.

    Returns
    -------
    (..., H, W) bool array or tensor
        On the device of the labels.

    Examples
    --------
    >>> boundary_pixels(np.array([[1, 1, 2], [1, 1, 2]])).astype(int)
    array([[0, 1, 1],
           [0, 1, 1]])
    """
    boundary = labels != labels  # False everywhere, in the kind and on the device of labels
    below = labels[..., 1:, :] != labels[..., :-1, :]
    right = labels[..., 1:] != labels[..., :-1]
    if inside is not None:
        below &= inside[..., 1:, :] & inside[..., :-1, :]
        right &= inside[..., 1:] & inside[..., :-1]
    boundary[..., 1:, :] |= below
    boundary[..., :-1, :] |= below
    boundary[..., 1:] |= right
    boundary[..., :-1] |= right
    return boundary
