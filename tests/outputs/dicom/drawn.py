"""A DICOM mammogram and what postprocessing leaves of it, drawn by hand: nothing in it is symmetric."""

from datetime import datetime

import numpy as np
import torch
from monai.data import MetaTensor

from scripts.data.reader.geometry import to_file_axes
from scripts.data.reader.mammogram_reader import read_mammogram
from scripts.findings.analysis import FindingsAnalysis
from scripts.outputs.report import build_report
from scripts.simulation.phantom.dicom import write_phantom_dicom

NOW = datetime(2026, 1, 2, 3, 4, 5)
SHAPE, SPACING = (83, 66), 0.07
KINDS = {1: "individual MC", 5: "vascular", 6: "metal", 7: "skin-line"}
#: Rows of pixels, (row, first col, last col + 1), of marks 1 to 7; mark 3 touches itself at a corner only.
MARKS = {
    1: [(4, 5, 9), (5, 5, 7), (6, 5, 6)],
    2: [(9, 30, 31)],
    3: [(14, 11, 13), (15, 13, 15)],
    4: [(20, 6, 9), (21, 6, 9)],
    5: [(33, 59, 66)],
    6: [(50, 3, 5), (51, 3, 8)],
    7: [(82, 20, 24)],
}
SCORES = (0.0, 0.91, 0.62, 0.55, 0.84, 0.71, 0.99, 0.6)


def mammogram_file(folder, laterality="L", view="MLO", seed=1, **options):
    """A phantom's DICOM file."""
    pixels = np.random.default_rng(seed).integers(0, 4096, SHAPE).astype(np.uint16)
    path = folder / f"{laterality}{view}{seed}.dcm"
    return write_phantom_dicom(path, pixels, spacing_mm=SPACING, laterality=laterality, view=view, seed=seed, **options)


def drawn_labels(marks=MARKS):
    labels = np.zeros(SHAPE, np.int32)
    for number, runs in marks.items():
        for row, first, end in runs:
            labels[row, first:end] = number
    return labels


def drawn_item(file, marks=MARKS, kinds=False, clusters=False, **point):
    """The item; `point` goes into the operating point. Marks 1, 3 and 4 are a cluster."""
    image, meta = read_mammogram(file)
    image, labels = MetaTensor(torch.from_numpy(image)[None], meta=meta), drawn_labels(marks)
    breast, scores = np.ones(SHAPE, bool), np.array(SCORES, np.float32)
    found = FindingsAnalysis(None, None, None).analyse(image[0].numpy(), labels, scores, breast, (SPACING, SPACING))
    findings = found.marks
    operating_point = {"preset": "balanced", "score_threshold": 0.5, **point}
    report = build_report(found, image, breast, "HDoGReg", operating_point)
    if kinds:
        for mc in report["microcalcifications"]:
            mc["kind"] = KINDS.get(mc["id"], "individual MC")
            mc["counted"] = mc["kind"] == "individual MC"
    if clusters:
        hull = [[3.5, 4.5], [3.5, 8.5], [15.5, 14.5], [21.5, 8.5], [21.5, 5.5]]
        cluster = {"id": 1, "members": [1, 3, 4], "row": 13.0, "col": 8.5, "hull_px": hull, "features": {}}
        report["clusters"] = [cluster | {"distribution": "grouped"}]
    excluded = {number for number, kind in KINDS.items() if kinds and kind != "individual MC"}
    counted = [mc.id for mc in findings if mc.id not in excluded]
    pred = to_file_axes(np.isin(labels, counted).astype(np.uint8), meta)
    maps = {"instances": torch.from_numpy(labels)[None], "pred": torch.from_numpy(pred)[None]}
    return {"image": image, "findings": findings, "report": report, **maps}
