"""Passes over pairs of regions, compiled: the answers of the numpy that they replace (`passes.compiled`).

All sums are of whole numbers. Passes over parts of the pairs, or over those of a range of regions, can run in
threads side by side: each writes what no other reads or writes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from napari_pcnet.merging.compiling import compiled

LANES = 64
"""Pairs of regions that are compared at once."""

ROWS_AT_ONCE = 8
"""Rows of a layer's weights that are taken at once."""

WORD = 4294967296.0
"""What the upper half of a number counts: 2**32."""

STALE = np.int16(-(1 << 15))
"""Stands for the step of a cost that is not known, or no longer; costs have none so low."""

CHANGED = np.int16(STALE + 1)
"""Stands for the step of a pair of which a region was merged just now; costs have none so low."""

SCATTER = np.uint64(0x9E3779B97F4A7C15)
"""2**64 over the golden ratio: neighbouring keys times this, in their upper bits, lie far apart."""


class Pairs(NamedTuple):
    """Pairs of regions that touch: the first rows of each array."""

    ends: NDArray[np.int32]  # (e, 2), the smaller first; a region goes by its smallest leaf
    lines: NDArray[np.uint32]  # (e, 4) or (e, 2), as in `graph.Graph`; the lower half of each number
    upper: NDArray[np.uint32]  # and the upper one, likewise; (0, ...) while there is none
    step: NDArray[np.int16]  # (e,), `cost._step` of the cost, or `STALE`


class Regions(NamedTuple):
    """Regions that are left, each in the row of its smallest leaf."""

    colour: NDArray[np.int64]  # (n, 3 + ...): sums of CIELAB and of other colours
    area: NDArray[np.uint32] | NDArray[np.int64]  # (n,)
    perimeter: NDArray[np.uint32] | NDArray[np.int64]  # (n, 2): horizontal and vertical sides; (n, 1): all
    node: NDArray[np.int32] | NDArray[np.int64]  # (n,), in the tree
    best: NDArray[np.int32]  # (n,), the pair that is cheapest; once merged, -2 less the region it went to
    number: NDArray[np.int32]  # (n,), which of all pieces it goes by; (0,) if that is the row


class Rules(NamedTuple):
    """What all pairs of regions are compared by: numbers of a run, and constants of `cost` and `exact`."""

    first_compared: int  # the first column of `Regions.colour` that is compared
    cell_area: float
    colour_unit: float  # of a step of colour, where a difference of 1 is just visible
    across: float  # length of a horizontal side, in sides of a square pixel of the same area
    down: float  # and of a vertical one
    shape_weight: float  # the compactness squared
    slope: float  # of the classifier's LeakyReLU
    boundary_weight: float  # from here on as the constants of these names in `cost`
    classifier_weight: float
    colour_share: float
    evenness: float
    roundness_weight: float
    square: float
    colour_steps: float
    lab_unit: float  # of a step of CIELAB
    input_steps: float
    weight_unit: float  # of a step of the classifier's weights
    largest_input: float
    smallest_cost: float
    octave: tuple[float, ...]
    log2_series: tuple[float, ...]  # and from here on in `exact`
    root_half: float
    ln_2: float
    exp2_series: tuple[float, ...]
    log2_e: float
    steepest: float


@compiled
def find_stale(start: int, left: int, step: NDArray[np.int16], these: NDArray[np.int32]) -> tuple[int, int]:
    """Fill `these` with pairs from `start` on whose cost is not known.

    Returns
    -------
    tuple of int
        How many there are, and where to go on.
    """
    number = 0
    for k in range(start, left):
        if step[k] == STALE:
            if number == len(these):
                return number, k
            these[number] = k
            number += 1
    return number, left


