"""Phantom pairs: equal seeds give equal exams, and what is said to have changed has."""

import json

import numpy as np
import pydicom
import pytest

from scripts.simulation.phantom.pairs import PairSettings, PhantomPairFiles, sample_pair

FIELD = {"shape": (420, 320), "spacing_mm": 0.1}


def draw(seed, **options):
    return sample_pair(np.random.default_rng(seed), **(FIELD | options))


def test_equal_seeds_give_equal_pairs():
    first, second, other = draw(3), draw(3), draw(4)
    assert first.prior == second.prior and first.states == second.states
    assert first.current.spec == second.current.spec and first.current.spec != other.current.spec
    assert np.array_equal(first.current.to_prior.displacement_mm, second.current.to_prior.displacement_mm)


def test_states_are_what_happens_to_the_mcs():
    pair = draw(1)
    prior, current = dict(zip(pair.prior_numbers, pair.prior.mcs, strict=True)), {}
    current = dict(zip(pair.current_numbers, pair.current.spec.mcs, strict=True))
    assert set(pair.states) == prior.keys() | current.keys()
    for number, state in pair.states.items():
        assert (number in prior) == (state != "new") and (number in current) == (state != "gone")
        if state in ("same", "grown"):
            factor = current[number].diameter_mm / prior[number].diameter_mm
            assert factor == 1 if state == "same" else 1.4 <= factor <= 1.7
            places = [np.array([[mc[number].row_mm, mc[number].col_mm]]) for mc in (prior, current)]
            assert np.hypot(*(pair.current.to_prior(places[1]) - places[0])[0]) < 1.5  # moves with the tissue
    assert len(pair.states) > len(prior) > 0


def test_the_tissue_moves_with_the_map_and_only_with_it():
    pair = draw(2, laterality="R")
    still = PairSettings(gone_share=0, grown_share=0, new_share=0)
    first, second = sample_pair(np.random.default_rng(2), still, **(FIELD | {"laterality": "R"})).render()
    flipped = [image.noise_free[:, ::-1] for image in (first, second)]
    field = pair.current.to_prior
    size = first.image.shape
    expected = field.pull(np.ascontiguousarray(flipped[0]), (0.1, 0.1), size, (0.1, 0.1))
    inner = second.breast[:, ::-1] & (expected > 0.05)
    assert np.corrcoef(expected[inner], flipped[1][inner])[0, 1] > 0.9
    assert np.corrcoef(flipped[0][inner], flipped[1][inner])[0, 1] < 0.8
    noise = [image.image / 4095 - image.noise_free for image in (first, second)]
    assert abs(np.corrcoef(noise[0][100:200, 200:300].ravel(), noise[1][100:200, 200:300].ravel())[0, 1]) < 0.1


def test_files_of_a_pair(tmp_path):
    files = PhantomPairFiles(str(tmp_path), seed=1, **FIELD)
    change = json.loads(files.write().read_text())
    assert set(change) == {"same", "grown", "gone", "new"} and sum(change.values()) > 0
    prior, current = (pydicom.dcmread(tmp_path / f"{name}.dcm") for name in ("prior", "current"))
    assert prior.PatientID == current.PatientID and prior.PatientBirthDate == current.PatientBirthDate
    assert prior.StudyInstanceUID != current.StudyInstanceUID and prior.SOPInstanceUID != current.SOPInstanceUID
    assert int(current.StudyDate[:4]) - int(prior.StudyDate[:4]) == 1 or current.StudyDate > prior.StudyDate
    before = (tmp_path / "current.dcm").read_bytes()
    files.write()
    assert (tmp_path / "current.dcm").read_bytes() == before


def test_shares_over_one_are_named():
    with pytest.raises(ValueError, match=r"grown_share \+ gone_share"):
        sample_pair(np.random.default_rng(0), PairSettings(gone_share=0.7, grown_share=0.7), **FIELD)
