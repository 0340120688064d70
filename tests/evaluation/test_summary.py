"""The table of several evaluations, on hand-made files."""

import json

import pytest

from scripts.evaluation.report.tables import summarise

ENTRY = {"value": 0.5, "low": 0.4, "high": 0.6}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "run"
    made.mkdir()
    large = {"large_mc_mm": 0.2, "annotated": 3, "tpr_at_fp_per_cm2": {"0.4": ENTRY | {"value": 0.55}}}
    metrics = {
        "counts": {"images": 2, "annotated": 4},
        "froc": {
            "pauc": ENTRY,
            "tpr_at_fp_per_cm2": {"0.4": {"value": 0.25, "low": None, "high": None}},
            "tpr_large": large,
        },
        "iou": {"per_object": {"value": None}},
        "operating_point": {"fp_per_cm2": ENTRY, "tpr": ENTRY},
    }
    (made / "metrics.json").write_text(json.dumps(metrics))
    return made


def test_the_table_has_a_row_per_folder(folder, tmp_path):
    lines = summarise([folder, tmp_path / "gone"]).splitlines()
    assert len({line.count("|") for line in lines[:3]}) == 1
    assert lines[2] == (
        "| run | 2 | 4 | 0.500 (0.400 to 0.600) | 0.250 | 0.550 (0.400 to 0.600) from 0.2 mm | – | "
        "0.500 (0.400 to 0.600) | 0.500 (0.400 to 0.600) |"
    )
    assert lines[3] == "| gone | missing: metrics.json |"


def test_evaluations_without_large_mcs_or_of_former_versions_have_an_empty_cell(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["froc"]["tpr_large"]["tpr_at_fp_per_cm2"] = {"0.4": {"value": None}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert "| – from 0.2 mm |" in summarise([folder])
    del metrics["froc"]["tpr_large"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert "| 0.250 | – | – |" in summarise([folder])
