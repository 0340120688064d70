"""A made-up setting of any parameter object is in run report and preset check of every method without another edit."""

import json
import sys
import types
from dataclasses import field, is_dataclass, make_dataclass

import pytest
from monai.bundle import ConfigParser
from monai.data import DataLoader

from scripts.common.settings import describe
from scripts.findings.presets import OperatingPoints, publish_presets
from scripts.training.handlers import fingerprint_of
from scripts.training.patches import PatchDataset

METHODS = {
    "HDoGReg": None,
    "four orientations": "hdogreg_orientations.json",
    "candidates": "hdogreg_candidates.json",
    "HDoGReg of the paper": "hdogreg_paper_inference.json",
    "slim FCN": "slim_fcn_inference.json",
    "slim FCN of the paper": "slim_fcn_paper_inference.json",
    "HDoG alone": "baseline_hdog_alone.json",
    "morphology": "baseline_ciecholewski.json",
    "context CNN": "baseline_context_cnn_inference.json",
    "DeepLabV3": "baseline_deeplab_v3_inference.json",
    "network alone": "baseline_network_alone.json",
}


def configured(root, overlay, **options):
    parser = ConfigParser()
    parser.read_config([str(root / "configs" / name) for name in ("inference.json", overlay) if name])
    parser.update({"network_def": {"_target_": "torch.nn.Identity"}, "weights": "", **options})
    return parser


def parameter_objects(parser, key=""):
    """Ids of the config's parameter objects that decide results, with the classes."""
    node = parser[key] if key else parser.get()
    for name, below in node.items() if isinstance(node, dict) else ():
        path = f"{key}::{name}" if key else name
        target = below.get("_target_", "") if isinstance(below, dict) else ""
        module, _, attribute = target.rpartition(".")
        cls = getattr(sys.modules.get(module), attribute, None) if module.startswith("scripts.") else None
        if is_dataclass(cls):
            yield path, cls
        yield from parameter_objects(parser, path)


@pytest.fixture
def with_a_made_up_setting(monkeypatch):
    """A class like the given one, with one more setting; importable."""
    module = types.ModuleType("made_up")
    monkeypatch.setitem(sys.modules, "made_up", module)

    def make(cls):
        setattr(
            module,
            cls.__name__,
            make_dataclass(cls.__name__, [("made_up", float, field(default=1.0))], bases=(cls,), frozen=True),
        )
        return f"made_up.{cls.__name__}"

    return make


@pytest.mark.parametrize("method", METHODS)
def test_run_report_and_preset_check_see_it(root, tmp_path, caplog, monkeypatch, with_a_made_up_setting, method):
    monkeypatch.chdir(root)
    overlay = METHODS[method]
    describe(configured(root, overlay).get_parsed_content("scoring"))  # imports all modules
    objects = list(parameter_objects(configured(root, overlay)))
    assert {"objects", "reading", "breast", "working_grid", "tiles"} <= {path for path, _ in objects}
    unused = {"tiles", "working_grid"} if method in ("HDoG alone", "morphology", "context CNN") else set()
    unused |= {"kinds"} if method.endswith("of the paper") else set()
    for path, cls in objects:
        if path in unused or path in ("operating_points", "identity", "studies"):  # a method may not infer in tiles
            continue
        target = with_a_made_up_setting(cls)
        scoring, other = (
            configured(root, overlay, **{f"{path}::_target_": target, f"{path}::made_up": value})
            for value in (1.0, 2.0)
        )
        report = scoring.get_parsed_content("run_report::settings") | {"output_dir": ""}
        assert "'made_up': 1.0" in str(describe(report)), path
        if path.partition("::")[0] in ("analysis", "kinds", "clusters"):  # no part of what a score means
            continue
        described = describe(scoring.get_parsed_content("scoring"))
        assert "'made_up': 1.0" in str(described), path
        points = {"presets": {"balanced": {"threshold": 0.4}}, "provenance": {"scoring": described}}
        file = publish_presets(tmp_path / "points.json", method, points)
        caplog.clear()
        assert OperatingPoints(file, method, settings=scoring.get_parsed_content("scoring")).threshold() == 0.4
        assert not caplog.records
        OperatingPoints(file, method, settings=other.get_parsed_content("scoring")).threshold()
        assert "made_up 1.0 (here: 2.0)" in caplog.text, path


TRAININGS = {
    "HDoGReg": [],
    "HDoGReg of the paper": ["hdogreg_paper_train.json"],
    "slim FCN": ["slim_fcn_train.json"],
    "context CNN": ["baseline_context_cnn_train.json"],
    "DeepLabV3": ["baseline_deeplab_v3_train.json"],
    "insertion": ["data_insertion.json"],
    "mixtures": ["data_insertion.json", "data_mixture.json"],
}


@pytest.mark.parametrize("method", TRAININGS)
def test_the_fingerprint_of_a_training_sees_it(root, tmp_path, monkeypatch, with_a_made_up_setting, method):
    monkeypatch.chdir(root)
    tiny = {"network_def": {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": 1}}
    tiny |= {"device": "cpu", "cache_dir": str(tmp_path)}

    def configured_training(**options):
        parser = ConfigParser()
        parser.read_config([str(root / "configs" / name) for name in ("train.json", *TRAININGS[method])])
        parser.update(tiny | options)
        return parser

    def fingerprint(parser):
        made = {
            key: parser.get_parsed_content(key) for key in ("network", "optimizer", "loss", "load_labelled", "patches")
        }
        transform = parser.get_parsed_content("train::preprocessing")
        dataset = PatchDataset([], made["load_labelled"], made["patches"], transform, tmp_path, "validation")
        engine = types.SimpleNamespace(
            network=made["network"],
            optimizer=made["optimizer"],
            loss_function=made["loss"],
            inferer=None,
            data_loader=DataLoader(dataset, batch_size=1),
        )
        return str(fingerprint_of({"train": engine}, {}))

    plain = configured_training()
    assert "made_up" not in fingerprint(plain)
    text = json.dumps(plain.get())
    objects = [(path, cls) for path, cls in parameter_objects(plain) if "::" in path or f'"@{path}"' in text]
    assert {"patches", "reading", "working_grid"} <= {path for path, _ in objects}
    for path, cls in objects:
        target = with_a_made_up_setting(cls)
        changed = configured_training(**{f"{path}::_target_": target, f"{path}::made_up": 2.0})
        assert "made_up" in fingerprint(changed) and "2.0" in fingerprint(changed), path
