"""IoU from tables equals IoU from pixels; every empty case is defined."""

import numpy as np
import pytest

from scripts.evaluation.cases import score_case
from scripts.evaluation.iou import best_iou, iou_per_image, iou_per_object
from tests.evaluation import brute_force as brute


def test_the_best_overlap_counts_and_single_pixels_do_not(make_case):
    truth = [(10, 10, 2, 4), (30, 30, 1, 1), (50, 50, 2, 2)]
    predicted = [((10, 10, 2, 1), 0.9), ((10, 11, 2, 5), 0.6), ((30, 30, 1, 1), 0.9)]
    case = make_case(truth, predicted)
    assert best_iou(case, 0).tolist() == pytest.approx([6 / 12, 1, 0])
    assert iou_per_object(case, 0).tolist() == pytest.approx([0.5, 0])
    assert iou_per_object(case, 0.6).tolist() == pytest.approx([0.5, 0])  # threshold inclusive
    assert iou_per_object(case, 0.7).tolist() == pytest.approx([2 / 8, 0])
    assert iou_per_object(case, 0.95).tolist() == [0, 0]


def test_a_prediction_may_be_the_best_of_two_objects_even_without_a_hit(make_case):
    case = make_case([(10, 10, 1, 2), (10, 30, 1, 2)], [((10, 10, 1, 22), 0.5)])
    assert not case.pairs.hit.any() and iou_per_object(case, 0).tolist() == pytest.approx([2 / 22, 2 / 22])


def test_near_but_not_touching_is_a_hit_with_iou_zero(make_case):
    case = make_case([(10, 10, 2, 2)], [((13, 10, 2, 2), 0.5)])
    assert case.pairs.hit.all() and iou_per_object(case, 0).tolist() == [0]


def test_image_iou_by_hand(make_case):
    case = make_case([(0, 0, 2, 5)], [((0, 0, 1, 6), 0.5), ((9, 0, 1, 4), 0.1)], shape=(10, 10))
    found = iou_per_image(case, 0.5)
    assert found == pytest.approx((5 / 11, 89 / 95, (5 / 11 + 89 / 95) / 2))
    assert iou_per_image(case, 0.1).foreground == pytest.approx(5 / 15)


@pytest.mark.parametrize("seed", range(40))
def test_equals_pixel_counting_at_every_threshold(random_image, seed):
    label, instances, scores, spacing = random_image(seed)
    case = score_case(label, instances, scores, label < 3, spacing)
    for threshold in (*np.unique(scores), 2):
        found = iou_per_image(case, threshold)
        assert found[:2] == pytest.approx(brute.pixel_iou(label, instances, scores, threshold))
        assert found.mean == (found.foreground + found.background) / 2
        truth, predicted = brute.objects_of(label, instances, scores, threshold)
        best = [max((len(t & p) / len(t | p) for p in predicted), default=0) for t in truth]
        assert best_iou(case, threshold).tolist() == pytest.approx(best)


def test_empty_prediction_empty_truth_and_both(make_case):
    box = (2, 2, 3, 3)
    no_prediction = make_case([box], shape=(10, 10))
    assert iou_per_image(no_prediction, 0) == pytest.approx((0, 91 / 100, 91 / 200))
    assert iou_per_object(no_prediction, 0).tolist() == [0]
    no_truth = make_case([], [(box, 0.5)], shape=(10, 10))
    assert iou_per_image(no_truth, 0) == pytest.approx((0, 91 / 100, 91 / 200))
    assert iou_per_object(no_truth, 0).size == 0
    for neither in (make_case(shape=(10, 10)), make_case([], [(box, 0.5)], shape=(10, 10))):
        assert iou_per_image(neither, 0.9) == (1, 1, 1) and iou_per_object(neither, 0.9).size == 0
    everything = make_case([(0, 0, 10, 10)], [((0, 0, 10, 10), 0.5)], shape=(10, 10))
    assert iou_per_image(everything, 0) == (1, 1, 1)  # no background anywhere
    nothing_counts = make_case([], [(box, 0.5)], [(0, 0, 10, 10)], shape=(10, 10))
    assert iou_per_image(nothing_counts, 0) == (1, 1, 1)
