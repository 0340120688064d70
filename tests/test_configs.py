"""Every config parses, resolves, holds the ids that MONAI's tools want, and says the same where it must."""

import json
import re
import shutil

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out

OVERLAYS = {
    "train.json": ["slim_fcn_train.json", "finetune.json", "data_inbreast.json", "data_cbis_ddsm.json"]
    + ["data_generic.json", "data_phantom.json", "hdogreg_paper_train.json"]
    + ["baseline_context_cnn_train.json", "baseline_deeplab_v3_train.json", "cross_validation_fold.json"]
    + ["data_insertion.json", "data_insertion.json+hdogreg_recipe.json"]
    + ["slim_fcn_train.json+data_insertion.json+slim_fcn_recipe.json"]
    + ["baseline_deeplab_v3_train.json+data_insertion.json+deeplab_v3_recipe.json"],
    "inference.json": ["slim_fcn_inference.json", "hdogreg_paper_inference.json", "evaluate.json"]
    + ["baseline_ciecholewski.json", "baseline_hdog_alone.json", "baseline_network_alone.json"]
    + ["baseline_context_cnn_inference.json", "baseline_deeplab_v3_inference.json"]
    + ["hdogreg_candidates.json", "evaluate.json+sweep_hdog.json", "evaluate.json+sweep_combining.json"],
    "data_benchmark.json": [],
    "sweep_proximity.json": ["sweep_insertion.json"],
    "cross_validation.json": [],
}
FILES = sorted({name for names in OVERLAYS.values() for entry in names for name in entry.split("+")} | set(OVERLAYS))


@pytest.fixture
def configs(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    return root / "configs"


def test_every_config_is_known_to_these_tests(root):
    assert {p.name for p in (root / "configs").glob("*.json")} == {"metadata.json", *FILES}


def test_the_two_metadata_files_are_one(root):
    assert (root / "metadata.json").read_bytes() == (root / "configs" / "metadata.json").read_bytes()


def test_metadata_is_valid_against_the_schema(root, tmp_path):
    schema = tmp_path / "schema.json"
    shutil.copy(root / "tests" / "schema" / "meta_schema_20240725.json", schema)
    verify_metadata(meta_file=str(root / "configs" / "metadata.json"), filepath=str(schema))


def test_metadata_names_the_pinned_versions(root):
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (root / "requirements.txt").read_text(), re.M))
    metadata = json.loads((root / "configs" / "metadata.json").read_text())
    named = metadata["required_packages_version"] | {
        "monai": metadata["monai_version"],
        "torch": metadata["pytorch_version"],
        "numpy": metadata["numpy_version"],
    }
    assert named == pins


def expressions(node):
    if isinstance(node, dict):
        for value in node.values():
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)
    elif isinstance(node, str) and node.startswith("$"):
        yield node


@pytest.mark.parametrize("name", FILES)
def test_config_style(configs, name):
    text = (configs / name).read_text()
    content = json.loads(text)
    assert not re.search(r'"/[a-z]', text), "absolute path"
    assert all(len(expression) <= 80 for expression in expressions(content))


@pytest.mark.parametrize(("base", "overlay"), [(b, o) for b, names in OVERLAYS.items() for o in [None, *names]])
def test_every_reference_resolves_and_every_key_is_read(configs, base, overlay):
    added = [configs / name for name in (overlay.split("+") if overlay else [])]
    parser = ConfigParser()
    parser.read_config([str(path) for path in (configs / base, *added)])
    parser.parse()
    items = parser.ref_resolver.items
    for name in items:
        for reference in re.findall(r"@([\w:]+)", json.dumps(parser[name])):
            assert reference in items, f"{name} refers to {reference}"
    used = set(re.findall(r"@(\w+)", json.dumps(parser.config)))
    entry = {"_desc_", "dataset_dir", "initialize", "training", "inference", "generate", "evaluating", "choosing"}
    entry |= {"run", "train", "validate", "sweeping", "freezing", "picturing", "datalist_file", "source", "data_note"}
    own = {key for path in added or [configs / base] for key in json.loads(path.read_text()) if "::" not in key}
    assert not own - used - entry, "keys that nothing reads"


