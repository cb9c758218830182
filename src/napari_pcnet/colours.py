"""The colours that classes begin with."""

import colorsys

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Of the first classes, which the colour-blind can tell apart, too: Okabe and Ito, "Color Universal Design",
2008."""

GOLDEN_RATIO = 0.618033988749895
"""Of hues that are so far apart, in turns, no two are close."""


def default_colour(number: int) -> str:
    """The colour that the class of a number, from 1, begins with, ``#rrggbb``.

    >>> default_colour(1), default_colour(8)
    ('#e69f00', '#d94c7b')
    """
    if number <= len(COLOURS):
        return COLOURS[number - 1]
    shares = colorsys.hsv_to_rgb(number * GOLDEN_RATIO % 1, 0.65, 0.85)
    return "#" + "".join(f"{round(255 * share):02x}" for share in shares)
