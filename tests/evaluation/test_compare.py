"""Two methods on the same images: files, order of images, differences and tests."""

import csv
import json
import math

import numpy as np
import pytest
from scipy import stats

from scripts.common.tables import write_csv
from scripts.evaluation.__main__ import main
from scripts.evaluation.compare import compare, froc_differences, object_iou, paired_test
from scripts.evaluation.froc import TABLE_NAME, FrocTable, save_table
from scripts.evaluation.matching import match_case
from scripts.evaluation.report.runs import CASES, METRICS, OBJECTS, Run
from scripts.evaluation.statistics import Bootstrap, bootstrap_weights
from scripts.evaluation.tables import CASE_FIELDS, OBJECT_FIELDS, case_row, object_rows

A, B, FAR = (10, 10, 2, 2), (30, 30, 2, 2), (50, 10, 2, 2)
MM = {"spacing": (1.0, 1.0)}  # 36 cm^2 each


def written(folder, cases):
    """What an evaluation at threshold 0.3 leaves for comparing."""
    table = FrocTable(cases)
    save_table(folder / TABLE_NAME, table, cases)
    write_csv(folder / CASES, CASE_FIELDS, [case_row(match_case(case, 0.3)) for case in cases])
    pairs = zip(cases, table.hit_from, strict=True)
    rows = [row for case, hit_from in pairs for row in object_rows(match_case(case, 0.3), hit_from)]
    write_csv(folder / OBJECTS, OBJECT_FIELDS, rows)
    point = {"threshold": 0.3, "chosen_by": "given", "tp": 1}
    (folder / METRICS).write_text(json.dumps({"operating_point": point}))
    return folder


@pytest.fixture
def methods(make_case):
    """Twelve images: the first method hits both MCs, the second one alone and has a false positive of high score."""
    names = [f"image {i}" for i in range(12)]
    patients = [f"patient {i // 2}" for i in range(12)]
    better = [
        make_case([A, B], [(A, 0.9), (B, 0.5 + i / 100)], case_id=n, patient=p, **MM)
        for i, (n, p) in enumerate(zip(names, patients, strict=True))
    ]
    worse = [
        make_case([A, B], [(A, 0.5), (FAR, 0.9 - i / 100)], case_id=n, patient=p, **MM)
        for i, (n, p) in enumerate(zip(names, patients, strict=True))
    ]
    return better, worse


def test_differences_are_those_of_the_curves(methods):
    first, second = (FrocTable(cases) for cases in methods)
    weights = bootstrap_weights([str(i) for i in range(12)], 40, 0)
    found = froc_differences(first, second, weights, 0.5, [0.01], [0.5, 2])
    pauc = first.curve().pauc(0.5) - second.curve().pauc(0.5)
    assert found["pauc"].value == pytest.approx(pauc) and pauc > 0.4
    sampled = [first.curve(w).pauc(0.5) - second.curve(w).pauc(0.5) for w in weights]
    assert (found["pauc"].low, found["pauc"].high) == pytest.approx(tuple(np.quantile(sampled, [0.025, 0.975])))
    assert found["tpr_at_fp_per_cm2"]["0.01"].value == 1 and found["tpr_at_fp_per_image"]["2.0"].value == 0.5
    back = froc_differences(second, first, weights, 0.5)
    assert back["pauc"].value == -found["pauc"].value and back["pauc"].low == pytest.approx(-found["pauc"].high)
    assert froc_differences(first, first, weights)["pauc"] == (0, 0, 0, 1)


def test_files_are_enough_and_the_order_of_images_does_not_matter(methods, tmp_path):
    better, worse = methods
    one, two = written(tmp_path / "a", better), written(tmp_path / "b", worse[::-1])
    found = compare(one, two, Bootstrap(30, seed=3))
    weights = bootstrap_weights([str(i) for i in range(12)], 30, 3)
    order = sorted(range(12), key=lambda i: better[i].case_id)
    first, second = (FrocTable([cases[i] for i in order]) for cases in methods)
    expected = froc_differences(first, second, weights)["pauc"]
    assert found["differences"]["pauc"] == pytest.approx(expected._asdict())
    assert found["images"] == 12 and list(found["differences"]["tpr_at_fp_per_cm2"]) == ["0.1", "0.2", "0.4", "1.0"]
    tpr = found["wilcoxon"]["tpr"]
    assert (tpr["n"], tpr["median"]) == (12, 0.5) and tpr["p"] == pytest.approx(stats.wilcoxon([0.5] * 12).pvalue)
    assert found["wilcoxon"]["fp_per_cm2"]["median"] == pytest.approx(-1 / 36)
    assert found["operating_thresholds"]["first"] == {"threshold": 0.3, "chosen_by": "given"}
    by_patient = compare(one, two, Bootstrap(30, "patient", 3))
    assert by_patient["differences"]["pauc"]["value"] == found["differences"]["pauc"]["value"]
    with np.load(one / TABLE_NAME, allow_pickle=False) as file:
        assert file["patient"][3] == "patient 1" and file["score"].size == 24


