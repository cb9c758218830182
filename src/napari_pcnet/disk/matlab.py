"""MATLAB files, as BSDS500 and NYUv2 come in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_pcnet.disk.damage import naming_damage


def read_variable(path: Path, variable: str) -> NDArray[Any]:
    """Read one variable.

    Raises
    ------
    ValueError
        If the file is damaged or does not have it.
    """
    from scipy.io import loadmat

    with _opened(path, variable):
        values: NDArray[Any] = loadmat(path, variable_names=[variable])[variable]
    return values


def read_shape(path: Path, variable: str) -> tuple[int, ...]:
    """Read the shape of one variable from the table of contents, without its values; errors as above."""
    from scipy.io import whosmat

    with _opened(path, variable):
        shapes = {name: tuple(shape) for name, shape, _type in whosmat(path)}
        return shapes[variable]


@contextmanager
def _opened(path: Path, variable: str) -> Iterator[None]:
    """Name the file and the variable in errors of what reads them."""
    from scipy.io.matlab import MatReadError

    with naming_damage(path, f"a MATLAB file with {variable}"):
        try:
            yield
        except MatReadError as error:  # no ValueError
            raise ValueError(str(error)) from error
