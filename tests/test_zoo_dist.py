"""In the form of the zoo's ci/unit_tests/test_<bundle>_dist.py: merged files with overrides, run by torchrun."""

import json
import os
import subprocess
import sys

import pytest
from monai.bundle import ConfigParser

from tests.tiny import PATCHES, PHANTOMS

RANKS = 2


def run_ranks(root, folder, files, overrides):
    """Run config files on two ranks from an otherwise empty folder, as the zoo's `export_config_and_run_mgpu_cmd`."""
    configs = root / "configs"
    parser = ConfigParser()
    parser.read_config([str(configs / name) for name in files])
    parser.update(pairs={"bundle_root": str(root), "dataset_dir": str(folder / "data")} | PHANTOMS | overrides)
    ConfigParser.export_config_file(parser.config, str(folder / "override.json"), indent=4)
    words = ["-m", "torch.distributed.run", "--standalone", "--nnodes=1", f"--nproc_per_node={RANKS}"]
    words += ["-m", "monai.bundle", "run", "--config_file", str(folder / "override.json")]
    words += ["--logging_file", str(configs / "logging.conf"), "--meta_file", str(configs / "metadata.json")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.mark.slow
def test_two_ranks_train_and_evaluate_in_the_zoos_form(root, tmp_path):
    if not (root / "configs" / "multi_gpu_train.json").is_file():
        pytest.skip("no multi_gpu_train.json")
    small = {"precision": "float32", "batch_size": 2, "max_epochs": 1, "cache_dir": str(tmp_path / "cache")}
    made = {"output_dir": str(tmp_path / "trained"), "publish_path": str(tmp_path / "published.pt")}
    run_ranks(root, tmp_path, ["train.json", "multi_gpu_train.json"], PATCHES | small | made)
    assert (tmp_path / "published.pt").is_file()
    results = {"output_dir": str(tmp_path / "evaluated"), "weights": str(tmp_path / "published.pt")}
    files = ["inference.json", "evaluate.json", "multi_gpu_evaluate.json"]
    run_ranks(root, tmp_path, files, results | {"bootstrap::samples": 20, "section": "training"})
    assert json.loads((tmp_path / "evaluated" / "metrics.json").read_text())["counts"]["images"] == 3
