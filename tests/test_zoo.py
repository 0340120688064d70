"""What the checks of MONAI's model zoo ask of a bundle, and the bundle from an empty folder, as its users have it.

Schema, shapes of input and output, TorchScript and `check_properties` are in test_configs.py.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
import yaml

NAME = "mammography_microcalcification_segmentation"
REQUIRED = ("LICENSE", "configs/metadata.json", "configs/inference.json", "configs/train.json", "configs/logging.conf")
REQUIRED += ("models/model.pt", "docs/README.md", "docs/data_license.txt", "large_files.yml", "scripts/__init__.py")
LIMIT_BYTES = 25e6  # of a file in the zoo


def tracked(root):
    if not (root / ".git").exists():
        pytest.skip("no git checkout")
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=root, text=True)
    return [root / name for name in listed.split("\0") if name and (root / name).is_file()]


@pytest.fixture(scope="module")
def metadata(root):
    return json.loads((root / "configs" / "metadata.json").read_text())


def test_the_files_that_the_zoo_asks_for_are_there(root):
    assert all((root / name).is_file() for name in REQUIRED)


def test_the_version_is_the_changelogs_newest(metadata):
    versions = [tuple(map(int, version.split("."))) for version in metadata["changelog"]]
    assert tuple(map(int, metadata["version"].split("."))) == max(versions) == versions[0]


def test_no_file_is_larger_than_the_zoo_takes_and_large_ones_say_where_they_are(root):
    assert all(path.stat().st_size <= LIMIT_BYTES for path in tracked(root))
    for entry in yaml.safe_load((root / "large_files.yml").read_text())["large_files"]:
        assert set(entry) == {"path", "url", "hash_val", "hash_type"} and re.match("https://", entry["url"])


INFER_KEYS = ("bundle_root", "device", "dataset_dir", "output_dir", "network_def", "inferer", "preprocessing")
INFER_KEYS += ("postprocessing", "dataset", "evaluator", "handlers", "imports", "initialize", "run")
TRAIN_KEYS = ("bundle_root", "device", "dataset_dir", "network", "network_def", "optimizer", "loss")
TRAIN_KEYS += ("train::trainer", "train::trainer::max_epochs", "train::dataset", "train::dataset::data")
TRAIN_KEYS += ("train::handlers", "train::inferer", "validate::evaluator", "validate::dataset::data", "val_interval")


@pytest.mark.parametrize(("file", "keys"), [("inference.json", INFER_KEYS), ("train.json", TRAIN_KEYS)])
def test_the_keys_that_the_zoos_tools_use_are_there(root, file, keys):
    content = json.loads((root / "configs" / file).read_text())
    for key in keys:
        node = content
        for part in key.split("::"):
            assert part in node, f"{file}: {key}"
            node = node[part]


def test_the_page_has_the_parts_of_the_zoos_template_and_the_metadatas_figures(root, metadata):
    page = (root / "docs" / "README.md").read_text(encoding="utf-8")
    for part in ("models", "data", "input", "output", "training", "performance", "commands", "disclaimer"):
        assert re.search(rf"^(#+ .*{part}|.*\*\*{part}\*\*)", page, re.M | re.I), part
    for part in ("references", "licence"):
        assert re.search(rf"^(## {part}|\*\*{part}\*\*)", page, re.M | re.I), part
    card = (root / "models" / "model.md").read_text(encoding="utf-8")
    for name, figure in metadata["eval_metrics"].items():
        assert f" {figure:.3f} (" in page and f"{figure:.3f} (" in card, name


def test_every_channel_and_range_of_the_data_format_is_told(metadata):
    formats = metadata["network_data_format"]
    image, pred = formats["inputs"]["image"], formats["outputs"]["pred"]
    for tensor in (image, pred):
        assert {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "channel_def"} <= set(tensor)
        assert len(tensor["channel_def"]) >= 1 and tensor["type"] in (
            "image",
            "logits",
            "segmentation",
            "probabilities",
        )


@pytest.fixture(scope="module")
def unpacked(root, tmp_path_factory):
    """The zoo's zip of the last commit, in an otherwise empty folder."""
    tracked(root)
    folder = tmp_path_factory.mktemp("zoo")
    parts = re.search(r"^PARTS := (.*)$", (root / "Makefile").read_text(), re.M)[1].split()
    command = ["git", "archive", "--format", "zip", "--prefix", f"{NAME}/", "--output", f"{folder}/zoo.zip", "HEAD"]
    subprocess.run([*command, *parts], cwd=root, check=True)
    with zipfile.ZipFile(folder / "zoo.zip") as file:
        file.extractall(folder)
    (folder / "zoo.zip").unlink()
    return folder


