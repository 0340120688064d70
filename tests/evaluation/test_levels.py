"""Objects that are formed anew at every threshold: against forming, matching and counting anew by brute force."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from scripts.evaluation.crops import CropWriter, read_crop, read_crops
from scripts.evaluation.evaluate import Evaluation, choose_presets
from scripts.evaluation.froc import FrocTable
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.iou import iou_per_object
from scripts.evaluation.matching import match_case
from scripts.evaluation.measures import Contrast, Neighbourhood
from scripts.evaluation.sections import (
    AgreementSection,
    CalibrationSection,
    FailureClassesSection,
    FrocSection,
    IouSection,
    OperatingPointSection,
    SizeSection,
    StrataSection,
)
from scripts.evaluation.sections.clusters import ClusterTable, FoundClusters
from scripts.evaluation.statistics import Bootstrap
from scripts.findings.clusters import SingleLinkageClusters
from tests.evaluation import brute_force as brute

GRID = np.linspace(1, 0, 80, endpoint=False)
SPACING, SHAPE, EIGHT = (0.1, 0.1), (40, 44), np.ones((3, 3))


def components(probability, threshold):
    labels, count = ndimage.label(probability >= threshold, EIGHT)
    scores = np.zeros(count + 1, np.float32)
    np.maximum.at(scores, labels.ravel(), probability.ravel())
    return labels.astype(np.int32), scores


def drawn(seed):
    """A label, and a map whose spots run together at low thresholds."""
    rng = np.random.default_rng(seed)
    label, noise = np.zeros(SHAPE, np.uint8), rng.normal(0, 1, SHAPE)
    for row, col in rng.integers(2, 36, (8, 2)):
        label[row : row + 3, col : col + 3] = 1
    if seed % 3 == 0:
        label[:8, :8] = 2
    probability = ndimage.gaussian_filter(noise + 3 * (label == 1), 1.5)
    probability -= probability.min()
    return label, (probability / probability.max()).astype(np.float32)


def item_of(label, probability):
    instances, scores = components(probability, 0.0)
    return {
        "image": MetaTensor(torch.from_numpy(probability)[None], meta={"spacing_mm": SPACING}),
        "label": label[None],
        "breast": np.ones((1, *SHAPE), bool),
        "instances": instances[None],
        "scores": scores,
        "objects_at": lambda threshold: components(probability, threshold),
        "thresholds": GRID,
    }


def handler_of(seeds, **options):
    handler = FROCHandler(measures=[Contrast(predictions=5), Neighbourhood(1.0, 0.3)], cell_mm=1.0, **options)
    for iteration, seed in enumerate(seeds, 1):
        state = SimpleNamespace(batch=[{"image_id": str(seed)}], output=[item_of(*drawn(seed))], iteration=iteration)
        handler(SimpleNamespace(state=state))
    return handler


@pytest.fixture(scope="module")
def cases():
    return handler_of(range(5)).cases


def counted(seed, threshold):
    """(hits, false positives) with objects formed and matched anew."""
    label, probability = drawn(seed)
    truth, found = brute.objects_of(label, *components(probability, threshold), threshold)
    hits = len(brute.greedy_hits(truth, found, SPACING))
    return hits, len(found) - hits


def test_the_curve_is_that_of_forming_anew_at_each_threshold(cases):
    anew = np.array([[counted(seed, float(t)) for t in GRID] for seed in range(5)])
    assert (np.diff(anew.sum(0), axis=0) < 0).any(0).all()  # hits and false positives both fall somewhere
    for weights in ((1, 1, 1, 1, 1), (2, 0, 1, 0, 3)):
        totals = np.array(weights) @ anew.transpose(1, 0, 2)
        tp, fp = totals[:, 0], np.maximum.accumulate(totals[:, 1])
        curve = FrocTable(cases).curve(np.array(weights))
        at = np.searchsorted(-curve.threshold, -GRID, side="right") - 1
        assert curve.tp[at].tolist() == tp.tolist() and curve.fp[at].tolist() == fp.tolist()
        area, annotated = (np.dot(weights, [value(c) for c in cases]) for value in (lambda c: c.breast_cm2, length))
        rates = np.array([0.0, 20.0, 60.0, 120.0, 1e6])
        best = [max([0, *tp[fp / area <= rate * (1 + 1e-9)]]) / annotated for rate in rates]
        np.testing.assert_allclose(curve.tpr_at(rates), best)


def length(case):
    return len(case.annotations)


def test_tables_come_back_from_their_arrays(cases):
    table = FrocTable(cases)
    again = FrocTable.from_arrays(table.arrays()).curve()
    for name in ("threshold", "tp", "fp"):
        np.testing.assert_array_equal(getattr(again, name), getattr(table.curve(), name))


def test_clusters_and_large_ones_are_counted_anew_too(cases):
    rule, chosen = FoundClusters(SingleLinkageClusters(1.0, 2), 1), [np.arange(length(case)) % 2 == 0 for case in cases]
    table = FrocTable(cases)
    part, curve = table.of_part(cases, chosen), ClusterTable(cases, rule).curve()
    for threshold in GRID[::7]:
        hits = sum((match_case(c, threshold).hit & w).sum() for c, w in zip(cases, chosen, strict=True))
        assert part.tpr(np.array([threshold]))[0] == hits / part.annotated.sum()
        place = np.searchsorted(-curve.threshold, -threshold, side="right") - 1
        alone = [ClusterTable([case.at(threshold)], rule).curve() for case in cases]
        assert curve.tp[place] == sum(int(one.tp[-1]) for one in alone)


def test_presets_are_chosen_from_the_grid(cases):
    presets = choose_presets(FrocTable(cases).curve())
    assert {point["threshold"] for point in presets.values()} <= set(GRID.tolist())
    assert presets["specific"]["threshold"] >= presets["balanced"]["threshold"] >= presets["sensitive"]["threshold"]
    assert presets["balanced"]["tpr"] > 0


@pytest.mark.parametrize("given", [None, 0.55, 0.003])
def test_every_section_reads_the_objects_of_the_operating_threshold(given, tmp_path):
    crops = CropWriter(tmp_path, 3.0, level=given)
    handler = handler_of(range(5), crops=crops)
    sections = [FrocSection(), OperatingPointSection(), IouSection(), AgreementSection(), CalibrationSection()]
    sections += [StrataSection({"contrast_to_noise": [1.0]}), FailureClassesSection(), SizeSection()]
    metrics = Evaluation(tmp_path, handler, sections, bootstrap=Bootstrap(20), operating_threshold=given).write()
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    point = metrics["operating_point"]
    assert point["threshold"] in GRID
    assert given is None or point["threshold"] == GRID[np.abs(GRID - given).argmin()]
    hits, false = np.sum([counted(seed, point["threshold"]) for seed in range(5)], axis=0)
    assert (point["tp"], point["fp"]) == (hits, false) and hits + false > 0
    values = [iou_per_object(case.at(point["threshold"]), point["threshold"]) for case in handler.cases]
    assert metrics["iou"]["per_object"]["value"] == pytest.approx(np.concatenate(values).mean())
    assert metrics["failure_classes"]["classes"]["all"]["tpr"] == point["tpr"]
    assert sum(row["fp"] for row in metrics["strata"]) == false
    assert metrics["calibration"]["expected_calibration_error_of_objects"] is not None
    assert len(read_crops(tmp_path)) == 5
    if given is not None:
        crop = read_crop(read_crops(tmp_path)["1"])
        assert crop.scores.min() >= point["threshold"]


def test_thresholds_must_descend():
    item = item_of(*drawn(0)) | {"thresholds": GRID[::-1]}
    with pytest.raises(ValueError, match="thresholds"):
        FROCHandler().score({"image_id": "a"}, item)
