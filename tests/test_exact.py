"""Functions that are the same on every processor are those of the libraries, to many digits."""

import numpy as np
from numpy.testing import assert_allclose
from scipy.special import expit
from skimage.color import rgb2lab

from napari_pcnet.merging import exact


def test_the_logarithm() -> None:
    values = np.exp(np.random.default_rng(0).uniform(-40, 40, 2000))
    assert_allclose(exact.log(values), np.log(values), rtol=0, atol=1e-9)
    assert exact.log(np.array([1.0]))[0] == 0


def test_the_exponential() -> None:
    values = np.append(np.random.default_rng(0).uniform(-40, 40, 2000), [0.0])
    assert_allclose(exact.exp(values), np.exp(values), rtol=1e-9, atol=0)
    assert exact.exp(np.array([0.0]))[0] == 1
    assert exact.exp(np.array([-1e9]))[0] < 1e-17


def test_the_logistic_function() -> None:
    values = np.append(np.random.default_rng(0).uniform(-30, 30, 2000), [-900.0, 0, 900])
    assert_allclose(exact.logistic(values), expit(values), rtol=0, atol=1e-9)


def test_lab_is_that_of_scikit_image() -> None:
    rgb = np.random.default_rng(0).integers(0, 65536, (2000, 3))
    rgb[:4] = [
        [0, 0, 0],
        [65535] * 3,
        [1, 0, 2600],
        [2651, 2652, 65535],
    ]  # corners of curves
    assert_allclose(exact.lab_of_rgb(rgb), rgb2lab(rgb[None] / 65535)[0], rtol=0, atol=1e-9)