def test_the_command_writes_json(methods, tmp_path):
    one, two = (written(tmp_path / name, cases) for name, cases in zip("ab", methods, strict=True))
    words = ["compare", str(one), str(two), "--output", str(tmp_path / "c.json")]
    assert main([*words, "--samples", "20", "--fp-limit", "0.5"]) == 0
    found = json.loads((tmp_path / "c.json").read_text(), parse_constant=pytest.fail)
    assert found["differences"]["pauc"]["value"] > 0.4 and found["bootstrap"] == {
        "samples": 20,
        "unit": "image",
        "seed": 0,
    }


def test_images_without_a_value_are_left_out():
    found = paired_test({0: 1.0, 1: math.nan, 2: 0.5, 3: 0.8}, {0: 0.5, 1: 0.5, 2: math.nan, 3: 0.7})
    assert found.n == 2 and found.median == pytest.approx(0.3)
    assert paired_test({}, {}).n == 0


def test_other_images_and_missing_files_are_named(methods, make_case, tmp_path):
    better, worse = methods
    one, fewer = written(tmp_path / "a", better), written(tmp_path / "b", worse[1:])
    with pytest.raises(ValueError, match="image 0"):
        compare(one, fewer, Bootstrap(5))
    with pytest.raises(ValueError, match=r"got no metrics\.json, cases\.csv, objects\.csv, froc_table\.npz; want"):
        compare(one, tmp_path, Bootstrap(5))
    with pytest.raises(ValueError, match="unit"):
        compare(one, one, Bootstrap(5, "breast"))
    twice = written(tmp_path / "c", [better[0], better[0]])
    with pytest.raises(ValueError, match="twice"):
        compare(twice, twice, Bootstrap(5))
    with pytest.raises(ValueError, match="same images"):
        froc_differences(FrocTable(better), FrocTable([make_case([A])] * 12), np.ones((2, 12), np.int64))


def test_cases_without_a_row_are_named(methods, tmp_path):
    one = written(tmp_path / "a", methods[0])
    with (one / "cases.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    with (one / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows[:-1])
    with pytest.raises(ValueError, match="image 11"):
        compare(one, one, Bootstrap(5))


def test_iou_per_object_pairs_the_same_annotated_objects(methods, tmp_path):
    """By hand: differences 0.2, -0.1, 0.3 (and a tie, left out) have positive ranks 2 + 3 and the negative rank 1."""
    run = Run(written(tmp_path / "a", methods[0]))

    def objects(*values):
        keys = (("a", 9), ("a", 9), ("b", 4), ("b", 4), ("b", 1))
        names = ("case_id", "area_px", "best_iou", "kind")
        rows = [(*key, value, "annotated") for key, value in zip(keys, values, strict=True)]
        run.__dict__["objects"] = [dict(zip(names, map(str, row), strict=True)) for row in rows]
        return object_iou(run)

    first, second = objects(0.7, 0.4, 0.3, 0.5, 1.0), objects(0.5, 0.5, 0.0, 0.5, 0.0)
    assert list(first) == [("a", 1, 9), ("a", 2, 9), ("b", 1, 4), ("b", 2, 4), ("b", 3, 1)]
    found = paired_test(first, second)
    assert (found.n, found.statistic, found.median) == (3, 1.0, pytest.approx(0.1))
    assert found.p == pytest.approx(2 * 2 / 2**3)  # W <= 1: no sign negative, or the smallest alone; two-sided
    assert found.p == pytest.approx(stats.wilcoxon([0.2, -0.1, 0.3], method="exact").pvalue)
    one_px = [{key: iou for key, iou in each.items() if key[2] == 1} for each in (first, second)]
    assert len(one_px[0]) == 1 and paired_test(*one_px).n == 0, "one pixel has no IoU"
    second[("b", 3, 2)] = second.pop(("b", 3, 1))
    with pytest.raises(ValueError, match="other annotated objects"):
        paired_test(first, second)


def test_the_iou_of_objects_comes_from_the_files_whatever_the_order_of_images(methods, tmp_path):
    better, worse = methods
    found = compare(written(tmp_path / "a", better), written(tmp_path / "b", worse[::-1]), Bootstrap(5))
    # B is found by the first method alone in all 12 images, A by both
    iou = found["wilcoxon_per_object"]["iou"]
    assert (iou["n"], iou["median"]) == (12, 0.5)
    assert iou["p"] == pytest.approx(stats.wilcoxon([1.0] * 12 + [0.0] * 12, zero_method="wilcox").pvalue, abs=1e-3)
