"""Kinds of objects that methods fail on: by hand, and against plain sets of pixels on random images."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from scripts.evaluation.cases import annotated_objects, number_objects, score_arrays
from scripts.evaluation.evaluate import Evaluation
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.measures import (
    GAP,
    NEIGHBOURS,
    TO_LARGE,
    Neighbourhood,
    distances_mm,
    nearest_gaps_px,
    neighbours_within,
)
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections import FailureClassesSection, StrataSection
from tests.evaluation import brute_force as brute


def failure_rule(large_mm=0.5, radius_mm=1.0, margin_mm=0.3, gap_px=3, neighbours=2, contrast=2):
    return FailureClassesSection(margin_mm, gap_px, neighbours, contrast, Neighbourhood(radius_mm, large_mm))


RULE = failure_rule()


def failure_section(cases, threshold, matching, rule, weights):
    """The section's metrics, with given bootstrap samples."""
    scored = ScoredSet(cases, matching, operating_threshold=threshold)
    scored.weights = weights
    return rule.results(scored).metrics["failure_classes"]


def collected(label, instances, scores, spacing, rule, contrast=None):
    """A scored image with the values that the handler collects."""
    arrays = number_objects(label, instances, scores, label < 3, spacing)
    case = score_arrays(arrays)
    values = rule.neighbourhood.of_annotations(arrays, case)
    values["contrast_to_noise"] = np.full(len(case.annotations), 9.0) if contrast is None else np.array(contrast)
    return replace(case, object_values=values, prediction_values=rule.neighbourhood.of_predictions(arrays, case))


def draw(boxes, shape=(60, 60)):
    array = np.zeros(shape, np.int32)
    for number, (row, col, height, width) in enumerate(boxes, start=1):
        array[row : row + height, col : col + width] = number
    return array


@pytest.fixture
def by_hand():
    """Pixels of 0.1 mm. A: 6 x 6 px, 0.68 mm, large. B, C: 2 px wide, one pixel between them. D: faint, alone.

    Predictions: two pieces of A (one of them takes it), one beside A (2 px from it), one over both B and C, one far
    away, one on D with a low score.
    """
    annotated = [(10, 10, 6, 6), (40, 10, 2, 2), (40, 13, 2, 2), (40, 45, 2, 2)]
    predicted = [(11, 11, 2, 3), (14, 11, 2, 3), (10, 17, 2, 2), (40, 10, 2, 5), (5, 50, 2, 2), (40, 45, 2, 2)]
    label, instances = (draw(annotated) > 0).astype(np.uint8), draw(predicted)
    scores = np.array([0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1])
    return collected(label, instances, scores, (0.1, 0.1), RULE, [9.0, 9.0, 9.0, 1.0])


def test_values_by_hand(by_hand):
    # label order: A, B, C, D
    assert by_hand.object_values[GAP].tolist() == pytest.approx([25, 2, 2, 31])
    assert by_hand.object_values[NEIGHBOURS].tolist() == [0, 1, 1, 0]
    places = list(zip(by_hand.predictions.row, by_hand.predictions.col, strict=True))
    distance = dict(zip(places, by_hand.prediction_values[TO_LARGE], strict=True))
    assert distance[10.5, 17.5] == pytest.approx(0.2) and distance[11.5, 12] == 0 == distance[14.5, 12]
    # the far one ends at (6, 50), A begins at (10, 15)
    assert distance[5.5, 50.5] == pytest.approx(0.1 * math.hypot(4, 35))