@register_jitable(fastmath={"contract"})  # type: ignore[untyped-decorator]  # numba has no types
def add_products(
    values: NDArray[np.float64],
    rows: int,
    layers: NDArray[np.float64],
    at: int,
    outs: int,
    out: NDArray[np.float64],
) -> None:
    """Fill the first `outs` rows of `out` with what a layer makes of `values`.

    Products and sums are whole numbers below 2**53, so they are exact whether they are fused or not.

    Parameters
    ----------
    values, out : (n, LANES) float64 array
        Whole numbers, a pair of regions a column.
    rows : int
        Of `values` that the layer takes, a multiple of `ROWS_AT_ONCE`.
    layers : (...) float64 array
        As in `compare`; the layer's weights begin at `at`.
    outs : int
        Outputs of the layer.
    """
    for o in range(0, outs, 2):
        other = min(o + 1, outs - 1)  # of the last of an odd number itself
        bias, other_bias = layers[at + rows * outs + o], layers[at + rows * outs + other]
        for p in range(LANES):
            out[o, p] = bias
        for p in range(LANES):
            out[other, p] = other_bias
        for i in range(0, rows, ROWS_AT_ONCE):
            w, v = at + i * outs + o, at + i * outs + other
            w0, w1, w2, w3 = layers[w], layers[w + outs], layers[w + 2 * outs], layers[w + 3 * outs]
            v0, v1, v2, v3 = layers[v], layers[v + outs], layers[v + 2 * outs], layers[v + 3 * outs]
            w, v = w + 4 * outs, v + 4 * outs
            w4, w5, w6, w7 = layers[w], layers[w + outs], layers[w + 2 * outs], layers[w + 3 * outs]
            v4, v5, v6, v7 = layers[v], layers[v + outs], layers[v + 2 * outs], layers[v + 3 * outs]
            for p in range(LANES):
                a, b, c, d = values[i, p], values[i + 1, p], values[i + 2, p], values[i + 3, p]
                e, f, g, h = values[i + 4, p], values[i + 5, p], values[i + 6, p], values[i + 7, p]
                one = out[o, p] + w0 * a + w1 * b + w2 * c + w3 * d + w4 * e + w5 * f + w6 * g + w7 * h
                two = out[other, p] + v0 * a + v1 * b + v2 * c + v3 * d + v4 * e + v5 * f + v6 * g + v7 * h
                out[other, p] = two
                out[o, p] = one


@register_jitable(error_model="numpy")  # type: ignore[untyped-decorator]  # numba has no types
def describe(
    these: NDArray[np.int32],
    start: int,
    number: int,
    pairs: Pairs,
    regions: Regions,
    rules: Rules,
    room: NDArray[np.float64],
) -> None:
    """Fill `room`, a column for each pair from `start` on, with what `cost.Round` says of it.

    Its first rows get the input of a merge classifier, before logarithms; the third ones get Ward's weight,
    the difference of colour, the shape, the boundary, and the roundness that is lost.
    """
    ends, lines, upper = pairs.ends, pairs.lines, pairs.upper
    is_wide, ways = len(upper) > 0, lines.shape[1] // 2
    colour, area, perimeter = regions.colour, regions.area, regions.perimeter
    across, down = rules.across, rules.down
    for p in range(number):
        k = these[start + p]
        u, v = ends[k, 0], ends[k, 1]
        if area[u] > area[v]:
            u, v = v, u
        a, b = np.float64(area[u]), np.float64(area[v])
        apart = 0.0
        for c in range(rules.first_compared, colour.shape[1]):
            difference = colour[u, c] / a - colour[v, c] / b
            apart += difference * difference
        x0, x1 = np.float64(lines[k, 0]), np.float64(lines[k, ways])
        y0, y1 = 0.0, 0.0
        if ways == 2:
            y0, y1 = np.float64(lines[k, 1]), np.float64(lines[k, 3])
        if is_wide:
            x0, x1 = x0 + upper[k, 0] * WORD, x1 + upper[k, ways] * WORD
            if ways == 2:
                y0, y1 = y0 + upper[k, 1] * WORD, y1 + upper[k, 3] * WORD
        border = x0 * across + y0 * down
        strength = x1 * across + y1 * down
        boundary = strength / (2 * rules.colour_steps) / border
        xu, xv = np.float64(perimeter[u, 0]), np.float64(perimeter[v, 0])
        yu, yv = 0.0, 0.0
        if ways == 2:
            yu, yv = np.float64(perimeter[u, 1]), np.float64(perimeter[v, 1])
        outline = (xu + xv - 2 * x0) * across + (yu + yv - 2 * y0) * down
        shape = outline * outline / (rules.square * (a + b))
        lightness = (colour[u, 0] / a - colour[v, 0] / b) * rules.lab_unit
        green = (colour[u, 1] / a - colour[v, 1] / b) * rules.lab_unit
        blue = (colour[u, 2] / a - colour[v, 2] / b) * rules.lab_unit
        round_u = a * (np.sqrt(rules.square * a) / (xu * across + yu * down))
        round_v = b * (np.sqrt(rules.square * b) / (xv * across + yv * down))
        room[0, 0, p] = a / rules.cell_area + 0.1
        room[0, 1, p] = b / rules.cell_area + 0.1
        room[0, 2, p] = 1 + np.sqrt(lightness * lightness + green * green + blue * blue)
        room[0, 3, p] = 1 + abs(lightness)
        room[0, 4, p] = boundary
        room[0, 5, p] = border / np.sqrt(a) + 0.05
        room[0, 6, p] = shape
        room[2, 0, p] = a * b / (a + b)
        room[2, 1, p] = apart * (rules.colour_unit * rules.colour_unit)
        room[2, 2, p] = shape
        room[2, 3, p] = boundary
        kept = np.sqrt(rules.square * (a + b)) / outline
        room[2, 4, p] = max((round_u + round_v) / (a + b) - kept, 0.0)


