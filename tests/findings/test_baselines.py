"""The baselines' ways of forming objects, by hand."""

import numpy as np
import pytest

from scripts.findings.baselines import DiscObjects, HDoGObjects, MorphologyObjects
from scripts.findings.combining import CandidateObjects, combine
from scripts.findings.forming import Scene


@pytest.fixture
def scene():
    """Two spots of different height, one outside of the inner breast."""
    rows, cols = np.mgrid[:80, :90]
    image = np.full((80, 90), 0.3)
    for row, col, height in ((20, 30, 0.5), (50, 60, 0.2), (40, 85, 0.5)):
        image += height * (np.hypot(rows - row, cols - col) <= 1.5)
    inner = np.ones((80, 90), bool)
    inner[:, 80:] = False
    return Scene(image.astype(np.float32), np.zeros((1, 80, 90), np.float32), inner, (0.07, 0.07))


@pytest.mark.parametrize("objects", [MorphologyObjects(), HDoGObjects()], ids=lambda way: type(way).__name__)
def test_objects_are_scored_by_strength_and_thresholded(objects, scene):
    labels, scores, values = objects.form(scene, 0.0)
    strong, weak = labels[20, 30], labels[50, 60]
    assert strong and weak and strong != weak and not labels[:, 80:].any()
    assert 1 >= scores[strong] > scores[weak] > 0 == scores[0] and scores.size > labels.max()
    np.testing.assert_array_equal(values, scores[labels])
    limit = float(scores[strong] + scores[weak]) / 2
    np.testing.assert_array_equal(objects.form(scene, limit).labels > 0, labels == strong)
    assert objects.form(scene._replace(within=None), 0.0).labels[38:43, 83:88].any()


def test_hdog_alone_keeps_the_objects_that_hdogreg_chooses_from(scene):
    candidates = CandidateObjects().candidates(scene.image, scene.within, scene.spacing_mm[0])
    everywhere = np.ones((80, 90), np.float32)
    expected, _ = combine(candidates, everywhere, score_threshold=0.5, overlap_fraction=0.3)
    np.testing.assert_array_equal(HDoGObjects().form(scene, 0.0).labels, expected)


def test_classified_candidates_become_discs_with_their_probability(scene):
    found = np.zeros((2, 80, 90), np.float32)
    found[0] = -20
    for row, col, logit in ((20, 30, 2.0), (22, 30, 1.0), (50, 60, -1.0), (40, 85, 9.0)):
        found[:, row, col] = logit, 1.6
    labels, scores, _ = DiscObjects().form(scene._replace(logits=found), 0.5)
    assert sorted(scores.round(4).tolist()) == [0, pytest.approx(0.7311, abs=1e-4), pytest.approx(0.8808, abs=1e-4)]
    assert scores[labels[20, 30]] == scores.max() and scores[labels[22, 30]] == pytest.approx(0.7311, abs=1e-4)
    assert labels[50, 60] == 0 and not labels[:, 80:].any()
    assert scores[labels[21, 30]] == scores.max()  # between the two: the better one has it
    assert (DiscObjects().form(scene._replace(logits=found), 0.0).labels > 0).sum() > (labels > 0).sum()
    with pytest.raises(ValueError, match=r"pred: got shape \(1, 80, 90\)"):
        DiscObjects().form(scene, 0.5)


def test_nothing_found_is_an_empty_mask(scene):
    flat = scene._replace(image=np.full((80, 90), 0.3, np.float32))
    nowhere = np.stack([np.full((80, 90), -20.0), np.zeros((80, 90))]).astype(np.float32)
    for objects, logits in ((MorphologyObjects(), flat.logits), (HDoGObjects(), flat.logits), (DiscObjects(), nowhere)):
        labels, scores, _ = objects.form(flat._replace(logits=logits), 0.0)
        assert not labels.any() and labels.shape == (80, 90) and scores.tolist() == [0]
