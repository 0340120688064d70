"""Every code is in pydicom's tables with its meaning, and in the context group that the standard takes it from."""

import pytest

pytest.importorskip("highdicom")

from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts
from pydicom.sr.coding import Code

from scripts.common.outcomes import OUTCOMES
from scripts.outputs.dicom import codes


def members(cid):
    """(scheme, value) of a context group."""
    names = [(scheme, name) for scheme, group in cid_concepts[cid].items() for name in group]
    return {(scheme, value) for scheme, name in names for value in concepts[scheme][name]}


def meaning(code):
    return {entry[code.value][0] for entry in concepts[code.scheme_designator].values() if code.value in entry}


GROUPS = [
    (6010, codes.CALCIFICATION_TYPES.values()),
    (6012, codes.DISTRIBUTIONS.values()),
    (6002, codes.CHANGES.values()),
    (4014, codes.VIEWS.values()),
    (6022, codes.BREASTS.values()),
    (244, codes.SIDES.values()),
    (6034, (codes.REQUIRED, codes.OPTIONAL)),
    (6047, codes.OUTCOMES.values()),
    (6042, codes.STATUS.values()),
    (6014, (codes.SCT.CalcificationCluster, codes.SCT.IndividualCalcification)),
    (6035, (codes.DCM.TargetContentItemsAreRelatedTemporally,)),
    (6036, (codes.DCM.FeatureDetectedOnMultipleImages,)),
    (6043, (codes.SCT.TemporalCorrelation,)),
    (7162, (codes.DCM.ArtificialIntelligence,)),
]


@pytest.mark.parametrize(("cid", "group"), GROUPS, ids=lambda value: str(value) if isinstance(value, int) else "")
def test_codes_are_of_their_context_group(cid, group):
    for code in group:
        assert (code.scheme_designator, code.value) in members(cid)
        assert code.meaning in meaning(code)


def test_every_outcome_has_a_code_and_a_status():
    assert set(codes.CODE_OF) == set(OUTCOMES)
    told = {(codes.CODE_OF[name].value, codes.detections_status_of(name).value) for name in OUTCOMES}
    assert len(told) == len(OUTCOMES)  # together they tell all six apart


def test_no_two_names_have_one_code():
    tables = (codes.CALCIFICATION_TYPES, codes.DISTRIBUTIONS, codes.CHANGES, codes.VIEWS, codes.OUTCOMES, codes.STATUS)
    for table in tables:
        assert len({code.value for code in table.values()}) == len(table)


def test_all_five_outcomes_and_all_views_are_there():
    assert {("DCM", code.value) for code in codes.OUTCOMES.values()} == members(6047)
    left = members(4014) - {("SCT", code.value) for code in codes.VIEWS.values()}
    assert left == {("SCT", codes.SCT.TissueSpecimenFromBreast.value)}


def test_every_kind_has_a_code():
    kinds = pytest.importorskip("scripts.common.calcification_kinds")
    assert set(kinds.KINDS) == {*codes.CALCIFICATION_TYPES, kinds.METAL}


def test_a_meaning_has_no_invisible_characters():
    item = codes.concept(codes.DCM.IndividualImpressionRecommendation)
    assert item.CodeMeaning == "Individual Impression/Recommendation" and item.CodeValue == "111034"
    assert codes.concept(Code("111034", "DCM", "")) is item  # made once
