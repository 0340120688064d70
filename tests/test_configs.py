"""Every config parses, resolves, holds the ids that MONAI's tools want, and says the same where it must."""

import importlib
import json
import re
import shutil
from dataclasses import MISSING, fields, is_dataclass

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out

from scripts.common.config_check import check_config
from tests.tiny import PATCHES, PHANTOMS

TRAIN, INFER, EVALUATE = ["train.json"], ["inference.json"], ["inference.json", "evaluate.json"]
#: Every combination of config files that the docs name.
COMBINATIONS = [
    TRAIN,
    *(["train.json", name] for name in ("slim_fcn_train.json", "finetune.json", "data_inbreast.json")),
    *(["train.json", name] for name in ("data_cbis_ddsm.json", "data_generic.json", "data_phantom.json")),
    *(["train.json", name] for name in ("hdogreg_paper_train.json", "cross_validation_fold.json")),
    *(["train.json", name] for name in ("baseline_context_cnn_train.json", "baseline_deeplab_v3_train.json")),
    ["train.json", "hdogreg_paper_train.json", "finetune.json"],
    ["train.json", "data_inbreast.json", "hdogreg_paper_train.json"],
    ["train.json", "data_inbreast.json", "slim_fcn_train.json", "slim_fcn_paper_train.json"],
    ["train.json", "slim_fcn_train.json", "finetune.json"],
    ["train.json", "data_insertion.json"],
    ["train.json", "data_insertion.json", "hdogreg_recipe.json"],
    ["train.json", "data_insertion.json", "data_mixture.json"],
    [
        *("train.json", "data_insertion.json", "data_mixture.json", "hdogreg_recipe.json"),
        *("second_wave.json", "hdogreg_second_recipe.json"),
    ],
    [
        *("train.json", "slim_fcn_train.json", "data_insertion.json", "data_mixture.json", "slim_fcn_recipe.json"),
        *("second_wave.json", "slim_fcn_second_recipe.json"),
    ],
    ["train.json", "data_insertion.json", "data_mixture.json", "centre_train.json"],
    ["train.json", "data_insertion.json", "data_mixture.json", "quantize.json"],
    ["train.json", "data_generic.json", "quantize.json"],
    ["train.json", "hdogreg_paper_train.json", "data_insertion.json"],
    ["train.json", "slim_fcn_train.json", "data_insertion.json", "slim_fcn_recipe.json"],
    ["train.json", "baseline_deeplab_v3_train.json", "data_insertion.json", "deeplab_v3_recipe.json"],
    ["train.json", "multi_gpu_train.json"],
    ["train.json", "slim_fcn_train.json", "data_insertion.json", "slim_fcn_recipe.json", "multi_gpu_train.json"],
    ["train.json", "federated_site.json"],
    ["train.json", "data_generic.json", "federated_site.json"],
    INFER,
    EVALUATE,
    *([*base, "multi_gpu_evaluate.json"] for base in (INFER, EVALUATE)),
    *(
        [*base[:1], f"{name}.json", *base[1:]]
        for base in (INFER, EVALUATE)
        for name in (
            *("slim_fcn_inference", "hdogreg_paper_inference", "slim_fcn_paper_inference", "hdogreg_candidates"),
            *("hdogreg_orientations", "baseline_ciecholewski", "baseline_hdog_alone", "baseline_network_alone"),
            *("baseline_context_cnn_inference", "baseline_deeplab_v3_inference"),
        )
    ),
    *([*EVALUATE, name, "evaluate_stored.json"] for name in ("data_generic.json", "data_benchmark.json")),
    *([*EVALUATE, name] for name in ("data_inbreast.json", "data_generic.json", "data_benchmark.json")),
    [*EVALUATE, "data_generic.json", "cross_validation_fold.json"],
    [*EVALUATE, "data_benchmark.json", "sweep_hdog.json"],
    ["inference.json", "hdogreg_candidates.json", "evaluate.json", "data_benchmark.json", "sweep_combining.json"],
    *([*INFER, *overlay, "cluster.json"] for overlay in ([], ["slim_fcn_inference.json"])),
    ["inference.json", "deploy.json"],
    *([*INFER, *overlay, "export.json"] for overlay in ([], ["slim_fcn_inference.json"])),
    ["data_phantom.json"],
    ["data_benchmark.json"],
    ["data_benchmark.json", "data_benchmark_2.json"],
    ["sweep_proximity.json"],
    ["sweep_proximity.json", "sweep_insertion.json"],
    ["cross_validation.json"],
    ["clustering.json"],
    ["clustering.json", "clustering_findings.json"],
    ["follow_up.json"],
]
FILES = sorted({name for names in COMBINATIONS for name in names})
METADATA = {"metadata.json", "metadata_one_map.json"}
TRACKING = "tracking_mlflow.json"  # of MONAI's option --tracking


