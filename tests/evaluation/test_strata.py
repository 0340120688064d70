"""Sensitivity by stratum, size histogram and contrast by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from scripts.evaluation.cases import (
    ImageArrays,
    annotated_objects,
    equivalent_diameter_mm,
    number_objects,
    score_arrays,
)
from scripts.evaluation.matching import match_case
from scripts.evaluation.measures import Contrast
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections import StrataSection
from scripts.evaluation.sections.sizes import size_histogram
from scripts.evaluation.sections.strata import bin_names, sensitivity_by_image, sensitivity_by_object
from scripts.evaluation.statistics import bootstrap_weights

A, B, C, POINT = (10, 10, 2, 2), (30, 30, 4, 4), (50, 10, 2, 2), (10, 50, 1, 1)
WEIGHTS = bootstrap_weights(["a", "b"], 200, 0)


def contrast_to_noise(image, label, spacing, gap_mm=0.2, width_mm=1.0):
    objects = annotated_objects(label)
    arrays = ImageArrays(label, objects, objects, np.zeros(objects.max()), label < 3, spacing, image)
    return Contrast(gap_mm, width_mm).of_objects(arrays, objects, range(1, objects.max() + 1))


@pytest.fixture
def cases(make_case):
    """Image 1: A and POINT are hit at 0.5, C at 0.2, B is missed. Image 2: B is hit."""
    first = make_case([A, B, C, POINT], [(A, 0.5), (C, 0.2), (POINT, 0.7)])
    return [first, make_case([B], [(B, 0.9)])]


def summary(rows):
    return {row["stratum"]: (row["tp"], row["annotated"], row["images"]) for row in rows}


def test_diameter_is_that_of_the_circle_of_the_same_area():
    assert equivalent_diameter_mm(np.array([100]), (0.1, 0.2)) == pytest.approx(2 * math.sqrt(2 / math.pi))
    disc = np.hypot(*np.mgrid[-60:61, -60:61]) <= 50
    assert equivalent_diameter_mm(disc.sum(), (0.05, 0.05)) == pytest.approx(5.0, rel=0.002)


def test_bins_have_inclusive_lower_ends_and_single_pixels_are_apart(cases):
    matched = [match_case(case, 0.5) for case in cases]
    values = [np.array([0.2, math.nan, 0.5, 0.3]), np.array([0.5])]  # label order: A, POINT, B, C
    values[0] = np.where(cases[0].annotations.area_px == 16, 0.5, np.array([0.2, 0.9, 0.9, math.nan]))
    rows = sensitivity_by_object(matched, values, [0.2, 0.5], WEIGHTS, "size")
    assert summary(rows) == {
        "single pixel": (1, 1, 1),
        "below 0.2": (0, 0, 0),
        "0.2 to 0.5": (1, 1, 1),
        "0.5 or more": (1, 2, 2),
        "unknown": (0, 1, 1),
    }
    assert rows[3]["tpr"] == 0.5 and (rows[3]["tpr_low"], rows[3]["tpr_high"]) == (0, 1)
    assert math.isnan(rows[1]["tpr"]) and all(row["by"] == "size" for row in rows)
    everything = [replace(m, partner=np.zeros_like(m.partner)) for m in matched]
    assert sum(tp for tp, _, _ in summary(sensitivity_by_object(everything, values, [1], WEIGHTS, "")).values()) == 5


def test_no_unknown_stratum_without_unknown_values(cases):
    matched = [match_case(case, 0) for case in cases]
    values = [np.ones(len(case.annotations)) for case in cases]
    assert [row["stratum"] for row in sensitivity_by_object(matched, values, [1], WEIGHTS, "x")] == [
        *("single pixel", "below 1", "1 or more")
    ]


def test_images_are_grouped_by_name():
    rows = [
        {"annotated": 4, "tp": 1, "fp": 3, "breast_cm2": 10.0},
        {"annotated": 4, "tp": 4, "fp": 1, "breast_cm2": 30.0},
        {"annotated": 0, "tp": 0, "fp": 2, "breast_cm2": 10.0},
    ]
    weights = bootstrap_weights(list("abc"), 300, 1)
    dense, fatty, unknown = sensitivity_by_image(["fatty", "dense", ""], rows, weights, "density")[0:3]
    assert (dense["stratum"], fatty["stratum"], unknown["stratum"]) == ("dense", "fatty", "unknown")
    assert (dense["tpr"], fatty["tpr"]) == (1, 0.25) and math.isnan(unknown["tpr"])
    assert dense["fp_per_cm2"] == pytest.approx(1 / 30) and unknown["fp"] == 2
    both = sensitivity_by_image(["x"] * 3, rows, weights, "density")
    assert len(both) == 1 and both[0]["tpr"] == 5 / 8 and both[0]["fp_per_cm2"] == pytest.approx(6 / 50)
    assert both[0]["tpr_low"] == 0.25 and both[0]["tpr_high"] == 1 and both[0]["images"] == 3


def test_size_histogram_counts_each_object_once(make_case):
    # 1 mm pixels: 4 px are 2.26 mm, 16 px are 4.51 mm; hits within 0.35 mm
    case = make_case([A, B, POINT], [(A, 0.5), (C, 0.5), (POINT, 0.1), ((40, 50, 1, 1), 0.9)], spacing=(1.0, 1.0))
    table = {row["diameter_mm"]: row for row in size_histogram([match_case(case, 0.5)] * 2, [2.0, 4.0])}
    assert list(table) == ["single pixel", "below 2", "2 to 4", "4 or more"]
    counts = {
        k: [r[n] for n in ("annotated", "predicted", "true_positive", "false_positive")] for k, r in table.items()
    }
    assert counts == {
        "single pixel": [2, 2, 0, 2],
        "below 2": [0, 0, 0, 0],
        "2 to 4": [2, 4, 2, 2],
        "4 or more": [2, 0, 0, 0],
    }
    assert (table["below 2"]["low"], table["below 2"]["high"]) == (0, 2) and math.isnan(table["4 or more"]["high"])
    assert math.isnan(table["single pixel"]["low"]) and table["4 or more"]["low"] == 4


def test_ignored_predictions_are_in_no_histogram(make_case):
    case = make_case([], [(A, 0.5)], [(0, 0, 30, 30)])
    assert sum(row["predicted"] for row in size_histogram([match_case(case, 0)], [1.0])) == 0


def test_empty_prediction_empty_truth_and_both(make_case):
    for case in (make_case([A]), make_case([], [(A, 0.5)]), make_case()):
        matched, values = [match_case(case, 0)], [np.ones(len(case.annotations))]
        rows = sensitivity_by_object(matched, values, [0.5], np.ones((3, 1)), "x")
        tpr = rows[2]["tpr"]
        assert tpr == 0 if len(case.annotations) else math.isnan(tpr)
        total = sum(row["annotated"] + row["predicted"] for row in size_histogram(matched, [0.5]))
        assert total == len(case.annotations) + len(case.predictions)


def test_edges_must_ascend():
    assert bin_names([0.1, 0.25]) == ["below 0.1", "0.1 to 0.25", "0.25 or more"]
    for wrong in ([], [1, 1], [2, 1]):
        with pytest.raises(ValueError, match="edges"):
            bin_names(wrong)


def test_contrast_by_hand():
    # ring: 2 px beyond a gap of 1 px around one pixel; checkerboard of 0.4 and 0.6 has mean 0.5 and deviation 0.1
    image = 0.4 + 0.2 * (np.indices((21, 21)).sum(0) % 2)
    label = np.zeros((21, 21), np.uint8)
    label[10, 10], image[10, 10] = 1, 0.9
    distance = np.hypot(*(np.indices((21, 21)) - 10))
    ring = image[(distance > 1) & (distance <= 3)]
    found = contrast_to_noise(image, label, (0.1, 0.1), gap_mm=0.1, width_mm=0.2)
    assert found == pytest.approx([(0.9 - ring.mean()) / ring.std()]) and 3.5 < found[0] < 4.5
    assert contrast_to_noise(image + 7, label, (0.1, 0.1), 0.1, 0.2) == pytest.approx(found)
    assert contrast_to_noise(image * 3, label, (0.1, 0.1), 0.1, 0.2) == pytest.approx(found)


def test_the_ring_leaves_out_labels_and_is_in_millimetres():
    rng = np.random.default_rng(0)
    image, label = rng.random((40, 60)), np.zeros((40, 60), np.uint8)
    label[20, 30:32], label[20, 36], label[14:17, 28:33] = 1, 1, 2
    spacing = (0.2, 0.1)
    away = np.stack([np.hypot((np.arange(40)[:, None] - 20) * 0.2, (np.arange(60) - c) * 0.1) for c in (30, 31)]).min(0)
    ring = image[(away > 0.25) & (away <= 1.25) & (label == 0)]
    expected = (image[20, 30:32].mean() - ring.mean()) / ring.std()
    found = contrast_to_noise(image, label, spacing, gap_mm=0.25, width_mm=1.0)
    assert found.size == 2 and found[0] == pytest.approx(expected)
    bright = np.where(label > 0, 100.0, image)  # other labels do not touch the ring
    assert contrast_to_noise(bright, label, spacing, 0.25, 1.0)[0] == pytest.approx((100 - ring.mean()) / ring.std())


def test_marks_have_the_contrast_of_an_annotated_object_of_that_shape():
    rng = np.random.default_rng(2)
    image, label, shape = rng.random((50, 50)), np.zeros((50, 50), np.uint8), np.zeros((50, 50), np.uint8)
    instances = np.zeros((50, 50), np.int32)
    instances[10:12, 10:13], instances[30, 30], instances[40:43, 8] = 9, 2, 5  # label order: 9, 2, 5
    shape[10:12, 10:13] = 1
    scores = np.zeros(10)
    scores[[9, 2, 5]] = 0.5, 0.1, 0.9

    def measured(instances):
        arrays = number_objects(label, instances, scores, label < 3, (0.07, 0.07), image)
        return Contrast(predictions=2).of_predictions(arrays, score_arrays(arrays))["contrast_to_noise"]

    found = measured(instances)
    assert found[0] == pytest.approx(contrast_to_noise(image, shape, (0.07, 0.07))[0])
    assert np.isnan(found).tolist() == [False, True, False]
    assert measured(instances * 0).size == 0


def test_false_positives_have_bins_of_their_own(cases):
    matched = [match_case(case, 0) for case in cases]
    values = [np.ones(len(case.annotations)) for case in cases]
    marks = [(np.array([0.5, math.nan, 3.0]), np.array([9, 4, 1])), (np.array([1.0]), np.array([2]))]
    rows = sensitivity_by_object(matched, values, [1], WEIGHTS, "x", marks)
    assert {row["stratum"]: row["fp"] for row in rows} == {
        "single pixel": 1,
        "below 1": 1,
        "1 or more": 1,
        "unknown": 1,
    }


def test_the_section_counts_every_false_positive_once(make_case):
    case = make_case([A], [(A, 0.9), ((40, 40, 3, 3), 0.6), ((20, 50, 1, 1), 0.1), ((50, 20, 9, 9), 0.7)])
    for threshold, expected in ((0.0, [1, 0, 1, 1]), (0.5, [0, 0, 1, 1]), (0.8, [0, 0, 0, 0])):
        scored = ScoredSet([case], operating_threshold=threshold)
        found = StrataSection({"diameter_mm": [0.2, 0.5], "other": [1]}).results(scored).metrics["strata"]
        assert [row["fp"] for row in found if row["by"] == "diameter_mm"] == expected
        assert sum(expected) == scored.rows[0]["fp"]
        assert all("fp" not in row for row in found if row["by"] == "other")  # predictions have no such value


def test_contrast_is_undefined_on_flat_or_missing_rings():
    label = np.zeros((9, 9), np.uint8)
    label[4, 4] = 1
    assert np.isnan(contrast_to_noise(label.astype(float), label, (0.1, 0.1))).all()
    full = np.ones((3, 3), np.uint8)
    assert np.isnan(contrast_to_noise(np.random.default_rng(0).random((3, 3)), full, (1, 1))).all()
    assert contrast_to_noise(np.zeros((3, 3)), np.zeros((3, 3)), (1, 1)).size == 0
    with pytest.raises(ValueError, match="one shape"):
        contrast_to_noise(np.zeros((3, 3)), full[:2], (1, 1))
    with pytest.raises(ValueError, match="width_mm"):
        Contrast(width_mm=0)


def test_contrast_is_in_label_order(make_case):
    label, image = np.zeros((60, 60), np.uint8), np.random.default_rng(1).normal(0, 0.01, (60, 60))
    for value, (r, c, h, w) in zip((0.9, 0.5, 0.1), (C, A, B), strict=True):
        label[r : r + h, c : c + w], image[r : r + h, c : c + w] = 1, value
    found = contrast_to_noise(image, label, (0.07, 0.07))
    assert np.argsort(found).tolist() == [1, 0, 2]  # raster order is A, B, C: 0.5, 0.1, 0.9
    case = replace(make_case([A, B, C]), object_values={"contrast_to_noise": found})
    assert case.annotations.row.tolist() == [10.5, 31.5, 50.5] and len(case.annotations) == found.size
