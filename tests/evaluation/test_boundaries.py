"""Distances of outlines, against hand-made squares and MONAI's surface distances."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

from scripts.evaluation.boundaries import boundary_distances, pair_distances
from scripts.evaluation.cases import score_case
from scripts.evaluation.object_fit import object_fit


def square(side, row, col, shape=(20, 20)):
    mask = np.zeros(shape, bool)
    mask[row : row + side, col : col + side] = True
    return mask


def test_a_square_around_a_square():
    inner, outer = square(3, 6, 6), square(5, 5, 5)  # outlines of 8 and 16 pixels, one pixel apart
    mean, hausdorff = boundary_distances(inner, outer, (0.1, 0.1))
    corners = 4 * np.sqrt(2)  # outer corners; all other pixels of both outlines are one pixel from the other
    assert mean == pytest.approx(0.1 * (8 + 12 + corners) / 24)
    assert hausdorff == pytest.approx(0.1 * np.percentile([1] * 12 + [np.sqrt(2)] * 4, 95))
    assert boundary_distances(inner, inner, (0.1, 0.1)) == (0, 0)
    assert boundary_distances(square(1, 4, 4), square(1, 4, 9), (0.1, 0.2)) == pytest.approx((1.0, 1.0))
    assert np.isnan(boundary_distances(inner, np.zeros_like(inner), (0.1, 0.1))).all()


@pytest.mark.parametrize("seed", range(5))
def test_as_monai(seed):
    rng = np.random.default_rng(seed)
    first, second = (square(int(rng.integers(2, 9)), *rng.integers(0, 11, 2)) for _ in range(2))
    first[rng.integers(5, 15), 3:15] = True
    pair = [torch.from_numpy(mask)[None, None].float() for mask in (first, second)]
    mean, hausdorff = boundary_distances(first, second, (0.05, 0.07))
    options = {"include_background": True, "spacing": (0.05, 0.07)}
    assert mean == pytest.approx(float(compute_average_surface_distance(*pair, symmetric=True, **options)), rel=1e-5)
    assert hausdorff == pytest.approx(float(compute_hausdorff_distance(*pair, percentile=95, **options)), rel=1e-5)


def test_pairs_are_cut_out_whole():
    annotated, predicted = square(3, 2, 2) * 1 + square(4, 12, 12) * 2, square(5, 11, 11) * 1 + square(3, 2, 3) * 2
    found = pair_distances(annotated, predicted, [(1, 2), (2, 1)], (1, 1))
    assert found[0] == pytest.approx(boundary_distances(annotated == 1, predicted == 2, (1, 1)))
    assert found[1] == pytest.approx(boundary_distances(annotated == 2, predicted == 1, (1, 1)))


def test_the_best_overlap_at_a_threshold_gives_the_fit():
    label, instances = square(4, 4, 4).astype(np.uint8), square(4, 4, 4) * 1
    instances[4:8, 6:10] = 2  # takes the right half of the first and goes two columns further
    label[15, 15] = 1
    breast = np.ones(label.shape, bool)
    case = score_case(label, instances, np.array([0, 0.9, 0.4]), breast, (0.1, 0.1))
    fit = object_fit(case, 0.5)
    assert fit.area_error_percent[0] == pytest.approx(-50)
    object_alone = square(4, 4, 4)
    assert fit.boundary_mm[0] == boundary_distances(object_alone, instances == 1, (0.1, 0.1))[0] > 0
    assert np.isnan([column[1] for column in fit]).all()
    assert fit.row(1) == {} and set(fit.row(0)) == {"boundary_mm", "hausdorff95_mm", "area_error_percent"}
    assert np.isnan(object_fit(case, 0.95).boundary_mm).all()
