"""Specific agreement and kappa by hand, against scikit-learn, and the cells against pixel counting."""

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score

from scripts.evaluation.agreement import agreement, cell_table, cohen_kappa, make_cells, reader_case, specific_agreement
from scripts.evaluation.matching import match_case
from scripts.evaluation.statistics import bootstrap_weights

ONCE = np.ones((1, 1), np.int64)


def test_specific_agreement_by_hand_and_as_scikit_learns_f1():
    assert specific_agreement(3, 1, 2) == pytest.approx(6 / 9) == specific_agreement(3, 2, 1)
    first, second = np.random.default_rng(0).random((2, 200)) < 0.4
    counts = (first & second).sum(), (~first & second).sum(), (first & ~second).sum()
    assert specific_agreement(*counts) == pytest.approx(f1_score(first, second))
    assert math.isnan(specific_agreement(0, 0, 0)) and specific_agreement(0, 3, 0) == 0


@pytest.mark.parametrize("seed", range(5))
def test_kappa_equals_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    first = rng.random(300) < 0.2
    second = np.where(rng.random(300) < 0.3, rng.random(300) < 0.5, first)
    table = [(first & second).sum(), (first & ~second).sum(), (~first & second).sum(), (~first & ~second).sum()]
    assert cohen_kappa(table) == pytest.approx(cohen_kappa_score(first, second))


def test_kappa_of_a_textbook_table_and_of_none():
    assert cohen_kappa([20, 5, 10, 15]) == pytest.approx(0.4)  # observed 0.7, by chance 0.5
    assert cohen_kappa([[5, 0, 0, 5], [0, 5, 5, 0]]).tolist() == [1, -1]
    assert np.isnan(cohen_kappa([[0, 0, 0, 0], [0, 0, 0, 9], [9, 0, 0, 0]])).all()  # nothing, nobody, everybody


def test_cells_by_hand():
    counted = np.zeros((5, 7), bool)
    counted[:3, :4] = True
    found = make_cells(counted, (1.0, 1.0), 2.0)  # cells of 2 x 2 px, the last ones narrower
    assert found.inside.tolist() == [[True, True, False, False], [False] * 4, [False] * 4]  # half is not more than half
    assert make_cells(counted, (1.0, 2.0), 2.0).inside.shape == (3, 7)
    with pytest.raises(ValueError, match="side_mm"):
        make_cells(counted, (1.0, 2.0), 1.5)


@pytest.mark.parametrize(("spacing", "side"), [((0.07, 0.07), 0.5), ((0.1, 0.25), 1.0), ((0.05, 0.05), 0.05)])
def test_cells_equal_counting_pixel_by_pixel(spacing, side):
    counted = np.random.default_rng(0).random((40, 33)) < 0.5
    found = make_cells(counted, spacing, side).inside
    members = {}
    for r, c in np.ndindex(counted.shape):
        place = tuple(math.floor((k + 0.5) * s / side + 1e-9) for k, s in zip((r, c), spacing, strict=True))
        members.setdefault(place, []).append(counted[r, c])
    expected = np.zeros_like(found)
    for place, pixels in members.items():
        expected[place] = np.mean(pixels) > 0.5
    np.testing.assert_array_equal(found, expected)


def labels(*boxes, shape=(40, 40), ignored=()):
    label = np.zeros(shape, np.uint8)
    for r, c, h, w in ignored:
        label[r : r + h, c : c + w] = 2
    for r, c, h, w in boxes:
        label[r : r + h, c : c + w] = 1
    return label


def readers(first, second, breast=None, **options):
    breast = np.ones(first.shape, bool) if breast is None else breast
    return reader_case(first, second, breast, (0.1, 0.1), **({"cell_mm": 1.0} | options))


def test_two_readers_by_hand():
    # 16 cells of 1 mm. Both: one object, over a border of cells (0.2 mm apart). First alone: one. Second alone: two.
    first = labels((2, 8, 2, 2), (22, 22, 2, 2))
    second = labels((2, 10, 2, 2), (33, 3, 2, 2), (37, 7, 2, 2))
    case = readers(first, second)
    matched = match_case(case, 1.0)
    assert matched.partner.tolist() == [0, -1]
    assert cell_table(matched).tolist() == [1, 1, 1, 13]
    found = agreement([case], 1.0, ONCE)
    assert found["specific_agreement"].value == pytest.approx(2 / 5) and specific_agreement(1, 2, 1) == 2 / 5
    expected = cohen_kappa_score([1, 1, 0] + [0] * 13, [1, 0, 1] + [0] * 13)
    assert found["kappa"].value == pytest.approx(expected)
    assert found["cells"] == {"both": 1, "first": 1, "second": 1, "neither": 13, "side_mm": 1.0}


