"""The command and its files: an evaluation by hand, the empty cases, and a real run on small phantoms."""

import csv
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from monai.bundle import ConfigParser
from PIL import Image
from scipy import ndimage

from scripts.evaluation.agreement import cohen_kappa, make_cells
from scripts.evaluation.cluster_froc import ClusterRule
from scripts.evaluation.evaluate import Evaluation
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.pixel_curves import PixelCurvesHandler
from scripts.evaluation.tables import case_row, object_rows
from scripts.findings.presets import publish_presets

A, B, FAR = (10, 10, 2, 2), (30, 30, 1, 1), (50, 10, 2, 2)


def evaluation(folder, cases, **options):
    handler = FROCHandler()
    handler.cases = list(cases)
    return Evaluation(folder, handler, **({"bootstrap_samples": 50} | options))


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
    rows = object_rows(case, 0.0, "greedy", np.array([-math.inf]))
    assert [row["outcome"] for row in rows] == ["missed", "ignored"]
    row = case_row(case, 0.0, "greedy")
    assert (row["predicted"], row["ignored"], row["fp"], row["tpr"]) == (0, 1, 0, 0)
    assert case_row(case, 0.8, "greedy")["ignored"] == 0


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
        tpr = evaluation(tmp_path, cases, bootstrap_unit=unit, bootstrap_samples=400).write()["operating_point"]["tpr"]
        widths[unit] = tpr["high"] - tpr["low"]
        assert tpr["value"] == 0.5
    assert widths["patient"] > 1.4 * widths["image"] > 0
    with pytest.raises(ValueError, match="bootstrap_unit"):
        evaluation(tmp_path, cases, bootstrap_unit="breast")


