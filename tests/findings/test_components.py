"""The slim FCN paper's objects: components of a thresholded map, which change with the threshold."""

import numpy as np
import pytest

from scripts.findings.components import ComponentObjects, components
from scripts.findings.forming import Scene


def test_components_and_scores():
    probability = np.array([[0.9, 0.6, 0.0, 0.7], [0.0, 0.0, 0.8, 0.0], [0.4, 0.0, 0.0, 0.0]], np.float32)
    labels, scores, _ = components(probability, 0.5)
    assert labels[0, 3] == labels[1, 2] == labels[0, 1] == labels[0, 0]  # 8-connected through the diagonals
    assert labels[2, 0] == 0 and scores[1] == pytest.approx(0.9)
    labels, scores, _ = components(probability, 0.3, within=np.arange(4)[None].repeat(3, 0) < 1)
    assert labels.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]]
    np.testing.assert_allclose(scores, [0, 0.9, 0.4])


def scene_of(probability):
    logits = np.log(probability / (1 - probability)).astype(np.float32)[None]
    return Scene(np.zeros(probability.shape, np.float32), logits, None, (0.07, 0.07))


def test_two_spots_are_two_objects_or_one_by_the_threshold():
    values = np.full((5, 9), 1e-6)
    values[2, 1:8] = [0.9, 0.5, 0.2, 0.15, 0.2, 0.5, 0.8]
    scene = scene_of(values)
    assert ComponentObjects().form(scene, 0.4).labels.max() == 2
    joined = ComponentObjects().form(scene, 0.1)
    assert joined.labels.max() == 1 and joined.scores[1] == pytest.approx(0.9)


def test_the_grid_of_thresholds_is_descending_and_symmetric_in_logits():
    grid = ComponentObjects(steps=5, lowest=0.1).thresholds
    np.testing.assert_allclose(grid, [0.9, 0.75, 0.5, 0.25, 0.1])


def test_a_threshold_of_zero_is_the_lowest_of_the_grid_not_the_whole_image():
    values = np.full((6, 6), 1e-6)
    values[2, 2] = 0.7
    assert (ComponentObjects().form(scene_of(values), 0.0).labels > 0).sum() == 1


@pytest.mark.parametrize("wrong", [{"steps": 1}, {"lowest": 0.5}, {"lowest": 0.0}])
def test_impossible_grids_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: got"):
        ComponentObjects(**wrong)
