"""How each method is drawn: its colour, marker and dashes.

Every peer and every way of ours that has a name in `methods` keeps its colour and marker in all
figures, as `FAMILIES` has them; dashes tell variants of one family, counted by name among those drawn.
A method of no family, or of one with too many variants, has no look of its own: it takes the first free
one, in the order of names and ours first, so it may change from a figure to one of other methods. The
order in which methods are handed in decides the legend alone. Ours are drawn last and in thick lines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import chain, cycle
from typing import Any, NamedTuple


class Look(NamedTuple):
    """How a method is drawn."""

    colour: str
    marker: str
    dashes: tuple[float, ...] = ()  # on and off, in line widths; empty: solid
    is_filled: bool = True


# Colours of M. Okabe and K. Ito, "Color universal design" (2008), which differ for every kind of
# colour vision; grey takes the place of their yellow, which is too light for a line on white. The last
# five are of P. Tol's "muted" scheme (SRON/EPS/TN/09-002, 2021). So many colours are not all far apart
# for every eye, so each has a marker of its own.
PALETTE = (
    Look("#D55E00", "o"),
    Look("#0072B2", "s"),
    Look("#009E73", "D"),
    Look("#E69F00", "^"),
    Look("#56B4E9", "v"),
    Look("#CC79A7", "P"),
    Look("#000000", "X"),
    Look("#808080", "p"),
    Look("#332288", "<"),
    Look("#999933", "*"),
    Look("#882255", ">"),
    Look("#44AA99", "h"),
    Look("#CC6677", "d"),
)

FAMILIES = {
    r"pcnet.*hierarchy": PALETTE[0],
    r"pcnet.*lattice": PALETTE[1],
    r"\bscn": PALETTE[2],
    r"opencv-slic\b": PALETTE[6],  # SLICs lie close together: each implementation has its own look
    r"fast-slic\b": PALETTE[10],
    r"\bslic\b": PALETTE[3],
    r"\bsnic\b": PALETTE[4],
    r"\blsc\b": PALETTE[5],
    r"\bslico\b": PALETTE[7],
    r"\bseeds\b": PALETTE[8],
    r"felzenszwalb": PALETTE[9],
    r"watershed": PALETTE[11],
    r"\bward\b": PALETTE[12],
}
"""Looks by a regular expression for the name in small letters; the first that is found counts."""

MOST_VARIANTS = 5
"""Of one family in a figure, up to which its colour and marker are shared."""

DASHES = ((), (4, 1.5), (1, 1.2), (5, 1.2, 1, 1.2), (8, 2), (2.5, 2.5))
"""Of the first variant of a family, the second, and so on."""


def looks_of(names: Iterable[str]) -> dict[str, Look]:
    """Give every method its look, whatever the order of the names.

    Parameters
    ----------
    names : iterable of str
        Of the methods in one figure.

    Returns
    -------
    dict of str to Look
        By name. No two are alike, up to 24 methods.
    """
    ordered = sorted(set(names), key=lambda name: (not is_ours(name), name))
    families = {name: look for name in ordered if (look := _family_look(name)) is not None}
    sizes = Counter(families.values())
    looks = {name: look for name, look in families.items() if sizes[look] <= MOST_VARIANTS}
    free = [look for look in PALETTE if look not in looks.values()]
    others = [name for name in ordered if name not in looks]
    looks |= dict(zip(others, chain(free, cycle(PALETTE)), strict=False))
    variants = {name: [each for each in ordered if looks[each] == look] for name, look in looks.items()}
    return {name: _variant(looks[name], variants[name].index(name)) for name in ordered}


def is_ours(name: str) -> bool:
    """Whether a method is one of ours, which are drawn thick and last."""
    return "pcnet" in name.lower()


def _family_look(name: str) -> Look | None:
    found = (look for pattern, look in FAMILIES.items() if re.search(pattern, name.lower()))
    return next(found, None)


def _variant(look: Look, number: int) -> Look:
    return look._replace(dashes=DASHES[number % len(DASHES)], is_filled=number % 2 == 0)


def line_options(name: str, look: Look) -> dict[str, Any]:  # they go to matplotlib as keywords
    """Return the keywords with which matplotlib draws a method's line."""
    ours = is_ours(name)
    return {
        "color": look.colour,
        "marker": look.marker,
        "linestyle": (0, look.dashes) if look.dashes else "-",
        "linewidth": 2.0 if ours else 1.1,
        "markersize": 5.0 if ours else 4.2,
        "markeredgewidth": 1.0,
        "markerfacecolor": look.colour if look.is_filled else "white",
        "zorder": 3.0 if ours else 2.5,
        "label": name,
    }
