"""The baselines' thin classes by hand, and their configs from a mammogram file to objects and training steps."""

import json

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import MetaTensor
from scripts.transforms.baselines import DiscObjectsd, HDoGObjectsd, MorphologyObjectsd, SelectMapd
from scripts.transforms.inference import HDoGCandidatesd

from scripts.common.tensors import plane
from scripts.findings.combining import combine

INFERENCE = ["ciecholewski", "hdog_alone", "network_alone", "context_cnn_inference", "deeplab_v3_inference"]


@pytest.fixture
def item():
    """Two spots of different height, one outside of the inner breast."""
    rows, cols = np.mgrid[:80, :90]
    image = np.full((80, 90), 0.3)
    for row, col, height in ((20, 30, 0.5), (50, 60, 0.2), (40, 85, 0.5)):
        image += height * (np.hypot(rows - row, cols - col) <= 1.5)
    inner = torch.ones(1, 80, 90, dtype=torch.bool)
    inner[..., 80:] = False
    meta = {"spacing_mm": (0.07, 0.07)}
    return {
        "image": MetaTensor(torch.from_numpy(image.astype(np.float32))[None], meta=meta),
        "breast_inner": inner,
        "pred": torch.zeros(1, 80, 90),
    }


@pytest.mark.parametrize("transform", [MorphologyObjectsd, HDoGObjectsd])
def test_objects_are_scored_by_strength_and_thresholded(transform, item):
    out = transform()(item)
    labels, scores = plane(out["instances"]), out["scores"]
    strong, weak = labels[20, 30], labels[50, 60]
    assert strong and weak and strong != weak and not labels[:, 80:].any()
    assert 1 >= scores[strong] > scores[weak] > 0 == scores[0] and scores.size > labels.max()
    assert out["pred"].dtype == torch.uint8 and np.array_equal(plane(out["pred"]) == 1, labels > 0)
    np.testing.assert_array_equal(plane(out["map"]), scores[labels])
    limit = float(scores[strong] + scores[weak]) / 2
    kept = transform(score_threshold=limit)(item)
    np.testing.assert_array_equal(plane(kept["instances"]) > 0, labels == strong)
    np.testing.assert_array_equal(plane(transform(within_key=None)(item)["instances"])[38:43, 83:88].any(), True)


def test_hdog_alone_keeps_the_objects_that_hdogreg_chooses_from(item):
    candidates = HDoGCandidatesd()(item)["candidates"]
    everywhere = np.ones((80, 90), np.float32)
    expected, _ = combine(plane(candidates), everywhere, proximity_threshold=0.5, overlap_fraction=0.3)
    np.testing.assert_array_equal(plane(HDoGObjectsd()(item)["instances"]), expected)


def test_classified_candidates_become_discs_with_their_probability(item):
    found = torch.zeros(2, 80, 90)
    found[0] = -20
    for row, col, logit in ((20, 30, 2.0), (22, 30, 1.0), (50, 60, -1.0), (40, 85, 9.0)):
        found[:, row, col] = torch.tensor([logit, 1.6])
    out = DiscObjectsd(score_threshold=0.5)({**item, "pred": found})
    labels, scores = plane(out["instances"]), out["scores"]
    assert sorted(scores.round(4).tolist()) == [0, pytest.approx(0.7311, abs=1e-4), pytest.approx(0.8808, abs=1e-4)]
    assert scores[labels[20, 30]] == scores.max() and scores[labels[22, 30]] == pytest.approx(0.7311, abs=1e-4)
    assert labels[50, 60] == 0 and not labels[:, 80:].any()
    assert scores[labels[21, 30]] == scores.max()  # between the two: the better one has it
    assert (plane(DiscObjectsd()({**item, "pred": found})["instances"]) > 0).sum() > (labels > 0).sum()
    with pytest.raises(ValueError, match=r"pred: got shape \(1, 80, 90\)"):
        DiscObjectsd()(item)


def test_nothing_found_is_an_empty_mask(item):
    empty = {**item, "image": MetaTensor(torch.full((1, 80, 90), 0.3), meta={"spacing_mm": (0.07, 0.07)})}
    found = torch.stack([torch.full((80, 90), -20.0), torch.zeros(80, 90)])
    for transform, pred in ((MorphologyObjectsd, item["pred"]), (HDoGObjectsd, item["pred"]), (DiscObjectsd, found)):
        out = transform()({**empty, "pred": pred})
        assert not out["pred"].any() and out["pred"].shape == (1, 80, 90) and out["scores"].tolist() == [0]


