"""A folder of results as a run leaves it, of mammograms drawn by hand."""

import json

import cv2
import numpy as np
import torch
from monai.data import MetaTensor

from scripts.candidates.breast_mask import breast_mask
from scripts.common.identity import Identity
from scripts.data.reader.mammogram_reader import Reading, read_mammogram
from scripts.findings.analysis import FindingsAnalysis
from scripts.outputs.dicom.tracking import with_tracking_uids
from scripts.outputs.report import build_report
from scripts.outputs.study.studies import Studies
from scripts.outputs.writer import FindingsWriter
from tests.outputs.dicom.drawn import drawn_item, mammogram_file

POINTS = {"sensitive": {"threshold": 0.1}, "balanced": {"threshold": 0.5}, "specific": {"threshold": 0.8}}


def add_result(output, file, image_id="", identity=None, **drawn):
    """Write the results of a mammogram's file."""
    identity, image_id = identity or Identity(), image_id or file.stem
    item = drawn_item(file, **{"clusters": True, "presets": POINTS, **drawn})
    item["report"] = with_tracking_uids(identity.report(item["report"], image_id), str(file))
    FindingsWriter(output, ("instances", "findings"), identity).write(image_id, item)
    return item["report"]


def add_failure(output, file, image_id="", reason="ValueError: got rubbish; want a mammogram", identity=None):
    """Write the record of a failed one."""
    identity, image_id = identity or Identity(), image_id or file.stem
    failure = identity.failure({"file": str(file), "stage": "reading", "reason": reason}, image_id)
    folder = output / image_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failure.json").write_text(json.dumps({"schema": "microcalcification-failure-1", **failure}))


def four_views(folder, seed=1):
    """Files of one study, {"RCC": path, ...}."""
    folder.mkdir(parents=True, exist_ok=True)
    return {side + view: mammogram_file(folder, side, view, seed) for side in "RL" for view in ("CC", "MLO")}


def written(output, **options):
    """study.json of each study, by its name."""
    assert Studies(output, **{"reading": Reading(isolated=False), **options}).write() == 0
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(output.glob("studies/*/study.json"))}


def add_marks(output, file, label, image_id, rng):
    """Results of a phantom whose marks are its own, each with a drawn score of 0.1 to 1."""
    pixels, meta = read_mammogram(file)
    labels = measured_labels(cv2.imread(label, cv2.IMREAD_UNCHANGED) == 1)
    scores = np.concatenate([[0.0], rng.uniform(0.1, 1.0, labels.max())]).astype(np.float32)
    image, spacing_mm = MetaTensor(torch.from_numpy(pixels)[None], meta=meta), tuple(meta["spacing_mm"])
    breast = breast_mask(pixels, spacing_mm[0])
    found = FindingsAnalysis().analyse(pixels, labels, scores, breast, spacing_mm, side=meta["laterality"])
    point = {"preset": "sensitive", "score_threshold": 0.1, "presets": POINTS}
    report = with_tracking_uids(build_report(found, image, breast, "drawn", point), file)
    item = {
        "image": image,
        "instances": torch.from_numpy(found.labels)[None],
        "report": report,
        "findings": found.marks,
    }
    FindingsWriter(output, ("instances", "findings")).write(image_id, item)


def measured_labels(mask):
    """Objects of a mask, int32 numbers from 1."""
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1].astype(np.int32)
