"""The evaluation's files: an evaluation by hand and the empty cases."""

import csv
import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from scripts.evaluation.agreement import cohen_kappa, make_cells
from scripts.evaluation.evaluate import Evaluation
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.matching import match_case
from scripts.evaluation.measures import Contrast
from scripts.evaluation.pixel_curves import PixelCurvesHandler
from scripts.evaluation.sections import (
    AgreementSection,
    CalibrationSection,
    ClusterSection,
    FrocSection,
    IouSection,
    OperatingPointSection,
    PixelSection,
    SizeSection,
    StrataSection,
)
from scripts.evaluation.sections.clusters import FoundClusters
from scripts.evaluation.statistics import Bootstrap
from scripts.evaluation.tables import case_row, object_rows
from scripts.findings.clusters import SingleLinkageClusters

A, B, FAR = (10, 10, 2, 2), (30, 30, 1, 1), (50, 10, 2, 2)


SECTIONS = [FrocSection(), OperatingPointSection(), IouSection(), AgreementSection(), CalibrationSection()]
SECTIONS += [StrataSection(), SizeSection()]


def evaluation(folder, cases, bootstrap=None, sections=SECTIONS, handler=None, **options):
    handler = handler or FROCHandler()
    handler.cases = list(cases)
    return Evaluation(folder, handler, sections, bootstrap=bootstrap or Bootstrap(50), **options)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def two_cases(make_case):
    """10 cm^2 each. Scores: hit of A 0.9, false 0.8, hit of the single pixel B 0.3; the other image one false 0.2."""
    mm = {"spacing": (1.0, 1.0), "breast": np.arange(3600).reshape(60, 60) < 1000}
    first = make_case([A, B], [(A, 0.9), (FAR, 0.8), (B, 0.3)], case_id="a", patient="p", **mm)
    return [first, make_case([], [(FAR, 0.2)], case_id="b", patient="q", **mm)]


def test_metrics_by_hand(two_cases, tmp_path):
    metrics = evaluation(tmp_path, two_cases, settings={"method": "HDoGReg"}).write()
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    counts = metrics["counts"]
    assert (counts["images"], counts["patients"], counts["images_without_mc"]) == (2, 2, 1)
    assert (counts["annotated"], counts["annotated_single_px"], counts["scored_objects"]) == (2, 1, 4)
    assert counts["breast_cm2"] == pytest.approx(20)
    # points (FP/cm^2, TPR): (0, 0.5), (0.05, 0.5), (0.05, 1), (0.1, 1); nearest to (0, 1) is the third
    assert metrics["froc"]["pauc"]["value"] == pytest.approx(0.05 * 0.5 + 0.95)
    assert metrics["froc"]["tpr_at_fp_per_cm2"]["0.4"]["value"] == 1
    assert list(metrics["froc"]["tpr_at_fp_per_cm2"]) == ["0.1", "0.2", "0.4", "1.0"]
    point = metrics["operating_point"]
    assert (point["threshold"], point["tp"], point["fp"]) == (0.3, 2, 1)
    assert point["tpr"]["value"] == point["tpr_single_px"]["value"] == point["tpr_larger"]["value"] == 1
    assert point["fp_per_cm2"]["value"] == pytest.approx(0.05) and point["fp_per_image"]["value"] == 0.5
    assert metrics["iou"]["per_object"]["value"] == 1 and metrics["iou"]["per_object"]["n"] == 1
    foreground = metrics["iou"]["per_image"]["foreground_iou"]
    assert foreground["images_with_mc"]["value"] == pytest.approx(5 / 9)
    assert foreground["all_images"]["value"] == pytest.approx((5 / 9 + 1) / 2)
    assert (foreground["images_with_mc"]["n"], foreground["all_images"]["n"]) == (1, 2)
    assert foreground["all_images"]["std"] == pytest.approx(2 / 9)
    assert metrics["provenance"]["versions"]["monai"] and metrics["provenance"]["settings"] == {"method": "HDoGReg"}