def test_figures_by_hand(by_hand):
    found = failure_section([by_hand], 0.5, "greedy", RULE, np.ones((3, 1)))
    assert found["rule"] == {
        "large_mm": 0.5,
        "margin_mm": 0.3,
        "gap_px": 3,
        "radius_mm": 1.0,
        "neighbours": 2,
        "contrast": 2,
    }
    classes = found["classes"]
    assert list(classes) == ["all", "large", "close", "dense", "faint", "none of these"]

    def values(name, *keys):
        return [v["value"] if isinstance(v := classes[name][key], dict) else v for key in keys]

    counts = ("images", "annotated", "overlapped", "merged_predictions")
    assert values("all", *counts) == [1, 4, 3, 1]
    assert values("large", *counts) == [1, 1, 1, 0] and values("close", *counts) == [1, 2, 2, 1]
    assert values("faint", *counts) == [1, 1, 0, 0]
    assert values("dense", *counts) == values("none of these", *counts) == [0, 0, 0, 0]
    # A: hit by one of two pieces of 6 of its 36 px, the other one is a false positive on it, one is beside it
    shares = ("tpr", "iou_per_object", "share_covered", "pieces_per_object", "share_in_pieces", "share_merged")
    assert values("large", *shares) == pytest.approx([1, 6 / 36, 12 / 36, 2, 1, 0])
    assert values("large", "false_around", "false_on", "false_around_per_object") == [1, 1, 1]
    # the one over B and C (10 px) hits B, the first in label order, and is then used up; IoU 4 / 10 with each
    assert values("close", *shares) == pytest.approx([1 / 2, 4 / 10, 1, 1, 0, 1])
    assert values("faint", *shares) == [0, 0, 0, None, 0, 0]
    assert values("all", *shares) == pytest.approx([2 / 4, (1 / 6 + 0.8) / 4, (1 / 3 + 2) / 4, 4 / 3, 1 / 4, 2 / 4])
    assert values("dense", *shares) == [None] * 6 and "false_around" not in classes["all"]
    lower = failure_section([by_hand], 0.1, "greedy", RULE, np.ones((3, 1)))["classes"]["faint"]
    assert lower["tpr"]["value"] == 1 and lower["iou_per_object"]["value"] == 1


