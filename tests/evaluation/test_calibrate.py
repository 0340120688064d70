"""The curve that is written with the presets: what it is fitted on, and that its error is of images it never saw."""

import numpy as np
import pytest

from scripts.evaluation.cases import score_case
from scripts.evaluation.matching import match_case
from scripts.evaluation.sections.probabilities import calibrate, object_reliability
from scripts.findings.calibration import Calibration


def image(scores, hits, size=60):
    """Single pixels on a row, a mark on each; the marks of `hits` lie on MCs."""
    label, instances = np.zeros((2, size, size), np.int64)
    for place, hit in enumerate(hits):
        instances[10 * (place % 6) + 2, 10 * (place // 6) + 2] = place + 1
        label[10 * (place % 6) + 2, 10 * (place // 6) + 2] = hit
    case = score_case(label, instances, np.append(0, scores), np.ones(label.shape, bool), (0.1, 0.1))
    return match_case(case, -np.inf)


def test_a_boastful_score_is_brought_down():
    rng = np.random.default_rng(0)
    images = []
    for _ in range(30):
        scores = rng.random(36)
        images.append(image(scores, rng.random(36) < scores / 2))  # half as often right as the score says
    found = calibrate(images)
    assert (found["method"], found["marks"]) == ("isotonic", 30 * 36)
    assert found["mcs"] == sum(int(one.true_positive.sum()) for one in images)
    error = found["expected_calibration_error"]
    assert error["score"] == pytest.approx(object_reliability(images, 15).ece)
    assert error["score"] == pytest.approx(0.25, abs=0.04) and error["probability"] < 0.07
    curve = Calibration.of(found["curve"])
    assert curve.probability(np.array([0.3, 0.5, 0.8])) == pytest.approx([0.15, 0.25, 0.4], abs=0.1)


def test_the_error_is_of_images_without_a_part_in_the_curve():
    first, second = image(np.full(6, 0.5), [1] * 6), image(np.full(6, 0.5), [0] * 6)
    # each image's curve says the opposite of what is true of the other one
    assert calibrate([first, second])["expected_calibration_error"] == {"score": 0.0, "probability": 1.0}
    assert calibrate([first, second])["curve"] == {"scores": [0.5], "probabilities": [0.5]}


def test_nothing_comes_of_too_little():
    assert calibrate([]) is None
    assert calibrate([image(np.array([0.5]), [1])]) is None
    assert calibrate([image(np.array([1.5]), [1]), image(np.array([0.5]), [1])]) is None