@register_jitable(error_model="numpy")  # type: ignore[untyped-decorator]  # numba has no types
def take_logarithms(inputs: int, rules: Rules, room: NDArray[np.float64]) -> None:
    """Make of the first rows of `room` what goes into a merge classifier, in whole steps."""
    log0, log1, log2, log3, log4, log5, log6 = rules.log2_series
    for i in range(inputs):
        is_log = i < 4 or i == 5
        for p in range(LANES):
            value = room[0, i, p]
            if is_log:  # `exact.log`
                bits = np.float64(value).view(np.int64)
                exponent = np.float64((bits >> 52) - 1022)
                mantissa = np.int64((bits & 0xFFFFFFFFFFFFF) | (1022 << 52)).view(np.float64)
                low = mantissa < rules.root_half
                mantissa = 2 * mantissa if low else mantissa
                exponent = exponent - 1 if low else exponent
                t = (mantissa - 1) / (mantissa + 1)
                s = t * t
                value = ((((((log0 * s + log1) * s + log2) * s + log3) * s + log4) * s + log5) * s + log6) * t
                value = (exponent + value) * rules.ln_2
            value *= rules.input_steps
            value = min(max(value, -rules.largest_input), rules.largest_input)
            room[0, i, p] = np.floor(value + 0.5)


