"""A DICOM segmentation in a data list's label column evaluates as the NIfTI mask of the same marks does."""

import json

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

pytest.importorskip("highdicom")

from scripts.common.objects import label_objects
from scripts.data.labels.annotations import load_label
from scripts.data.lists.generic import generic_datalist
from scripts.findings.analysis import FindingsAnalysis
from scripts.outputs.dicom.seg import write_labelmap, write_segmentation
from scripts.outputs.label_maps import write_mask
from scripts.transforms import LoadMammogramd, MeasureFindingsd, RestoreFileGeometryd

WRITERS = {"mask.nii.gz": write_mask, "segmentation.dcm": write_segmentation, "labelmap.dcm": write_labelmap}


@pytest.fixture(scope="module")
def lists(phantoms, tmp_path_factory):
    """A data list of one phantom per kind of label file."""
    folder, item = tmp_path_factory.mktemp("seg"), phantoms[1]["testing"][0]
    image = LoadMammogramd()({"image": item["image"]})["image"]
    shape = tuple(image.shape[-2:])
    labels, count = label_objects(load_label(item["label"], shape, (0.07, 0.07)) == 1)
    made = {"image": image, "instances": torch.from_numpy(labels)[None], "scores": np.linspace(0, 1, count + 1)}
    made |= {"breast": torch.ones(1, *shape, dtype=torch.bool)}
    made = RestoreFileGeometryd("pred")(MeasureFindingsd(analysis=FindingsAnalysis(None, None, None))(made))
    listed = {}
    for name, write in WRITERS.items():
        write(folder / name, made)
        listed[name] = folder / f"{name}.csv"
        listed[name].write_text(f"image,label,split\n{item['image']},{folder / name},testing\n")
    return listed


def metrics_of(root, weights, datalist, output_dir):
    parser = ConfigParser()
    files = ("inference.json", "hdogreg_candidates.json", "evaluate.json")
    parser.read_config([str(root / "configs" / name) for name in files])
    values = {"output_dir": str(output_dir), "weights": str(weights / "model.pt"), "progress": False}
    values |= {"device": "$torch.device('cpu')", "dataset_dir": str(datalist.parent), "bootstrap::samples": 5}
    for key, value in (values | {"datalist": generic_datalist(datalist.name, datalist.parent)}).items():
        parser[key] = value
    parser.parse()
    parser.get_parsed_content("evaluating", instantiate=True, eval_expr=True)
    metrics = json.loads((output_dir / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if name != "provenance"}


def test_metrics_are_the_same(root, monkeypatch, lists, tiny_weights, tmp_path):
    monkeypatch.chdir(root)
    found = {name: metrics_of(root, tiny_weights, file, tmp_path / name) for name, file in lists.items()}
    first, *others = found.values()
    assert first["counts"]["annotated"] > 0 and others == [first, first]
