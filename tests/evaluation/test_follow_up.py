"""Evaluation of follow-up: scoring by hand, and the whole of it with elastix where that is installed."""

import importlib.util

import numpy as np
import pytest

from scripts.evaluation.follow_up import FollowUpEvaluation, evaluate_pair, score, summary_of
from scripts.findings.follow_up.comparable import QualityLimits
from scripts.findings.follow_up.matching import MatchingRule, Trace
from scripts.findings.follow_up.registration import MISSING, ElastixRegistration
from tests.findings.follow_up.factory import Known, exam

WITHOUT_ITK = importlib.util.find_spec("itk") is None


def entry(status, prior, current):
    return Trace(1, status, prior, current, None, None, None, None, None, None)


def test_scores_by_hand():
    # numbers: prior shows 1 2 3 4, current 1 2 3 5 6; 3 grew, 4 is gone, 5 and 6 are new
    states = {1: "same", 2: "same", 3: "grown", 4: "gone", 5: "new", 6: "new"}
    prior, current = [1, 2, 3, 4], [1, 2, 3, 5, 6]
    perfect = [entry("unchanged", 1, 1), entry("unchanged", 2, 2), entry("grown", 3, 3), entry("gone", 4, None)]
    perfect += [entry("new", None, 4), entry("new", None, 5)]
    found = score(perfect, prior, current, states)
    assert (found["mcs"], found["right"], found["new"], found["new_found"]) == (9, 9, 2, 2)
    assert (found["gone"], found["gone_found"], found["unchanged_found"], found["grown_found"]) == (1, 1, 2, 1)
    # 2 with 5 (both wrong), 4 with 2 (both wrong), 3 called unchanged (matched right), 6 new
    wrong = [entry("unchanged", 1, 1), entry("unchanged", 2, 4), entry("unchanged", 3, 3), entry("unchanged", 4, 2)]
    found = score([*wrong, entry("new", None, 5)], prior, current, states)
    assert (found["right"], found["new_found"], found["gone_found"]) == (5, 1, 0)
    assert (found["unchanged_found"], found["unchanged"], found["grown_found"], found["grown"]) == (1, 2, 0, 1)
    # what is out of view is right to have no partner, and is neither new nor gone
    hidden = score([*perfect[:3], entry("out of view", 4, None), *perfect[4:]], prior, current, states)
    assert (hidden["right"], hidden["gone"], hidden["gone_found"]) == (9, 0, 0)
    # called gone although the other exam shows it
    assert score([entry("gone", 1, None), entry("new", None, 1)], [1], [1], {1: "same"})["right"] == 0


def small(folder, **options):
    return FollowUpEvaluation(str(folder), shape=(840, 640), spacing_mm=0.1, **options)


def test_a_perfect_registration_on_a_small_pair(tmp_path):
    made = small(tmp_path, pairs=1, wrong_pairs=0)
    pair, exams, numbers = made.draw(0)
    inverse = pair.current.to_prior
    grid = np.indices(inverse.displacement_mm.shape[1:]).reshape(2, -1).T * 2.0
    field = (inverse.inverse(grid) - grid).T.reshape(inverse.displacement_mm.shape)
    truth = Known(type(inverse)(field, (2.0, 2.0)))
    found = evaluate_pair(pair, exams, numbers, truth, QualityLimits(), MatchingRule())
    assert found["status"] == "compared" and found["residual_mm"] < 0.5
    assert found["mcs"] > 10 and found["right"] / found["mcs"] >= 0.95
    assert abs(found["new_found"] - found["new"]) <= 1 and abs(found["gone_found"] - found["gone"]) <= 1
    other = evaluate_pair(
        pair, (exams[0], exam("other", [(30, 30)], shape=(840, 640))), numbers, truth, QualityLimits(), MatchingRule()
    )
    assert other["status"] == "cannot be compared" and other["right"] == 0
    figures = summary_of([found, other | {"seconds": 0}], [])
    assert figures["pairs"] == 2 and figures["pairs compared"] == 1 and figures["share of MCs right"] < 0.9


def test_wrong_pairs_need_enough_pairs(tmp_path):
    with pytest.raises(ValueError, match="pairs: got 8; want 4 more than wrong_pairs"):
        small(tmp_path, pairs=8, wrong_pairs=5)


@pytest.mark.skipif(not WITHOUT_ITK, reason="itk-elastix is installed")
def test_without_itk_the_error_says_what_to_install():
    with pytest.raises(ValueError, match=r"pip install -r requirements-follow-up.txt"):
        ElastixRegistration().register(exam("a", []), exam("b", [], seed=1))
    assert "itk-elastix" in MISSING


@pytest.mark.slow
@pytest.mark.skipif(WITHOUT_ITK, reason="needs itk-elastix: make follow-up installs it")
def test_small_pairs_with_elastix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = small(tmp_path / "evaluation", pairs=5, wrong_pairs=1)  # a minute
    figures = made.run()
    assert figures["pairs compared"] == 5 and figures["share of MCs right"] >= 0.95
    assert figures["refused by tags"] == figures["refused without tags"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {"evaluation"}  # nothing left behind
    assert made.run() == figures  # kept, not made anew
    assert "share of MCs right" in (tmp_path / "evaluation" / "evaluation.md").read_text()


@pytest.mark.parametrize("wrong", [{"spacing_mm": 0}, {"iterations": 0}, {"bending_weight": -1}])
def test_wrong_parameters_of_the_registration_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ElastixRegistration(**wrong)
