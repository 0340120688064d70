"""Results read back and evaluated give the numbers of the run that they came from."""

import json
import shutil

import pytest
from monai.bundle import ConfigParser

pytest.importorskip("highdicom")

from scripts.evaluation.__main__ import main
from scripts.outputs.stored import KINDS

#: What needs the network's map, or tells how the numbers were made.
OF_A_RUN = ("provenance", "pixels", "calibration")


@pytest.fixture(scope="module")
def data_dir(phantoms, tmp_path_factory):
    """Folder with a data list of three phantoms."""
    folder = tmp_path_factory.mktemp("data")
    keys = ("image", "label", "patient", "image_id", "density")
    listed = [{key: item[key] for key in keys} for item in phantoms[1]["training"]]
    (folder / "datalist.json").write_text(json.dumps({"testing": listed, "training": [], "validation": []}))
    return folder


@pytest.fixture(scope="module")
def run(root, data_dir, tiny_weights, tmp_path_factory):
    """Folder of a run that is evaluated at once and writes what is read back (HDoG finds marks in untrained maps)."""
    folder = tmp_path_factory.mktemp("run")
    parser = ConfigParser()
    files = ("inference.json", "hdogreg_candidates.json", "evaluate.json", "data_generic.json")
    parser.read_config([str(root / "configs" / name) for name in files])
    writer = {"_target_": "scripts.outputs.writer.FindingsWriter", "output_dir": str(folder)}
    values = {"bundle_root": str(root), "output_dir": str(folder), "dataset_dir": str(data_dir), "progress": False}
    values |= {"weights": str(tiny_weights / "model.pt"), "device": "$torch.device('cpu')", "operating_threshold": 0.0}
    values |= {"hdog::dog_threshold": 0.06}
    values |= {"writer": writer | {"outputs": ["instances", *KINDS]}}
    values |= {"handlers": ["@load_weights", "@pixel_curves", "@froc", "@writer", "@run_report"]}
    values |= {"postprocessing::transforms": parser["postprocessing::transforms"][:-1]}  # objects as they are written
    for key, value in values.items():
        parser[key] = value
    parser.parse()
    parser.get_parsed_content("evaluating", instantiate=True, eval_expr=True)
    return folder


@pytest.fixture
def stored(root, data_dir, tmp_path, monkeypatch):
    """The command: exit status, and what it wrote into metrics.json."""
    monkeypatch.chdir(root)

    def evaluate(folder, *options, output="evaluated"):
        given = ["stored", str(folder), "--dataset-dir", str(data_dir), "--output", str(tmp_path / output), *options]
        status = main(given)
        written = tmp_path / output / "metrics.json"
        return status, json.loads(written.read_text()) if written.is_file() else None

    return evaluate


def numbers_of(metrics):
    return {name: value for name, value in metrics.items() if name not in OF_A_RUN}


@pytest.mark.parametrize("kind", ["findings", "report_sr", "cad_sr"])
def test_the_numbers_are_those_of_the_run(run, stored, kind):
    status, metrics = stored(run, "--kind", kind)
    wanted = json.loads((run / "metrics.json").read_text())
    assert status == 0 and wanted["counts"]["scored_objects"] > 30 and wanted["counts"]["images"] == 3
    assert numbers_of(metrics) == numbers_of(wanted)
    assert metrics["provenance"]["weights"] is None


def test_segmentations_give_the_marks_without_scores(run, stored):
    wanted = json.loads((run / "metrics.json").read_text())
    status, metrics = stored(run, "--kind", "segmentation_labelmap")
    assert status == 0 and metrics["counts"] == wanted["counts"]
    assert metrics["iou"]["per_image"] == wanted["iou"]["per_image"] and metrics["agreement"] == wanted["agreement"]
    for name in ("tp", "fp", "tpr", "fp_per_cm2"):
        assert metrics["operating_point"][name] == wanted["operating_point"][name]
    status, metrics = stored(run, "--kind", "segmentation", output="mask")
    assert status == 0 and metrics["iou"]["per_image"] == wanted["iou"]["per_image"]
    assert 0 < metrics["counts"]["scored_objects"] <= wanted["counts"]["scored_objects"]  # touching ones are one


def test_files_of_an_archive_are_evaluated_under_any_name(run, stored, tmp_path):
    (tmp_path / "archive").mkdir()
    for number, file in enumerate(sorted(run.rglob("cad_sr.dcm"))):
        shutil.copy(file, tmp_path / "archive" / f"IM{number}")
    status, metrics = stored(tmp_path / "archive")
    assert status == 0 and numbers_of(metrics) == numbers_of(json.loads((run / "metrics.json").read_text()))
    assert metrics["provenance"]["scoring"]["results"]["kind"] == "cad_sr"


def changed(run, folder):
    """A copy of the run's results, its images' folders in order."""
    shutil.copytree(run, folder)
    return sorted(file.parent for file in folder.rglob("findings.json"))


def test_an_image_without_a_result_is_a_failure(run, stored, tmp_path):
    first, second, _ = changed(run, tmp_path / "run")
    shutil.rmtree(first)
    status, metrics = stored(tmp_path / "run")
    assert status == 1 and (metrics["counts"]["images"], metrics["counts"]["images_failed"]) == (2, 1)
    (failure,) = metrics["provenance"]["failures"]
    assert first.name in failure["file"] and "no result of" in failure["reason"]
    report = json.loads((second / "findings.json").read_text())
    report["microcalcifications"] = []
    (second / "findings.json").write_text(json.dumps(report))
    status, found_nothing = stored(tmp_path / "run", output="again")
    assert status == 1 and found_nothing["counts"]["images"] == 2  # nothing found is a result
    assert found_nothing["counts"]["scored_objects"] < metrics["counts"]["scored_objects"]
    assert found_nothing["counts"]["annotated"] == metrics["counts"]["annotated"]


def test_results_of_an_image_that_differ_are_a_failure(run, stored, tmp_path):
    first, *_ = changed(run, tmp_path / "run")
    shutil.copytree(first, tmp_path / "run" / "other")
    assert stored(tmp_path / "run")[0] == 0
    report = json.loads((first / "findings.json").read_text())
    report["microcalcifications"].pop()
    (first / "findings.json").write_text(json.dumps(report))
    status, metrics = stored(tmp_path / "run", output="again")
    assert status == 1 and metrics["counts"]["images"] == 2
    assert "other marks than" in metrics["provenance"]["failures"][0]["reason"]


def test_results_of_other_images_and_no_results(run, stored, tmp_path, capsys):
    for folder in changed(run, tmp_path / "run"):
        report = json.loads((folder / "findings.json").read_text())
        report["identity"]["sop_uid"] = f"1.2.3.{len(folder.name)}"
        (folder / "findings.json").write_text(json.dumps(report))
    assert stored(tmp_path / "run")[0] != 0
    (tmp_path / "empty").mkdir()
    assert stored(tmp_path / "empty", output="none") == (2, None)
    assert "want results of this bundle" in capsys.readouterr().err.splitlines()[-1]


def test_a_wrong_folder_of_the_data_is_one_line(run, stored, tmp_path, capsys):
    assert stored(run, "--dataset-dir", str(tmp_path / "gone")) == (2, None)
    assert "gone" in capsys.readouterr().err.splitlines()[-1]
