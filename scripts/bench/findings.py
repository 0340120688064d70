"""Time from scored objects to findings: kinds, features, clusters of 1,000 marks of one mammogram."""

import numpy as np

from scripts.bench.measure import timed
from scripts.bench.report import Row, Section
from scripts.common.objects import measure_objects
from scripts.common.tensors import Spacing
from scripts.findings.analysis import FindingsAnalysis
from scripts.findings.cluster_findings import ClusterAnalysis
from scripts.findings.clusters.distribution import Breast, nipple_estimate_mm
from scripts.findings.features.microcalcifications import MCFeatures, records_of
from scripts.findings.kinds.rules import KindRules
from scripts.findings.parting import CentreParting
from scripts.findings.wholes import Wholes
from scripts.simulation.insertion.shapes import shape_bank
from scripts.simulation.insertion.slices import SliceScene, SliceSettings, render_slices, sample_slices

SPACING_MM: Spacing = (0.07, 0.07)
WANTED_S = 0.3  # processor time of kinds, features and clusters together
#: Many clusters and singles, so that some 1,000 marks are there.
SCENE = SliceSettings(pairs=20, triples=10, singles=150, large=10, near_skin=40, clusters=90)


def findings_section(runs: int = 3, marks: int = 1000, shape: tuple[int, int] = (3328, 2560)) -> Section:
    """Median times of each part of the analysis of one simulated image, and of the whole."""
    scene, breast = _scene(shape)
    numbers = np.arange(scene.objects.max() + 1)
    labels = np.where(numbers <= marks, numbers, 0).astype(np.int32)[scene.objects]
    count = int(np.count_nonzero(np.bincount(labels.ravel())[1:]))
    table = np.cumsum(np.bincount(labels.ravel()) > 0) - 1  # numbered without gaps
    labels, scores = table.astype(np.int32)[labels], np.linspace(1, 0.5, count + 1)
    image, rules, features, clusters = scene.image, KindRules(), MCFeatures(), ClusterAnalysis()
    found = measure_objects(labels, scores, SPACING_MM)
    values = features.measure(labels, image, SPACING_MM)
    place = Breast(float(breast.sum() * SPACING_MM[0] * SPACING_MM[1] / 100), nipple_estimate_mm(breast, SPACING_MM))
    parting, wholes = CentreParting(), Wholes()

    parts = {
        "parting": lambda: parting.part(image, labels, scores),
        "wholes": lambda: wholes.make(image, labels, scores, SPACING_MM),
        "kinds": lambda: rules.tell(image, labels, scores, breast, SPACING_MM),
        "features of MCs": lambda: records_of(features.measure(labels, image, SPACING_MM)),
        "clusters and their features": lambda: clusters.analyse(found, values, SPACING_MM, place),
        "all of the analysis": lambda: FindingsAnalysis().analyse(image, labels, scores, breast, SPACING_MM),
    }
    rows: list[Row] = []
    for name, call in parts.items():
        timing, made = timed(call, runs, warm=1)
        rows.append({"part": name, "marks": count, "wall s": timing.wall_s, "processor s": timing.cpu_s})
        if name.startswith("clusters"):
            rows[-1]["clusters"] = len(made)
    timed_s = sum(row["processor s"] for row in rows[2:5])
    notes = [f"Kinds, features and clusters: {timed_s:.3f} s of processor time; at most {WANTED_S} s are wanted."]
    return Section("Findings of one image", rows, [*notes, "The last row also measures the marks, before and after."])


def _scene(shape: tuple[int, int]) -> tuple[SliceScene, np.ndarray]:
    """A half ellipse of plain tissue with noise, full of MCs."""
    rng = np.random.default_rng(0)
    rows, cols = np.indices(shape, np.float32)
    breast = ((rows - shape[0] / 2) / (0.48 * shape[0])) ** 2 + (cols / (0.9 * shape[1])) ** 2 < 1
    image = np.where(breast, 0.4 + 0.01 * rng.standard_normal(shape, np.float32), 0).astype(np.float32)
    bank = shape_bank()
    return render_slices(image, sample_slices(rng, breast, SPACING_MM[0], bank, SCENE), bank, SCENE), breast