def test_bounds_are_the_stated_ones(by_hand):
    def members(**changes):
        return {name: chosen.tolist() for name, chosen in failure_rule(**changes).members(by_hand).items()}

    large = 2 * math.sqrt(0.36 / math.pi)
    assert members(large_mm=large - 1e-9)["large"][0] and not any(members(large_mm=large + 1e-9)["large"])
    assert sum(members(gap_px=2)["close"]) == 0 and sum(members(gap_px=2.01)["close"]) == 2  # nearer than
    assert sum(members(neighbours=1)["dense"]) == 2  # at least
    assert members(contrast=1)["faint"] == [False] * 4 and sum(members(contrast=1.01)["faint"]) == 1  # lower than
    assert members(neighbours=1)["none of these"] == [False] * 4
    point = replace(by_hand, annotations=replace(by_hand.annotations, area_px=np.array([1, 1, 1, 1])))
    assert not RULE.members(point)["faint"].any()  # a point label has no contrast
    for wrong in ({"large_mm": 0}, {"margin_mm": -1}, {"neighbours": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            failure_rule(**wrong)


def gaps_of(objects):
    places = [np.argwhere(objects == i + 1) for i in range(objects.max())]
    return [
        min((cdist(a, b).min() for j, b in enumerate(places) if j != i), default=math.inf) for i, a in enumerate(places)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_gaps_and_distances_equal_all_pairs_of_pixels(random_image, seed, monkeypatch):
    label, instances, scores, spacing = random_image(seed)
    objects, found = annotated_objects(label), number_objects(label, instances, scores, label < 3, spacing).predicted
    np.testing.assert_allclose(nearest_gaps_px(objects), gaps_of(objects))
    monkeypatch.setattr("scripts.evaluation.measures.LONG_OUTLINE_PX", 2)
    np.testing.assert_allclose(nearest_gaps_px(objects), gaps_of(objects))
    goals = np.argwhere(label == 1) * spacing
    expected = [
        cdist(np.argwhere(found == i + 1) * spacing, goals).min() if len(goals) else math.inf
        for i in range(found.max())
    ]
    np.testing.assert_allclose(distances_mm(found, label == 1, spacing), expected)


def test_a_target_within_a_large_object_touches_it():
    found, target = draw([(10, 10, 20, 20)]), draw([(18, 18, 2, 2)]) > 0
    assert distances_mm(found, target, (0.1, 0.1)).tolist() == [0]
    assert distances_mm(draw([(18, 18, 2, 2)]), found > 0, (0.1, 0.1)).tolist() == [0]
    with pytest.raises(ValueError, match="one shape"):
        distances_mm(found, target[:5], (1, 1))


def test_neighbours_are_within_the_radius_inclusive():
    points = np.array([[0, 0], [3, 4], [0, 5.001], [50, 50]])
    assert neighbours_within(points, 5.0).tolist() == [1, 2, 1, 0]
    assert neighbours_within(np.zeros((0, 2)), 5.0).size == 0


def plain_figures(images, threshold, rule):
    """Every figure from sets of pixels, pooled over images; kinds and figures by name."""
    rows, false = [], {"false_around": 0, "false_on": 0}
    merges = []
    for label, instances, scores, spacing, contrast in images:
        truth, predicted = brute.objects_of(label, instances, scores, threshold)
        hit, used = set(), set()
        for a, p in itertools.product(range(len(truth)), range(len(predicted))):  # greedy, as the twin of the matching
            if a not in hit and p not in used and brute.is_hit(truth[a], predicted[p], spacing):
                hit.add(a)
                used.add(p)
        sizes = [2 * math.sqrt(len(t) * spacing[0] * spacing[1] / math.pi) for t in truth]
        large = [
            np.array(sorted(t)) * spacing
            for t, size in zip(truth, sizes, strict=True)
            if size >= rule.neighbourhood.large_mm
        ]
        kinds = []
        for a, pixels in enumerate(truth):
            others = [t for b, t in enumerate(truth) if b != a]
            gap = min((cdist(sorted(pixels), sorted(o)).min() for o in others), default=math.inf)
            centre = np.mean(sorted(pixels), axis=0) * spacing
            near = sum(
                math.dist(np.mean(sorted(o), axis=0) * spacing, centre) <= rule.neighbourhood.radius_mm + 1e-9
                for o in others
            )
            kind = {"all"}
            if sizes[a] >= rule.neighbourhood.large_mm:
                kind.add("large")
            if gap < rule.gap_px:
                kind.add("close")
            if near >= rule.neighbours:
                kind.add("dense")
            if contrast[a] < rule.contrast and len(pixels) > 1:
                kind.add("faint")
            if kind == {"all"}:
                kind.add("none of these")
            kinds.append(kind)
            pieces = [p for p in predicted if p & pixels]
            rows.append(
                {
                    "kind": kind,
                    "hit": a in hit,
                    "sized": len(pixels) > 1,
                    "iou": max((len(p & pixels) / len(p | pixels) for p in pieces), default=0),
                    "covered": len(set().union(*pieces) & pixels) / len(pixels),
                    "pieces": len(pieces),
                    "merged": any(sum(bool(p & t) for t in truth) > 1 for p in pieces),
                }
            )
        for p, pixels in enumerate(predicted):
            over = [kinds[a] for a, t in enumerate(truth) if t & pixels]
            if len(over) > 1:
                merges.append(set().union(*over))
            away = min((cdist(np.array(sorted(pixels)) * spacing, t).min() for t in large), default=math.inf)
            if p not in used:
                false["false_around"] += 0 < away <= rule.margin_mm
                false["false_on"] += away == 0
    figures = {}
    for name in ("all", "large", "close", "dense", "faint", "none of these"):
        of = [row for row in rows if name in row["kind"]]
        sized = [row for row in of if row["sized"]]
        touched = [row for row in of if row["pieces"]]

        def mean(values):
            return float(np.mean(values)) if values else None

        figures[name] = {
            "annotated": len(of),
            "overlapped": len(touched),
            "merged_predictions": sum(name in kinds for kinds in merges),
            "tpr": mean([row["hit"] for row in of]),
            "iou_per_object": mean([row["iou"] for row in sized]),
            "share_covered": mean([row["covered"] for row in sized]),
            "pieces_per_object": mean([row["pieces"] for row in touched]),
            "share_in_pieces": mean([row["pieces"] > 1 for row in of]),
            "share_merged": mean([row["merged"] for row in of]),
        }
    figures["large"] |= false
    return figures


def crowded(seed):
    """A seeded image of annotated boxes, many scored boxes on and around them, and sometimes an ignore region."""
    rng = np.random.default_rng(seed)
    label, instances = np.zeros((30, 34), np.uint8), np.zeros((30, 34), np.int32)
    if rng.random() < 0.3:
        label[: rng.integers(3, 12), : rng.integers(3, 12)] = 2
    for place in rng.integers(2, 24, (rng.integers(1, 10), 2)):
        size = rng.integers(1, 7, 2)
        label[place[0] : place[0] + size[0], place[1] : place[1] + size[1]] = 1
        for number in rng.permutation(14)[: rng.integers(0, 4)] + 1:
            row, col = np.maximum(place + rng.integers(-4, 8, 2), 0)
            instances[row : row + rng.integers(1, 6), col : col + rng.integers(1, 10)] = number
    return label, instances, rng.integers(0, 6, 15) / 8, [(0.07, 0.07), (0.07, 0.09)][seed % 2]


def test_equals_counting_in_sets_of_pixels():
    rule = failure_rule(large_mm=0.2, margin_mm=0.25, gap_px=4, radius_mm=0.7)
    seen = dict.fromkeys(("large", "close", "dense", "faint", "none of these"), 0)
    events = {"false_around": 0, "false_on": 0, "merged_predictions": 0}
    for seed in range(40):
        images, cases = [], []
        for i in range(2):
            label, instances, scores, spacing = crowded(2 * seed + i)
            count = annotated_objects(label).max()
            contrast = np.random.default_rng(seed).uniform(0, 4, count)
            images.append((label, instances, scores, spacing, contrast))
            cases.append(collected(label, instances, scores, spacing, rule, contrast))
        for threshold in (0.0, 0.375):
            expected = plain_figures(images, threshold, rule)
            found = failure_section(cases, threshold, "greedy", rule, np.ones((2, 2)))["classes"]
            for name, figures in expected.items():
                for key, value in figures.items():
                    entry = found[name][key]
                    shown = entry["value"] if isinstance(entry, dict) else entry
                    assert shown == (value if value is None else pytest.approx(value)), (seed, name, key)
        for name in seen:
            seen[name] += expected[name]["annotated"]
        for key in events:
            events[key] += expected["large"][key]
    assert min(seen.values()) > 10 and min(events.values()) > 4  # every kind and every event was there


def test_the_bootstrap_weighs_images(by_hand):
    nothing = collected(np.zeros((60, 60), np.uint8), draw([]), np.zeros(1), (0.1, 0.1), RULE)
    missed = replace(by_hand, predictions=replace(by_hand.predictions, score=np.full(6, 0.2)))
    cases, weights = [by_hand, missed, nothing], np.array([[3, 0, 0], [1, 2, 0], [0, 3, 0], [0, 0, 3]])
    tpr = failure_section(cases, 0.5, "greedy", RULE, weights)["classes"]["all"]["tpr"]
    assert tpr["value"] == pytest.approx(2 / 8)
    assert tpr["bootstrap_mean"] == pytest.approx(np.mean([2 / 4, 2 / 12, 0]))  # no object in the last sample


def test_empty_prediction_empty_truth_both_and_no_image():
    box = [(10, 10, 6, 6)]
    for annotated, predicted in ((box, []), ([], box), ([], [])):
        label, instances = (draw(annotated) > 0).astype(np.uint8), draw(predicted)
        case = collected(label, instances, np.array([0, 0.5]), (0.1, 0.1), RULE)
        large = failure_section([case], 0.0, "greedy", RULE, np.ones((2, 1)))["classes"]["large"]
        assert large["annotated"] == len(annotated) and large["false_around"] == 0
        assert large["tpr"]["value"] == (0 if annotated else None)
    none = failure_section([], 0.0, "greedy", RULE, np.zeros((2, 0)))["classes"]
    assert none["all"]["annotated"] == 0 and none["large"]["tpr"]["value"] is None


def test_what_a_section_reads_must_be_measured(tmp_path):
    with pytest.raises(ValueError, match="FailureClassesSection: got no measure of"):
        Evaluation(tmp_path, FROCHandler(), [RULE])
    with pytest.raises(ValueError, match="gap_px"):
        Evaluation(tmp_path, FROCHandler(), [StrataSection({"gap_px": [3]})])
    Evaluation(tmp_path, FROCHandler(measures=[Neighbourhood()]), [RULE, StrataSection({"gap_px": [3]})])
