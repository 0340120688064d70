"""What a run tells MLflow; with MLflow itself (marker `tracking`), read back by its client."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from scripts.common.files import sha256_of
from scripts.common.tables import write_csv
from scripts.outputs.tracking import MLflowTracking, curve, figures, flat, kept_files, relative_to
from tests.tiny import PATCHES, PHANTOMS


def test_nested_values_get_names_that_mlflow_takes():
    content = {"a": {"b": 1, "c/d": [2, 3]}, "tpr @ 0.4 (FP)": None}
    assert dict(flat(content)) == {"a.b": 1, "a.c/d": [2, 3], "tpr _ 0.4 _FP_": None}


def test_figures_are_the_finite_numbers_of_results():
    results = {"froc": {"pauc": 0.5, "curve": [1, 2], "none": None, "flag": True, "nan": float("nan")}, "images": 3}
    assert figures(results | {"provenance": {"seed": 7}, "settings": {"x": 1}}) == {"froc.pauc": 0.5, "images": 3.0}


def test_a_training_s_curve_is_read_by_epoch(tmp_path):
    rows = [{"epoch": "1", "loss": "0.5", "iou": ""}, {"epoch": "2", "loss": "0.25", "iou": "0.1"}]
    write_csv(tmp_path / "metrics.csv", ["epoch", "loss", "iou"], rows)
    assert curve(tmp_path / "metrics.csv") == {1: {"loss": 0.5}, 2: {"loss": 0.25, "iou": 0.1}}
    assert curve(tmp_path / "none.csv") == {}


def test_kept_are_tables_figures_and_the_first_pictures(tmp_path):
    names = [
        "metrics.json",
        "froc.csv",
        "froc.png",
        "a/picture.png",
        "b/c/picture.png",
        "d/picture.png",
        "a/mask.nii.gz",
    ]
    for name in (*names, "checkpoint.pt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    kept = {file.relative_to(tmp_path).as_posix(): place for file, place in kept_files(tmp_path, 2)}
    assert kept == {
        "metrics.json": "",
        "froc.csv": "tables",
        "froc.png": "figures",
        "a/picture.png": "pictures/a",
        "b/c/picture.png": "pictures/b/c",
    }


def test_the_data_list_s_hash_does_not_depend_on_where_the_data_lie():
    lists = [{"testing": [{"image": f"{folder}/images/a.dcm", "image_id": "a"}]} for folder in ("/one", "/two/three")]
    assert relative_to("/one", lists[0]) == relative_to("/two/three/", lists[1])
    assert relative_to("/one", lists[1]) == lists[1]


def test_without_mlflow_the_requirements_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"tracking: got no package mlflow; want .*requirements-tracking.txt"):
        MLflowTracking(tmp_path)


def bundle(root, folder, run, files, values, status=0):
    values |= {"tracking": "configs/tracking_mlflow.json", "tracking_uri": f"sqlite:///{folder}/db/mlflow.db"}
    words = [word for key, value in values.items() for word in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", run, "--config_file", str(files), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == status, done.stderr[-3000:]


@pytest.fixture(scope="module")
def tracked(root, phantoms, tmp_path_factory):
    """A training, an evaluation, and an inference with a bad file, read back: run's name -> what MLflow has."""
    mlflow = pytest.importorskip("mlflow")
    folder, common = tmp_path_factory.mktemp("tracked"), {"device": "cpu", "precision": "float32"}
    data = common | {"dataset_dir": phantoms[0]} | PHANTOMS
    train = data | PATCHES | {"batch_size": 2, "cache_dir": folder / "cache", "output_dir": folder / "train"}
    for epochs in (1, 3):  # the second goes on
        bundle(root, folder, "training", "configs/train.json", train | {"publish_path": "", "max_epochs": epochs})
    scoring = data | {"output_dir": folder / "evaluate", "bootstrap::samples": 20}
    bundle(root, folder, "evaluating", ["configs/inference.json", "configs/evaluate.json"], scoring)
    (folder / "in").mkdir()
    (folder / "in" / "bad.dcm").write_text("bad")
    (folder / "in" / "good.dcm").symlink_to(phantoms[1]["testing"][0]["image"])
    infer = common | {"input_dir": folder / "in", "output_dir": folder / "infer"}
    bundle(root, folder, "inference", "configs/inference.json", infer, status=1)
    client = mlflow.MlflowClient(f"sqlite:///{folder}/db/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("microcalcifications").experiment_id])

    def files(run, place=None):
        for entry in client.list_artifacts(run.info.run_id, place):
            yield from files(run, entry.path) if entry.is_dir else [entry.path]

    return folder, {
        (run.info.run_name.rpartition("/")[2], number): SimpleNamespace(
            status=run.info.status,
            parameters=run.data.params,
            figures=run.data.metrics,
            tags=run.data.tags,
            files=set(files(run)),
            losses=[(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")],
        )
        for number, run in enumerate(reversed(runs))
    }


@pytest.mark.tracking
def test_a_training_s_parameters_curves_and_hashes_are_kept(tracked):
    folder, runs = tracked
    first, second = runs[("train", 0)], runs[("train", 1)]
    assert [epoch for epoch, _ in first.losses] == [1] and [epoch for epoch, _ in second.losses] == [1, 2, 3]
    assert second.losses == [(epoch, values["loss"]) for epoch, values in curve(folder / "train/metrics.csv").items()]
    assert "validation_mean_iou" in second.figures and second.status == "FINISHED"
    assert second.tags["weights_sha256"] == sha256_of(folder / "train" / "model.pt")
    stored = torch.load(folder / "train" / "checkpoint.pt", weights_only=True)["fingerprint"]
    for name in ("train.dataset.images", "train.optimizer.defaults.lr", "train.dataset.patches.patch_px"):
        assert second.parameters[name] == str(stored[name.replace("train.optimizer", "optimizer")])
    assert second.parameters["datalist.training"] == "3" and len(second.parameters["datalist_sha256"]) == 64
    assert second.files == {"tables/metrics.csv"}


@pytest.mark.tracking
def test_an_evaluation_s_figures_thresholds_and_tables_are_kept(tracked, root):
    folder, runs = tracked
    run = runs[("evaluate", 2)]
    results = json.loads((folder / "evaluate" / "metrics.json").read_text())
    assert run.status == "FINISHED" and run.figures["counts.images"] == 1
    wanted = figures(results)
    assert {name: run.figures[name] for name in wanted} == pytest.approx(wanted) and len(wanted) > 50
    assert any("threshold" in name for name in wanted) and run.parameters["score_threshold"] == "0.0"
    assert run.tags["weights_sha256"] == run.parameters["weights.sha256"] == sha256_of(root / "models" / "model.pt")
    assert {"metrics.json", "run_report.json", "tables/froc.csv", "figures/froc.png"} <= run.files
    assert run.parameters["datalist_sha256"] == runs[("train", 1)].parameters["datalist_sha256"]


@pytest.mark.tracking
def test_an_inference_with_a_bad_file_is_kept_with_its_pictures(tracked):
    _, runs = tracked
    run = runs[("infer", 3)]
    assert (run.figures["images_done"], run.figures["images_failed"], run.figures["exit_status"]) == (1, 1, 1)
    pictures = {"pictures/good/picture.png", "pictures/bad/picture.png"}
    assert run.files == {"run_report.json", "tables/images.csv", *pictures}
    assert 0 < float(run.parameters["score_threshold"]) < 1 and run.parameters["preset"] == "balanced"
