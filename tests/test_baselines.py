"""The baselines' configs from a mammogram file to objects, and from phantoms to training steps."""

import json

import pytest
import torch
from monai.bundle import ConfigWorkflow

from tests.tiny import PATCHES, PHANTOMS

INFERENCE = ["ciecholewski", "hdog_alone", "network_alone", "context_cnn_inference", "deeplab_v3_inference"]


@pytest.fixture
def configs(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    return root / "configs"


def run_inference(configs, phantoms, tmp_path, name, **more):
    workflow = ConfigWorkflow(
        config_file=[str(configs / "inference.json"), str(configs / f"baseline_{name}.json")],
        workflow_type="infer",
        input_dir=str(sorted((phantoms[0] / "images").iterdir())[0]),
        output_dir=str(tmp_path),
        progress=False,
        device="$torch.device('cpu')",
        precision="float32",
        **more,
    )
    workflow.initialize()
    network = workflow.parser.get_parsed_content("network")
    if more.get("weights"):
        torch.save(network.state_dict(), more["weights"])
    workflow.run()
    return json.loads((tmp_path / "run_report.json").read_text())


@pytest.mark.parametrize("name", INFERENCE)
def test_a_mammogram_goes_through_every_baseline(configs, phantoms, tmp_path, name):
    more = {} if name in ("ciecholewski", "hdog_alone") else {"weights": str(tmp_path / "weights.pt")}
    if name in ("network_alone", "deeplab_v3_inference"):
        more |= {"tiles::tile_px": 256, "tiles::margin_px": 64}
    if name == "context_cnn_inference":
        more |= {"score_threshold": 0.0}
    torch.manual_seed(0)
    report = run_inference(configs, phantoms, tmp_path, name, **more)
    assert report["images_failed"] == 0 and report["images_done"] == 1
    image = report["images"][0]
    if name not in ("network_alone", "deeplab_v3_inference"):  # untrained maps may hold anything
        assert image["count"] > 0
        findings = json.loads((tmp_path / image["outputs"]["findings"]).read_text())
        scores = [mc["score"] for mc in findings["microcalcifications"] if mc["counted"]]
        assert len(scores) == image["count"] and min(scores) >= 0 and max(scores) <= 1 and len(set(scores)) > 1


TINY = PHANTOMS | {"batch_size": 4, "max_epochs": 1, "precision": "float32", "device": "$torch.device('cpu')"}


def prepare_training(configs, phantoms, tmp_path, name, **more):
    workflow = ConfigWorkflow(
        config_file=[str(configs / "train.json"), str(configs / f"baseline_{name}_train.json")],
        workflow_type="train",
        dataset_dir=str(phantoms[0]),
        output_dir=str(tmp_path / "run"),
        cache_dir=str(tmp_path / "cache"),
        publish_path=str(tmp_path / "published.pt"),
        **(TINY | more),
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    return workflow


def test_the_context_cnn_trains_and_publishes_weights_that_inference_loads(configs, phantoms, tmp_path):
    fewer = {"patches::negatives_per_positive": 1.0, "breast::erosion_px": 5}
    workflow = prepare_training(configs, phantoms, tmp_path, "context_cnn", **fewer)
    item = workflow.parser.get_parsed_content("train::dataset")[0]
    assert item["image"].shape == (1, 95, 95) and item["label"].tolist() == [1.0]
    workflow.run()
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert len(rows) == 2 and "validation_roc_auc" in rows[0]
    from scripts.networks.context_cnn import ContextCNN

    ContextCNN().load_state_dict(torch.load(tmp_path / "published.pt", weights_only=True))


def test_a_step_of_deeplab_v3_lowers_its_loss(configs, phantoms, tmp_path):
    parser = prepare_training(configs, phantoms, tmp_path, "deeplab_v3", **PATCHES).parser
    network, loss, optimizer = (parser.get_parsed_content(key) for key in ("network", "loss", "optimizer"))
    batch = next(iter(parser.get_parsed_content("train::dataloader")))
    network.train()
    network.dropout.eval()
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        losses.append(loss(network(batch["image"]), batch["label"]))
        losses[-1].backward()
        optimizer.step()
    assert batch["label"].shape == batch["image"].shape == (4, 1, 64, 64)
    assert losses[-1] < losses[0]
