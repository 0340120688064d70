"""Simulated MCs joined with what an evaluation found of them, on hand-made arrays."""

import json

import cv2
import numpy as np
import pytest

from scripts.common.tables import read_csv, write_csv
from scripts.evaluation.cases import score_case
from scripts.evaluation.froc import TABLE_NAME, FrocTable, save_table
from scripts.evaluation.inserted import case_rows, evaluate_inserted, inserted_strata, touching_pairs
from scripts.evaluation.matching import match_case
from scripts.evaluation.tables import CASE_FIELDS, OBJECT_FIELDS, case_row, object_rows

SPACING = 0.1
ITEM = {"image_id": "A_datalist", "patient": "A", "label": "labels/A_datalist.png", "density": "high", "family": "none"}


def record(number, row, col, d_prime, group="single", **more):
    values = {
        "number": number,
        "row": row,
        "col": col,
        "diameter_px": 3.0,
        "area_px": 9,
        "contrast": 0.15,
        "cluster": 0,
    }
    return values | {"kind": "lumpy", "group": group, "d_prime": d_prime, "label": 1 if d_prime >= 5 else 2} | more


@pytest.fixture
def benchmark(tmp_path):
    """Four MCs: number 1 below the others, 2 and 3 touch (a column apart), 4 too faint; the marks hit 1 and 2."""
    objects = np.zeros((40, 40), np.uint16)
    objects[30:33, 30:33], objects[5:8, 5:8], objects[5:8, 9:12], objects[20:23, 5:8] = 1, 2, 3, 4
    label = np.where(objects == 4, 2, objects > 0).astype(np.uint8)
    for name, array in (("objects/A.png", objects), ("labels/A_datalist.png", label)):
        (tmp_path / name).parent.mkdir()
        cv2.imwrite(str(tmp_path / name), array)
    records = [record(1, 31, 31, 20.0), record(2, 6, 6, 8.0, "touching"), record(3, 6, 10, 6.0, "touching")]
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "A.json").write_text(json.dumps({"mcs": [*records, record(4, 21, 6, 2.0)]}))
    (tmp_path / "datalist.json").write_text(json.dumps({"name": "x", "testing": [ITEM]}))
    instances = np.zeros((40, 40), np.int64)
    instances[30:33, 30:33], instances[5:8, 5:7] = 1, 2
    case = score_case(
        label, instances, np.array([0, 0.9, 0.8]), np.ones((40, 40), bool), (SPACING, SPACING), case_id="A_datalist"
    )
    matched = match_case(case, 0.5)
    run = tmp_path / "run"
    run.mkdir()
    rows = object_rows(matched, np.array([0.8, np.nan, 0.9]))
    write_csv(run / "objects.csv", OBJECT_FIELDS, rows)
    write_csv(run / "cases.csv", CASE_FIELDS, [case_row(matched)])
    (run / "metrics.json").write_text("{}")
    save_table(run / TABLE_NAME, FrocTable([case]), [case])
    return tmp_path


def test_records_and_objects_are_joined_by_their_pixels(benchmark):
    written = evaluate_inserted(benchmark / "run", benchmark)
    rows = {int(row["number"]): row for row in read_csv(benchmark / "run" / "inserted_mcs.csv")}
    assert [rows[number]["outcome"] for number in (1, 2, 3, 4)] == ["hit", "hit", "missed", "ignored"]
    assert float(rows[1]["best_iou"]) == 1 and float(rows[2]["best_iou"]) == pytest.approx(2 / 3, abs=1e-6)
    assert float(rows[2]["area_error_percent"]) == pytest.approx(-100 / 3)
    assert float(rows[1]["diameter_mm"]) == pytest.approx(2 * np.sqrt(9 / np.pi) * SPACING)
    assert rows[1]["density"] == "high" and rows[3]["best_iou"] == "0"
    found = json.loads(written.read_text())
    assert (found["mcs"], found["labelled"], found["touching_pairs"], found["parted"]["value"]) == (4, 3, 1, 0)
    strata = {(row["by"], row["stratum"]): row for row in read_csv(benchmark / "run" / "inserted_strata.csv")}
    assert [strata["d_prime", name]["tpr"] for name in ("5 to 7", "7 to 10", "15 to 25")] == ["0", "1", "1"]
    assert strata["all", "all"]["annotated"] == "3" and strata["group", "touching"]["annotated"] == "2"


def test_both_of_a_pair_must_be_hit():
    def pair(first, second, gap=0.0):
        one, other = record(1, 10, 10, 9.0, "touching"), record(2, 10, 13 + gap, 9.0, "touching")
        return touching_pairs([one | {"outcome": first}, other | {"outcome": second}])

    assert pair("hit", "hit") == [True] and pair("hit", "missed") == [False] and pair("hit", "hit", 5) == []


def test_strata_leave_ignored_ones_out_and_empty_ones_too():
    rows = [
        record(1, 0, 0, 6.0) | {"case_id": "A", "outcome": "hit", "best_iou": 0.5, "diameter_mm": 0.35},
        record(2, 0, 0, 6.5) | {"case_id": "B", "outcome": "missed", "best_iou": 0.0, "diameter_mm": 0.35},
        record(3, 0, 0, 2.0) | {"case_id": "B", "outcome": "ignored", "diameter_mm": 0.35},
    ]
    rows = [row | {"density": "low", "family": "power"} for row in rows]
    found = inserted_strata(rows, ["A", "B"], np.array([[2, 0], [1, 1]]))
    assert {(row["by"], row["stratum"]) for row in found} == {
        *(("all", "all"), ("d_prime", "5 to 7"), ("diameter_mm", "0.3 to 0.4"), ("contrast", "0.1 to 0.2")),
        *(("kind", "lumpy"), ("group", "single"), ("density", "low"), ("family", "power")),
    }
    assert all((row["annotated"], row["tp"], row["tpr"], row["iou"]) == (2, 1, 0.5, 0.25) for row in found)


def test_a_benchmark_without_objects_is_refused(benchmark):
    (benchmark / "objects" / "A.png").unlink()
    with pytest.raises(ValueError, match="want a benchmark of version 2"):
        case_rows(benchmark, ITEM, [])
    with pytest.raises(ValueError, match="A_datalist"):
        (benchmark / "datalist.json").write_text('{"testing": []}')
        evaluate_inserted(benchmark / "run", benchmark)
