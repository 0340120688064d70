"""Tables of grids and folds against hand-worked figures; reading a training's metrics; fold splits."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigParser

from scripts.common.settings import describe
from scripts.data.splits import folded_datalist
from scripts.sweeps.report import Row, best_of, ranked
from scripts.sweeps.tables import FoldReport, GridReport, summarise
from scripts.sweeps.training import BEST, TrainAndEvaluate, best_epoch, folder_name


def test_a_grid_is_tabled_down_and_across_with_gaps_for_missing_cells(tmp_path):
    cells = [(6, -2, 0.5), (6, 1, 0.75), (8, 1, 0.25)]
    rows = [
        Row(n, "complete", {"target::xi": xi, "target::alpha": a}, v, True, {"iou": v / 2})
        for n, (xi, a, v) in enumerate(cells)
    ]
    rows.append(Row(3, "fail", {"target::xi": 8, "target::alpha": -2}, reason="crash"))
    report = GridReport("Grid", down="target::alpha", across="target::xi", figures=["value", "iou", "unknown"])
    report.write(tmp_path, rows, "maximize")
    text = (tmp_path / "results.md").read_text()
    assert "| alpha / xi | 6 | 8 |\n| --- | --- | --- |\n| -2 | 0.5 |  |\n| 1 | 0.75 | 0.25 |\n" in text
    assert "| -2 | 0.25 |  |\n| 1 | 0.375 | 0.125 |\n" in text and "unknown" not in text
    best = json.loads((tmp_path / "best.json").read_text())
    assert (best["target::xi"], best["target::alpha"]) == (6, 1) and (tmp_path / "results.png").stat().st_size > 5000
    with (tmp_path / "results.csv").open() as file:
        assert [row["reason"] for row in csv.DictReader(file)] == ["", "", "", "crash"]


def test_folds_end_with_mean_and_standard_deviation(tmp_path):
    folds = [(2, 3.0, 1.0), (0, 1.0, None), (1, 2.0, 2.0)]
    rows = [Row(n, "complete", {"datalist::fold": f}, a, True, {"a": a, "b": b}) for n, (f, a, b) in enumerate(folds)]
    FoldReport("Folds", "datalist::fold", ["a", "b"]).write(tmp_path, rows, "maximize")
    lines = (tmp_path / "results.md").read_text().splitlines()[-5:]
    assert lines == ["| 0 | 1 |  |", "| 1 | 2 | 2 |", "| 2 | 3 | 1 |"] + [
        "| mean | 2 | 1.5 |",
        "| standard deviation | 1 | 0.7071 |",
    ]
    mean, std = summarise(np.array([[1.0, np.nan]]))
    assert mean[0] == 1 and np.isnan([mean[1], *std]).all()


def test_feasible_trials_come_first_whatever_their_value():
    given = [(0, 0.9, False), (1, 0.5, True), (2, 0.7, True), (3, 0.7, True)]
    rows = [Row(n, "complete", {"x": n}, value, good) for n, value, good in given]
    assert [row.trial for row in ranked(rows, "maximize")] == [2, 3, 1, 0]
    assert [row.trial for row in ranked(rows, "minimize")] == [1, 2, 3, 0]
    assert best_of(rows[:1], "maximize") is None


def test_the_best_epoch_is_the_first_highest_one(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss,iou\n1,0.9,0.2\n2,0.8,\n3,0.7,0.6\n4,0.6,0.6\n")
    assert best_epoch(path, "iou") == (0.6, 3)
    with pytest.raises(ValueError, match="no values of 'dice'"):
        best_epoch(path, "dice")
    assert folder_name({"target::radius_px": 6, "target::alpha": -2}) == "radius_px_6_alpha_-2"
    assert folder_name({"a::x": 1, "b::x": 2}) == "a.x_1_b.x_2"
    assert folder_name({"r": 6, "alpha": 1e-4, "x": "a/b"}) == "r_6_alpha_0.0001_x_a_b"
    with pytest.raises(ValueError, match="metric: got 'pauc'"):
        TrainAndEvaluate(tmp_path, ["train.json"], metric="pauc")
    assert TrainAndEvaluate(tmp_path, ["train.json"], metric=BEST).metric == BEST


def test_a_cell_takes_no_threshold_that_was_chosen_for_other_weights(tmp_path, monkeypatch):
    stages = {}

    def run_stage(folder, name, arguments, watch=None):
        stages[name] = arguments
        out = Path(arguments["output_dir"])
        out.mkdir(parents=True)
        (out / "metrics.csv").write_text("epoch,validation_mean_iou\n1,0.5\n")
        (out / "metrics.json").write_text(json.dumps({"froc": {"pauc": {"value": 0.25}}}))
        (out / "operating_points.json").write_text(json.dumps({"presets": {"balanced": {"threshold": 0.125}}}))

    monkeypatch.setattr("scripts.sweeps.training.run_stage", run_stage)
    cell = TrainAndEvaluate(tmp_path / "a", ["train.json"], ["evaluate.json"])
    assert cell({"target::radius_px": 6}, print).value == 0.25
    assert stages["evaluating"]["operating_threshold"] is None  # chosen on the evaluated images, as the docs say
    assert stages["evaluating"]["weights"] == str(Path(stages["training"]["output_dir"]) / "model.pt")
    TrainAndEvaluate(tmp_path / "b", ["train.json"], ["evaluate.json"], choose_section="validation")({"x": 1}, print)
    assert stages["evaluating"]["operating_threshold"] == 0.125


def test_overrides_may_be_nested_and_go_to_training_evaluation_or_both(tmp_path):
    shared, train = {"source": {"training": 4}, "seed": 1}, {"patches": {"patch_px": 96}, "target::alpha": 2, "seed": 2}
    cell = TrainAndEvaluate(tmp_path, ["t"], ["e"], train_overrides=train, shared_overrides=shared)
    assert cell.evaluate_overrides == {"source::training": 4, "seed": 1}
    assert cell.train_overrides == {"source::training": 4, "seed": 2, "patches::patch_px": 96, "target::alpha": 2}


def test_a_study_moves_with_its_folder_but_not_to_other_configs(tmp_path):
    def settings(folder, *configs):
        return describe(TrainAndEvaluate(tmp_path / folder, configs, metric=BEST))

    assert settings("a", "train.json") == settings("b", "train.json") != settings("a", "train.json", "more.json")


def test_every_patient_is_tested_once_and_never_stands_on_two_sides():
    items = [{"image": f"{p}{n}", "patient": f"P{p}", "annotation": "full"} for p in range(7) for n in range(2)]
    parts = {"training": items[:8], "validation": items[8:10], "testing": items[10:]}
    tested = []
    for fold in range(3):
        folded = folded_datalist(parts, 3, fold, seed=1)
        patients = [{item["patient"] for item in folded[part]} for part in ("training", "validation", "testing")]
        assert sum(map(len, patients)) == len(set().union(*patients)) == 7
        tested += folded["testing"]
    assert sorted(item["image"] for item in tested) == sorted(item["image"] for item in items)


def test_the_configs_that_sweeps_name_are_there(root, monkeypatch):
    monkeypatch.chdir(root)
    for name in ("sweep_proximity.json", "cross_validation.json"):
        parser = ConfigParser()
        parser.read_config(f"configs/{name}")
        objective = parser.get_parsed_content("objective")
        assert objective.train_configs and objective.evaluate_configs
        objective.prepare()
    proximity = json.loads((root / "configs" / "sweep_proximity.json").read_text())
    assert proximity["space"] == {"target::radius_px": [6, 8, 10, 12], "target::alpha": [-2, -1, 1e-4, 1, 2]}  # table I
