"""Federated averaging by hand, and two sites of MONAI's MonaiAlgo on phantoms."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch

from scripts.training.federated import Federation, federated_average, main, site
from tests.tiny import PATCHES, PHANTOMS


def test_the_average_counts_each_site_by_its_share():
    sites = [
        {"weight": torch.tensor([1.0, 4.0]), "count": torch.tensor(1)},
        {"weight": torch.tensor([5.0, 0.0]), "count": torch.tensor(4)},
    ]
    average = federated_average(sites, [3, 1])
    assert average["weight"].tolist() == [2.0, 3.0] and average["weight"].dtype == torch.float32
    assert average["count"].item() == 2 and average["count"].dtype == torch.int64  # 1.75
    assert torch.equal(federated_average(sites, [0, 7])["weight"], sites[1]["weight"])


@pytest.mark.parametrize(
    ("shares", "other", "message"),
    [
        ([1], {"a": torch.ones(1)}, "shares: got .*; want one of each site"),
        ([0, 0], {"a": torch.ones(1)}, "shares: got .*; want a sum above 0"),
        ([1, 1], {"b": torch.ones(1)}, "weights: got .*; want the same network at every site"),
    ],
)
def test_what_cannot_be_averaged_is_said(shares, other, message):
    with pytest.raises(ValueError, match=message):
        federated_average([{"a": torch.ones(1)}, other], shares)


@pytest.mark.parametrize(("words", "said"), [(["--site", "a"], "want NAME=VALUE"), (["--rounds", "x"], "--rounds")])
def test_wrong_words_end_with_status_2(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2 and said in capsys.readouterr().err.splitlines()[-1]


def options(folder, name):
    values = PHANTOMS | PATCHES | {"patches::stride_px": 64, "batch_size": 4, "precision": "float32", "device": "cpu"}
    paths = {"dataset_dir": folder / f"data_{name}", "cache_dir": folder / "cache", "output_dir": folder / name}
    return values | {"source::validation": 2} | {key: str(path) for key, path in paths.items()}


@pytest.mark.slow
def test_two_sites_train_from_what_they_are_sent_and_evaluate_the_average(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the bundle's folder is found from anywhere
    sites = {
        "resting": site("resting", options(tmp_path, "resting") | {"optimizer::lr": 0.0, "source::seed": 1}),
        "learning": site("learning", options(tmp_path, "learning") | {"optimizer::lr": 0.01, "source::seed": 2}),
    }
    before = {path: path.read_bytes() for path in (root / "models").glob("*.pt")}
    federation = Federation(sites, tmp_path)
    learned = [name for name, _ in sites["resting"].trainer.network.named_parameters()]
    first = {name: value.clone() for name, value in sites["resting"].get_weights().weights.items()}
    averages = [federation.round(1, first)]
    averages.append(federation.round(2, averages[0]))
    resting, learning = (algo.get_weights().weights for algo in sites.values())
    assert all(torch.equal(resting[name], averages[0][name]) for name in learned)  # of round 1, not its checkpoint's
    assert any(not torch.equal(averages[0][name], first[name]) for name in learned)
    steps = [sites[name].get_weights().statistics["num_executed_iterations"] for name in sites]
    for name in learned:
        wanted = (steps[0] * resting[name].double() + steps[1] * learning[name].double()) / sum(steps)
        torch.testing.assert_close(averages[1][name].double(), wanted, rtol=1e-6, atol=1e-7)
    for algo in sites.values():
        evaluated = algo.evaluator.network.state_dict()
        assert all(torch.equal(evaluated[name], value) for name, value in averages[1].items())
    with (tmp_path / "rounds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["round"], row["site"]) for row in rows] == [(r, s) for r in "12" for s in sites]
    assert all(0 <= float(row["validation_mean_iou"]) <= 1 for row in rows)
    federation.close()
    assert before == {path: path.read_bytes() for path in (root / "models").glob("*.pt")}


@pytest.mark.slow
def test_the_command_of_the_page_and_its_weights_segment_a_mammogram(root, phantoms, tmp_path):
    words = ["--rounds", "2", "--output_dir", str(tmp_path / "out")]
    for name in "ab":
        words += ["--site", f"{name}={tmp_path / name}"]
    for key, value in options(tmp_path, "a").items():
        if key not in ("dataset_dir", "output_dir"):
            words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "scripts.training.federated", *words]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    weights = tmp_path / "out" / "model.pt"
    words = [
        "--config_file",
        "configs/inference.json",
        "--weights",
        str(weights),
        "--output_dir",
        str(tmp_path / "found"),
    ]
    words += ["--input_dir", phantoms[1]["testing"][0]["image"], "--device", "cpu"]
    command = [sys.executable, "-m", "monai.bundle", "run", *words]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "found" / "run_report.json").read_text())["images_done"] == 1
