"""The sweep of the proximity function with its real configs on simulated MCs: killed, then ended by two processes."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

EPOCHS = 12
CONFIGS = "['configs/sweep_proximity.json','configs/sweep_insertion.json']"


@pytest.fixture(scope="module")
def backgrounds(tmp_path_factory):
    """Three small mottled pictures; the numbers make one of them validation and two training."""
    folder = tmp_path_factory.mktemp("backgrounds")
    rng = np.random.default_rng(0)
    for number in (1, 2, 3):
        mottled = ndimage.gaussian_filter(rng.normal(0, 1, (220, 200)), 3)
        image = 0.5 + 0.1 * mottled / mottled.std() + rng.normal(0, 0.01, mottled.shape)
        Image.fromarray((np.clip(image, 0, 1) * 65535).astype(np.uint16)).save(folder / f"IM{number:04}.png")
    return folder


def start(root, backgrounds, out):
    arguments = ["--config_file", CONFIGS, "--background_dir", backgrounds, "--output_dir", out]
    arguments += ["--evaluate_configs", "[]", "--metric", "best_validation_metric", "--max_epochs", EPOCHS]
    arguments += ["--proximity_radii_px", "[6, 10]", "--proximity_alphas", "[1]", "--patch_px", 64, "--batch_size", 2]
    arguments += ["--patches_per_epoch", 4, "--validation_patches", 2, "--train_overrides::cache_dir", out / "cache"]
    return subprocess.Popen(
        [sys.executable, "-m", "monai.bundle", "run", "sweeping", *map(str, arguments)],
        cwd=root,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_sweep_killed_in_mid_training_is_ended_by_two_processes(root, backgrounds, tmp_path):
    killed = start(root, backgrounds, tmp_path)
    deadline = time.monotonic() + 400
    while not (found := list(tmp_path.glob("*/training/checkpoint.pt"))):
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    cut = found[0].parents[1]
    assert not (cut / "training.done.json").exists()
    assert len(list(tmp_path.glob("*/training.log"))) == 1  # the other cell was not begun

    both = [start(root, backgrounds, tmp_path) for _ in range(2)]
    for process in both:
        _, words = process.communicate(timeout=500)
        assert process.returncode == 0, words[-3000:]
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    complete = [row for row in rows if row["state"] == "complete"]
    assert sorted(int(row["proximity_radius_px"]) for row in complete) == [6, 10]  # each cell once
    others = [(row["state"], row["reason"]) for row in rows if row not in complete]
    assert [state for state, _ in others].count("fail") == 1  # the one that was cut off
    # both may have put the missing cell into the queue at once: the second of equal trials is not run
    assert all(reason.startswith("same as trial") for state, reason in others if state != "fail")
    folders = [path.parent for path in tmp_path.glob("*/training.done.json")]
    assert len(folders) == 2 and cut in folders
    for folder in folders:
        text = (folder / "training.log").read_text()
        assert text.count("run_id: 'training'") == (2 if folder == cut else 1)
        assert ("after epoch" in text) == (folder == cut)  # it went on from its checkpoint
        with (folder / "training" / "metrics.csv").open(newline="") as file:
            assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(1, EPOCHS + 1))
        settings = json.loads((folder / "training.json").read_text())
        assert settings["patch_px"] == 64 and settings["background_dir"] == str(backgrounds)
    assert "| 1 |" in (tmp_path / "results.md").read_text() and (tmp_path / "best.json").is_file()


def test_the_overlay_trains_on_insertion_and_evaluates_the_frozen_benchmark(root, monkeypatch):
    """What every cell is given, without running one."""
    monkeypatch.chdir(root)
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config([str(root / "configs" / f"sweep_{name}.json") for name in ("proximity", "insertion")])
    parser["background_dir"], parser["image_limit"] = "normal", 3
    sweep = parser.get_parsed_content("sweep")
    assert sweep.total == 20
    objective = sweep.objective
    objective.prepare()
    assert objective.train_overrides["background_dir"] == "normal"
    assert objective.train_overrides.keys() >= {"max_epochs", "patches_per_epoch", "patch_px", "batch_size", "seed"}
    assert objective.evaluate_overrides["image_limit"] == 3 and "background_dir" not in objective.evaluate_overrides
    known = {}
    for name in objective.evaluate_configs:
        known |= json.loads((root / name).read_text())
    assert objective.evaluate_overrides.keys() <= known.keys()
    for name in objective.train_configs:
        known |= json.loads((root / name).read_text())
    assert objective.train_overrides.keys() <= known.keys()
    # the sweep is about the proximity map: it must be what scores the objects
    assert objective.evaluate_overrides["objects_from"] == "candidates"
