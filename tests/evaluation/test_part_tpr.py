"""TPR of the large MCs: by hand, and against matching, counting and resampling anew in plain Python."""

import math

import numpy as np
import pytest

from scripts.evaluation.cases import equivalent_diameter_mm, score_case
from scripts.evaluation.evaluate import Evaluation
from scripts.evaluation.froc import FrocTable
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.sections import FrocSection
from scripts.evaluation.statistics import Bootstrap, bootstrap_weights
from tests.evaluation import brute_force as brute

#: 3 x 3, 2 x 2 and 1 x 1 px; with pixels of 0.1 mm circles of 0.339, 0.226 and 0.113 mm
BIG, MIDDLE, SMALL, FAR = (10, 10, 3, 3), (30, 30, 2, 2), (50, 10, 1, 1), (10, 50, 4, 4)


def large_objects(cases, least_mm):
    return [equivalent_diameter_mm(case.annotations.area_px, case.spacing_mm) >= least_mm for case in cases]


def cm2(area, shape=(60, 60)):
    """A breast of so many cm^2 in pixels of 0.1 mm."""
    mask = np.zeros(shape[0] * shape[1], bool)
    mask[: round(area * 1e4)] = True
    return mask.reshape(shape)


@pytest.fixture
def hand_worked(make_case):
    """0.2 cm^2 in two images: BIG 0.9, a large false one 0.8, SMALL 0.7, MIDDLE 0.6; BIG missed, a false one 0.5."""
    spacing = (0.1, 0.1)
    predicted = [(BIG, 0.9), (FAR, 0.8), (SMALL, 0.7), (MIDDLE, 0.6)]
    first = make_case([BIG, MIDDLE, SMALL], predicted, spacing=spacing, breast=cm2(0.15), case_id="a")
    return [first, make_case([BIG], [(FAR, 0.5)], spacing=spacing, breast=cm2(0.05), case_id="b")]


def test_a_hand_worked_example(hand_worked):
    table = FrocTable(hand_worked)
    curve = table.curve()
    large = table.of_part(hand_worked, large_objects(hand_worked, 0.2))
    assert large.annotated.tolist() == [2, 1]  # BIG and MIDDLE, BIG
    rates = np.array([0, 4.9, 5, 9.9, 10])  # false positives 0, 1, 1, 1, 2 on 0.2 cm^2: 0, 5, 5, 5, 10 per cm^2
    thresholds = curve.threshold_at(rates)
    assert thresholds.tolist() == [0.9, 0.9, 0.6, 0.6, 0.5]
    assert large.tpr(thresholds).tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert curve.tpr_at(rates).tolist() == pytest.approx([1 / 4, 1 / 4, 3 / 4, 3 / 4, 3 / 4])
    edge = float(equivalent_diameter_mm(np.array(9), (0.1, 0.1)))  # the bound is inclusive
    assert edge == pytest.approx(2 * math.sqrt(9 * 0.01 / math.pi))
    assert [part.tolist() for part in large_objects(hand_worked, edge)] == [[True, False, False], [True]]
    assert not large_objects(hand_worked, edge + 1e-9)[0].any()
    # the first image twice, the second left out: 2 false positives on 0.3 cm^2
    weights = np.array([2, 0])
    assert table.curve(weights).threshold_at(np.array([6.6, 6.7])).tolist() == [0.9, 0.5]  # 0.5 has no weight: as 0.6
    assert large.tpr(np.array([0.9, 0.5]), weights).tolist() == [0.5, 1]


def test_it_is_in_the_metrics_with_intervals_over_the_same_images(hand_worked, tmp_path):
    handler = FROCHandler()
    handler.cases = hand_worked * 3

    def evaluated(least_mm):
        section = FrocSection(fp_rates_per_cm2=(5.0,), fp_rates_per_image=(0.5,), large_mc_mm=least_mm)
        return Evaluation(tmp_path, handler, [section], bootstrap=Bootstrap(200, seed=2)).write()["froc"]

    found = evaluated(0.2)
    assert (found["tpr_large"]["large_mc_mm"], found["tpr_large"]["annotated"]) == (0.2, 9)
    per_cm2, per_image = (found["tpr_large"][f"tpr_at_fp_per_{name}"] for name in ("cm2", "image"))
    assert per_cm2["5.0"]["value"] == per_image["0.5"]["value"] == pytest.approx(2 / 3)
    weights = bootstrap_weights([str(i) for i in range(6)], 200, 2)
    sampled = [plain_tpr([(case, w) for case, w in zip(handler.cases, row, strict=True)], 5.0, 0.2) for row in weights]
    known = [value for value in sampled if not math.isnan(value)]
    assert (per_cm2["5.0"]["low"], per_cm2["5.0"]["high"]) == pytest.approx(tuple(np.quantile(known, [0.025, 0.975])))
    assert per_cm2["5.0"]["bootstrap_mean"] == pytest.approx(np.mean(known)) and np.std(known) > 0.05
    everything = evaluated(1e-6)
    assert everything["tpr_large"]["tpr_at_fp_per_cm2"] == everything["tpr_at_fp_per_cm2"] == found["tpr_at_fp_per_cm2"]
    with pytest.raises(ValueError, match="large_mc_mm"):
        FrocSection(large_mc_mm=0)


