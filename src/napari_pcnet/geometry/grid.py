"""The lattice of superpixels, the work frame it lives in, and the way between work and image pixels.

The *image frame* is the caller's pixels, ``(H, W)``. The *work frame* is the picture the network is
asked about; a superpixel starts as a square cell of work pixels. A superpixel's raw id is
its cell, ``row * columns + column``. All numbers here are whole: positions are compared as products
of integers, so that every window of a picture agrees on them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CELL = 16
"""Side of the paper's cells, in work pixels; some networks have finer ones."""

STRIDE = 64
"""The network reduces the work frame by 4 and halves it four times: frames and windows start and
end on multiples of this, in work pixels."""


MOST_CELLS = (1 << 31) - 1
"""Cells that 32 bits can name."""


class Fineness(NamedTuple):
    """How fine a network's bases can be, and how fine they should be.

    Attributes
    ----------
    cells : tuple of int
        Sides of the cells that it knows, in work pixels, falling.
    factors : tuple of int
        Of cells of each side, how many a base must have for each superpixel that is asked for. In a doubled
        picture the last of them holds for all.
    detail_px : int
        Where superpixels are smaller than this, in image pixels, the picture is doubled.
    small_px : int
        Pictures of up to so many pixels are always doubled: it costs little.
    """

    cells: tuple[int, ...]
    factors: tuple[int, ...]
    detail_px: int = 0
    small_px: int = 0

    def doubles(self, pixels: int, number: int) -> bool:
        """Whether a picture of so many pixels is doubled for this number of superpixels."""
        return pixels <= self.small_px or pixels < number * self.detail_px

    def factor(self, cell: int, is_doubled: bool) -> int:
        """How many cells of a side a base must have for each superpixel."""
        return self.factors[-1 if is_doubled else self.cells.index(cell)]


OF_THE_PAPER = Fineness((CELL,), (8,))
"""For networks that know the paper's cells alone.

The factor was chosen on BSDS500 val: compared with 4 it finds more of the boundaries, for twice the time on
small pictures; 16 adds little."""