def test_train_and_inference_define_the_same_network_and_reading(configs):
    train, infer = (json.loads((configs / name).read_text()) for name in ("train.json", "inference.json"))
    for key in (
        "encoder",
        "maps",
        "pyramid_channels",
        "segmentation_channels",
        "detail_channels",
        "head_bias",
        "voi",
        "allow_for_processing",
        "default_spacing_mm",
        "working_spacing_mm",
    ):
        assert train[key] == infer[key], key
    weights = {key: value for key, value in train["network_def"].items() if key != "encoder_weights"}
    assert weights == infer["network_def"]
    assert train["load_labelled"]["transforms"][0] == infer["preprocessing"]["transforms"][0]
    slim_train, slim_infer = (
        json.loads((configs / f"slim_fcn_{name}.json").read_text()) for name in ("train", "inference")
    )
    assert slim_train["network_def"] == slim_infer["network_def"]


@pytest.mark.parametrize("overlay", [None, "slim_fcn_inference.json"])
def test_every_setting_lands_in_the_run_report(configs, overlay):
    config = json.loads((configs / "inference.json").read_text())
    own = json.loads((configs / overlay).read_text()) if overlay else config
    settings = own["settings"]
    assert settings == {key: f"@{key}" for key in settings}
    elsewhere = {"bundle_root", "save_picture", "save_map", "progress", "overlap_images"}  # no effect on results
    elsewhere |= {"dropout", "head_bias"}
    plain = {k for k, v in own.items() if not isinstance(v, dict | list) and not str(v).startswith(("$", "@", "%"))}
    assert plain - elsewhere - {"_desc_"} <= set(settings)


def test_check_properties_of_inference(configs, phantoms, tiny_weights, tmp_path):
    folder, _ = phantoms
    for overlay in (None, "slim_fcn_inference.json"):
        workflow = ConfigWorkflow(
            config_file=[str(configs / name) for name in ("inference.json", overlay) if name],
            workflow_type="infer",
            input_dir=str(folder / "images"),
            output_dir=str(tmp_path),
            weights=str(tiny_weights / ("slim_fcn.pt" if overlay else "model.pt")),
        )
        workflow.initialize()
        assert workflow.check_properties() == []


def test_check_properties_of_training(configs, phantoms, tmp_path):
    folder, _ = phantoms
    for overlay in (None, "slim_fcn_train.json"):
        workflow = ConfigWorkflow(
            config_file=[str(configs / name) for name in ("train.json", overlay) if name],
            workflow_type="train",
            dataset_dir=str(folder),
            output_dir=str(tmp_path / "run"),
            cache_dir=str(tmp_path / "cache"),
            **TINY,
        )
        workflow.initialize()
        assert workflow.check_properties() == []


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
}


@pytest.mark.parametrize("overlay", [None, "slim_fcn_inference.json", "hdogreg_paper_inference.json"])
def test_networks_take_and_give_what_the_metadata_says(configs, tmp_path, overlay):
    meta = json.loads((configs / "metadata.json").read_text())
    if overlay:  # the metadata are of the default network, which gives two maps
        meta["network_data_format"]["outputs"]["pred"]["num_channels"] = 1
    (tmp_path / "metadata.json").write_text(json.dumps(meta))
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(tmp_path / "metadata.json"),
        config_file=[str(configs / name) for name in ("inference.json", overlay) if name],
        device="cpu",
        n=1,
    )


@pytest.mark.parametrize(("overlay", "weights"), [(None, "model.pt"), ("slim_fcn_inference.json", "slim_fcn.pt")])
def test_networks_export_to_torchscript(configs, tiny_weights, tmp_path, overlay, weights):
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(tiny_weights / weights),
        meta_file=str(configs / "metadata.json"),
        config_file=[str(configs / name) for name in ("inference.json", overlay) if name],
    )
    script = torch.jit.load(tmp_path / "model.ts").eval()
    assert script(torch.rand(1, 1, 65, 70)).shape == (1, 1 if overlay else 2, 65, 70)


@pytest.mark.parametrize(("name", "overlay"), [("model.pt", None), ("slim_fcn.pt", "slim_fcn_inference.json")])
def test_shipped_weights_fit_their_network_and_the_zoos_limit(configs, name, overlay):
    path = configs.parent / "models" / name
    assert path.stat().st_size < 25e6
    parser = ConfigParser()
    parser.read_config([str(configs / config) for config in ("inference.json", overlay) if config])
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(path, weights_only=True), strict=True)
