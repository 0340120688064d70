"""Deformations: known maps, their inverse and what they do to pictures."""

import numpy as np
import pytest

from scripts.common.deformation import Deformation


def linear(matrix, shape=(40, 50), spacing_mm=(1.0, 2.0)):
    """The deformation p -> matrix @ p."""
    grid = np.indices(shape) * np.array(spacing_mm)[:, None, None]
    return Deformation(np.tensordot(np.asarray(matrix) - np.eye(2), grid, 1), spacing_mm)


def test_a_linear_map_its_inverse_and_its_change_of_area():
    matrix = np.array([[1.1, 0.05], [-0.1, 0.9]])
    made, points = linear(matrix), np.array([[3.0, 7.0], [20.5, 41.0]])
    assert made(points) == pytest.approx(points @ matrix.T)
    assert made.inverse(made(points)) == pytest.approx(points, abs=1e-6)
    assert made.jacobian() == pytest.approx(np.full((40, 50), np.linalg.det(matrix)))


def test_beyond_the_grid_its_border_counts():
    made = linear(np.diag([1.1, 1.0]))
    assert made(np.array([[100.0, 5.0]])) == pytest.approx(np.array([[103.9, 5.0]]))


def test_pulling_shows_the_image_at_the_mapped_point():
    image = np.zeros((60, 60), np.float32)
    image[29, 40] = 1
    field = np.zeros((2, 20, 20))
    field[0], field[1] = 2.5, -5.0  # mm
    pulled = Deformation(field, (3.0, 3.0)).pull(image, (0.5, 0.5), (30, 60), (1.0, 0.5))
    assert np.argwhere(pulled > 0.9).tolist() == [[12, 50]]  # at 14.5 mm and 20 mm; 12 mm and 25 mm are mapped there


def test_a_wrong_field_is_named():
    with pytest.raises(ValueError, match="displacement_mm"):
        Deformation(np.zeros((3, 4, 4)), (1, 1))
