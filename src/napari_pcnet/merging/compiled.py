"""Passes over pixels, compiled by numba: the same answers as those in numpy beside which they stand.

Imported only through `passes.compiled`, since numba is an extra. All sums are of whole numbers. The lock of
Python is not held, and what was compiled is kept on disk until this file changes: whoever changes a function
of `exact` changes this file, too.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from napari_pcnet.merging import exact
from napari_pcnet.merging.rules import ROWS_AT_ONCE, Rules

EMPTY = np.int64(-1)
"""Key of a place of a hash table that is free."""

PLACES_PER_KEY = 2
"""A hash table has at least so many."""

FIRST_PLACES = 1024
"""Of a table that grows; a power of two, as hash tables need."""

SCATTER = np.uint64(0x9E3779B97F4A7C15)
"""2**64 over the golden ratio: neighbouring keys times this, in their upper bits, lie far apart."""


@njit(cache=True, nogil=True, error_model="numpy")
def number_pieces(raw: NDArray[np.int32], outside: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number 4-connected pieces of equal values in raster order of their first pixel.

    Two passes with a union-find (Rosenfeld and Pfaltz, 1966) in which the smaller of two numbers is on top.

    Parameters
    ----------
    raw : (h, w) int32 array
        `outside` where there is nothing to label.
    outside : int
        Stands in the result there, too.

    Returns
    -------
    ids : (h, w) int32 array
    first : (n,) int64 array
        Position of the first pixel of each piece, ``row * w + column``.
    """
    height, width = raw.shape
    ids = np.empty((height, width), np.int32)
    # of each provisional number one that it hangs on, itself at the top
    above = np.empty(FIRST_PLACES, np.int32)
    starts = np.empty(FIRST_PLACES, np.int64)
    number = 0
    for y in range(height):
        for x in range(width):
            value = raw[y, x]
            if value == outside:
                ids[y, x] = outside
                continue
            left = x > 0 and raw[y, x - 1] == value
            up = y > 0 and raw[y - 1, x] == value
            if left:
                ids[y, x] = ids[y, x - 1]
                if up and raw[y - 1, x - 1] != value:  # else they are joined already
                    _join(above, ids[y, x - 1], ids[y - 1, x])
            elif up:
                ids[y, x] = ids[y - 1, x]
            else:
                if number == len(above):
                    above = _twice(above)
                    starts = _twice(starts)
                above[number] = number
                starts[number] = y * width + x
                ids[y, x] = number
                number += 1
    final = np.empty(number, np.int32)
    first = np.empty(number, np.int64)
    count = 0
    for k in range(number):  # a number hangs on a smaller one, which has its final number by then
        if above[k] == k:
            final[k] = count
            first[count] = starts[k]
            count += 1
        else:
            final[k] = final[above[k]]
    for y in range(height):
        for x in range(width):
            if ids[y, x] != outside:
                ids[y, x] = final[ids[y, x]]
    return ids, first[:count].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def _join(above: NDArray[np.int32], one: int, other: int) -> None:
    one, other = _top(above, one), _top(above, other)
    if one < other:
        above[other] = one
    else:
        above[one] = other


@njit(cache=True, nogil=True, error_model="numpy")
def _top(above: NDArray[np.int32], k: int) -> int:
    while above[k] != k:
        above[k] = above[above[k]]
        k = above[k]
    return k


@njit(cache=True, nogil=True, error_model="numpy")
def _twice(array: NDArray[np.integer]) -> NDArray[np.integer]:
    longer = np.empty(2 * len(array), array.dtype)
    longer[: len(array)] = array
    return longer


@njit(cache=True, nogil=True, error_model="numpy")
def add_pixels(
    ids: NDArray[np.int32], pixels: NDArray[np.floating], area: NDArray[np.int64], colour: NDArray[np.int64]
) -> None:
    """Add the pixels of a strip to the areas ``(n,)`` and the colours ``(n, C)`` of their pieces.

    Parameters
    ----------
    ids : (h, w) int32 array
        Negative outside the mask.
    pixels : (h, w, C) array
        In whole steps.
    """
    height, width = ids.shape
    channels = pixels.shape[2]
    for y in range(height):
        for x in range(width):
            k = ids[y, x]
            if k >= 0:
                area[k] += 1
                for c in range(channels):
                    colour[k, c] += np.int64(pixels[y, x, c])


