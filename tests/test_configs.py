"""Every config parses, resolves, holds the ids that MONAI's tools want, and says the same where it must."""

import json
import re
import shutil

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, verify_metadata

OVERLAYS = {
    "train.json": ["slim_fcn_train.json", "finetune.json", "data_inbreast.json", "data_cbis_ddsm.json"]
    + ["data_generic.json", "data_phantom.json"],
    "inference.json": ["slim_fcn_inference.json"],
}


@pytest.fixture
def configs(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    return root / "configs"


def test_every_config_is_known_to_these_tests(root):
    known = {"metadata.json", *OVERLAYS, *(name for names in OVERLAYS.values() for name in names)}
    assert {p.name for p in (root / "configs").glob("*.json")} == known


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


@pytest.mark.parametrize("name", [*OVERLAYS, *(n for names in OVERLAYS.values() for n in names)])
def test_config_style(configs, name):
    text = (configs / name).read_text()
    content = json.loads(text)
    assert not re.search(r'"/[a-z]', text), "absolute path"
    assert all(len(expression) <= 80 for expression in expressions(content))


@pytest.mark.parametrize(("base", "overlay"), [(b, o) for b, names in OVERLAYS.items() for o in [None, *names]])
def test_every_reference_resolves_and_every_key_is_read(configs, base, overlay):
    parser = ConfigParser()
    parser.read_config([str(configs / name) for name in (base, overlay) if name])
    parser.parse()
    items = parser.ref_resolver.items
    text = json.dumps(parser.config)
    for name in items:
        for reference in re.findall(r"@([\w:]+)", json.dumps(parser[name])):
            assert reference in items, f"{name} refers to {reference}"
    used = set(re.findall(r"@(\w+)", text))
    entry = {"_desc_", "dataset_dir", "initialize", "training", "inference", "generate", "run", "train", "validate"}
    unread = set(parser.config) - used - entry
    allowed = unread if overlay else set()  # an overlay may leave a base key without a reader
    assert unread == allowed, f"keys that nothing reads: {unread}"


def test_train_and_inference_define_the_same_network_and_reading(configs):
    train, infer = (json.loads((configs / name).read_text()) for name in OVERLAYS)
    for key in (
        "encoder",
        "dropout",
        "detail_channels",
        "head_bias",
        "voi",
        "allow_for_processing",
        "default_spacing_mm",
    ):
        assert train[key] == infer[key], key
    weights = {key: value for key, value in train["network_def"].items() if key != "encoder_weights"}
    assert weights == infer["network_def"]
    assert train["load_labelled"]["transforms"][0] == infer["preprocessing"]["transforms"][0]
    slim_train, slim_infer = (
        json.loads((configs / f"slim_fcn_{name}.json").read_text()) for name in ("train", "inference")
    )
    assert slim_train["network_def"] == slim_infer["network_def"]


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
    "datalist::empty_fraction": 0.0,
    "datalist::workers": 0,
    "patch_px": 96,
    "stride_px": 96,
    "crop_px": 64,
}
