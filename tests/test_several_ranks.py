"""The commands of docs/several_gpus.md on two Gloo ranks, against a plain run of one process."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch

from tests.tiny import PATCHES, PHANTOMS

SIZES = PHANTOMS | PATCHES | {"patches::stride_px": 64, "source::validation": 2, "batch_size": 5}
#: Nothing random in what a patch is, so that ranks and one process have the same ones.
SAME_PATCHES = {"augmentation": "[]", "network_def::dropout": 0.0, "precision": "float32", "device": "cpu"}
#: float32 sums of another order after one forward pass, and after steps that make more of it: as far apart are
#: two runs of one process whose batches are in another order (docs/log/several_gpus.md).
FIRST, LATER = 1e-5, 1e-2


def run(root, ranks, name, files, values, check=True):
    words = ["-m", "monai.bundle", "run", name, "--config_file", str([f"configs/{file}.json" for file in files])]
    words += [word for key, value in values.items() for word in (f"--{key}", str(value))]
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *start, *words]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=900)
    assert not check or done.returncode == 0, done.stderr[-4000:]
    return done


def losses(folder):
    with (folder / "metrics.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize("method", [[], ["slim_fcn_train"]], ids=["hdogreg", "slim_fcn"])
def test_training_on_two_ranks_is_that_of_one_process_and_goes_on_with_three_or_one(root, phantoms, tmp_path, method):
    paths = {"cache_dir": tmp_path / "cache", "dataset_dir": tmp_path / "data"}

    def train(folder, ranks, **values):
        files = ["train", *method, *(["multi_gpu_train"] if ranks > 1 else [])]
        own = {"output_dir": tmp_path / folder, "publish_path": tmp_path / folder / "published.pt"}
        return run(root, ranks, "training", files, SIZES | SAME_PATCHES | paths | own | values)

    train("two", 2, max_epochs=1)  # makes the phantoms, too
    train("one", 1, max_epochs=1)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=LATER)
    train("two", 3, max_epochs=2)
    done = train("two", 1, max_epochs=3)
    assert "resuming" in done.stdout + done.stderr and len(losses(tmp_path / "two")) == 3
    train("one", 1, max_epochs=3)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=LATER)
    state, plain = (torch.load(tmp_path / name / "published.pt", weights_only=True) for name in ("two", "one"))
    assert list(state) == list(plain)
    stored = [torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("two", "one")]
    assert stored[0]["fingerprint"] == stored[1]["fingerprint"]


@pytest.mark.slow
def test_the_first_loss_of_two_ranks_is_that_of_one_process(root, tmp_path):
    paths = {"cache_dir": tmp_path / "cache", "dataset_dir": tmp_path / "data", "publish_path": "", "max_epochs": 1}
    found = []
    for ranks, files in ((2, ["train", "multi_gpu_train"]), (1, ["train"])):
        own = {"output_dir": tmp_path / str(ranks), "batch_size": 1000}  # one batch is the epoch
        run(root, ranks, "training", files, SIZES | SAME_PATCHES | paths | own)
        found += losses(tmp_path / str(ranks))
    assert found[0] == pytest.approx(found[1], rel=FIRST)


@pytest.mark.slow
def test_an_evaluation_by_two_ranks_is_that_of_one_process(root, tmp_path):
    data = SIZES | {"dataset_dir": tmp_path / "data", "source::testing": 5, "source::empty_fraction": 0.2}
    data = {key: value for key, value in data.items() if key in ("dataset_dir",) or key.startswith("source")}
    values = data | {"device": "cpu", "precision": "float32", "bootstrap::samples": 50}
    found = []
    for ranks, files in ((2, ["inference", "evaluate", "multi_gpu_evaluate"]), (1, ["inference", "evaluate"])):
        out = tmp_path / str(ranks)
        run(root, ranks, "evaluating", files, values | {"output_dir": out})
        results = json.loads((out / "metrics.json").read_text())
        results["provenance"] = {key: results["provenance"][key] for key in ("settings", "scoring", "weights")}
        report = json.loads((out / "run_report.json").read_text())
        tables = {path.name: path.read_text() for path in out.glob("*.csv")}
        entries = [{key: entry[key] for key in entry if key != "seconds"} for entry in report["images"]]
        crops = {path.name: path.read_bytes() for path in (out / "crops").glob("*.npz")}
        found.append((results, tables, entries, report["state"], report["images_done"], sorted(crops)))
    assert found[0] == found[1] and found[0][4] == 5


@pytest.mark.slow
def test_an_inference_by_two_ranks_writes_one_report_and_knows_what_is_done(root, phantoms, tmp_path):
    (tmp_path / "in").mkdir()
    for number, item in enumerate(phantoms[1]["training"]):
        (tmp_path / "in" / f"{number}.dcm").symlink_to(item["image"])
    (tmp_path / "in" / "bad.dcm").write_text("bad")
    values = {"input_dir": tmp_path / "in", "output_dir": tmp_path / "out", "device": "cpu"}
    files = ["inference", "multi_gpu_evaluate"]
    for kept in (0, 3):
        assert run(root, 2, "inference", files, values, check=False).returncode != 0
        report = json.loads((tmp_path / "out" / "run_report.json").read_text())
        assert (report["images_done"], report["images_kept"], report["images_failed"]) == (3, kept, 1)
        assert {entry["image_id"] for entry in report["images"]} == {"0", "1", "2", "bad"}
    plain = values | {"output_dir": tmp_path / "plain"}
    run(root, 1, "inference", files[:1], plain, check=False)
    for number in range(3):
        masks = [tmp_path / out / str(number) / "mask.nii.gz" for out in ("out", "plain")]
        assert masks[0].read_bytes() == masks[1].read_bytes()


@pytest.mark.slow
def test_without_torchrun_the_overlay_says_what_it_wants(root, tmp_path):
    values = {"input_dir": tmp_path, "output_dir": tmp_path / "out"}
    done = run(root, 1, "inference", ["inference", "multi_gpu_evaluate"], values, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: RANK: got a process that is none of several; want")