@njit(cache=True, nogil=True, error_model="numpy")
def outlines(
    ids: NDArray[np.int32],
    top: int,
    left: int,
    bottom: int,
    right: int,
    number: int,
    boundary: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sides on the rim of each piece, and a row for each pair of pieces that touch.

    Parameters
    ----------
    ids : (h, w) int32 array
        Negative outside the mask.
    top, left, bottom, right : int
        The core. Of a side, its upper or left pixel lies in it; those of the frame are the core's where it
        touches an end of `ids`.
    number : int
        Of pieces.
    boundary : (h, w) array in whole steps, or (0, 0)

    Returns
    -------
    rim : (n, 2) int64 array
        Horizontal sides, vertical sides.
    pairs : (e, 2) int64 array
        The smaller first; in no order.
    sums : (e, 4) int64 array
        Horizontal and vertical sides, and the boundary map over the pixels on both sides of them.
    """
    rim = np.zeros((number, 2), np.int64)
    keys = np.full(FIRST_PLACES, EMPTY, np.int64)
    sums = np.zeros((FIRST_PLACES, 4), np.int64)
    used = 0
    last_key, last_place = EMPTY, 0
    has_boundary = boundary.shape[0] > 0
    for y in range(top - 1 if top == 0 else top, bottom):
        for x in range(left - 1 if left == 0 else left, right):
            here = _region_at(ids, y, x)
            for direction in range(2):  # sides below pixels are horizontal
                other_y, other_x = (y + 1, x) if direction == 0 else (y, x + 1)
                if (direction == 0 and x < 0) or (direction == 1 and y < 0):
                    continue
                other = _region_at(ids, other_y, other_x)
                if here == other:
                    continue
                if here < 0 or other < 0:
                    rim[max(here, other), direction] += 1
                    continue
                key = min(here, other) * number + max(here, other)
                if key == last_key:
                    place = last_place
                else:
                    if used * PLACES_PER_KEY >= len(keys):
                        keys, sums = _rehashed(keys, sums)
                    place = _place_of(keys, key)
                    if keys[place] == EMPTY:
                        keys[place] = key
                        used += 1
                    last_key, last_place = key, place
                sums[place, direction] += 1
                if has_boundary:
                    sums[place, 2 + direction] += np.int64(boundary[y, x]) + np.int64(
                        boundary[other_y, other_x]
                    )
    taken = np.flatnonzero(keys != EMPTY)
    pairs = np.empty((used, 2), np.int64)
    pairs[:, 0], pairs[:, 1] = keys[taken] // number, keys[taken] % number
    return rim, pairs, sums[taken]


@njit(cache=True, nogil=True, error_model="numpy")
def _region_at(ids: NDArray[np.int32], y: int, x: int) -> np.int64:
    """The region of a pixel; -1 outside the mask, and beyond the window."""
    height, width = ids.shape
    if 0 <= y < height and 0 <= x < width and ids[y, x] >= 0:
        return np.int64(ids[y, x])
    return np.int64(-1)


@njit(cache=True, nogil=True, error_model="numpy")
def _place_of(keys: NDArray[np.int64], key: int) -> np.int64:
    """Where a key stands in a hash table of a power of two places, or would."""
    mask = len(keys) - 1
    place = np.int64((np.uint64(key) * SCATTER) >> np.uint64(32)) & mask
    while keys[place] != EMPTY and keys[place] != key:
        place = (place + 1) & mask
    return place


@njit(cache=True, nogil=True, error_model="numpy")
def _rehashed(
    keys: NDArray[np.int64], sums: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same hash table with four times the places."""
    more_keys = np.full(4 * len(keys), EMPTY, np.int64)
    more_sums = np.zeros((4 * len(keys), sums.shape[1]), np.int64)
    for k in range(len(keys)):
        if keys[k] != EMPTY:
            place = _place_of(more_keys, keys[k])
            more_keys[place] = keys[k]
            more_sums[place] = sums[k]
    return more_keys, more_sums


@njit(cache=True, nogil=True, error_model="numpy")
def look_up(table: NDArray[np.integer], ids: NDArray[np.int32], out: NDArray[np.integer]) -> None:
    """Replace every id by its entry in a table, and a negative one by the last entry."""
    height, width = ids.shape
    last = len(table) - 1
    for y in range(height):
        for x in range(width):
            k = ids[y, x]
            out[y, x] = table[k if k >= 0 else last]


_log2_series = njit(exact.log2_series, cache=True, nogil=True, error_model="numpy")
_exp2_series = njit(exact.exp2_series, cache=True, nogil=True, error_model="numpy")


@njit(cache=True, nogil=True, error_model="numpy")
def _log(value: float) -> float:
    """`exact.log` of one number."""
    mantissa, exponent = math.frexp(value)
    if mantissa < exact.ROOT_HALF:
        mantissa, exponent = 2 * mantissa, exponent - 1
    return (exponent + _log2_series((mantissa - 1) / (mantissa + 1))) * exact.LN_2


@njit(cache=True, nogil=True, error_model="numpy")
def _logistic(value: float) -> float:
    """`exact.logistic` of one number."""
    power = min(max(value, -exact.STEEPEST), exact.STEEPEST) * -exact.LOG2_E
    whole = math.floor(power + 0.5)
    return 1 / (1 + math.ldexp(_exp2_series(power - whole), int(whole)))


@njit(cache=True, nogil=True, error_model="numpy")
def _expected_loss(
    inputs: NDArray[np.float64],
    sizes: NDArray[np.int64],
    layers: NDArray[np.float64],
    sums: NDArray[np.float64],
    rules: Rules,
) -> float:
    """`tree.MergeClassifier` for one pair of regions; `inputs` and `sums` are used up."""
    for i in range(len(inputs)):
        value = inputs[i] * rules.input_steps if i < sizes[0] else 0.0
        inputs[i] = np.floor(min(max(value, -rules.largest_input), rules.largest_input) + 0.5)
    at = 0
    for layer in range(len(sizes) - 1):
        rows, outs = padded(sizes[layer]), sizes[layer + 1]
        total = sums[:outs]
        total[:] = layers[at + rows * outs : at + (rows + 1) * outs]
        for i in range(0, rows, ROWS_AT_ONCE):
            one, two, three, four = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
            row = at + i * outs
            of_one, of_two = layers[row : row + outs], layers[row + outs : row + 2 * outs]
            of_three, of_four = (
                layers[row + 2 * outs : row + 3 * outs],
                layers[row + 3 * outs : row + 4 * outs],
            )
            for o in range(outs):  # of whole numbers: in any order
                total[o] += (one * of_one[o] + two * of_two[o]) + (three * of_three[o] + four * of_four[o])
        for o in range(outs):
            value = total[o] / rules.weight_steps
            inputs[o] = np.floor(max(value, rules.slope * value) + 0.5)
        inputs[outs : padded(outs)] = 0
        at += (rows + 1) * outs
    return _logistic(sums[0] / (rules.weight_steps * rules.input_steps))


@njit(cache=True, nogil=True, error_model="numpy")
def padded(rows: int) -> int:
    """Rows of a layer's weights, with zeros behind them: they are taken by fours."""
    return -(-rows // ROWS_AT_ONCE) * ROWS_AT_ONCE


@njit(cache=True, nogil=True, error_model="numpy")
def merge_rounds(
    area: NDArray[np.int64],
    colour: NDArray[np.int64],
    lab: NDArray[np.int64],
    perimeter: NDArray[np.int64],
    edges: NDArray[np.int64],
    lines: NDArray[np.int64],
    sizes: NDArray[np.int64],
    layers: NDArray[np.float64],
    rules: Rules,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """All rounds of merging; see `tree.build`.

    A region goes by its smallest leaf. Costs and places in the order are worked out anew only where a region
    changed, and only edges of such regions can become one.

    Parameters
    ----------
    area, colour, lab, perimeter
        As in `tree.Features`.
    edges, lines
        As in `tree.build`.
    sizes : (layers + 1,) int64 array
        Numbers of inputs and outputs of the merge classifier's layers; one entry without a classifier.
    layers : (...) float64 array
        Weights ``(padded(n_in), n_out)`` and biases of all layers, in whole steps.
    rules : Rules

    Returns
    -------
    children : (m, 2) int64 array
    cost : (m,) float64 array
        In the order of merging.
    """
    leaves, left = len(area), len(edges)
    area, colour, lab, perimeter = area.copy(), colour.copy(), lab.copy(), perimeter.copy()
    edges, lines = edges.copy(), lines.copy()
    cost = np.empty(left)
    step, scatter = np.empty(left, np.int64), np.empty(left, np.uint64)
    stale = np.ones(left, np.bool_)
    node, height = np.arange(leaves), np.zeros(leaves)
    best_step, best_scatter = np.empty(leaves, np.int64), np.empty(leaves, np.uint64)
    target, changed = np.arange(leaves), np.zeros(leaves, np.bool_)
    children, costs = np.empty((leaves, 2), np.int64), np.empty(leaves)
    widest = padded(max(sizes.max(), 8))
    inputs, sums = np.empty(widest), np.empty(widest)
    made = 0
    while left:
        for k in range(left):
            best_step[edges[k, 0]] = best_step[edges[k, 1]] = np.iinfo(np.int64).max
        for k in range(left):
            u, v = edges[k]
            if stale[k]:
                cost[k] = _cost(
                    u, v, lines[k], area, colour, lab, perimeter, sizes, layers, inputs, sums, rules
                )
                step[k] = _step(cost[k], rules.octave)
                scatter[k] = _scattered(u, v)
                stale[k] = False
            for end in edges[k]:
                if step[k] < best_step[end] or (step[k] == best_step[end] and scatter[k] < best_scatter[end]):
                    best_step[end], best_scatter[end] = step[k], scatter[k]
        chosen = _mutual(edges, step, scatter, best_step, best_scatter, left)
        ends = edges[chosen].ravel()
        for k in chosen:
            u, v = edges[k]
            children[made, 0], children[made, 1] = node[u], node[v]
            costs[made] = max(cost[k], max(height[u], height[v]))
            node[u], height[u] = leaves + made, costs[made]
            made += 1
            area[u] += area[v]
            colour[u] += colour[v]
            lab[u] += lab[v]
            perimeter[u] += perimeter[v] - 2 * lines[k, :2]
            target[v] = u
            changed[u] = changed[v] = True
        left = _relabelled(edges, lines, cost, step, scatter, stale, left, target, changed)
        changed[ends] = False
    return children[:made].copy(), costs[:made].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def _mutual(
    edges: NDArray[np.int64],
    step: NDArray[np.int64],
    scatter: NDArray[np.uint64],
    best_step: NDArray[np.int64],
    best_scatter: NDArray[np.uint64],
    left: int,
) -> NDArray[np.int64]:
    """Edges that are the best of both their ends, best first."""
    found = np.empty(left, np.int64)
    number = 0
    for k in range(left):
        u, v = edges[k]
        if (
            best_step[u] == step[k]
            and best_step[v] == step[k]
            and best_scatter[u] == scatter[k]
            and best_scatter[v] == scatter[k]
        ):
            found[number] = k
            number += 1
    found = found[:number]
    found = found[np.argsort(scatter[found], kind="mergesort")]
    return found[np.argsort(step[found], kind="mergesort")]


@njit(cache=True, nogil=True, error_model="numpy")
def _cost(
    u: int,
    v: int,
    line: NDArray[np.int64],
    area: NDArray[np.int64],
    colour: NDArray[np.int64],
    lab: NDArray[np.int64],
    perimeter: NDArray[np.int64],
    sizes: NDArray[np.int64],
    layers: NDArray[np.float64],
    inputs: NDArray[np.float64],
    sums: NDArray[np.float64],
    rules: Rules,
) -> float:
    """`tree.Round.cost` of one pair, its operations in the same order."""
    a, b = float(area[u]), float(area[v])
    smaller, larger = min(a, b), max(a, b)
    apart = 0.0
    for c in range(colour.shape[1]):
        difference = colour[u, c] / a - colour[v, c] / b
        apart += difference * difference
    apart = apart * (rules.colour_unit * rules.colour_unit)
    border = line[0] * rules.across + line[1] * rules.down
    strength = line[2] * rules.across + line[3] * rules.down
    boundary = strength / (2 * rules.colour_steps) / border
    outline = (perimeter[u, 0] + perimeter[v, 0] - 2 * line[0]) * rules.across + (
        perimeter[u, 1] + perimeter[v, 1] - 2 * line[1]
    ) * rules.down
    shape = outline * outline / (rules.square * (a + b))
    if len(sizes) == 1:
        apart = apart + rules.boundary_weight * boundary
    else:
        for c in range(3):
            inputs[c] = (lab[u, c] / a - lab[v, c] / b) / rules.lab_steps
        lightness, green, blue = inputs[0], inputs[1], inputs[2]
        inputs[0] = _log(smaller / rules.cell_area + 0.1)
        inputs[1] = _log(larger / rules.cell_area + 0.1)
        inputs[2] = _log(1 + math.sqrt(lightness * lightness + green * green + blue * blue))
        inputs[3] = _log(1 + abs(lightness))
        inputs[4] = boundary
        inputs[5] = _log(border / math.sqrt(smaller) + 0.05)
        inputs[6] = shape
        loss = _expected_loss(inputs, sizes, layers, sums, rules)
        apart = rules.colour_share * apart + rules.classifier_weight * loss
    weight = smaller * larger / (smaller + larger)
    return weight * (apart + rules.shape_weight * (shape + rules.evenness))


@njit(cache=True, nogil=True, error_model="numpy")
def _step(cost: float, octave: NDArray[np.float64]) -> int:
    """`tree._step` of one cost."""
    mantissa, exponent = math.frexp(max(cost, np.finfo(np.float64).tiny))
    step = 0
    while step < len(octave) and octave[step] <= mantissa:
        step += 1
    return (len(octave) + 1) * exponent + step


@njit(cache=True, nogil=True, error_model="numpy")
def _scattered(u: int, v: int) -> np.uint64:
    """`tree._hash` of one pair."""
    x = np.uint64(u) * SCATTER + np.uint64(v)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True, error_model="numpy")
def _relabelled(
    edges: NDArray[np.int64],
    lines: NDArray[np.int64],
    cost: NDArray[np.float64],
    step: NDArray[np.int64],
    scatter: NDArray[np.uint64],
    stale: NDArray[np.bool_],
    left: int,
    target: NDArray[np.int64],
    changed: NDArray[np.bool_],
) -> int:
    """Rename the ends of the edges in place, sum up those that are one now, and return how many are left."""
    touched = 0
    for k in range(left):
        touched += changed[edges[k, 0]] or changed[edges[k, 1]]
    places = 16
    while places < PLACES_PER_KEY * touched:
        places *= 2
    keys, owner = np.full(places, EMPTY, np.int64), np.empty(places, np.int64)
    kept = 0
    for k in range(left):
        u, v = edges[k]
        if changed[u] or changed[v]:
            u, v = target[u], target[v]
            if u == v:
                continue
            key = min(u, v) * len(target) + max(u, v)
            place = _place_of(keys, key)
            if keys[place] == key:
                lines[owner[place]] += lines[k]
                continue
            keys[place], owner[place] = key, kept
            edges[kept, 0], edges[kept, 1] = min(u, v), max(u, v)
            stale[kept] = True
        else:
            edges[kept, 0], edges[kept, 1] = u, v
            cost[kept], step[kept], scatter[kept] = cost[k], step[k], scatter[k]
            stale[kept] = False
        lines[kept] = lines[k]
        kept += 1
    return kept
