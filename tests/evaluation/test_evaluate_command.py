"""The evaluating command on small phantoms: against inference, failures, presets, both methods."""

import csv
import json

import numpy as np
import pytest
from monai.bundle import ConfigParser
from PIL import Image
from scipy import ndimage

from scripts.evaluation.matching import match_case
from scripts.evaluation.tables import case_row
from scripts.findings.presets import publish_presets


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def configured(root, monkeypatch, phantoms, tiny_weights, tmp_path):
    """The evaluation config on small phantoms; overrides as keywords (`a__b` is a::b)."""
    monkeypatch.chdir(root)

    def make(*overlays, **overrides):
        parser = ConfigParser()
        methods = () if any("slim" in name for name in overlays) else ("hdogreg_candidates.json",)
        files = ("inference.json", *methods, *overlays)  # untrained maps hold no spots, HDoG finds some
        parser.read_config([str(root / "configs" / name) for name in files])
        values = {"output_dir": str(tmp_path), "weights": str(tiny_weights / "model.pt"), "progress": False}
        values |= {"device": "$torch.device('cpu')"}
        if "evaluate.json" in overlays:
            values |= {"dataset_dir": str(phantoms[0]), "datalist": phantoms[1], "bootstrap::samples": 20}
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
    assert metrics["agreement"]["cells"]["side_mm"] == 2 and "kinds" in metrics
    rule = parser.get_parsed_content("clusters::rule")  # the product's
    assert metrics["clusters"]["rule"]["least"] == rule.least and metrics["clusters"]["sentence"] == rule.sentence
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
        rows = [case_row(match_case(case, threshold)) for case in parser.get_parsed_content("froc").cases]
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


def test_choosing_writes_presets_that_inference_can_use(configured, phantoms, tmp_path, caplog):
    parser = configured("evaluate.json", section="validation")
    parser.get_parsed_content("choosing", instantiate=True, eval_expr=True)
    content = json.loads((tmp_path / "operating_points.json").read_text())
    assert set(content["presets"]) == {"sensitive", "balanced", "specific"}
    assert all(0 <= preset["threshold"] <= 1 for preset in content["presets"].values())
    assert content["provenance"]["settings"]["section"] == "validation"
    assert content["provenance"]["weights"]["sha256"]
    published = tmp_path / "points.json"
    publish_presets(published, "HDoGReg (candidates)", content)
    caplog.clear()
    for preset, point in content["presets"].items():
        parser = configured(operating_points__path=str(published), preset=preset)
        assert parser.get_parsed_content("score_threshold") == point["threshold"]
        assert "chosen with" not in caplog.text
    configured(operating_points__path=str(published), objects__overlap_fraction=0.9).get_parsed_content(
        "score_threshold"
    )
    assert "chosen with objects.overlap_fraction 0.3 (here: 0.9)" in caplog.text


def test_slim_fcn_is_evaluated_by_the_same_overlay(configured, tiny_weights, tmp_path):
    parser = configured(
        *("slim_fcn_inference.json", "evaluate.json"),
        weights=str(tiny_weights / "slim_fcn.pt"),
        score_threshold=0.3,
    )
    parser.get_parsed_content("evaluating", instantiate=True, eval_expr=True)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["provenance"]["settings"]["method"] == "slim FCN"
    assert metrics["provenance"]["settings"]["score_threshold"] == 0.3


def test_sizes_of_all_labels_need_no_network(configured, phantoms, tmp_path):
    parser = configured("evaluate.json", weights="gone.pt", label_histogram__progress=False)
    parser.get_parsed_content("label_sizes", instantiate=True, eval_expr=True)
    found = json.loads((tmp_path / "label_sizes.json").read_text())
    assert list(found) == list(phantoms[1]) and found["training"]["images"] == 3
    truth = [np.asarray(Image.open(item["label"])) == 1 for item in phantoms[1]["training"]]
    assert found["training"]["annotated"] == sum(ndimage.label(t, np.ones((3, 3)))[1] for t in truth)
