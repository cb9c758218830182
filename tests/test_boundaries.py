"""The definition of a boundary pixel, on labels one can draw."""

import numpy as np
import torch

from napari_pcnet.boundaries import boundary_pixels


def as_rows(marked):
    return ["".join(".#"[int(pixel)] for pixel in row) for row in marked]


def test_both_sides_of_a_boundary_are_boundary_and_the_frame_is_not():
    labels = np.zeros((4, 6), np.uint8)
    labels[2:, 4:] = 7
    assert as_rows(boundary_pixels(labels)) == [
        "......",
        "....##",
        "...###",
        "...##.",
    ]


def test_pixels_that_meet_at_a_corner_are_no_neighbours():
    assert as_rows(boundary_pixels(np.array([[1, 1, 1], [1, 1, 1], [1, 1, 2]]))) == ["...", "..#", ".##"]


def test_planes_of_a_stack_do_not_touch_each_other():
    stack = np.array([[[1, 1], [1, 1]], [[2, 2], [3, 3]]])
    assert as_rows(boundary_pixels(stack)[0]) == ["..", ".."]
    assert as_rows(boundary_pixels(stack)[1]) == ["##", "##"]


def test_a_tensor_has_the_boundary_of_the_array():
    labels = np.random.default_rng(0).integers(0, 3, (2, 9, 7))
    tensor = boundary_pixels(torch.from_numpy(labels))
    assert tensor.dtype == torch.bool
    assert np.array_equal(tensor.numpy(), boundary_pixels(labels))
