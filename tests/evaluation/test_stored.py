"""Results read back and evaluated give the numbers of the run that they came from."""

import csv
import json
import shutil

import pytest
from monai.bundle import ConfigParser

pytest.importorskip("highdicom")

from pydicom import dcmread

from scripts.evaluation.__main__ import main

KINDS = ("findings", "report_sr", "cad_sr", "segmentation_labelmap", "segmentation")
#: What needs the map, or how the run was set up.
OF_A_RUN = ("provenance", "pixels", "calibration")
SAMPLES = 20


@pytest.fixture(scope="module")
def data(phantoms, tmp_path_factory):
    """A data list of three phantoms."""
    folder = tmp_path_factory.mktemp("data")
    items = phantoms[1]["training"]
    keys = ("image", "label", "patient", "image_id", "density")
    (folder / "datalist.json").write_text(
        json.dumps({"testing": [{key: item[key] for key in keys} for item in items], "training": [], "validation": []})
    )
    return folder, [item["image_id"] for item in items]


@pytest.fixture(scope="module")
def run(root, data, tiny_weights, tmp_path_factory):
    """Folder of a run that wrote every DICOM result and was evaluated at once."""
    folder = tmp_path_factory.mktemp("run")
    parser = ConfigParser()
    files = ("inference.json", "hdogreg_candidates.json", "evaluate.json", "data_generic.json")
    parser.read_config([str(root / "configs" / name) for name in files])
    values = {"bundle_root": str(root), "output_dir": str(folder), "dataset_dir": str(data[0])}
    values |= {"weights": str(tiny_weights / "model.pt"), "device": "$torch.device('cpu')", "progress": False}
    values |= {"bootstrap::samples": SAMPLES, "operating_threshold": 0.0}
    values |= {
        "writer": {"_target_": "scripts.outputs.writer.FindingsWriter", "output_dir": str(folder), "outputs": KINDS},
        "handlers": ["@load_weights", "@pixel_curves", "@froc", "@writer", "@run_report"],
    }
    values["writer"]["outputs"] = ["instances", *KINDS]
    for key, value in values.items():
        parser[key] = value
    parser.parse()
    parser.get_parsed_content("evaluating", instantiate=True, eval_expr=True)
    return folder
