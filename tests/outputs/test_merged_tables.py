"""Rows of the tables over many images, of what the run wrote for each."""

import csv
import json

import pytest

from scripts.outputs.merged_tables import TABLES, chunks_of, rows_of
from tests.outputs.tiny_run import folder_run, write_inputs


@pytest.fixture
def entries(tmp_path):
    write_inputs(tmp_path / "in", "a.png", "b.png", "bad.png", value=0)
    (tmp_path / "in" / "bad.png").write_text("x")
    folder_run(tmp_path / "in", tmp_path / "out")
    return json.loads((tmp_path / "out" / "run_report.json").read_text())["images"]


def test_every_image_is_a_row_and_failed_ones_say_why(tmp_path, entries):
    rows = rows_of(tmp_path / "out", entries)
    told = [(row["image_id"], row["status"], row.get("count")) for row in rows["images"]]
    assert told == [("a", "nothing found", 0), ("b", "found", 1), ("bad", "failed", None)]
    assert "want a number" in rows["images"][2]["reason"] and rows["images"][1]["row_mm"] == 0.07
    missing = {column for row in rows["images"][:2] for column in TABLES["images"] if column not in row}
    assert missing == set()


def test_the_microcalcifications_are_those_of_the_images_own_tables(tmp_path, entries):
    marks = rows_of(tmp_path / "out", entries)["microcalcifications"]
    with (tmp_path / "out" / "b" / "findings.csv").open(newline="") as file:
        own = list(csv.DictReader(file))
    assert len(marks) == len(own) == 1 and set(TABLES["microcalcifications"]) - {"image_id"} == set(own[0])
    for name, text in own[0].items():
        value = marks[0].get(name)
        assert text == ("" if value is None else str(value)) or float(text) == pytest.approx(value), name


def test_an_image_whose_clusters_failed_has_none(tmp_path, entries):
    path = tmp_path / "out" / "b" / "findings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"clusters": None}))
    rows = rows_of(tmp_path / "out", entries)
    assert len(rows["microcalcifications"]) == 1 and rows["clusters"] == []


def test_the_order_is_that_of_the_names_however_the_images_were_done():
    entries = [{"image_id": name} for name in "dbca"]
    assert [[entry["image_id"] for entry in part] for part in chunks_of(entries)] == [list("abcd")]
    assert [len(part) for part in chunks_of([{"image_id": f"{i:05}"} for i in range(2500)])] == [1000, 1000, 500]
