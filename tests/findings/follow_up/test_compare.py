"""Comparisons: who is refused and why, what is traced, clusters, carried regions."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.findings.follow_up.change import Intervals
from scripts.findings.follow_up.comparable import Quality, QualityLimits, chest_wall_side, differences, quality_of
from scripts.findings.follow_up.compare import carried, cluster_figures, compare, in_region, part_figures
from scripts.findings.follow_up.exams import reduced
from scripts.findings.follow_up.matching import MatchingRule
from scripts.findings.follow_up.regions import read_region
from scripts.findings.follow_up.registration import RegistrationError
from tests.findings.follow_up.factory import Known, exam, shift

TAGS = {"patient_id": "P1", "laterality": "L", "view": "CC", "sop_uid": "1.2"}


def moved(start, rows_px, points, areas=None, **facts):
    """The exam a while later: the picture moved down, a little brighter, MCs at points."""
    image, breast = (np.roll(array, rows_px, axis=0) for array in (start.image, start.breast))
    other = exam("current", points, areas, start.image.shape)
    return replace(other, image=image**0.9, breast=breast, **facts)


def compared(prior, current, to_current):
    return compare(prior, current, Known(to_current), QualityLimits(), MatchingRule())


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"patient_id": "P2"}, "other patient: P1 and P2"),
        ({"laterality": "R"}, "other breast: L and R"),
        ({"view": "MLO"}, "other view: CC and MLO"),
        ({"sop_uid": "1.2"}, "the same image twice"),
    ],
)
def test_what_tags_refuse(tags, reason):
    prior = exam("prior", [(10, 10)], identity=TAGS)
    current = moved(prior, 10, [(11, 10)], identity=TAGS | {"sop_uid": "1.3"} | tags)
    found = compared(prior, current, shift(1, 0))
    assert found.status == "cannot be compared" and found.reasons == (reason,) and not found.traces
    assert part_figures("breast", ([], 1), ([], 1), found, Intervals())["change"] is None


def test_without_tags_the_side_of_the_chest_wall_and_equal_pictures_tell():
    prior = exam("prior", [])
    mirrored = replace(prior, image=prior.image[:, ::-1], breast=prior.breast[:, ::-1])
    assert (chest_wall_side(prior.breast), chest_wall_side(mirrored.breast)) == ("left", "right")
    assert differences(prior, mirrored) == ["other breast: chest wall left and right"]
    assert differences(prior, replace(prior)) == ["the same image twice"]
    tagged = [replace(e, identity={"laterality": "L"}) for e in (prior, mirrored)]
    assert differences(*tagged) == []  # files may be flipped; tags decide


def test_a_true_pair_is_compared_and_a_wrong_registration_or_breast_is_not():
    prior = exam("prior", [(10, 10), (20, 10)])
    current = moved(prior, 10, [(11, 10), (21, 10), (30, 8)])
    found = compared(prior, current, shift(1, 0))
    assert found.status == "compared" and found.quality.correlation > 0.9 and found.quality.overlap > 0.99
    assert [entry.status for entry in found.traces] == ["unchanged", "unchanged", "new"]
    for to_current in (shift(3, 0), shift(-1, 0)):
        assert "correlation" in " ".join(compared(prior, current, to_current).reasons)
    other = replace(exam("other", [], seed=1), findings=current.findings)
    refused = compared(prior, other, shift(0, 0))
    assert refused.status == "cannot be compared" and refused.one_breast and not refused.traces


def test_a_registration_that_ends_in_an_error_refuses():
    class Fails:
        spacing_mm = 0.2

        def register(self, prior, current):
            raise RegistrationError("elastix: no overlap")

    found = compare(exam("a", []), exam("b", [], seed=1), Fails(), QualityLimits(), MatchingRule())
    assert found.reasons == ("failed registration: elastix: no overlap",)


def test_limits_name_each_failure_and_nan_is_one():
    limits = QualityLimits(overlap=0.9, correlation=0.4, area_change=3)
    assert limits.failures(Quality(0.95, 0.5, 0.5, 2.0)) == []
    failures = limits.failures(Quality(0.5, float("nan"), -0.1, 2.0))
    assert [failure.split(": ")[1].split()[0] for failure in failures] == ["overlap", "correlation", "areas"]
    with pytest.raises(ValueError, match="area_change"):
        QualityLimits(area_change=0.5)


def test_quality_of_nothing_is_none():
    dark = replace(exam("a", []), breast=np.zeros((400, 300), bool))
    found = quality_of(dark, dark, shift(0, 0))
    assert (found.overlap, found.correlation) == (0, 0) and QualityLimits().failures(found)


def test_change_counts_what_both_exams_show():
    prior = exam("prior", [(2, 10), (20, 10), (30, 10)], [0.1, 0.1, 0.1])
    current = moved(prior, -30, [(17, 10), (33, 5), (25, 12)], [0.1, 0.1, 0.1])
    found = compared(prior, current, shift(-3, 0))
    figures = part_figures("breast", (prior.findings, 5.0), (current.findings, 5.0), found, Intervals())
    assert [entry.status for entry in found.traces] == ["out of view", "unchanged", "gone", "new", "new"]
    assert figures["prior"]["count"] == 3 and figures["current"]["count"] == 3
    assert figures["change"]["matched"] == 1 and figures["change"]["count"]["value"] == 1


def test_clusters_are_paired_by_the_mcs_they_share():
    prior = exam("prior", [(10, 10), (11, 11), (12, 10), (30, 5)], clusters={1: [1, 2, 3], 2: [4]})
    points = [(13, 10), (11, 10), (12, 11), (25, 20), (26, 20)]
    current = moved(prior, 10, points, clusters={7: [1, 2, 3], 8: [4, 5]})
    figures = cluster_figures(prior, current, compared(prior, current, shift(1, 0)), Intervals())
    assert [figure["name"] for figure in figures] == ["cluster 1 / 7", "cluster 2 / -", "cluster - / 8"]
    assert figures[0]["change"]["matched"] == 3 and figures[1]["current"] is None and figures[2]["change"] is None
    assert figures[0]["prior"]["area_cm2"] == pytest.approx(0.01)


def test_a_region_is_carried_to_the_other_exam():
    prior, current = exam("prior", []), exam("current", [(16, 12), (8, 12)])
    box = {"rectangle": {"top": 10, "left": 10, "bottom": 20, "right": 15}, "unit": "mm"}
    region = read_region(box, prior.image.shape, prior.spacing_mm)
    other = carried(region, prior, current, shift(5, 0))
    assert other.area_mm2 == pytest.approx(50) and [mc.id for mc in in_region(current, other)[0]] == [1]
    members = read_region({"members": [1]}, prior.image.shape, prior.spacing_mm, [1])
    with pytest.raises(ValueError, match="a region in both exams"):
        carried(members, prior, current, shift(5, 0))


def test_reducing_keeps_the_size_in_mm():
    small = reduced(exam("a", []), 0.5)
    assert small.image.shape == (80, 60) and small.spacing_mm == pytest.approx((0.5, 0.5))
    assert small.breast_area_cm2 == pytest.approx(exam("a", []).breast_area_cm2, rel=0.02)