@pytest.fixture
def configs(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    return root / "configs"


def test_every_config_is_known_to_these_tests(root):
    assert {p.name for p in (root / "configs").glob("*.json")} == {*METADATA, *FILES, TRACKING}


def test_configs_are_short_and_say_things_once(root):
    files = list((root / "configs").glob("*.json"))
    text = "".join(path.read_text() for path in files)
    assert text.count("\n") < 1400
    references = re.findall(r'"[^"]+": "@[^"]*"', text)  # several may stand on one line
    assert len(references) <= 280  # 680 in version 0.3.0


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


@pytest.mark.parametrize("name", [*FILES, TRACKING])
def test_config_style(configs, name):
    text = (configs / name).read_text()
    content = json.loads(text)
    assert not re.search(r'"/[a-z]', text), "absolute path"
    assert all(len(expression) <= 80 for expression in expressions(content))


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_every_reference_resolves_every_key_is_read_and_every_argument_taken(configs, names):
    parser = ConfigParser()
    parser.read_config([str(configs / name) for name in names])
    parser.parse()
    items = parser.ref_resolver.items
    for name, item in items.items():
        for reference in re.findall(r"@([\w:]+)", json.dumps(item.get_config())):
            assert reference in items, f"{name} refers to {reference}"
    added = {key.partition("::")[0].lstrip("+") for key in json.loads((configs / names[-1]).read_text())}
    check_config(parser, ("freezing", "picturing"), spared=set(parser.get()) - added | SPARED)


@pytest.mark.parametrize("names", [TRAIN, INFER, EVALUATE], ids="+".join)
def test_tracking_fits_into_every_run(configs, names):
    parser = ConfigParser()
    parser.read_config([str(configs / name) for name in names])
    ConfigWorkflow.patch_bundle_tracking(parser, json.loads((configs / TRACKING).read_text()))
    parser.parse()
    items = parser.ref_resolver.items
    added = json.loads((configs / TRACKING).read_text())["configs"]
    engine = "trainer" if names == TRAIN else "evaluator"
    for reference in re.findall(r"@([\w:]+)", json.dumps(added[engine])):
        assert reference in items, reference
    handlers = parser["train::handlers"] if names == TRAIN else parser["handlers"]
    assert handlers[-1] == added[engine]
    root = {key for name in names for key in json.loads((configs / name).read_text())}
    check_config(parser, spared=root)


#: Read by another use of the same file: a benchmark is frozen, or evaluated on.
SPARED = {
    "background_dir",
    "frozen_sections",
    "shifted_sections",
    "phantoms",
    "benchmark",
}
SPARED |= {"bundle_root", "seed", "datalist_file", "data_note", "operating_points", "source"}


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("data_")])
def test_a_data_overlay_redefines_of_an_evaluation_only_what_is_of_the_data(configs, name):
    of_evaluation = {key for file in EVALUATE for key in json.loads((configs / file).read_text())}
    of_data = {"_desc_", "bundle_root", "dataset_dir", "source", "data_note", "seed"}
    assert set(json.loads((configs / name).read_text())) & of_evaluation <= of_data


def parameter_objects(node):
    """Configured frozen dataclasses of this bundle, with the class."""
    if isinstance(node, dict):
        module, _, name = str(node.get("_target_", "")).rpartition(".")
        cls = getattr(importlib.import_module(module), name) if module.startswith("scripts.") else None
        if is_dataclass(cls) and cls.__dataclass_params__.frozen:
            yield node, cls
    for below in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from parameter_objects(below)


def same(value, default):
    """Whether a config's value is a Python default, lists for tuples; references and objects are not compared."""
    if (isinstance(value, str) and value[:1] in "@$") or isinstance(value, dict):
        return True
    return list(default) == value if isinstance(default, tuple) else value == default


@pytest.mark.parametrize(
    "name",
    [
        "inference.json",
        "train.json",
        "evaluate.json",
        "data_insertion.json",
        "data_mixture.json",
        "data_phantom.json",
        "clustering.json",
        "follow_up.json",
    ],
)
def test_python_defaults_and_config_defaults_are_the_same_number(configs, name):
    objects = list(parameter_objects(json.loads((configs / name).read_text())))
    assert objects
    for node, cls in objects:
        for field in fields(cls):
            if field.name in node and field.default is not MISSING:
                assert same(node[field.name], field.default), f"{cls.__name__}.{field.name}"


def test_train_and_inference_define_the_same_network_and_reading(configs):
    train, infer = (json.loads((configs / name).read_text()) for name in ("train.json", "inference.json"))
    for key in ("reading", "working_grid"):
        assert train[key] == infer[key], key
    weights = {key: value for key, value in train["network_def"].items() if key != "encoder_weights"}
    assert weights == infer["network_def"]
    assert train["load_labelled"]["transforms"][0]["reading"] == "@reading"
    for method in ("slim_fcn", "hdogreg_paper", "baseline_context_cnn", "baseline_deeplab_v3"):
        names = [configs / f"{method}_{kind}.json" for kind in ("train", "inference")]
        networks = [json.loads(name.read_text())["network_def"] for name in names]
        assert len({json.dumps({k: v for k, v in n.items() if k not in WEIGHTS}) for n in networks}) == 1, method


WEIGHTS = ("encoder_weights", "pretrained")


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
            **PHANTOMS,
            **PATCHES,
        )
        workflow.initialize()
        assert workflow.check_properties() == []


@pytest.mark.parametrize("overlay", [None, "slim_fcn_inference.json", "hdogreg_paper_inference.json"])
def test_networks_take_and_give_what_the_metadata_says(configs, overlay):
    metadata = ["metadata.json", *(["metadata_one_map.json"] if overlay else [])]
    verify_net_in_out(
        net_id="network_def",
        meta_file=[str(configs / name) for name in metadata],
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
    assert script(torch.rand(1, 1, 65, 70)).shape == (1, 1 if overlay else 3, 65, 70)


@pytest.mark.parametrize(("name", "overlay"), [("model.pt", None), ("slim_fcn.pt", "slim_fcn_inference.json")])
def test_shipped_weights_fit_their_network_and_the_zoos_limit(configs, name, overlay):
    path = configs.parent / "models" / name
    assert path.stat().st_size < 25e6
    parser = ConfigParser()
    parser.read_config([str(configs / config) for config in ("inference.json", overlay) if config])
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(path, weights_only=True), strict=True)
