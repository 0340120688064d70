"""The curve from score to probability: by hand, against scikit-learn, and as it stands with the presets."""

import json

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from scripts.findings.calibration import Calibration, fit_calibration
from scripts.findings.presets import OperatingPoints, publish_presets


def test_by_hand():
    curve = fit_calibration(np.array([0.1, 0.2, 0.3, 0.4, 0.9]), np.array([0, 1, 0, 1, 1], bool))
    assert curve == Calibration((0.1, 0.2, 0.3, 0.4, 0.9), (0, 0.5, 0.5, 1, 1))  # 0.2 and 0.3 are pooled
    assert curve.probability(np.array([0.0, 0.25, 0.35, 1.0])) == pytest.approx([0, 0.5, 0.75, 1])
    assert fit_calibration(np.array([0.5, 0.5, 0.5, 0.5]), np.array([1, 0, 0, 0], bool)) == Calibration((0.5,), (0.25,))


@pytest.mark.parametrize("seed", range(4))
def test_as_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(300), 2)  # with ties
    positive = rng.random(300) < scores**2
    reference = IsotonicRegression(out_of_bounds="clip").fit(scores, positive)
    curve, places = fit_calibration(scores, positive), np.linspace(0, 1, 501)
    np.testing.assert_allclose(curve.probability(places), reference.predict(places), atol=1e-6)
    assert len(curve.scores) < 100


def test_a_well_calibrated_score_stays():
    rng = np.random.default_rng(5)
    scores = rng.random(20_000)
    curve = fit_calibration(scores, rng.random(20_000) < scores)
    assert np.abs(curve.probability(np.linspace(0.05, 0.95, 19)) - np.linspace(0.05, 0.95, 19)).max() < 0.05


def test_it_stands_with_the_presets(tmp_path):
    path, curve = tmp_path / "points.json", Calibration((0.1, 0.6), (0.05, 0.8))
    presets = {"balanced": {"threshold": 0.4}}
    publish_presets(path, "A", {"presets": presets, "calibration": {"curve": curve.as_json()}})
    publish_presets(path, "B", {"presets": presets})
    points = OperatingPoints(path, "A")
    assert points.threshold() == 0.4 and points.calibration() == curve
    assert OperatingPoints(path, "B").calibration() is None
    assert OperatingPoints(tmp_path / "none.json", "A").calibration() is None
    content = json.loads(path.read_text())
    content["A"]["calibration"]["curve"]["probabilities"] = [0.9, 0.1]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"probabilities: got \[0.9, 0.1\]; want numbers in \[0, 1\] that rise"):
        points.threshold()


@pytest.mark.parametrize(("scores", "probabilities"), [((), ()), ((0.1, 2), (0, 1)), ((0.1,), (0.1, 0.2))])
def test_a_wrong_curve_is_refused(scores, probabilities):
    with pytest.raises(ValueError, match="scores"):
        Calibration(scores, probabilities)