def test_one_map_of_several_is_selected():
    maps = torch.stack([torch.zeros(3, 4), torch.ones(3, 4)])
    assert torch.equal(SelectMapd(channel=1)({"pred": maps})["pred"], maps[1:])
    assert torch.equal(SelectMapd()({"pred": maps[:1]})["pred"], maps[:1])
    with pytest.raises(ValueError, match="channel: got 2; want one of the 2 maps of pred"):
        SelectMapd(channel=2)({"pred": maps})
    with pytest.raises(ValueError, match="score_threshold: got 2"):
        MorphologyObjectsd(score_threshold=2)


@pytest.fixture
def configs(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    return root / "configs"


@pytest.mark.parametrize("name", ["context_cnn", "deeplab_v3"])
def test_training_and_inference_mean_the_same_network_and_candidates(configs, name):
    train, infer = (
        json.loads((configs / f"baseline_{name}_{kind}.json").read_text()) for kind in ("train", "inference")
    )
    network = {key: value for key, value in train["network_def"].items() if key != "pretrained"}
    assert network == infer["network_def"] and train["dropout"] == infer["dropout"]
    assert train["publish_path"] == infer["weights"]
    shared = {"sigma_min_px", "sigma_max_px", "sigma_ratio", "dog_threshold"} & set(train)
    assert len(shared) == (4 if name == "context_cnn" else 0)
    assert all(train[key] == infer[key] for key in shared)
    if shared:
        assert infer["reference_spacing_mm"] == 0  # training knows px only
        assert train["breast_erosion_px"] == json.loads((configs / "inference.json").read_text())["breast_erosion_px"]


@pytest.mark.parametrize("name", INFERENCE)
def test_every_setting_lands_in_the_run_report(configs, name):
    own = json.loads((configs / f"baseline_{name}.json").read_text())
    assert own["settings"] == {key: f"@{key}" for key in own["settings"]}
    plain = {k for k, v in own.items() if not isinstance(v, dict | list) and not str(v).startswith(("$", "@", "%"))}
    assert plain - {"_desc_", "weights", "dropout"} <= set(own["settings"])


@pytest.mark.parametrize("evaluated", [False, True])
@pytest.mark.parametrize("name", ["ciecholewski", "hdog_alone"])
def test_without_a_network_no_weights_are_asked_for(configs, name, evaluated):
    files = ["inference.json", f"baseline_{name}.json", *(["evaluate.json"] if evaluated else [])]
    parser = ConfigParser()
    parser.read_config([str(configs / file) for file in files])
    handlers = parser["handlers"]
    assert handlers[0]["_target_"].endswith("LoadWeights")  # the only one that `$@handlers[1:]` leaves out
    assert not any(isinstance(handler, dict) and "LoadWeights" in handler["_target_"] for handler in handlers[1:])
    assert parser["weights"] == ""


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
        more |= {"tile_px": 256, "margin_px": 64}
    if name == "context_cnn_inference":
        more |= {"score_threshold": 0.0}
    torch.manual_seed(0)
    report = run_inference(configs, phantoms, tmp_path, name, **more)
    assert report["images_failed"] == 0 and report["images_done"] == 1
    image = report["images"][0]
    if name not in ("network_alone", "deeplab_v3_inference"):  # untrained maps may hold anything
        assert image["count"] > 0
        findings = json.loads((tmp_path / image["outputs"]["findings"]).read_text())
        scores = [mc["score"] for mc in findings["microcalcifications"]]
        assert len(scores) == image["count"] and min(scores) >= 0 and max(scores) <= 1 and len(set(scores)) > 1


TINY = {
    "phantom_training": 3,
    "phantom_validation": 1,
    "phantom_testing": 1,
    "phantom_seed": 5,
    "phantom_rows": 416,
    "phantom_cols": 320,
    "source::empty_fraction": 0.0,
    "source::workers": 0,
    "patch_px": 96,
    "stride_px": 96,
    "crop_px": 64,
    "batch_size": 4,
    "max_epochs": 1,
    "precision": "float32",
    "device": "$torch.device('cpu')",
}


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
    parser = prepare_training(configs, phantoms, tmp_path, "deeplab_v3").parser
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
