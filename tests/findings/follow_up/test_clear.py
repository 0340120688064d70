"""Faint marks: they keep an MC of the other exam from being called new or gone, and are nothing by themselves."""

from dataclasses import replace

import numpy as np

from scripts.findings.clusters import SingleLinkageClusters
from scripts.findings.follow_up.clear import without_faint
from scripts.findings.follow_up.comparable import QualityLimits
from scripts.findings.follow_up.compare import COMPARED, compare
from scripts.findings.follow_up.matching import MatchingRule
from tests.findings.follow_up.factory import Known, exam, shift

RULE = SingleLinkageClusters(3.0, 3)


def scored(start, scores):
    return replace(start, findings=[replace(mc, score=s) for mc, s in zip(start.findings, scores, strict=True)])


def pair():
    """Three clear MCs in a row; the current exam shows the second faintly, has a clear new one, and a faint speck."""
    prior = scored(exam("prior", [(10, 10), (12, 10), (14, 10), (30, 8)]), [0.9, 0.9, 0.9, 0.1])
    image, breast = (np.roll(array, 10, axis=0) for array in (prior.image, prior.breast))
    current = scored(exam("current", [(11, 10), (13, 10), (15, 10), (20, 16), (25, 4)]), [0.9, 0.1, 0.9, 0.8, 0.2])
    current = replace(current, image=image**0.9, breast=breast)
    found = compare(prior, current, Known(shift(1, 0)), QualityLimits(), MatchingRule())
    assert found.status == COMPARED
    return prior, current, found


def test_a_faint_partner_counts_and_a_faint_mark_alone_does_not():
    prior, current, found = pair()
    assert sorted(entry.status for entry in found.traces) == ["gone", "new", "new"] + ["unchanged"] * 3
    first, second, left = without_faint(prior, current, found, (0.5, 0.5), RULE)
    known = {(entry.prior_id, entry.current_id): entry.status for entry in left.traces}
    assert known == {(1, 1): "unchanged", (2, 2): "unchanged", (3, 3): "unchanged", (None, 4): "new"}
    assert [entry.number for entry in left.traces] == [1, 2, 3, 4]
    assert [mc.id for mc in first.findings] == [1, 2, 3] and [mc.id for mc in second.findings] == [1, 2, 3, 4]


def test_clusters_are_formed_of_what_is_left():
    prior, current, found = pair()
    stale = replace(current, clusters={1: (1, 2, 3, 5)})
    _, second, _ = without_faint(prior, stale, found, (0.5, 0.5), RULE)
    assert second.clusters == {1: (1, 2, 3)}


def test_without_faint_marks_everything_stays():
    prior, current, found = pair()
    same = without_faint(prior, current, found, (0.0, 0.0), RULE)
    assert same[0] is prior and same[1] is current and same[2].traces == found.traces


def test_each_exam_has_its_own_least_score():
    prior, current, found = pair()
    first, second, left = without_faint(prior, current, found, (0.05, 0.5), RULE)
    assert [mc.id for mc in first.findings] == [1, 2, 3, 4] and len(second.findings) == 4
    assert {entry.status for entry in left.traces} == {"unchanged", "new", "gone"}