def run(folder, *words):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done


INFER = """
import sys
from monai.bundle import ConfigWorkflow, create_workflow, load

root, images = sys.argv[1:]
given = dict(bundle_root=root, input_dir=images, output_dir="created")
workflow = create_workflow(config_file=f"{root}/configs/inference.json", workflow_type="inference", **given)
assert workflow.check_properties() == []
workflow.run()
workflow.finalize()
open("args.json", "w").write('{"bundle_root": "%s"}' % root)
name = root.rpartition("/")[2]
network = load(name, bundle_dir=root.rpartition("/")[0], source="github", repo="a/b/c", args_file="args.json",
               workflow_type="inference")
assert type(network).__name__ == "FPN"
"""

#: In the form of the zoo's ci/unit_tests/test_<bundle>.py: train, evaluate, infer with small overrides.
TRAIN = """
import sys
from monai.bundle import ConfigWorkflow

root, data = sys.argv[1:]
small = {"bundle_root": root, "dataset_dir": data, "device": "cpu", "precision": "float32"}
phantoms = {f"source::{key}": value for key, value in
            dict(training=2, validation=1, testing=1, shape=[416, 320], empty_fraction=0.0, workers=0).items()}
patches = {"patches::patch_px": 96, "patches::stride_px": 96, "warp::crop_px": 64, "batch_size": 2}
paths = {"output_dir": "trained", "cache_dir": "cache", "publish_path": "trained/published.pt"}
common = dict(meta_file=f"{root}/configs/metadata.json", logging_file=f"{root}/configs/logging.conf")
trainer = ConfigWorkflow(workflow_type="train", config_file=f"{root}/configs/train.json", **common, **small, **phantoms,
                         **patches, **paths, **{"train::trainer::max_epochs": 1})
trainer.initialize()
assert trainer.check_properties() == []
trainer.run()
trainer.finalize()
files = [f"{root}/configs/inference.json", f"{root}/configs/evaluate.json"]
validator = ConfigWorkflow(workflow_type="infer", config_file=files, **common, **small, **phantoms,
                           **{"output_dir": "evaluated", "weights": "trained/published.pt", "bootstrap::samples": 20})
validator.initialize()
assert validator.check_properties() == []
validator.run()
validator.finalize()
"""


@pytest.mark.slow
def test_the_zip_runs_loads_and_is_created_from_an_empty_folder(unpacked, phantoms, tmp_path):
    root, images = unpacked / NAME, tmp_path / "images"
    images.mkdir()
    shutil.copy(phantoms[1]["testing"][0]["image"], images / "a.dcm")
    config = ("--config_file", root / "configs" / "inference.json", "--bundle_root", root)
    run(tmp_path, "-m", "monai.bundle", "run", *config, "--input_dir", images, "--output_dir", "out")
    run(tmp_path, "-c", INFER, root, images)
    made = [json.loads((tmp_path / folder / "a" / "findings.json").read_text()) for folder in ("out", "created")]
    assert made[0] == made[1] and made[0]["status"] in ("found", "nothing found")


@pytest.mark.slow
def test_the_zip_trains_an_epoch_and_evaluates_in_the_zoos_form(unpacked, tmp_path):
    run(tmp_path, "-c", TRAIN, unpacked / NAME, tmp_path / "data")
    assert (tmp_path / "trained" / "published.pt").is_file()
    assert json.loads((tmp_path / "evaluated" / "metrics.json").read_text())["counts"]["images"] == 1
