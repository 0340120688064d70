"""The table of several evaluations, on hand-made files."""

import json

import pytest

from scripts.evaluation.summary import large_tpr, summarise

FROC = (
    "threshold,fp_per_cm2,fp_per_image,tpr,tp,fp\n,0,0,0,0,0\n0.9,0.1,1,0.5,1,1\n0.5,0.4,4,0.5,1,4\n0.2,0.6,6,1,2,6\n"
)
OBJECTS = """case_id,kind,area_mm2,hit_from
a,annotated,0.04,0.6
a,annotated,0.04,0.3
a,annotated,0.032,0.5
a,annotated,0.01,
a,predicted,0.04,
"""  # a disc of 0.2 mm has 0.0314 mm^2: three are large enough


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "run"
    made.mkdir()
    (made / "froc.csv").write_text(FROC)
    (made / "objects.csv").write_text(OBJECTS)
    entry = {"value": 0.5, "low": 0.4, "high": 0.6}
    metrics = {
        "counts": {"images": 2, "annotated": 4},
        "froc": {"pauc": entry, "tpr_at_fp_per_cm2": {"0.4": {"value": 0.25, "low": None, "high": None}}},
        "iou": {"per_object": {"value": None}},
        "operating_point": {"fp_per_cm2": entry, "tpr": entry},
    }
    (made / "metrics.json").write_text(json.dumps(metrics))
    return made


def test_large_mcs_are_counted_at_the_lowest_threshold_within_the_rate(folder):
    assert large_tpr(folder) == pytest.approx(2 / 3)  # threshold 0.5: 0.6 and 0.5 of 0.6, 0.3, 0.5
    assert large_tpr(folder, fp_rate=0.1) == 0
    assert large_tpr(folder, fp_rate=1.0) == 1
    assert large_tpr(folder, fp_rate=1.0, diameter_mm=0.1) == pytest.approx(3 / 4)


def test_the_table_has_a_row_per_folder(folder, tmp_path):
    lines = summarise([folder, tmp_path / "gone"]).splitlines()
    assert len({line.count("|") for line in lines[:3]}) == 1
    assert lines[2].startswith("| run | 2 | 4 | 0.500 (0.400-0.600) | 0.250 | 0.667 | - | 0.500 (0.400-0.600) |")
    assert lines[3] == "| gone | missing: metrics.json |"
