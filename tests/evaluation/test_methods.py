"""Which evaluations run, which are reused, which are left out; the bundle itself is replaced by a fake."""

import json

import pytest
from monai.bundle import ConfigParser

from scripts.common.config_check import check_config
from scripts.common.stage import StageError
from scripts.evaluation import __main__ as command
from scripts.evaluation import methods
from scripts.evaluation.__main__ import main
from scripts.evaluation.methods import INPUTS, choose_data, config_files, evaluate_all, evaluate_method

DATA = "configs/data_benchmark.json"


@pytest.fixture
def world(root, monkeypatch, tmp_path):
    """Weights, images and code of its own; `run` is the fake, which notes its arguments and leaves a finished run."""
    monkeypatch.chdir(root)
    (tmp_path / "scripts" / "evaluation" / "report").mkdir(parents=True)
    (tmp_path / "scripts" / "network.py").write_text("a = 1\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "image.png").write_bytes(b"image")
    (tmp_path / "weights.pt").write_bytes(b"weights")
    monkeypatch.setattr(methods, "ROOT", tmp_path)

    class World:
        def __init__(self):
            self.folder, self.calls = tmp_path, []
            self.overrides = {"dataset_dir": str(tmp_path / "data"), "weights": str(tmp_path / "weights.pt")}

        def run(self, folder, arguments):
            self.calls.append(arguments)
            folder.mkdir(parents=True, exist_ok=True)
            report = {"state": "finished", "exit_status": 0, "images_done": 1, "images_failed": 0}
            (folder / "run_report.json").write_text(json.dumps(report))
            (folder / "metrics.json").write_text("{}")

        def evaluate(self, method="hdogreg", **options):
            before = len(self.calls)
            reason = evaluate_method(method, tmp_path / "out", DATA, self.overrides, **options)
            return reason, len(self.calls) - before

    world = World()
    monkeypatch.setattr(methods, "run_bundle", world.run)
    return world


def test_config_files_come_in_the_order_of_the_bundle():
    assert config_files("slim_fcn", DATA) == [
        *("configs/inference.json", "configs/slim_fcn_inference.json", "configs/evaluate.json"),
        DATA,
    ]
    assert config_files("hdogreg", "") == ["configs/inference.json", "configs/evaluate.json"]
    with pytest.raises(ValueError, match=r"methods: got 'unet'; want some of hdogreg, slim_fcn"):
        config_files("unet", DATA)


def test_every_method_has_an_overlay_that_is_there(root):
    for method in methods.METHODS:
        assert all((root / file).is_file() for file in config_files(method, DATA))
    assert set(methods.DEFAULT_METHODS) <= set(methods.METHODS)


def test_an_unchanged_evaluation_is_reused(world):
    assert world.evaluate() == ("", 1)
    (arguments,) = world.calls
    assert arguments["run_id"] == "evaluating" and arguments["config_file"] == config_files("hdogreg", DATA)
    assert arguments["output_dir"] == str(world.folder / "out") and arguments["weights"].endswith("weights.pt")
    assert world.evaluate() == ("", 0)
    assert world.evaluate(force=True)[1] == 1
    (world.folder / "scripts" / "evaluation" / "report" / "page.py").write_text("b = 2\n")
    (world.folder / "scripts" / "evaluation" / "readers.py").write_text("b = 2\n")
    (world.folder / "scripts" / "evaluation" / "__main__.py").write_text("b = 2\n")
    assert world.evaluate()[1] == 0, "code without effect on numbers"


@pytest.mark.parametrize("what", ["weights", "code", "images", "overrides", "record", "interrupted", "failed images"])
def test_what_changes_numbers_makes_it_run_again(world, what):
    world.evaluate()
    out = world.folder / "out"
    if what == "weights":
        (world.folder / "weights.pt").write_bytes(b"others")
    elif what == "code":
        (world.folder / "scripts" / "network.py").write_text("a = 2\n")
    elif what == "images":
        (world.folder / "data" / "image.png").write_bytes(b"another image")
    elif what == "overrides":
        world.overrides = world.overrides | {"hit_rule::distance_mm": 0.5}
    elif what == "record":
        (out / INPUTS).unlink()
    else:
        state = (
            {"state": "running", "exit_status": 0} if what == "interrupted" else {"state": "finished", "exit_status": 1}
        )
        (out / "run_report.json").write_text(json.dumps(state))
    assert world.evaluate()[1] == 1
    assert world.evaluate()[1] == 0


def test_only_the_operating_points_of_the_method_itself_count(world):
    points = world.folder / "operating_points.json"
    world.overrides["operating_points::path"] = str(points)
    points.write_text(json.dumps({"HDoGReg": {"presets": 1}, "slim FCN": {"presets": 1}}))
    assert world.evaluate()[1] == 1
    points.write_text(json.dumps({"HDoGReg": {"presets": 1}, "slim FCN": {"presets": 2}}))
    assert world.evaluate()[1] == 0
    points.write_text(json.dumps({"HDoGReg": {"presets": 2}, "slim FCN": {"presets": 2}}))
    assert world.evaluate()[1] == 1


def test_missing_weights_leave_a_method_out(world):
    world.overrides = world.overrides | {"weights": str(world.folder / "gone.pt")}
    reason, ran = world.evaluate()
    assert ran == 0 and "gone.pt are missing" in reason and not reason.startswith(methods.FAILED)
    world.overrides = world.overrides | {"weights": ""}
    assert world.evaluate("ciecholewski")[1] == 1, "a method without weights"


def test_a_failure_is_named_and_the_next_method_runs(world, monkeypatch, tmp_path):
    def run(folder, arguments):
        if "slim_fcn" in str(folder):
            raise StageError("evaluation.log: stage 'evaluation' ended with exit status 1")
        world.run(folder, arguments)

    options = {"data": DATA, "overrides": world.overrides}
    monkeypatch.setattr(methods, "run_bundle", run)
    reasons = evaluate_all(["slim_fcn", "hdogreg"], tmp_path / "all", "datalist", **options)
    assert list(reasons) == ["slim_fcn", "hdogreg"] and not reasons["hdogreg"]
    assert reasons["slim_fcn"].startswith(methods.FAILED) and "exit status 1" in reasons["slim_fcn"]
    assert (tmp_path / "all" / "hdogreg" / "datalist" / INPUTS).is_file()
    assert not (tmp_path / "all" / "slim_fcn" / "datalist" / INPUTS).exists()
    with pytest.raises(ValueError, match="unet"):
        evaluate_all(["hdogreg", "unet"], tmp_path / "none", "datalist", **options)
    assert not (tmp_path / "none").exists()


def test_only_keys_that_the_data_overlay_reads_are_given(root, monkeypatch):
    """An overlay may read its list at the top level, in its source, or not at all."""
    monkeypatch.chdir(root)
    generic, phantom = "configs/data_generic.json", "configs/data_phantom.json"
    assert choose_data(DATA) == ({"section": "testing"}, "datalist")
    assert choose_data(DATA, "x", "few.json") == (
        {"dataset_dir": "x", "datalist_file": "few.json", "section": "testing"},
        "few",
    )
    assert choose_data(generic, datalist_file="a/few.csv", section="validation") == (
        {"source::datalist_file": "a/few.csv", "section": "validation"},
        "few_validation",
    )
    assert choose_data(generic)[1] == "datalist" and choose_data(phantom)[1] == "testing"
    with pytest.raises(ValueError, match=r"datalist_file: got 'few.json'; want none, as .*data_phantom.json"):
        choose_data(phantom, datalist_file="few.json")


@pytest.mark.parametrize("data", ["data_benchmark", "data_generic", "data_phantom", "data_inbreast", "data_cbis_ddsm"])
def test_every_key_that_is_given_is_read(root, monkeypatch, data):
    monkeypatch.chdir(root)
    file = f"configs/{data}.json"
    listed = "few.json" if data in ("data_benchmark", "data_generic") else ""
    parser = ConfigParser()
    parser.read_config(config_files("hdogreg", file))
    check_config(parser, ["evaluating"], spared := set(parser.get()))
    parser.update(choose_data(file, "x", listed)[0] | {"output_dir": "y"})
    check_config(parser, ["evaluating"], spared - {"dataset_dir", "datalist_file", "section", "output_dir"})
    if listed:
        assert parser.get_parsed_content("source", instantiate=False).get_config()["datalist_file"] == "few.json"


def test_the_command_reports_what_ran_and_what_did_not(world, monkeypatch, tmp_path, capsys):
    reports = []

    def run(folder, arguments):
        if "ciecholewski" in str(folder):
            raise StageError("no memory")
        world.run(folder, arguments)

    monkeypatch.setattr(methods, "run_bundle", run)
    monkeypatch.setattr(command, "write_report", lambda *args, **options: reports.append((args, options)))
    common = ["--data", DATA, "--dataset-dir", str(tmp_path / "data"), "--output", str(tmp_path / "runs")]
    common += ["--report", str(tmp_path / "report"), "--note", "drawn"]
    assert main(["methods", "--methods", "hdog_alone", *common, "--datalist-file", "few.json"]) == 0
    assert reports[-1] == (([tmp_path / "runs/hdog_alone/few"], tmp_path / "report", "drawn"), {"not_run": []})
    assert world.calls[-1]["datalist_file"] == "few.json" and world.calls[-1]["section"] == "testing"
    words = ["methods", "--methods", "hdog_alone", "ciecholewski", *common, "--section", "validation"]
    assert main(words) == 1, "a report is written, but not of all"
    (folders, *_), options = reports[-1]
    assert folders == [tmp_path / "runs/hdog_alone/datalist_validation"]
    assert options["not_run"] == ["ciecholewski: its evaluation failed: no memory"]
    assert main(["methods", "--methods", "unet", *common]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: methods: got 'unet'; want some of hdogreg")