def test_agreement_is_symmetric_but_for_greedy_order():
    rng = np.random.default_rng(3)
    one, two = (labels(*[(r, c, 1, 1) for r, c in rng.integers(0, 39, (12, 2))]) for _ in range(2))
    there, back = (agreement([readers(a, b)], 1.0, ONCE, "optimal") for a, b in ((one, two), (two, one)))
    assert there["specific_agreement"].value == pytest.approx(back["specific_agreement"].value)
    same = agreement([readers(one, one)], 1.0, ONCE)
    assert same["specific_agreement"].value == same["kappa"].value == 1


def test_what_one_reader_ignores_counts_for_neither():
    first = labels((5, 5, 2, 2), (30, 30, 1, 4))
    second = labels((20, 5, 2, 2), ignored=[(0, 0, 10, 10), (28, 32, 4, 4)])
    case = readers(first, second)
    assert case.annotations.row.tolist() == [30]  # half of it ignored: stays; the other one is gone
    back = readers(second, first)
    assert back.predictions.ignored.tolist() == [True, False]
    assert case.breast_cm2 == pytest.approx((1600 - 100 - 16 + 2) * 1e-4)


def test_cells_outside_of_the_breast_count_nowhere():
    breast = np.zeros((40, 40), bool)
    breast[:20] = True
    case = readers(labels((5, 5, 1, 1), (30, 5, 1, 1)), labels((5, 5, 1, 1), (30, 25, 1, 1)), breast)
    assert cell_table(match_case(case, 0)).tolist() == [1, 0, 0, 7]


def test_intervals_are_pooled_over_images():
    good, bad = (
        readers(labels((5, 5, 1, 1)), labels((5, 5, 1, 1))),
        readers(labels((5, 5, 1, 1)), labels((35, 5, 1, 1))),
    )
    weights = np.array([[2, 0], [1, 1], [0, 2]])
    found = agreement([good, bad], 1.0, weights)
    assert found["specific_agreement"].value == 0.5 and found["specific_agreement"].bootstrap_mean == 0.5
    pooled = cohen_kappa([1, 1, 1, 29])
    alone = cohen_kappa([0, 1, 1, 14])
    assert found["kappa"].value == pytest.approx(pooled)
    assert found["kappa"].bootstrap_mean == pytest.approx(np.mean([1, pooled, alone]))
    many = agreement([good, bad] * 20, 1.0, bootstrap_weights([str(i) for i in range(40)], 500, 0))
    assert 0.3 < many["specific_agreement"].low < 0.45 < 0.55 < many["specific_agreement"].high < 0.7


def test_the_threshold_decides_and_cells_may_be_left_out(make_case):
    case = make_case([(10, 10, 2, 2)], [((10, 10, 2, 2), 0.5), ((40, 40, 2, 2), 0.3)])
    assert agreement([case], 0.5, ONCE)["specific_agreement"].value == 1
    low = agreement([case], 0.3, ONCE)
    assert low["specific_agreement"].value == pytest.approx(2 / 3) and low["kappa"] is None is low["cells"]
    with pytest.raises(ValueError, match="make_cells"):
        cell_table(match_case(case, 0))


def test_empty_prediction_empty_truth_and_both():
    nothing, something = labels(), labels((5, 5, 1, 1))
    for first, second in ((nothing, something), (something, nothing)):
        found = agreement([readers(first, second)], 1.0, ONCE)
        assert found["specific_agreement"].value == 0 == found["kappa"].value
    both = agreement([readers(nothing, nothing)], 1.0, ONCE)
    assert math.isnan(both["specific_agreement"].value) and math.isnan(both["kappa"].value)
    none = agreement([], 1.0, np.zeros((1, 0), np.int64))
    assert math.isnan(none["specific_agreement"].value) and none["kappa"] is None


def test_readers_need_one_shape():
    with pytest.raises(ValueError, match="one shape"):
        readers(labels(), labels(shape=(40, 41)))
