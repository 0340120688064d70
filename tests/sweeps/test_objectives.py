"""The threshold sweeps against figures worked out by hand, and their configs on small phantoms."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import MetaTensor

from scripts.candidates.hdog import HDoGParameters
from scripts.common.settings import describe
from scripts.sweeps.cases import MapArrays
from scripts.sweeps.objectives import CombiningObjective, HDoGObjective
from scripts.sweeps.sweep import SkipTrialError

PREFIX = "hdog::"


class Cases:
    """Stands in for the arrays on disk."""

    def __init__(self, **arrays):
        self.items = [{"image": "a.png", "image_id": "a", "patient": "p"}]
        self.arrays = arrays | {"spacing_mm": np.array([0.07, 0.07])}

    def path(self, item):
        return Path("a.npz")

    def missing(self):
        return []

    def fill(self):
        pass

    def __iter__(self):
        yield self.items[0], self.arrays


def silent(text):
    pass


@pytest.fixture
def spots():
    """Two Gaussian spots of sigma 2, annotated as their half-height discs; a third, faint one is annotated, too."""
    rows, cols = np.mgrid[:100, :120]
    image, label = np.full((100, 120), 0.3, np.float32), np.zeros((100, 120), np.uint8)
    for row, col, height in ((30, 30, 0.3), (60, 80, 0.3), (80, 30, 0.01)):
        square = (rows - row) ** 2 + (cols - col) ** 2
        image += height * np.exp(-square / 8).astype(np.float32)
        label[square <= 2 * np.log(2) * 4] = 1
    everywhere = np.ones(label.shape, bool)
    return Cases(image=image, label=label, breast=everywhere, breast_inner=everywhere)


def test_candidates_are_scored_and_the_limit_on_tpr_is_a_constraint(spots):
    def found(limit, **parameters):
        outcome = HDoGObjective(spots, min_tpr=limit)(
            {PREFIX + key: value for key, value in parameters.items()}, silent
        )
        return outcome, outcome.values["tpr"], outcome.constraints["tpr"] <= 0

    outcome, tpr, feasible = found(0.6)
    assert tpr == pytest.approx(2 / 3) and feasible and outcome.values["fp_per_cm2"] == 0
    assert 2 / 3 * 0.3 < outcome.value < 2 / 3  # the faint one, not found, counts as 0
    assert found(2 / 3)[2] is False  # TPR must be higher than the limit
    assert found(0.6, dog_threshold=0.9)[1:] == (0, False)
    outcome, tpr, feasible = found(0.9, dog_threshold=0.0005)
    assert tpr == 1 and feasible
    with pytest.raises(SkipTrialError, match="sigma_max"):
        found(0.9, sigma_min_px=4.0)
    with pytest.raises(ValueError, match="sigma_mim"):
        found(0.9, sigma_mim=4.0)


def test_lengths_follow_the_pixel_size(spots):
    coarse = Cases(**{k: v[::2, ::2] for k, v in spots.arrays.items() if k != "spacing_mm"})
    coarse.arrays["spacing_mm"] = np.array([0.14, 0.14])
    scaled = HDoGObjective(coarse)({}, silent)
    halved = HDoGParameters(sigma_min_px=0.59, sigma_max_px=1.55, reference_spacing_mm=0)
    assert scaled == HDoGObjective(coarse, halved)({}, silent)


@pytest.fixture
def strips():
    """Three candidates of 10 px; the first two are annotated; their maps descend from 1.0, 0.6 and 0.8 by 0.05 a px."""
    label, candidates = np.zeros((60, 60), np.uint8), np.zeros((60, 60), bool)
    map_ = np.zeros((60, 60), np.float32)
    for row, first in ((10, 1.0), (30, 0.6), (50, 0.8)):
        candidates[row, 10:20] = True
        map_[row, 10:20] = first - 0.05 * np.arange(10)
        label[row, 10:20] = row < 50
    everywhere = np.ones((60, 60), bool)
    return Cases(candidates=candidates, map=map_[candidates], label=label, breast=everywhere, breast_inner=everywhere)


def test_the_operating_point_is_read_off_the_curve(strips):
    area = 60 * 60 * 0.07**2 / 100  # cm^2; a single FP is 5.7 per cm^2, far from (0, 1)
    nearest = CombiningObjective(strips)
    assert nearest.direction == "minimize"
    outcome = nearest({"objects::overlap_fraction": 0.3}, silent)  # more than 3 of 10 px: the fourth decides
    assert outcome.overlay["score_threshold"] == pytest.approx(1.0 - 0.15)
    assert outcome.values["tpr"] == 0.5 and outcome.values["fp_per_cm2"] == 0
    assert outcome.value == pytest.approx(0.5)
    assert outcome.values["iou_per_object"] == pytest.approx(0.5)
    later = nearest({"objects::overlap_fraction": 0.6}, silent)  # the seventh
    assert later.overlay["score_threshold"] == pytest.approx(1.0 - 0.3)
    pauc = CombiningObjective(strips, criterion="pauc", fp_limit=2 / area)
    # half of the MCs up to the first FP (the third candidate), then, at that FP, both
    assert pauc.direction == "maximize"
    assert pauc({"objects::overlap_fraction": 0.3}, silent).value == pytest.approx((0.5 + 1.0) / 2)


class Objects:
    """Stands in for CandidateObjects: every pixel brighter than 0.5 is a candidate."""

    map, hdog = 1, HDoGParameters()

    def candidates(self, image, within, spacing_mm):
        assert spacing_mm == 0.07
        return (image > 0.5) & within


def test_maps_are_kept_on_the_candidates_only(tmp_path):
    (tmp_path / "a.png").touch()
    image, inner = torch.zeros(1, 4, 5), torch.ones(1, 4, 5, dtype=torch.bool)
    image[0, 1, 1:4], inner[0, 1, 3] = 1.0, False
    item = {"image_id": "a", "image": MetaTensor(image, meta={"spacing_mm": (0.07, 0.07)}), "breast_inner": inner}
    item |= {"label": torch.ones(1, 4, 5), "breast": torch.ones(1, 4, 5)}
    output = {"map": torch.arange(20.0).reshape(1, 4, 5) / 20}
    items = [{"image": str(tmp_path / "a.png"), "image_id": "a"}]
    maps = MapArrays(items, tmp_path, len, Objects(), "inferer", "")
    assert maps.missing() == items
    maps(SimpleNamespace(state=SimpleNamespace(batch=[item], output=[output])))
    ((_, arrays),) = list(maps)
    assert np.argwhere(arrays["candidates"]).tolist() == [[1, 1], [1, 2]]
    np.testing.assert_allclose(arrays["map"], [6 / 20, 7 / 20])
    assert not maps.missing() and describe(maps)["images"] == [maps.path(items[0]).stem]
    other = MapArrays(items, tmp_path, len, Objects(), "other inferer", "")
    assert other.missing() == items


def run(root, monkeypatch, overlay, folder, tmp_path, **more):
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    options = {"source::training": 3, "source::validation": 1, "source::testing": 1, "source::seed": 5}
    options |= {"source::shape": [416, 320], "progress": False, "precision": "float32"}
    options |= {"source::empty_fraction": 0.0, "source::workers": 0, "dataset_dir": str(folder)}
    paths = {"output_dir": str(tmp_path / "out"), "cases::cache_dir": str(tmp_path / "cache")}
    names = ("inference.json", "hdogreg_candidates.json", "evaluate.json", overlay)
    files = [str(root / "configs" / name) for name in names]
    workflow = ConfigWorkflow(files, workflow_type="infer", run_id="sweeping", **(options | paths | more))
    workflow.initialize()
    workflow.run()
    return tmp_path / "out"


def test_the_hdog_sweep_runs_from_its_config(root, phantoms, monkeypatch, tmp_path):
    more = {"sweep::trials": 2, "objective::min_tpr": 0.0}
    out = run(root, monkeypatch, "sweep_hdog.json", phantoms[0], tmp_path, **more)
    lines = (out / "results.csv").read_text().splitlines()
    assert len(lines) == 3 and ",1.18,3.1,1.6,0.006,1,1.4," in lines[1]
    fields = ("sigma_min_px", "sigma_max_px", "sigma_ratio", "dog_threshold", "blob_overlap", "hessian_threshold")
    assert {"_desc_", *(PREFIX + name for name in fields)} == set(json.loads((out / "best.json").read_text()))


def test_the_combining_sweep_runs_the_network_once(root, phantoms, monkeypatch, tmp_path):
    parser = ConfigParser()
    parser.read_config(str(root / "configs" / "inference.json"))
    torch.save(parser.get_parsed_content("network_def").state_dict(), tmp_path / "model.pt")
    more = {"weights": str(tmp_path / "model.pt"), "space": {"objects::overlap_fraction": [0.3, 0.5]}}
    out = run(root, monkeypatch, "sweep_combining.json", phantoms[0], tmp_path, **more)
    best = json.loads((out / "best.json").read_text())
    assert best["objects::overlap_fraction"] in (0.3, 0.5) and 0 <= best["score_threshold"] <= 1
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(made) == 1
    report = (out / "run_report.json").stat().st_mtime_ns
    run(root, monkeypatch, "sweep_combining.json", phantoms[0], tmp_path, **more)
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert report == (out / "run_report.json").stat().st_mtime_ns