def test_equal_seeds_give_equal_files(two_cases, tmp_path):
    texts = []
    for name in "ab":
        evaluation(tmp_path / name, two_cases, seed=4).write()
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
    handler = FROCHandler(contrast_gap_mm=0.2)
    handler.cases = [with_extras(two_cases[0], "dense"), with_extras(two_cases[1], "fatty")]
    metrics = Evaluation(
        *(tmp_path, handler),
        bootstrap_samples=20,
        operating_threshold=0.5,  # of A and the single pixel B, A is hit; one false positive; nothing in the other
        fp_rates_per_image=[0.4, 0.5],
        pixel_curves=pixels,
        clusters=ClusterRule(40.0, 2, 1),  # A and B, 28 mm apart
        cluster_fp_rates_per_image=[0],
        strata_edges={"diameter_mm": [2.0], "contrast_to_noise": [1.0]},
        calibration_bins=10,
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
    for edges in ({"contrast_to_noise": [1.0]}, {"size": [1.0]}, {"diameter_mm": []}):
        with pytest.raises(ValueError, match="edges"):
            Evaluation(tmp_path, FROCHandler(), strata_edges=edges)


def test_scores_that_are_no_probabilities_have_no_reliability(make_case, tmp_path):
    metrics = evaluation(tmp_path, [make_case([A], [(A, 7.5)])]).write()
    assert metrics["calibration"]["expected_calibration_error_of_objects"] is None
    assert metrics["froc"]["pauc"]["value"] == 1


# ---- the bundle command on small phantoms ----


@pytest.fixture
def configured(root, monkeypatch, phantoms, tiny_weights, tmp_path):
    """The evaluation config on small phantoms; overrides as keywords (`a__b` is a::b)."""
    monkeypatch.chdir(root)

    def make(*overlays, **overrides):
        parser = ConfigParser()
        parser.read_config([str(root / "configs" / name) for name in ("inference.json", *overlays)])
        values = {"output_dir": str(tmp_path), "weights": str(tiny_weights / "model.pt"), "progress": False}
        values |= {"device": "$torch.device('cpu')", "objects_from": "candidates"}  # untrained maps hold no spots
        if "evaluate.json" in overlays:
            values |= {"dataset_dir": str(phantoms[0]), "datalist": phantoms[1], "bootstrap_samples": 20}
        for key, value in (values | overrides).items():
            parser[key.replace("__", "::")] = value
        parser.parse()
        return parser

    return make


def test_the_command_agrees_with_inference_at_the_operating_threshold(configured, phantoms, tmp_path):
    items = phantoms[1]["training"]
    parser = configured("evaluate.json", section="training")
    parser.get_parsed_content("run", instantiate=True, eval_expr=True)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    truth = [np.asarray(Image.open(item["label"])) == 1 for item in items]
    areas = [np.bincount(ndimage.label(t, np.ones((3, 3)))[0].ravel())[1:] for t in truth]
    assert metrics["counts"]["images"] == len(items) == 3 and metrics["counts"]["patients"] == 2
    assert metrics["counts"]["annotated"] == sum(area.size for area in areas) > 0
    assert metrics["counts"]["annotated_single_px"] == sum((area == 1).sum() for area in areas)
    assert metrics["provenance"]["weights"]["sha256"]
    assert metrics["provenance"]["settings"]["score_threshold"] == 0
    assert metrics["counts"]["scored_objects"] > 100
    cases = rows_of(tmp_path / "cases.csv")
    assert [row["case_id"] for row in cases] == [item["image_id"] for item in items]

    assert metrics["pixels"]["images"] == 3 and 0 < metrics["pixels"]["roc_auc"]["value"] < 1
    assert metrics["agreement"]["cells"]["side_mm"] == 2 and metrics["clusters"]["least"] == 3
    by = {row["by"] for row in metrics["strata"]}
    assert by == {"diameter_mm", "contrast_to_noise", "density", "gap_px", "neighbours"}
    densities = {row["stratum"]: row["images"] for row in metrics["strata"] if row["by"] == "density"}
    assert densities == {d: sum(item["density"] == d for item in items) for d in densities} and len(densities) > 0
    classes = metrics["failure_classes"]["classes"]
    assert metrics["failure_classes"]["rule"]["large_mm"] == 0.5 and len(classes) == 6
    assert classes["all"]["annotated"] == metrics["counts"]["annotated"]
    assert classes["all"]["tpr"] == metrics["operating_point"]["tpr"]
    assert classes["all"]["iou_per_object"]["value"] == metrics["iou"]["per_object"]["value"]
    big = [row for row in metrics["strata"] if row["stratum"] in ("0.5 to 0.7", "0.7 to 1", "1 or more")]
    assert classes["large"]["annotated"] == sum(row["annotated"] for row in big)
    for name in ("diameter_mm", "contrast_to_noise", "gap_px", "neighbours"):
        rows = [row for row in metrics["strata"] if row["by"] == name]
        assert sum(row["annotated"] for row in rows) == metrics["counts"]["annotated"]
        assert sum(row["tp"] for row in rows) == metrics["operating_point"]["tp"]

    kept = sum(value.nbytes for case in parser.get_parsed_content("froc").cases for value in arrays_of(case))
    assert kept < 0.5 * truth[0].size  # tables, no images

    for threshold in (metrics["operating_point"]["threshold"], 0.05):
        rows = [case_row(case, threshold, "greedy") for case in parser.get_parsed_content("froc").cases]
        plain = configured(
            datalist=items,
            output_dir=str(tmp_path / "plain"),
            score_threshold=threshold,
            handlers=["$@parts[0]", "@run_report"],
            parts=["$@loader"],
            loader={
                "_target_": "CheckpointLoader",
                "load_path": "@weights",
                "load_dict": {"model": "@network"},
            },
        )
        plain.get_parsed_content("inference", instantiate=True, eval_expr=True)
        report = json.loads((tmp_path / "plain" / "run_report.json").read_text())
        assert [row["predicted"] for row in rows] == [entry["count"] for entry in report["images"]]


def arrays_of(case):
    for table in (case.annotations, case.predictions, case.pairs):
        yield from vars(table).values()


def test_the_first_images_alone_may_be_evaluated(configured, phantoms):
    for limit, expected in ((None, 3), (2, 2), (99, 3)):
        parser = configured("evaluate.json", section="training", image_limit=limit)
        names = [item["image_id"] for item in parser.get_parsed_content("dataset").data]
        assert names == [item["image_id"] for item in phantoms[1]["training"][:expected]]


def test_failures_are_counted_and_the_rest_is_evaluated(configured, phantoms, tmp_path):
    good, bad = dict(phantoms[1]["testing"][0]), dict(phantoms[1]["testing"][0])
    bad |= {"label": str(tmp_path / "gone.png"), "image_id": "bad"}
    parser = configured("evaluate.json", datalist={"testing": [bad, good]})
    with pytest.raises(SystemExit) as exit_status:
        parser.get_parsed_content("evaluating", instantiate=True, eval_expr=True)
    assert exit_status.value.code == 1
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["counts"]["images"], metrics["counts"]["images_failed"]) == (1, 1)
    assert "gone.png" in metrics["provenance"]["failures"][0]["reason"]


def test_choosing_writes_presets_that_inference_can_use(configured, phantoms, tmp_path):
    parser = configured("evaluate.json", section="validation")
    parser.get_parsed_content("choosing", instantiate=True, eval_expr=True)
    content = json.loads((tmp_path / "operating_points.json").read_text())
    assert set(content["presets"]) == {"sensitive", "balanced", "specific"}
    assert all(0 <= preset["threshold"] <= 1 for preset in content["presets"].values())
    assert content["provenance"]["settings"]["section"] == "validation"
    assert content["provenance"]["weights"]["sha256"]
    published = tmp_path / "points.json"
    publish_presets(published, "HDoGReg", content)
    for preset, point in content["presets"].items():
        parser = configured(operating_points=str(published), preset=preset)
        assert parser.get_parsed_content("score_threshold") == point["threshold"]


def test_slim_fcn_is_evaluated_by_the_same_overlay(configured, tiny_weights, tmp_path):
    parser = configured(
        *("slim_fcn_inference.json", "evaluate.json"),
        weights=str(tiny_weights / "slim_fcn.pt"),
        score_threshold=0.3,
        objects_from="threshold",
    )
    parser.get_parsed_content("evaluating", instantiate=True, eval_expr=True)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["provenance"]["settings"]["method"] == "slim FCN"
    assert metrics["provenance"]["settings"]["score_threshold"] == 0.3
