"""Clusters by hand, and the walk against grouping and matching anew at every threshold."""

import math

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from scripts.evaluation.cases import HitRule, score_case
from scripts.evaluation.froc import IMAGE
from scripts.evaluation.matching import match, match_events
from scripts.evaluation.sections.clusters import ClusterTable, FoundClusters, cluster_events
from scripts.findings.clusters import CircleClusters, SingleLinkageClusters

#: 1 mm pixels, hits within 1 mm
MM = {"spacing": (1.0, 1.0), "rule": HitRule(distance_mm=1.0), "shape": (60, 60)}


def dots(*places):
    return [(row, col, 1, 1) for row, col in places]


def linked(distance_mm, least, hits):
    return FoundClusters(SingleLinkageClusters(distance_mm, least), hits)


def test_a_hand_worked_curve(make_case):
    # a cluster of three MCs (two steps of 4 mm), a pair that is no cluster, and three false positives in a row
    truth = dots((5, 5), (5, 9), (5, 13), (40, 5), (40, 8))
    false = dots((20, 40), (20, 44), (20, 48))
    predicted = [
        *[(false[0], 0.95), (truth[0], 0.9), (truth[3], 0.85), (truth[4], 0.84), (false[1], 0.8)],
        *[(truth[1], 0.7), (false[2], 0.6), (truth[2], 0.5)],
    ]
    table = ClusterTable([make_case(truth, predicted, **MM), make_case(**MM)], linked(5.0, 3, 2))
    curve = table.curve()
    assert table.annotated.tolist() == [1, 0]
    assert curve.threshold.tolist() == [math.inf, 0.95, 0.9, 0.85, 0.84, 0.8, 0.7, 0.6, 0.5]
    assert curve.tp.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1]  # found at its second hit, not its first
    assert curve.fp.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 1]  # three false positives make a cluster, two do not
    assert curve.fp_per_image[-1] == 0.5 and curve.fp_per_cm2[-1] == pytest.approx(1 / 72)
    assert curve.tpr_at(0.0, IMAGE) == 1 and curve.pauc(1.0, IMAGE) == 1


def test_clusters_of_false_positives_that_join_are_not_forgiven(make_case):
    # two pairs 8 mm apart, then one between them joins both: 2 clusters become 1, the count stays 2
    false = dots((20, 10), (20, 12), (20, 20), (20, 22), (20, 16))
    case = make_case(dots((50, 50)), [(box, 0.9 - i / 10) for i, box in enumerate(false)], **MM)
    rule = linked(5.0, 2, 1)
    _, _, change = cluster_events(case, rule)
    assert change[:, 1].tolist() == [0, 1, 0, 1, -1]
    assert ClusterTable([case], rule).curve().fp.tolist() == [0, 0, 1, 1, 2, 2]


def test_what_a_cluster_needs_is_an_argument(make_case):
    truth = dots((5, 5), (5, 9), (5, 13))
    case = make_case(truth, [(truth[0], 0.9), (truth[1], 0.8), (truth[2], 0.7)], **MM)
    for hits, threshold in ((1, 0.9), (2, 0.8), (3, 0.7)):
        curve = ClusterTable([case], linked(5.0, 3, hits)).curve()
        assert curve.threshold[np.flatnonzero(curve.tp)[0]] == threshold
    assert ClusterTable([case], linked(3.9, 3, 1)).annotated.tolist() == [0]  # too far apart
    assert ClusterTable([case], linked(5.0, 4, 1)).annotated.tolist() == [0]  # too few
    assert ClusterTable([case], linked(3.9, 1, 1)).annotated.tolist() == [3]