def test_a_given_threshold_is_used_as_it_is(two_cases, tmp_path):
    metrics = evaluation(tmp_path, two_cases, operating_threshold=0.5).write()
    point = metrics["operating_point"]
    assert (point["threshold"], point["chosen_by"], point["tp"], point["fp"]) == (0.5, "given", 1, 1)
    assert point["point"]["threshold"] == 0.8  # the point of the curve that holds at 0.5
    assert point["tpr_single_px"]["value"] == 0 and point["tpr_larger"]["value"] == 1


def test_tables_by_hand(two_cases, tmp_path):
    evaluation(tmp_path, two_cases).write()
    froc = rows_of(tmp_path / "froc.csv")
    assert [row["threshold"] for row in froc] == ["inf", "0.9", "0.8", "0.3", "0.2"]
    assert [row["tpr"] for row in froc] == ["0", "0.5", "0.5", "1", "1"]
    assert [row["fp_per_cm2"] for row in froc] == ["0", "0", "0.05", "0.05", "0.1"]
    first, second = rows_of(tmp_path / "cases.csv")
    assert (first["predicted"], first["tp"], first["fp"], first["tp_single_px"]) == ("3", "2", "1", "1")
    assert (second["predicted"], second["tpr"], second["foreground_iou"]) == ("0", "", "1")
    objects = rows_of(tmp_path / "objects.csv")
    assert [(row["kind"], row["outcome"], row["partner"]) for row in objects] == [
        ("annotated", "hit", "1"),
        ("annotated", "hit", "2"),
        ("predicted", "true positive", "1"),
        ("predicted", "true positive", "2"),
        ("predicted", "false positive", ""),
    ]
    assert [row["hit_from"] for row in objects[:2]] == ["0.9", "0.3"]
    assert (objects[0]["area_px"], objects[0]["area_mm2"], objects[0]["row"]) == ("4", "4", "10.5")


def test_missed_and_ignored_objects_are_named(make_case):
    case = make_case([A], [((5, 45, 1, 3), 0.7)], [(0, 40, 20, 20)])
    rows = object_rows(match_case(case, 0.0), np.array([-math.inf]))
    assert [row["outcome"] for row in rows] == ["missed", "ignored"]
    row = case_row(match_case(case, 0.0))
    assert (row["predicted"], row["ignored"], row["fp"], row["tpr"]) == (0, 1, 0, 0)
    assert case_row(match_case(case, 0.8))["ignored"] == 0


@pytest.mark.parametrize("kind", ["no image", "no prediction", "no truth", "neither", "no breast"])
def test_every_empty_case_gives_valid_files(make_case, tmp_path, kind):
    cases = {
        "no image": [],
        "no prediction": [make_case([A])],
        "no truth": [make_case([], [(A, 0.5)])],
        "neither": [make_case()],
        "no breast": [make_case([A], [(A, 0.5)], breast=np.zeros((60, 60), bool))],
    }[kind]
    evaluation(tmp_path, cases).write()
    metrics = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert metrics["froc"]["pauc"]["value"] == (0 if kind == "no prediction" else None)
    assert metrics["operating_point"]["threshold"] is None and metrics["operating_point"]["tp"] == 0
    expected = {"no image": None, "no prediction": 0, "no truth": 1, "neither": 1, "no breast": 0}[kind]
    assert metrics["iou"]["per_image"]["foreground_iou"]["all_images"]["value"] == expected
    assert np.asarray(Image.open(tmp_path / "froc.png")).std() > 5


