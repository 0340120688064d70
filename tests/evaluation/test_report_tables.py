"""The report's tables on two hand-made evaluations: numbers, signs, notes."""

import json

import pytest

from scripts.evaluation.compare import difference_tables, p_text
from scripts.evaluation.report import build
from scripts.evaluation.report.build import write_report
from scripts.evaluation.report.runs import load_runs
from scripts.evaluation.report.tables import NONE, Cell, failure_tables, metric_tables, strata_tables, value


def cells_of(tables, key):
    table = next(table for table in tables if table.key == key)
    return {row[0].text: dict(zip(table.header[1:], row[1:], strict=True)) for row in table.rows}


def test_tables_say_what_metrics_json_says(folders):
    runs = load_runs(folders)
    tables = metric_tables(runs)
    detection, operating = cells_of(tables, "detection"), cells_of(tables, "operating")
    segmentation, pixels = cells_of(tables, "segmentation"), cells_of(tables, "pixels")
    for folder, name in zip(folders, ("good | method", "bad"), strict=True):
        metrics = json.loads((folder / "metrics.json").read_text())
        pauc = metrics["froc"]["pauc"]
        assert detection[name]["pAUC, 0 to 1 FP/cm²"] == (
            f"{pauc['value']:.3f}",
            f"{pauc['low']:.3f} to {pauc['high']:.3f}",
            "",
        )
        for rate in ("0.1", "0.2", "0.4", "1.0"):
            entry = metrics["froc"]["tpr_at_fp_per_cm2"][rate]
            assert detection[name][f"TPR at {float(rate):g} FP/cm²"].text == f"{entry['value']:.3f}"
        assert operating[name]["FP per image"].text == f"{metrics['operating_point']['fp_per_image']['value']:.1f}"
        assert segmentation[name]["IoU per object"].text == f"{metrics['iou']['per_object']['value']:.3f}"
        assert pixels[name]["pixel ROC AUC"].text == f"{metrics['pixels']['roc_auc']['value']:.4f}"
    # by hand: 11 of 12 MCs found, nothing false at 0.5; 6 of 12 found, 2 false in each image of 16 cm^2
    assert detection["good | method"]["TPR at 0.1 FP/cm²"].text == "0.917"
    assert operating["good | method"]["TP / FP"].text == "11 / 0" and operating["bad"]["TP / FP"].text == "6 / 12"
    assert operating["bad"]["FP per cm²"].text == f"{12 / 96:.3f}" and operating["bad"]["chosen"].text == "beforehand"
    assert segmentation["bad"]["IoU per object"].text == "0.500"
    assert cells_of(tables, "clusters")["bad"]["found at 2 false clusters/image"].text == "1.000"
    strata = cells_of(strata_tables(runs), "strata-density")
    assert strata["dense"]["MCs / images"].text == "6 / 3" and strata["dense"]["bad"].text == "0.50"
    assert strata["dense"]["bad"].remark == "0.12 FP/cm²"
    failures = cells_of(failure_tables(runs), "failures")
    runs[1].metrics["failure_classes"]["classes"]["all"]["share_merged"]["value"] = 0.25
    pieces = cells_of(failure_tables(runs), "pieces")
    assert pieces["all"]["good | method"] == Cell("in pieces 0.00", remark="merged 0.00")
    assert pieces["all"]["bad"] == Cell("in pieces 0.00", remark="merged 0.25")
    assert (failures["all"]["MCs"].text, failures["all"]["bad"].text) == ("12", "0.50")
    assert failures["all"]["bad"].remark == "IoU 0.50\ncovered 0.50"
    runs[1].metrics.pop("failure_classes")  # an older evaluation
    assert cells_of(failure_tables(runs), "failures")["all"]["bad"].text == NONE
    assert cells_of(failure_tables(runs), "pieces")["all"]["bad"].text == NONE
    runs[0].metrics.pop("failure_classes")
    assert failure_tables(runs) == []


def test_differences_are_the_reference_minus_the_others(folders):
    tables, found = difference_tables(load_runs(folders))
    differences, tests = cells_of(tables, "differences")["bad"], cells_of(tables, "wilcoxon")["bad"]
    good, bad = (json.loads((folder / "metrics.json").read_text())["froc"]["pauc"]["value"] for folder in folders)
    assert differences["pAUC"].text == f"{good - bad:+.3f}" and good - bad > 0.4
    assert differences["pAUC"].remark == "p < 0.05"  # 40 samples, all above 0
    assert found[0]["differences"]["pauc"]["value"] == pytest.approx(good - bad)
    assert tests["FP per cm² of an image"].text == "−0.125" and tests["TPR of an image"].text == "+0.500"
    assert tests["TPR of an image"].remark == "p 0.062, n = 5"  # 2 / 2^5
    # B: 5 of 12 objects differ, by 1; A is found by both
    assert tests["IoU of an annotated MC"] == ("0.000", "", "p 0.062, n = 5")
    back, _ = difference_tables(load_runs(folders[::-1]))
    assert cells_of(back, "differences")["good | method"]["pAUC"].text == f"−{good - bad:.3f}"
    assert difference_tables(load_runs(folders[:1])) == ([], [])


def test_numbers_as_text():
    assert value(None) == value({"value": None}) == (NONE, "", "")
    assert value({"value": 0.12345, "low": None, "high": None}).interval == ""
    assert [p_text(p) for p in (None, 0.0, 0.00001, 0.031, 0.5, 1.0)] == [
        NONE,
        "< 0.0001",
        "< 0.0001",
        "0.031",
        "0.50",
        "1.00",
    ]


def test_notes_of_tables_come_from_the_evaluation_that_has_the_numbers(folders, tmp_path, monkeypatch):
    """The first evaluation is of a former version and knows no kinds of failures."""
    monkeypatch.setattr(build, "draw_figures", lambda *arguments: {})
    monkeypatch.setattr(build, "draw_cases", lambda *arguments: [])
    runs = load_runs(folders)
    runs[0].metrics.pop("failure_classes")
    monkeypatch.setattr(build, "load_runs", lambda *arguments: runs)
    write_report(folders, tmp_path / "one")
    assert "Close: less than 6 px to the next MC. Dense: at least 10 others" in (tmp_path / "one/tables.md").read_text()
    page = (tmp_path / "one/report.html").read_text()
    assert "Close: less than 6 px" in page and "mean share of an MC&#39;s pixels" in page
    assert "good | method minus the other (above 0: good | method is better)" in page
    runs[1].metrics.pop("failure_classes")
    write_report(folders, tmp_path / "none")
    assert "Close: less" not in (tmp_path / "none/tables.md").read_text()


def test_threshold_that_is_the_methods_own_output_is_named(folders):
    runs = load_runs(folders)
    runs[1].metrics["operating_point"] |= {"threshold": 0.0, "chosen_by": "the method's own output"}
    own = cells_of(metric_tables(runs), "operating")["bad"]
    assert (own["threshold"].text, own["chosen"].text) == ("0", "its own output")