def anew(case, found_clusters, matching, threshold):
    """(clusters found, false-positive clusters) at a threshold, with everything done again."""
    rule, hits = found_clusters.rule, found_clusters.hits
    held, kept = match(case, threshold, matching), case.predictions.kept(threshold)
    kept[held[held >= 0]] = False

    def groups(objects, chosen):
        points = np.stack([objects.row, objects.col], 1)[chosen] * case.spacing_mm
        if len(points) < 2:
            return np.ones(len(points), int)
        if isinstance(rule, CircleClusters):
            groups = rule.groups(points)
            return np.where(groups < 0, -1 - np.arange(len(points)), groups)
        return fcluster(linkage(points, "single"), rule.distance_mm + 1e-9, "distance")

    truth = groups(case.annotations, np.ones(len(case.annotations), bool))
    found = sum((truth == g).sum() >= rule.least and (held[truth == g] >= 0).sum() >= hits for g in set(truth))
    return found, (np.unique(groups(case.predictions, kept), return_counts=True)[1] >= rule.least).sum()


RULES = [linked(0.6, 2, 1), linked(0.4, 1, 1), linked(0.8, 3, 2), FoundClusters(CircleClusters(0.8, 3), 2)]


@pytest.mark.parametrize("rule", RULES)
def test_equals_grouping_anew_at_every_threshold(random_image, rule):
    for seed in range(40):
        label, instances, scores, spacing = random_image(seed)
        case = score_case(label, instances, scores, label < 3, spacing)
        curve, table = ClusterTable([case], rule).curve(), cluster_events(case, rule)
        counts = [anew(case, rule, "greedy", t) for t in curve.threshold]
        assert curve.tp.tolist() == [found for found, _ in counts]
        assert curve.fp.tolist() == np.maximum.accumulate([false for _, false in counts]).tolist()
        assert table[2][:, 1].sum() == counts[-1][1]


@pytest.mark.parametrize("seed", range(40))
def test_the_walks_false_positives_are_those_of_matching_anew(random_image, seed):
    label, instances, scores, spacing = random_image(seed)
    case = score_case(label, instances, scores, label < 3, spacing)
    for matching in ("greedy", "optimal"):
        order, gained, dropped = match_events(case, matching)
        assert ((gained >= 0) != (dropped >= 0)).all()
        for threshold in np.unique(scores):
            taken = case.predictions.score[order] >= threshold
            held, kept = match(case, threshold, matching), case.predictions.kept(threshold)
            kept[held[held >= 0]] = False
            false = dropped[taken][dropped[taken] >= 0]
            assert len(set(false)) == false.size == kept.sum()
            assert matching == "optimal" or set(false) == set(np.flatnonzero(kept))


def test_weights_are_repeated_images(random_image):
    rule, cases = linked(0.6, 2, 1), []
    for seed in range(3):
        label, instances, scores, spacing = random_image(seed + 20)
        cases.append(score_case(label, instances, scores, label < 3, spacing))
    sample = ClusterTable(cases, rule).curve(np.array([2, 0, 3]))
    repeated = ClusterTable([cases[0]] * 2 + [cases[2]] * 3, rule).curve()
    at = np.searchsorted(-sample.threshold, -repeated.threshold)
    assert sample.threshold[at].tolist() == repeated.threshold.tolist()
    assert sample.tp[at].tolist() == repeated.tp.tolist() and sample.fp[at].tolist() == repeated.fp.tolist()
    np.testing.assert_allclose(sample.fp_per_image[at], repeated.fp_per_image)


def test_empty_prediction_empty_truth_and_both(make_case):
    truth = dots(*((5, col) for col in range(2, 11, 2)))  # five within 8 mm
    no_prediction = ClusterTable([make_case(truth, **MM)]).curve()
    assert no_prediction.tpr.tolist() == [0] and no_prediction.tpr_at(1.0, IMAGE) == 0
    no_truth = ClusterTable([make_case([], [(box, 0.5) for box in truth], **MM)]).curve()
    assert no_truth.fp.tolist() == [0, 1] and np.isnan(no_truth.tpr).all()
    neither = ClusterTable([make_case(**MM)]).curve()
    assert neither.fp_per_image.tolist() == [0] and math.isnan(neither.tpr_at(1.0, IMAGE))
    assert np.isnan(ClusterTable([]).curve().fp_per_image).all()


def test_bad_rules_and_weights_are_named(make_case):
    for hits in (0, 6):
        with pytest.raises(ValueError, match="hits"):
            FoundClusters(hits=hits)
    with pytest.raises(ValueError, match="one per image"):
        ClusterTable([make_case()]).curve(np.ones(2))
