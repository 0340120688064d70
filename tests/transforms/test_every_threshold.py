"""What an evaluation looks at is what a run of the product at each threshold shows."""

import cv2
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.common.calcification_kinds import COARSE, INDIVIDUAL, KINDS, METAL
from scripts.common.tensors import plane
from scripts.findings.analysis import FindingsAnalysis
from scripts.findings.any_threshold import objects_of_any_score
from scripts.findings.components import ComponentObjects
from scripts.findings.kinds.rules import KindRules
from scripts.findings.peaks import PeakObjects
from scripts.transforms import AnalyseEveryObjectd, FormObjectsd, MeasureFindingsd

SPACING, SHAPE, TYPED_FROM = (0.07, 0.07), (400, 400), 0.05
ANALYSIS = FindingsAnalysis(features=None, clusters=None)
THRESHOLDS = (0.05, 0.1, 0.25, 0.4, 0.6, 0.8, 0.95)


def scene(seed):
    """A loaded image and the logits of its map: spots, touching pairs, clips, large calcifications in pieces."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.standard_normal(SHAPE).astype(np.float32), (0, 0), 1.0)
    image, map_ = 0.3 + 0.01 * noise / noise.std(), np.zeros(SHAPE, np.float32)
    for place, (row, col) in enumerate((row, col) for row in range(30, 400, 62) for col in range(30, 400, 62)):
        height = float(rng.choice([0.004, 0.02, 0.045, 0.06, 0.2, 0.35, 0.5, 0.7, 0.9, 0.99]))
        drawn, found = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.float32)
        if place % 5 == 0:  # touching pair
            for shift in (-4, 4):
                cv2.circle(drawn, (col + shift, row), 4, 1, -1)
            found[drawn > 0], brightness = height, 0.25
        elif place % 5 == 1:  # a large one, found as pieces of its outline, of different heights
            cv2.circle(drawn, (col, row), 12, 1, -1)
            ring = drawn - cv2.erode(drawn, np.ones((5, 5), np.uint8))
            halves = np.indices(SHAPE)[1]
            found[(ring > 0) & (halves < col - 3)], found[(ring > 0) & (halves > col + 3)] = height, rng.random()
            found[row, col], brightness = 0.03, 0.4
        elif place % 5 == 2:  # a clip, found in two halves, or not at all
            cv2.rectangle(drawn, (col - 2, row - 20), (col + 3, row + 20), 1, -1)
            found[drawn > 0], brightness = 0.9 * (place % 2), 0.7
            found[row - 2 : row + 3] = 0
        else:
            cv2.circle(drawn, (col, row), int(rng.integers(1, 5)), 1, -1)
            found[drawn > 0], brightness = height, 0.2
        image, map_ = image + brightness * drawn, np.maximum(map_, found)
    map_ = np.clip(map_, 1e-4, 1 - 1e-4)
    logits = np.log(map_ / (1 - map_))[None]
    meta = {"spacing_mm": SPACING, "filename_or_obj": "x.png", "laterality": "L"}
    loaded = MetaTensor(torch.from_numpy(np.clip(image, 0, 1).astype(np.float32))[None], meta=meta)
    return {"image": loaded, "pred": torch.from_numpy(logits), "breast": torch.ones(1, *SHAPE, dtype=torch.bool)}


def objects_in(labels, scores, kinds, threshold=0.0):
    """{(pixels, score, kind)}, of marks numbered 1..n."""
    pixels = [np.flatnonzero(labels == number).tobytes() for number in range(1, len(scores))]
    found = {(px, round(float(s), 5), k) for px, s, k in zip(pixels, scores[1:], kinds, strict=True) if s >= threshold}
    assert len(scores) - 1 == len(set(pixels)) and all(pixels)
    return found


def shown(item, objects, threshold):
    """What the product shows, but metal that no object of the map touches."""
    formed = FormObjectsd(objects, threshold, within_key=None, typed_from=TYPED_FROM)(item)
    on_map = plane(formed["instances"]) > 0
    found = MeasureFindingsd(analysis=ANALYSIS)(formed)["analysis"]
    every = objects_in(found.labels, found.scores, [mark.kind for mark in found.kinds])
    return {one for one in every if one[2] != METAL or on_map.ravel()[np.frombuffer(one[0], np.int64)].any()}


def evaluated(item, objects):
    formed = FormObjectsd(objects, 0.0, within_key=None, typed_from=TYPED_FROM)(item)
    return AnalyseEveryObjectd(ANALYSIS, TYPED_FROM)(MeasureFindingsd()(formed))


@pytest.mark.parametrize("seed", range(3))
def test_objects_of_a_map_are_those_that_the_product_shows_at_each_threshold(seed):
    item = scene(seed)
    out = evaluated(item, PeakObjects(map=0))
    labels, scores, kinds = plane(out["instances"]), out["scores"], [KINDS[kind] for kind in out["kinds"][1:]]
    assert {COARSE, INDIVIDUAL, METAL} <= set(kinds)  # the picture has what the analysis acts on
    assert 0 < labels[30, 26] != labels[30, 34] > 0 and scores[1:].min() < TYPED_FROM
    for threshold in THRESHOLDS:
        assert objects_in(labels, scores, kinds, threshold) == shown(item, PeakObjects(map=0), threshold), threshold
    assert shown(item, PeakObjects(map=0), 0.4) != shown(item, PeakObjects(map=0), 0.8)


def test_components_are_formed_and_analysed_anew_at_each_threshold():
    item = scene(3)
    out = evaluated(item, ComponentObjects())
    for threshold in THRESHOLDS[::2]:
        labels, scores, kinds = out["objects_at"](threshold)
        found = objects_in(labels, scores, [KINDS[kind] for kind in kinds[1:]])
        assert found == shown(item, ComponentObjects(), threshold), threshold


def test_faint_objects_are_parted_and_left_out_under_stronger_ones():
    image, labels = np.full(SHAPE, 0.3, np.float32), np.zeros(SHAPE, np.int32)
    cv2.circle(image, (100, 100), 12, 0.7, -1)
    labels[96:105, 90:99], labels[98:103, 103:115] = 1, 2  # 1 marks the large one, 2 lies on its rim, 10 of 12 columns
    for col in (300, 309):  # two that touch
        cv2.circle(labels, (col, 100), 5, 3, -1)
        cv2.circle(image, (col, 100), 4, 0.5, -1)
    scores = np.array([0, 0.9, 0.01, 0.02])
    given = ANALYSIS, image, labels, scores, np.ones(SHAPE, bool), SPACING
    found = objects_of_any_score(*given, typed_from=TYPED_FROM)
    assert found.scores.tolist() == [0, 0.9, 0.02, 0.02]
    assert [KINDS[kind] for kind in found.kinds[1:]] == [COARSE, INDIVIDUAL, INDIVIDUAL]
    np.testing.assert_array_equal(found.labels[80:120, 250:] > 0, labels[80:120, 250:] == 3)
    assert (found.labels[100, 112], found.labels[100, 116]) == (1, 0)


def test_an_image_without_objects_and_an_analysis_that_fails():
    image, none = np.full(SHAPE, 0.3, np.float32), np.zeros(SHAPE, np.int32)
    image[100:141, 100:106] = 1.0  # a clip that nothing found
    given = image, none, np.zeros(1), np.ones(SHAPE, bool), SPACING
    found = objects_of_any_score(ANALYSIS, *given)
    assert not found.labels.any() and found.scores.tolist() == [0] and found.kinds.tolist() == [KINDS.index(INDIVIDUAL)]

    class Failing(KindRules):
        def tell(self, *_):
            raise RuntimeError("no kinds today")

    with pytest.raises(ValueError, match=r"analysis: got .*no kinds today.*; want no part that fails"):
        objects_of_any_score(FindingsAnalysis(Failing(), None, None), *given)