@register_jitable(error_model="numpy")  # type: ignore[untyped-decorator]  # numba has no types
def classify(
    sizes: NDArray[np.int64], layers: NDArray[np.float64], rules: Rules, room: NDArray[np.float64]
) -> int:
    """Work out the layers of a merge classifier; return where in `room` the output of the last is."""
    at, last = 0, len(sizes) - 2
    for layer in range(last + 1):
        rows, outs = -(-sizes[layer] // ROWS_AT_ONCE) * ROWS_AT_ONCE, sizes[layer + 1]
        there = 1 - layer % 2
        add_products(room[layer % 2], rows, layers, at, outs, room[there])
        if layer < last:
            for o in range(outs):
                for p in range(LANES):
                    value = room[there, o, p] * rules.weight_unit
                    room[there, o, p] = np.floor(max(value, rules.slope * value) + 0.5)
        at += (rows + 1) * outs
    return 1 - last % 2


@register_jitable(error_model="numpy")  # type: ignore[untyped-decorator]  # numba has no types
def weigh_loss(there: int, rules: Rules, room: NDArray[np.float64]) -> None:
    """Weigh the difference of colour and the loss that a classifier, whose output is at `there`, expects."""
    exp0, exp1, exp2, exp3, exp4, exp5, exp6, exp7, exp8 = rules.exp2_series
    for p in range(LANES):  # `exact.logistic`
        value = room[there, 0, p] * (rules.weight_unit / rules.input_steps)
        power = min(max(value, -rules.steepest), rules.steepest) * -rules.log2_e
        whole = np.floor(power + 0.5)
        f = power - whole
        value = exp0
        value = (((value * f + exp1) * f + exp2) * f + exp3) * f + exp4
        value = (((value * f + exp5) * f + exp6) * f + exp7) * f + exp8
        value = value * np.int64((np.int64(whole) + 1023) << 52).view(np.float64)
        loss = 1 / (1 + value)
        room[2, 1, p] = rules.colour_share * room[2, 1, p] + rules.classifier_weight * loss


@register_jitable(error_model="numpy")  # type: ignore[untyped-decorator]  # numba has no types
def step_of(value: float, rules: Rules) -> np.int64:
    """`cost._step` of a cost."""
    bits = np.float64(max(value, rules.smallest_cost)).view(np.int64)
    octave = ((bits >> 52) - 1022) * (len(rules.octave) + 1)
    mantissa = np.int64((bits & 0xFFFFFFFFFFFFF) | (1022 << 52)).view(np.float64)
    for limit in rules.octave:
        octave += limit <= mantissa
    return octave


@compiled
def compare(
    these: NDArray[np.int32],
    number: int,
    pairs: Pairs,
    regions: Regions,
    sizes: NDArray[np.int64],
    layers: NDArray[np.float64],
    room: NDArray[np.float64],
    rules: Rules,
    cost: NDArray[np.float64],
) -> None:
    """Work out `cost.Round.cost` and `cost._step` of some pairs, the operations of each in the same order.

    Parameters
    ----------
    these : (m,) int32 array
        Which pairs, the first `number` of them.
    pairs : Pairs
        Receive their steps.
    regions : Regions
    sizes : (layers + 1,) int64 array
        Numbers of inputs and outputs of the merge classifier's layers; one entry without a classifier.
    layers : (...) float64 array
        Weights ``(n_in, n_out)`` and biases of all layers, in whole steps; `n_in` is filled up with rows of
        zeros to a multiple of `ROWS_AT_ONCE`.
    room : (3, sizes.max() + ROWS_AT_ONCE, LANES) float64 array
        For what goes into a layer and what comes out of it, by turns, and for numbers of the pairs.
    rules : Rules
    cost : (m,) float64 array
        Receives the costs.
    """
    for start in range(0, number, LANES):
        left = min(LANES, number - start)
        describe(these, start, left, pairs, regions, rules, room)
        if len(sizes) == 1:
            for p in range(LANES):
                room[2, 1, p] += rules.boundary_weight * room[2, 3, p]
        else:
            take_logarithms(sizes[0], rules, room)
            weigh_loss(classify(sizes, layers, rules, room), rules, room)
        for p in range(left):
            shape = room[2, 2, p] + rules.evenness + rules.roundness_weight * room[2, 4, p]
            value = room[2, 0, p] * (room[2, 1, p] + rules.shape_weight * shape)
            cost[start + p] = value
            pairs.step[these[start + p]] = step_of(value, rules)


@register_jitable  # type: ignore[untyped-decorator]  # numba has no types
def hashed(u: np.int32, v: np.int32, number: NDArray[np.int32]) -> np.int64:
    """`cost._hash` of a pair, as `cost.keys_of` has it, by their numbers if there are any."""
    if len(number):
        u, v = number[u], number[v]
    x = np.uint64(u) * SCATTER + np.uint64(v)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return np.int64(x >> np.uint64(16))


@compiled
def find_best(
    left: int,
    ends: NDArray[np.int32],
    step: NDArray[np.int16],
    number: NDArray[np.int32],
    best: NDArray[np.int32],
    low: int,
    high: int,
) -> None:
    """Find the cheapest pair of each region of a range.

    Parameters
    ----------
    left : int
        Pairs there are.
    ends, step
        As in `Pairs`.
    number, best
        As in `Regions`; `best` receives the pairs.
    low, high : int
        The first region of the range, and the first behind it.
    """
    for k in range(left):
        for side in range(2):
            if low <= ends[k, side] < high:
                best[ends[k, side]] = -1
    for k in range(left):
        for side in range(2):
            end = ends[k, side]
            if not low <= end < high:
                continue
            other = best[end]
            if (
                other < 0
                or step[k] < step[other]
                or (
                    step[k] == step[other]
                    and hashed(ends[k, 0], ends[k, 1], number)
                    < hashed(ends[other, 0], ends[other, 1], number)
                )
            ):
                best[end] = k


@compiled
def find_cheapest_of_both(
    ends: NDArray[np.int32],
    step: NDArray[np.int16],
    number: NDArray[np.int32],
    best: NDArray[np.int32],
    start: int,
    stop: int,
    chosen: NDArray[np.int32],
    key: NDArray[np.int64],
) -> int:
    """Find the pairs between two rows that are the cheapest of both their ends; return how many there are.

    Parameters
    ----------
    ends, step
        As in `Pairs`.
    number, best
        As in `Regions`.
    start, stop : int
        The first row, and the first behind the last.
    chosen : (m,) int32 array
        Receives the pairs.
    key : (m,) int64 array
        Receives their `cost.keys_of`.
    """
    found = 0
    for k in range(start, stop):
        u, v = ends[k, 0], ends[k, 1]
        if best[u] == k and best[v] == k:
            chosen[found] = k
            key[found] = (np.int64(step[k]) << 48) | hashed(u, v, number)
            found += 1
    return found


@compiled
def find_hosts(
    area: NDArray[np.int64],
    edges: NDArray[np.int32],
    sides: NDArray[np.uint32],
    across: float,
    down: float,
    largest: float,
    longest: NDArray[np.float64],
    host: NDArray[np.int32],
) -> None:
    """Fill `host` as `crumbs.find_hosts` does.

    Parameters
    ----------
    area, edges, sides
        As there.
    across, down : float
        Length of a horizontal and of a vertical side.
    largest : float
        Pixels of the largest crumb.
    longest : (n,) float64 array
        Zeros; room for the border with the host.
    """
    for k in range(len(edges)):
        for side in range(2):
            crumb, other = edges[k, side], edges[k, 1 - side]
            if area[crumb] <= largest and area[other] > largest:
                border = sides[k, 0] * across + sides[k, 1] * down
                if border > longest[crumb] or (border == longest[crumb] and other < host[crumb]):
                    longest[crumb], host[crumb] = border, other


@compiled
def join(
    crumbs: NDArray[np.int32], host: NDArray[np.int32], regions: Regions, children: NDArray[np.int32]
) -> None:
    """Merge crumbs into their hosts, which are none, one after the other; outlines are left to `rename`.

    Parameters
    ----------
    crumbs : (m,) int32 array
        In the order of merging.
    host : (n,) int32 array
        Where each of them goes.
    regions : Regions
        Become those that are left.
    children : (m, 2) int array
        Receives the merges.
    """
    colour, area, perimeter = regions.colour, regions.area, regions.perimeter
    node, best = regions.node, regions.best
    leaves = len(node)
    best[:] = 0
    for m in range(len(crumbs)):
        crumb = crumbs[m]
        into = host[crumb]
        children[m, 0], children[m, 1] = node[into], node[crumb]
        node[into] = leaves + m
        area[into] += area[crumb]
        for c in range(colour.shape[1]):
            colour[into, c] += colour[crumb, c]
        for c in range(perimeter.shape[1]):
            perimeter[into, c] += perimeter[crumb, c]
        first = -2 - best[into] if best[into] < -1 else into
        best[into] = -2 - min(first, crumb)
    for m in range(len(crumbs)):
        crumb = crumbs[m]
        into = host[crumb]
        best[crumb] = best[into]
        if best[into] == -2 - crumb:  # the region goes by its smallest leaf
            node[crumb], area[crumb] = node[into], area[into]
            for c in range(colour.shape[1]):
                colour[crumb, c] = colour[into, c]
            for c in range(perimeter.shape[1]):
                perimeter[crumb, c] = perimeter[into, c]


@compiled
def merge(
    chosen: NDArray[np.int32],
    pairs: Pairs,
    regions: Regions,
    children: NDArray[np.int32],
    heights: NDArray[np.float64],
    made: int,
    start: int,
    stop: int,
) -> None:
    """Merge the second region of each chosen pair between two rows into the first; `rename` does outlines.

    Parameters
    ----------
    chosen : (m,) int32 array
        Pairs that share no region, in the order of merging.
    pairs : Pairs
    regions : Regions
        Become those that are left.
    children : (merges, 2) int array
        Receives the merges, behind the first `made` of them.
    heights : (merges,) float64 array
        Holds their costs there, which become heights.
    made : int
        Merges of the rounds before.
    start, stop : int
        The first row of `chosen`, and the first behind the last.
    """
    ends = pairs.ends
    colour, area, perimeter = regions.colour, regions.area, regions.perimeter
    node, best = regions.node, regions.best
    leaves = len(node)
    for m in range(start, stop):
        k = chosen[m]
        u, v = ends[k, 0], ends[k, 1]
        merge_number = made + m
        for side in range(2):
            child = node[ends[k, side]]
            children[merge_number, side] = child
            if child >= leaves:
                heights[merge_number] = max(heights[merge_number], heights[child - leaves])
        node[u] = leaves + merge_number
        for c in range(colour.shape[1]):
            colour[u, c] += colour[v, c]
        area[u] += area[v]
        for c in range(perimeter.shape[1]):
            perimeter[u, c] += perimeter[v, c]
        best[u] = best[v] = -2 - u


@compiled
def rename(pairs: Pairs, regions: Regions, start: int, stop: int) -> None:
    """Rename the ends of the pairs between two rows, and take the borders inside regions from their outlines.

    Of a pair of which a region was merged the step becomes `CHANGED`; a pair inside a region is none any
    more, and its ends are -1.

    Parameters
    ----------
    pairs : Pairs
    regions : Regions
        In threads each is to have one pair inside at most, as where two became one.
    start, stop : int
        The first row, and the first behind the last.
    """
    ends, lines, upper, step = pairs.ends, pairs.lines, pairs.upper, pairs.step
    best, perimeter = regions.best, regions.perimeter
    for k in range(start, stop):
        u, v = ends[k, 0], ends[k, 1]
        into_u, into_v = best[u], best[v]
        if into_u >= -1 and into_v >= -1:
            continue
        if into_u < -1:
            u = -2 - into_u
        if into_v < -1:
            v = -2 - into_v
        step[k] = CHANGED
        if u == v:
            for c in range(lines.shape[1] // 2):
                sides = np.int64(lines[k, c])
                if len(upper):
                    sides += np.int64(upper[k, c]) << 32
                perimeter[u, c] -= 2 * sides
            u = v = -1
        ends[k, 0], ends[k, 1] = min(u, v), max(u, v)


@compiled
def count_changed(left: int, pairs: Pairs, low: int, high: int) -> int:
    """Count the pairs that `rename` changed whose smaller region is in a range."""
    number = 0
    for k in range(left):
        number += pairs.step[k] == CHANGED and low <= pairs.ends[k, 0] < high
    return number


@compiled
def sum_up(left: int, pairs: Pairs, low: int, high: int, places: NDArray[np.int32]) -> int:
    """Sum up pairs that are one now, of those whose smaller region is in a range.

    Parameters
    ----------
    left : int
        Pairs there are.
    pairs : Pairs
        The first of those that are one has their sum, the ends of the others become -1.
    low, high : int
        The first region of the range, and the first behind it.
    places : (p,) int32 array
        A hash table of pairs, -1 where it is free; longer than `count_changed`. A third of these and more
        become one with others.

    Returns
    -------
    int
        The largest of the sums, without upper halves.
    """
    ends, lines, upper, step = pairs.ends, pairs.lines, pairs.upper, pairs.step
    size, largest = np.uint64(len(places)), 0
    for k in range(left):
        u, v = ends[k, 0], ends[k, 1]
        if step[k] != CHANGED or not low <= u < high:
            continue
        scattered = ((np.uint64(u) << np.uint64(32) | np.uint64(v)) * SCATTER) >> np.uint64(32)
        place = np.int64((scattered * size) >> np.uint64(32))
        while places[place] >= 0 and (ends[places[place], 0] != u or ends[places[place], 1] != v):
            place += 1
            if place == len(places):
                place = np.int64(0)
        first = places[place]
        if first < 0:
            places[place] = k
            continue
        ends[k, 0] = ends[k, 1] = -1
        for c in range(lines.shape[1]):
            total = np.int64(lines[first, c]) + np.int64(lines[k, c])
            lines[first, c] = total & 0xFFFFFFFF
            if len(upper):
                upper[first, c] += upper[k, c] + (total >> 32)
            largest = max(largest, int(total))
    return largest


@compiled
def keep(pairs: Pairs, start: int, stop: int) -> int:
    """Move the pairs between two rows that are left to the first rows of these; return how many they are.

    What changed becomes `STALE`.
    """
    ends, lines, upper, step = pairs.ends, pairs.lines, pairs.upper, pairs.step
    kept = start
    for k in range(start, stop):
        if ends[k, 0] < 0:
            continue
        ends[kept, 0], ends[kept, 1] = ends[k, 0], ends[k, 1]
        step[kept] = STALE if step[k] == CHANGED else step[k]
        for c in range(lines.shape[1]):
            lines[kept, c] = lines[k, c]
            if len(upper):
                upper[kept, c] = upper[k, c]
        kept += 1
    return kept - start