class Window(NamedTuple):
    """A rectangle of pixels, half open; the variable's name says in which frame."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """The window as an index of a two-dimensional array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def inside(self, outer: Window) -> tuple[slice, slice]:
        """Return the window as an index of an array that holds `outer`."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )


def windows_over(shape: tuple[int, int], rows: int, columns: int) -> list[Window]:
    """Windows of so many rows and columns that cover a picture, in raster order; the last ones may be less.

    >>> windows_over((3, 5), 4, 4)
    [Window(top=0, left=0, bottom=3, right=4), Window(top=0, left=4, bottom=3, right=5)]
    """
    height, width = shape
    return [
        Window(top, left, min(top + rows, height), min(left + columns, width))
        for top in range(0, height, rows)
        for left in range(0, width, columns)
    ]


@dataclass(frozen=True)
class Grid:
    """A picture, its work frame and its lattice.

    Attributes
    ----------
    image_shape : tuple of int
        Rows and columns of the picture.
    work_shape : tuple of int
        Rows and columns of the work frame, without padding.
    cell : int
        Side of a cell in work pixels.
    """

    image_shape: tuple[int, int]
    work_shape: tuple[int, int]
    cell: int = CELL

    @property
    def lattice(self) -> tuple[int, int]:
        """Rows and columns of cells; the last ones may be partial."""
        return _ceil_div(self.work_shape[0], self.cell), _ceil_div(self.work_shape[1], self.cell)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.lattice[0] * self.lattice[1]

    def check_names(self, *, single_pixels: bool = False) -> None:
        """Refuse a lattice whose cells, or pixels, are too many to have names of their own.

        Raises
        ------
        ValueError
            One sentence that says how many there are.
        """
        named = math.prod(self.image_shape) if single_pixels else self.cells
        if named > MOST_CELLS:
            kind = "pixels, each a region," if single_pixels else "cells"
            raise ValueError(
                f"a lattice of {named} {kind} is beyond the {MOST_CELLS} that can be told apart: ask for "
                "fewer superpixels, or segment parts of the picture"
            )

    @property
    def cell_area(self) -> float:
        """Image pixels that a whole cell covers."""
        image, work = math.prod(self.image_shape), math.prod(self.work_shape)
        return self.cell * self.cell * image / work

    @property
    def padded_shape(self) -> tuple[int, int]:
        """Rows and columns of the work frame, padded at its end to whole strides."""
        return whole_strides(self.work_shape[0]), whole_strides(self.work_shape[1])

    @classmethod
    def enlarged(
        cls,
        image_shape: tuple[int, int],
        scale: int,
        spacing: tuple[float, float] = (1.0, 1.0),
        cell: int = CELL,
    ) -> Grid:
        """The lattice of ``method="hierarchy"``: the picture enlarged by a whole factor.

        With anisotropic `spacing` the axis of the larger spacing is enlarged further, by the whole
        factor nearest to their ratio, so that cells are near-square in the world, as far as they
        stay as large as a pixel.
        """
        finest = min(spacing)
        factors = [min(cell, scale * max(1, round(step / finest))) for step in spacing]
        return cls(image_shape, (image_shape[0] * factors[0], image_shape[1] * factors[1]), cell)

    @classmethod
    def ever_finer(
        cls,
        image_shape: tuple[int, int],
        spacing: tuple[float, float] = (1.0, 1.0),
        fineness: Fineness = OF_THE_PAPER,
        scale: int = 1,
    ) -> list[Grid]:
        """The lattices that a network can be asked for: its cells, coarse to fine, then larger pictures.

        The first picture is enlarged by `scale`; if that is more than 1, detail is wanted, and the coarsest
        of several cells are left out. With the largest enlargement a cell is one image pixel.
        """
        *coarse, finest = fineness.cells
        if scale > 1:
            coarse = coarse[1:]
        sides = [(scale, cell) for cell in coarse] + [(each, finest) for each in range(scale, finest + 1)]
        return [cls.enlarged(image_shape, each, spacing, cell) for each, cell in sides]

    @classmethod
    def for_count(
        cls,
        image_shape: tuple[int, int],
        number: int,
        inside_px: int,
        spacing: tuple[float, float] = (1.0, 1.0),
        fineness: Fineness = OF_THE_PAPER,
    ) -> list[Grid]:
        """The lattices that are fine enough for this many superpixels, the coarsest first.

        There are to be `Fineness.factor` cells for each inside a mask of `inside_px` pixels, as far as these
        go. The finest lattice is always among them.
        """
        is_doubled = fineness.doubles(inside_px, number)
        *grids, finest = cls.ever_finer(image_shape, spacing, fineness, 2 if is_doubled else 1)

        def is_enough(grid: Grid) -> bool:
            wanted = min(fineness.factor(grid.cell, is_doubled) * number, inside_px)
            return grid.cells >= wanted / inside_px * image_shape[0] * image_shape[1]

        return [*filter(is_enough, grids), finest]

    @classmethod
    def of_count(
        cls, image_shape: tuple[int, int], number: int, spacing: tuple[float, float] = (1.0, 1.0)
    ) -> Grid:
        """The lattice of ``method="lattice"``: about `number` cells, near-square in the world.

        Either axis may lead, so that a picture and its transpose have as many cells.
        """
        height, width = (side * step for side, step in zip(image_shape, spacing, strict=True))
        most_rows, most_columns = image_shape  # a cell is no smaller than a pixel
        by_rows = _shapes_near(number, math.sqrt(number * height / width), most_rows, most_columns)
        by_columns = _shapes_near(number, math.sqrt(number * width / height), most_columns, most_rows)

        def badness(shape: tuple[int, int]) -> tuple[int, float]:
            rows, columns = shape
            aspect = (height / rows) / (width / columns)
            # rounded, since a shape and its transpose are as good
            return abs(rows * columns - number), round(abs(math.log(aspect)), 9)

        shapes = [*by_rows, *((rows, columns) for columns, rows in by_columns)]
        rows, columns = min(shapes, key=badness)
        return cls(image_shape, (rows * CELL, columns * CELL))

    def work_position(self, axis: int) -> NDArray[np.int64]:
        """Work pixel under the centre of each image pixel along an axis, increasing."""
        image, work = self.image_shape[axis], self.work_shape[axis]
        return ((2 * np.arange(image, dtype=np.int64) + 1) * work) // (2 * image)


def raw_ids(
    neighbour: NDArray[np.integer], rows: NDArray[np.int64], columns: NDArray[np.int64], grid: Grid
) -> NDArray[np.int32]:
    """Name the cells that pixels chose.

    Parameters
    ----------
    neighbour : (h, w) array
        Chosen neighbour, 0 to 8, row by row over the 3 x 3 neighbourhood.
    rows, columns : (h,), (w,) array
        Work position of each pixel.
    grid : Grid

    Returns
    -------
    (h, w) int32 array
        ``row * columns + column`` of the cell.
    """
    parts = id_parts(rows, columns, grid)
    ids: NDArray[np.int32] = parts.steps[neighbour]
    ids += parts.rows[:, None]
    ids += parts.columns[None, :]
    return ids


class IdParts(NamedTuple):
    """What raw ids are sums of: one number each of the chosen neighbour, of the row and of the column."""

    steps: NDArray[np.int32]  # (9,)
    rows: NDArray[np.int32]  # (h,)
    columns: NDArray[np.int32]  # (w,)


def id_parts(rows: NDArray[np.int64], columns: NDArray[np.int64], grid: Grid) -> IdParts:
    """The summands of `raw_ids`, of pixels with these work positions."""
    across = grid.lattice[1]
    steps = np.array([(k // 3 - 1) * across + k % 3 - 1 for k in range(9)], np.int32)
    of_rows, of_columns = (rows // grid.cell) * across, columns // grid.cell
    return IdParts(steps, of_rows.astype(np.int32), of_columns.astype(np.int32))


def _shapes_near(number: int, ideal: float, most: int, most_other: int) -> list[tuple[int, int]]:
    """Cells along an axis, near the ideal, and along the other, that make about `number` together."""
    wanted = sorted({math.floor(ideal), math.ceil(ideal)})
    alongs = [max(1, min(each, most, number)) for each in wanted]
    return [(along, min(most_other, max(1, round(number / along)))) for along in alongs]


def whole_strides(length: int) -> int:
    """Round up to a multiple of `STRIDE`, at least one."""
    return max(1, _ceil_div(length, STRIDE)) * STRIDE


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)
