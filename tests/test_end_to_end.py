"""The commands of the README on small phantoms: training, resuming, fine-tuning, inference, bad files, exit status."""

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from scipy import ndimage

from scripts.data.labels.annotations import load_label
from scripts.data.reader.mammogram_reader import read_mammogram
from tests.tiny import PATCHES, PHANTOMS

SIZES = PATCHES | {"batch_size": 2, "precision": "float32"}


def bundle(root, *arguments, check=True):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "monai.bundle", "run", *map(str, arguments)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)
    assert not check or done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done


COMPONENTS = "{'_target_': 'scripts.findings.components.ComponentObjects'}"


@pytest.fixture(scope="module")
def inputs(phantoms, tmp_path_factory):
    """One phantom as DICOM, as its mirror-proof PNG, and as a NIfTI; two bad files."""
    source = phantoms[1]["testing"][0]["image"]
    folder = tmp_path_factory.mktemp("inputs")
    dataset = pydicom.dcmread(source)
    pixels = dataset.pixel_array
    dataset.save_as(folder / "good.dcm")
    Image.fromarray((pixels.astype(np.uint32) * 65535 // pixels.max()).astype(np.uint16)).save(folder / "picture.png")
    affine = np.diag([-0.07, -0.07, 1, 1])
    nibabel.save(nibabel.Nifti1Image(pixels.T[..., None].astype(np.int16), affine), folder / "volume.nii.gz")
    (folder / "broken.dcm").write_bytes((folder / "good.dcm").read_bytes()[:5000])
    (folder / "sub").mkdir()
    (folder / "sub" / "empty.png").write_bytes(b"")
    (folder / "readme.txt").write_text("not an image")
    return folder


@pytest.fixture(scope="module")
def results(root, inputs, tiny_weights, tmp_path_factory):
    output = tmp_path_factory.mktemp("output")
    done = bundle(
        root,
        *("--config_file", "['configs/inference.json','configs/hdogreg_candidates.json']"),
        *("--input_dir", inputs, "--output_dir", output, "--hdog::dog_threshold", "0.006"),
        *("--weights", tiny_weights / "model.pt", "--score_threshold", "0.01"),
        check=False,
    )
    return done, output


def test_bad_files_are_recorded_the_rest_is_done_and_the_exit_status_says_so(results):
    done, output = results
    report = json.loads((output / "run_report.json").read_text())
    assert done.returncode == 1 == report["exit_status"]
    assert report["state"] == "finished"
    assert (report["images_done"], report["images_failed"]) == (3, 2)
    failed = {
        entry["file"].split("/")[-1]: entry["reason"] for entry in report["images"] if entry["status"] == "failed"
    }
    assert set(failed) == {"broken.dcm", "empty.png"}
    assert all(f"{name}: got" in reason and "want" in reason for name, reason in failed.items())
    assert report["weights"]["sha256"] and report["versions"]["monai"] == "1.6.1"
    assert report["settings"]["score_threshold"] == 0.01
    assert "broken.dcm" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["good", "picture", "volume"])
def test_masks_lie_on_the_input_files_own_grid(results, inputs, name):
    _, output = results
    mask = nibabel.load(output / name / "mask.nii.gz")
    instances = nibabel.load(output / name / "instances.nii.gz")
    findings = json.loads((output / name / "findings.json").read_text())
    source = nibabel.load(inputs / "volume.nii.gz")
    shape = source.shape if name == "volume" else source.shape[:2]
    assert mask.shape == instances.shape == shape and mask.get_data_dtype() == np.uint8
    spacing = findings["spacing_mm"]
    np.testing.assert_allclose(mask.affine, np.diag([-spacing[1], -spacing[0], 1, 1]), atol=1e-6)
    planes = np.asarray(mask.dataobj).reshape(shape[:2]).T, np.asarray(instances.dataobj).reshape(shape[:2]).T
    assert set(np.unique(planes[0])) <= {0, 1} and ((planes[1] > 0) == (planes[0] == 1)).all()
    mcs = findings["microcalcifications"]
    assert findings["summary"]["count"] == len(mcs) == planes[1].max() and len(mcs) > 3
    for mc in mcs:  # the numbers describe the pixels, in the orientation of the image
        rows, cols = np.nonzero(planes[1] == mc["id"])
        assert (rows.mean(), cols.mean()) == pytest.approx((mc["row"], mc["col"]), abs=1e-3)
        assert rows.size == mc["area_px"]
        assert mc["area_mm2"] == pytest.approx(rows.size * spacing[0] * spacing[1], abs=1e-6)
        assert 0.01 <= mc["score"] <= 1
    with (output / name / "findings.csv").open() as file:
        assert [int(row["id"]) for row in csv.DictReader(file)] == [mc["id"] for mc in mcs]
    assert np.asarray(Image.open(output / name / "picture.png")).std() > 5


def test_found_objects_are_bright_so_nothing_is_mirrored(results, inputs):
    _, output = results
    image, meta = read_mammogram(inputs / "good.dcm")
    mask = np.asarray(nibabel.load(output / "good" / "mask.nii.gz").dataobj).T > 0
    ring = np.zeros_like(mask)
    for axis, step in ((0, 6), (0, -6), (1, 6), (1, -6)):
        ring |= np.roll(mask, step, axis)
    assert image[mask].mean() > image[ring & ~mask].mean()
    assert image[mask].mean() > image[mask[:, ::-1]].mean()
    assert json.loads((output / "good" / "findings.json").read_text())["identity"]["laterality"] == meta["laterality"]


def test_one_good_file_ends_with_exit_status_zero_and_the_slim_fcn_writes_its_maps(
    root, inputs, tiny_weights, tmp_path
):
    bundle(
        root,
        *("--config_file", "['configs/inference.json','configs/slim_fcn_inference.json']"),
        *("--input_dir", inputs / "good.dcm", "--output_dir", tmp_path, "--weights", tiny_weights / "slim_fcn.pt"),
        *("--score_threshold", "0.6", "--objects", COMPONENTS),
    )
    values = np.asarray(nibabel.load(tmp_path / "good" / "map.nii.gz").dataobj)
    mask = np.asarray(nibabel.load(tmp_path / "good" / "mask.nii.gz").dataobj) > 0
    assert values.shape == mask.shape and values.min() >= 0 and values.max() <= 1
    assert (values[mask] >= 0.6).all()
    assert Image.open(tmp_path / "good" / "heat_map.png").mode == "RGB"


@pytest.mark.parametrize(
    ("method", "overlay"),
    [("HDoGReg", ""), ("slim FCN", ",'configs/slim_fcn_inference.json'")],
    ids=["hdogreg", "slim"],
)
def test_shipped_weights_and_preset_find_the_phantoms_mcs(root, phantoms, tmp_path, method, overlay):
    folder, datalist = phantoms
    bundle(
        root,
        *("--config_file", f"['configs/inference.json'{overlay}]"),
        *("--input_dir", folder / "images", "--output_dir", tmp_path, "--preset", "sensitive"),
    )
    points = json.loads((root / "models" / "operating_points.json").read_text())
    settings = json.loads((tmp_path / "run_report.json").read_text())["settings"]
    assert settings["scoring"]["objects"]["class"] == "PeakObjects" and settings["preset"] == "sensitive"
    assert str(settings["score_threshold"]) in json.dumps(points[method])
    large, found, inside, outside = 0, 0, [], []
    for item in itertools.chain(*(datalist[section] for section in ("training", "validation", "testing"))):
        truth = load_label(item["label"], (416, 320), (0.07, 0.07), "full")
        mask = np.asarray(nibabel.load(tmp_path / Path(item["image"]).stem / "mask.nii.gz").dataobj).T > 0
        labels, count = ndimage.label(truth == 1, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel())[1:]
        large += int((sizes >= 6).sum())
        found += sum(mask[labels == number].any() for number in range(1, count + 1) if sizes[number - 1] >= 6)
        inside.append(mask[truth == 1])
        outside.append(mask[truth == 0])
    assert large >= 20 and found >= 0.4 * large  # a chance mask of this size would meet one at most
    assert np.concatenate(inside).mean() > 20 * np.concatenate(outside).mean()  # 1 for a chance mask


def test_missing_input_and_missing_weights_say_what_is_wanted(root, inputs, tmp_path):
    config = ("--config_file", "configs/inference.json", "--output_dir", tmp_path)
    done = bundle(root, *config, "--input_dir", tmp_path / "nowhere", check=False)
    assert done.returncode != 0 and "nowhere, which does not exist" in done.stderr
    done = bundle(root, *config, "--input_dir", inputs, "--weights", tmp_path / "no.pt", check=False)
    assert done.returncode != 0 and "no.pt" in done.stderr


def options(**values):
    return [word for key, value in values.items() for word in (f"--{key}", str(value))]


def training(folder, data, config, epochs, phantoms=PHANTOMS, **more):
    """Arguments of a training command that writes into `folder`."""
    paths = {"dataset_dir": data, "cache_dir": data.parent / "cache", "output_dir": folder}
    publish = {"publish_path": folder / "published.pt", "max_epochs": epochs}
    return ["training", "--config_file", config, *options(**(paths | publish | SIZES | phantoms | more))]


RECIPES = {"hdogreg": "configs/train.json", "slim_fcn": "['configs/train.json','configs/slim_fcn_train.json']"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_is_repeatable_and_resumes_after_a_kill(root, phantoms, tmp_path, recipe):
    data, config = phantoms[0], RECIPES[recipe]
    bundle(root, *training(tmp_path / "a", data, config, 3))
    killed = subprocess.Popen(
        [sys.executable, "-m", "monai.bundle", "run", *training(tmp_path / "b", data, config, 200)],
        cwd=root,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not (tmp_path / "b" / "checkpoint.pt").is_file():
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    finished = torch.load(tmp_path / "b" / "checkpoint.pt", weights_only=True)["epoch"]
    epochs = max(3, finished + 1)
    if epochs > 3:  # the machine was quick: compare with a straight run of the same length
        bundle(root, *training(tmp_path / "a", data, config, epochs, resume=False))
    done = bundle(root, *training(tmp_path / "b", data, config, epochs))
    assert f"after epoch {finished}" in done.stderr
    straight, resumed = (torch.load(tmp_path / n / "checkpoint.pt", weights_only=True)["network"] for n in "ab")
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
    tables = [(tmp_path / name / "metrics.csv").read_text() for name in "ab"]
    assert tables[0] == tables[1] and len(tables[0].splitlines()) == epochs + 1
    assert any((tmp_path / "a" / "tensorboard").iterdir())
    published = torch.load(tmp_path / "a" / "published.pt", weights_only=True)
    assert published.keys() == straight.keys()


SECOND = {
    "second_source::training": 1,
    "second_source::validation": 1,
    "second_source::shape": [416, 320],
    "second_source::empty_fraction": 0.0,
    "second_source::workers": 0,
    "optimizer::lr": 0.0,
}


@pytest.mark.parametrize("method", ["", "'configs/hdogreg_paper_train.json',", "'configs/slim_fcn_train.json',"])
def test_fine_tuning_starts_from_the_weights_of_the_method(root, phantoms, tmp_path, method):
    """With learning rate 0 the end is the start: the second run publishes the first one's weights."""
    small = {"network_def::encoder": "residual", "network_def::encoder_weights": "none"} if "paper" in method else {}
    configs = f"['configs/train.json',{method}]"
    first = training(tmp_path / "run", phantoms[0], configs, 1, **small)
    bundle(root, *first)
    published = tmp_path / "run" / "published.pt"
    given = torch.load(published, weights_only=True)
    arguments = training(tmp_path / "tuned", phantoms[0], f"['configs/train.json',{method}'configs/finetune.json']", 1)
    more = {**small, **SECOND, "second_source::dataset_dir": tmp_path / "second", "publish_path": published}
    arguments += options(**more)
    bundle(root, *arguments)
    tuned = torch.load(tmp_path / "tuned" / "model.pt", weights_only=True)
    learned = [key for key in given if "running" not in key and "num_batches" not in key]
    assert all(torch.equal(given[key], tuned[key]) for key in learned)
    assert (tmp_path / "second" / "datalist.json").is_file()


def test_without_a_validation_section_the_last_epoch_is_published(root, phantoms, tmp_path):
    arguments = training(tmp_path, phantoms[0], "configs/train.json", 2, PHANTOMS | {"source::validation": 0})
    done = bundle(root, *arguments, *options(dataset_dir=tmp_path / "data"))
    assert "no validation section: no validation runs, the last epoch is published" in done.stderr
    last = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]
    published = torch.load(tmp_path / "published.pt", weights_only=True)
    assert all(torch.equal(published[key], last[key]) for key in last)


@pytest.mark.parametrize("fold_option", ["seed", "fold"])
def test_another_split_or_fold_in_the_same_folder_is_refused(root, phantoms, tmp_path, fold_option):
    """No patient of the earlier run's test part may enter training by a resume."""
    table = ["image,label,patient"]
    items = [item for section in phantoms[1].values() for item in section]
    table += [f"{item['image']},{item['label']},{number}" for number, item in enumerate(items)]
    (tmp_path / "list.csv").write_text("\n".join(table))
    configs = "['configs/train.json','configs/data_generic.json','configs/cross_validation_fold.json']"
    split = {"datalist::folds": 5, "datalist::fold": 0, "datalist::seed": 0, "source::datalist_file": "list.csv"}
    bundle(root, *training(tmp_path / "run", tmp_path, configs, 1, split))
    done = bundle(
        root, *training(tmp_path / "run", tmp_path, configs, 2, split | {f"datalist::{fold_option}": 1}), check=False
    )
    assert done.returncode != 0 and "another split, fold or set of images; " in done.stderr


def test_the_demos_first_command_generates_images_and_finds_them_again(root, tmp_path):
    arguments = options(dataset_dir=tmp_path / "demo", **PHANTOMS | {"source::training": 0})
    bundle(root, "generate", "--config_file", "configs/data_phantom.json", *arguments)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "demo" / "images").glob("*.dcm")}
    assert len(made) == 2
    bundle(root, "generate", "--config_file", "configs/data_phantom.json", *arguments)
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "demo" / "images").glob("*.dcm")}