def plain_tpr(weighted, rate, least_mm):
    """The definition from objects and scores, without tables that are sorted: (case, times) pairs."""
    best = None
    area = sum(times * case.breast_cm2 for case, times in weighted)
    froms = [FrocTable([case]).hit_from[0] for case, _ in weighted]
    scores = sorted({float(s) for case, times in weighted if times for s in case.predictions.score}, reverse=True)
    for threshold in [math.inf, *scores]:
        false = sum(
            times * (case.predictions.kept(threshold).sum() - (hit >= threshold).sum())
            for (case, times), hit in zip(weighted, froms, strict=True)
        )
        if area and false / area <= rate * (1 + 1e-9):
            best = threshold
    sizes = [2 * np.sqrt(c.annotations.area_px * c.spacing_mm[0] * c.spacing_mm[1] / math.pi) for c, _ in weighted]
    annotated = sum(times * (size >= least_mm).sum() for (_, times), size in zip(weighted, sizes, strict=True))
    hits = sum(
        times * ((size >= least_mm) & (hit >= best)).sum()
        for (_, times), size, hit in zip(weighted, sizes, froms, strict=True)
    )
    return hits / annotated if annotated else math.nan


@pytest.mark.parametrize("seed", range(25))
def test_equals_matching_anew_in_pixels(random_image, seed):
    """Everything from pixels: components, sizes, hits at every threshold; images repeated instead of weighted."""
    images = [random_image(700 + 3 * seed + i) for i in range(3)]
    cases = [score_case(label, inst, scores, label < 3, spacing) for label, inst, scores, spacing in images]
    table, least = FrocTable(cases), 0.15
    part = table.of_part(cases, large_objects(cases, least))
    rates = np.array([0.0, 20.0, 60.0, 150.0, 1e6])
    for times in ((1, 1, 1), (2, 0, 1), (0, 3, 1)):
        found = part.tpr(table.curve(np.array(times)).threshold_at(rates), np.array(times))
        repeated = [image for image, often in zip(images, times, strict=True) for _ in range(often)]
        np.testing.assert_allclose(found, [pixel_tpr(repeated, rate, least) for rate in rates])


def pixel_tpr(images, rate, least_mm):
    area = sum((label != 2).sum() * spacing[0] * spacing[1] / 100 for label, _, _, spacing in images)
    scores = {math.inf} | {float(s) for _, inst, values, _ in images for s in values[np.unique(inst[inst > 0])]}
    within = {}
    for threshold in scores:
        false = hits = annotated = 0
        for label, inst, values, spacing in images:
            truth, predicted = brute.objects_of(label, inst, values, threshold)
            hit = brute.greedy_hits(truth, predicted, spacing)
            false += len(predicted) - len(hit)
            for number, pixels in enumerate(truth):
                if math.sqrt(4 * len(pixels) * spacing[0] * spacing[1] / math.pi) >= least_mm:
                    annotated, hits = annotated + 1, hits + (number in hit)
        if false / area <= rate * (1 + 1e-9):
            within[threshold] = hits / annotated if annotated else math.nan
    return within[min(within)]


def test_no_large_mc_no_prediction_no_breast(make_case):
    def found(case):
        table = FrocTable([case])
        part = table.of_part([case], large_objects([case], 0.2))
        return float(part.tpr(table.curve().threshold_at(np.array([0.4])))[0])

    assert math.isnan(found(make_case([SMALL], [(SMALL, 0.5)])))
    assert found(make_case([FAR])) == 0 == found(make_case([FAR], [(BIG, 0.5)]))
    assert math.isnan(found(make_case([FAR], [(FAR, 0.5)], breast=np.zeros((60, 60), bool))))
    assert math.isnan(found(make_case()))
    assert FrocTable([]).of_part([], []).tpr(np.array([0.5])).shape == (1,)
