"""The schedule of learning rates."""

import math


def cosine(step: int, steps: int) -> float:
    """Factor on the learning rate at one of `steps` steps, counted from 0: half a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))