def test_resampling_patients_is_wider_than_resampling_their_equal_images(make_case, tmp_path):
    cases = []
    for number in range(30):  # ten patients of three images; all of a patient's MCs are hit, or none
        found = [(A, 0.5)] if number // 3 % 2 else []
        cases.append(make_case([A], found, case_id=str(number), patient=str(number // 3)))
    widths = {}
    for unit in ("image", "patient"):
        tpr = evaluation(tmp_path, cases, Bootstrap(400, unit)).write()["operating_point"]["tpr"]
        widths[unit] = tpr["high"] - tpr["low"]
        assert tpr["value"] == 0.5
    assert widths["patient"] > 1.4 * widths["image"] > 0
    with pytest.raises(ValueError, match="bootstrap::unit"):
        Bootstrap(unit="breast")


def test_equal_seeds_give_equal_files(two_cases, tmp_path):
    texts = []
    for name in "ab":
        evaluation(tmp_path / name, two_cases, Bootstrap(50, seed=4)).write()
        files = [path for path in (tmp_path / name).iterdir() if path.suffix != ".png"]
        texts.append({path.name: re.sub(rb'"date": "[^"]+"', b"", path.read_bytes()) for path in files})
    assert texts[0] == texts[1]
    expected = {
        "metrics.json",
        "froc.csv",
        "cases.csv",
        "objects.csv",
        "froc_table.npz",
        "reliability.csv",
        "strata.csv",
        "sizes.csv",
    }
    assert set(texts[0]) == expected


def with_extras(case, density):
    return replace(
        case,
        cells=make_cells(np.ones((60, 60), bool), (1.0, 1.0), 10.0),
        object_values={"contrast_to_noise": np.arange(len(case.annotations)) + 0.5},
        image_values={"density": density},
    )


def test_further_sections_by_hand(two_cases, tmp_path):
    pixels = PixelCurvesHandler()
    map_ = np.zeros((1, 4, 4), np.float32)
    map_[0, 0] = 0.75
    pixels.add({"map": map_, "label": (map_ > 0.5).astype(np.uint8), "breast": np.ones((1, 4, 4), bool)})
    sections = [
        FrocSection(fp_rates_per_image=(0.4, 0.5)),
        OperatingPointSection(),
        AgreementSection(),
        ClusterSection(FoundClusters(SingleLinkageClusters(40.0, 2), 1), (0,)),  # A and B, 28 mm apart
        CalibrationSection(10, pixels),
        PixelSection(pixels),
        StrataSection({"diameter_mm": [2.0], "contrast_to_noise": [1.0]}),
        SizeSection((2.0,)),
    ]
    metrics = evaluation(
        tmp_path,
        [with_extras(two_cases[0], "dense"), with_extras(two_cases[1], "fatty")],
        sections=sections,
        handler=FROCHandler(measures=[Contrast()]),
        operating_threshold=0.5,  # of A and the single pixel B, A is hit; one false positive; nothing in the other
    ).write()
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    per_image = metrics["froc"]["tpr_at_fp_per_image"]
    assert (per_image["0.4"]["value"], per_image["0.5"]["value"]) == (0.5, 1)
    assert metrics["agreement"]["specific_agreement"]["value"] == pytest.approx(2 / 4)
    assert metrics["agreement"]["cells"] == {"both": 1, "first": 1, "second": 1, "neither": 69, "side_mm": 10.0}
    assert metrics["agreement"]["kappa"]["value"] == pytest.approx(cohen_kappa([1, 1, 1, 69]))
    assert metrics["clusters"]["annotated"] == 1 and metrics["clusters"]["tpr_at_fp_per_image"]["0.0"]["value"] == 1
    # objects' scores: true 0.9 and 0.3, false 0.8 and 0.2, each alone in its bin
    error = metrics["calibration"]["expected_calibration_error_of_objects"]
    assert error == pytest.approx((0.1 + 0.7 + 0.8 + 0.2) / 4)
    assert metrics["pixels"]["roc_auc"] == {"value": 1, "binning_low": 1, "binning_high": 1}
    assert metrics["pixels"]["expected_calibration_error"] == pytest.approx(4 * 0.25 / 16)
    assert (metrics["pixels"]["positive_px"], metrics["pixels"]["negative_px"]) == (4, 12)
    strata = {(row["by"], row["stratum"]): row for row in metrics["strata"]}
    assert strata["diameter_mm", "2 or more"]["tpr"] == 1 and strata["diameter_mm", "single pixel"]["tpr"] == 0
    assert strata["contrast_to_noise", "below 1"]["annotated"] == 1
    assert strata["density", "dense"]["tpr"] == 0.5 and strata["density", "fatty"]["tpr"] is None
    assert strata["density", "dense"]["fp_per_cm2"] == pytest.approx(0.1)
    assert len(rows_of(tmp_path / "strata.csv")) == len(metrics["strata"]) == 8
    sizes = {row["diameter_mm"]: row for row in rows_of(tmp_path / "sizes.csv")}
    assert (sizes["2 or more"]["predicted"], sizes["single pixel"]["annotated"]) == ("2", "1")
    curve = rows_of(tmp_path / "pixel_curve.csv")
    assert [(row["precision"], row["recall"], row["threshold"][:4]) for row in curve] == [
        *(("1", "1", "0.74"), ("0.25", "1", "0"))  # the lowest score of 0.75's bin
    ]
    reliability = rows_of(tmp_path / "reliability.csv")
    assert [row["of"] for row in reliability] == ["objects"] * 10 + ["pixels"] * 15
    assert (reliability[9]["count"], reliability[9]["share_positive"], reliability[0]["mean_score"]) == ("1", "1", "")
    assert [row["tp"] for row in rows_of(tmp_path / "cluster_froc.csv")][:2] == ["0", "1"]


def test_strata_that_are_not_collected_are_refused_at_the_start(tmp_path):
    for edges in ({"contrast_to_noise": [1.0]}, {"size": [1.0]}):
        with pytest.raises(ValueError, match="StrataSection: got no measure"):
            evaluation(tmp_path, [], sections=[StrataSection(edges)])
    with pytest.raises(ValueError, match="edges"):
        StrataSection({"diameter_mm": []})


def test_a_section_that_is_left_out_is_not_in_the_results(two_cases, tmp_path):
    metrics = evaluation(tmp_path, two_cases, sections=[OperatingPointSection()]).write()
    assert list(metrics) == ["counts", "operating_point", "provenance"]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("metrics.json", "froc_table.npz", "cases.csv", "objects.csv")
    }


def test_the_methods_own_output_is_its_operating_point(two_cases, tmp_path):
    mask = SimpleNamespace(own_threshold=0.0)
    metrics = evaluation(tmp_path, two_cases, operating_threshold=0.0, objects=mask).write()
    point = metrics["operating_point"]
    assert (point["threshold"], point["chosen_by"]) == (0.0, "the method's own output")
    assert (point["tp"], point["fp"]) == (2, 2)  # every object takes part
    assert [row["predicted"] for row in rows_of(tmp_path / "cases.csv")] == ["3", "1"]
    other = evaluation(tmp_path, two_cases, operating_threshold=0.5, objects=SimpleNamespace(own_threshold=None))
    assert other.write()["operating_point"]["chosen_by"] == "given"


def test_froc_per_image_is_drawn(two_cases, tmp_path):
    evaluation(tmp_path, two_cases).write()
    pictures = [np.asarray(Image.open(tmp_path / name)) for name in ("froc.png", "froc_per_image.png")]
    assert all(picture.std() > 5 for picture in pictures) and not np.array_equal(*pictures)


def test_every_methods_table_lists_the_same_annotated_objects(two_cases, make_case, tmp_path):
    """So that values per object, such as the IoU, are paired by place."""
    spacing = {"spacing": (1.0, 1.0)}
    others = [make_case([A, B], [((9, 9, 3, 3), 0.7)], case_id="a", **spacing), make_case([], case_id="b", **spacing)]
    tables = []
    for name, cases in (("first", two_cases), ("second", others)):
        evaluation(tmp_path / name, cases, operating_threshold=0.1).write()
        tables.append([row for row in rows_of(tmp_path / name / "objects.csv") if row["kind"] == "annotated"])
    keys = ("case_id", "row", "col", "area_px")
    assert [[row[key] for key in keys] for row in tables[0]] == [[row[key] for key in keys] for row in tables[1]]
    assert [row["best_iou"] for row in tables[0]] == ["1", "1"]
    assert [float(row["best_iou"]) for row in tables[1]] == pytest.approx([4 / 9, 0])


def test_scores_that_are_no_probabilities_have_no_reliability(make_case, tmp_path):
    metrics = evaluation(tmp_path, [make_case([A], [(A, 7.5)])]).write()
    assert metrics["calibration"]["expected_calibration_error_of_objects"] is None
    assert metrics["froc"]["pauc"]["value"] == 1
