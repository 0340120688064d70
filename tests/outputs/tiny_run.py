"""A folder run as the inference config makes it, on text files that hold one number, with a network that doubles it."""

import multiprocessing
import time
from pathlib import Path

import numpy as np
import torch
from monai.data import DataLoader, MetaTensor
from monai.inferers import SimpleInferer

from scripts.common.ranks import places
from scripts.data.lists.folder import TolerantDataset, list_mammograms
from scripts.findings.analysis import FindingsAnalysis
from scripts.inference.evaluator import TolerantEvaluator
from scripts.outputs.report import build_report
from scripts.outputs.run_report import RunReport
from scripts.outputs.writer import FindingsWriter

SIDE = 24
ANALYSIS = FindingsAnalysis(None, None, None)
DONE = []  # images that the network ran on, in this process
#: Starts the processes that are killed: forks of one without threads, so that none begins with a lock held for ever.
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload([__name__, "tests.training.toy"])


def write_inputs(folder, *names, value=1):
    """Inputs, of any name: each is a number of pixels to be found."""
    for number, name in enumerate(names):
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value + number}")


class Load:
    def __init__(self, delay_s=0.0):
        self.delay_s = delay_s

    def __call__(self, item):
        time.sleep(self.delay_s)
        text = Path(item["image"]).read_text()
        if not text.isdigit():
            raise ValueError(f"{item['image']}: got {text!r}; want a number")
        image = torch.zeros(1, SIDE, SIDE)
        image[0, 2, 2 : 2 + int(text)] = 0.5
        meta = {"filename_or_obj": item["image"], "spacing_mm": (0.07, 0.07), "file_affine": np.eye(4)}
        meta |= {"file_shape": (SIDE, SIDE), "file_axes": (1, 0), "file_flips": (False, False)}
        meta |= {"patient_id": "Jane", "study_uid": "1.2.3", "view": "CC", "laterality": "L"}
        return {**item, "image": MetaTensor(image, meta=meta)}


class Doubling(torch.nn.Module):
    def forward(self, image):
        DONE.append(1)
        return image * 2


def measure(item):
    labels = (np.asarray(item["pred"])[0] > 0.9).astype(np.int32)
    breast = np.ones((SIDE, SIDE), bool)
    found = ANALYSIS.analyse(np.asarray(item["image"])[0], labels, np.array([0.0, 1.0]), breast, (0.07, 0.07))
    report = build_report(found, item["image"], breast, "tiny", {"score_threshold": 0.5})
    maps = {"instances": torch.from_numpy(labels)[None], "breast": torch.ones(1, SIDE, SIDE, dtype=torch.bool)}
    return {**item, **maps, "findings": found.marks, "analysis": found, "report": report}


def folder_run(
    inputs, output_dir, delay_s=0.0, settings=None, identity=None, outputs=("mask", "table"), kind=RunReport, **options
):
    """Exit status of a run; of several ranks, of this one's part."""
    report = kind(
        output_dir, settings or {"a": 1}, {"input_dir": str(inputs)}, progress=False, identity=identity, **options
    )
    items = report.remaining(list_mammograms(inputs, identity))
    evaluator = TolerantEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(TolerantDataset(items, Load(delay_s)), batch_size=1, sampler=places(len(items))),
        network=Doubling(),
        inferer=SimpleInferer(),
        postprocessing=measure,
        val_handlers=[FindingsWriter(output_dir, outputs, identity), report],
        prefetch=True,
    )
    evaluator.run()
    try:
        report.finish()
    except SystemExit as stop:
        return int(stop.code)
    return 0


def wait_until(condition, process, limit_s=120.0):
    """Wait for what a process will bring about; it must happen before the process ends, and in time."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert process.is_alive() and time.monotonic() < deadline, process
        time.sleep(0.02)
