"""The evaluation's own time: scoring full-size images, thresholds, and the FROC of many images with its bootstrap."""

import time

import numpy as np

from scripts.bench.report import Row, Section
from scripts.evaluation.cases import CaseScores, HitRule, score_case
from scripts.evaluation.froc import CM2, IMAGE, FrocTable
from scripts.evaluation.matching import match_case
from scripts.evaluation.statistics import bootstrap_weights
from scripts.evaluation.tables import case_row

#: Predictions per image: about those of HDoGReg above the map's floor, and of the slim FCN above 0.
PREDICTIONS = (400, 20_000)
SPACING_MM = (0.07, 0.07)


def scoring_section(
    images: int = 100,
    thresholds: int = 50,
    froc_images: int = 1000,
    samples: int = 1000,
    shape: tuple[int, int] = (3328, 2560),
    predictions: tuple[int, ...] = PREDICTIONS,
) -> Section:
    """Time both on random objects, one row per number of predictions.

    Args:
        images: number of images that are scored.
        thresholds: at each, hits, false positives and all IoUs of every image are counted.
        froc_images: number of images whose stored scores make a FROC curve.
        samples: bootstrap samples of that curve, for its pAUC.
        shape: rows and columns of an image.
        predictions: per image.
    """
    rows = [_row(images, thresholds, froc_images, samples, shape, count) for count in predictions]
    notes = [
        f"{images} images of {shape[0]} x {shape[1]} px with 30 MCs each, all among the predictions, which are random: "
        "objects are scored once (score), then "
        f"counted at {thresholds} thresholds (count). {froc_images} images' stored scores: sorted into the FROC curve "
        f"(curve), and {samples} bootstrap samples of its pAUC (bootstrap). One thread."
    ]
    return Section("Evaluation", rows, notes)


def _row(images: int, thresholds: int, froc_images: int, samples: int, shape: tuple[int, int], count: int) -> Row:
    rng = np.random.default_rng(0)
    spent, cases = 0.0, list[CaseScores]()
    for _ in range(images):
        instances, breast = _squares(rng, shape, count), np.ones(shape, bool)
        label, scores = np.isin(instances, rng.choice(count, 30) + 1), rng.random(count + 1)
        start = time.perf_counter()
        cases.append(score_case(label.astype(np.uint8), instances, scores, breast, SPACING_MM, HitRule()))
        spent += time.perf_counter() - start
    start = time.perf_counter()
    for threshold in np.linspace(0, 1, thresholds):
        for case in cases:
            case_row(match_case(case, float(threshold)))
    counted = time.perf_counter() - start
    score = rng.random(froc_images * count)
    arrays = {"score": score, "hit": rng.random(score.size) < np.minimum(0.3 * score, 30 / count)}
    arrays |= {"case": np.repeat(np.arange(froc_images), count), "annotated": np.full(froc_images, 40)}
    start = time.perf_counter()
    table = FrocTable.from_arrays(arrays | {"breast_cm2": rng.uniform(60, 200, froc_images)})
    table.curve().pauc()
    curve = time.perf_counter() - start
    weights = bootstrap_weights([str(i) for i in range(froc_images)], samples, 0)
    start = time.perf_counter()
    for sample in weights:
        table.curve(sample, {CM2: 1.0, IMAGE: 10.0}).pauc()
    return {
        "predictions per image": count,
        "score s": spent,
        "count s": counted,
        "curve s": curve,
        "bootstrap s": time.perf_counter() - start,
    }


def _squares(rng: np.random.Generator, shape: tuple[int, int], count: int) -> np.ndarray:
    """int (rows, cols): `count` squares of 2 to 6 px, numbered from 1 without gaps."""
    cells = rng.choice((shape[0] // 8) * (shape[1] // 8), count, replace=False)
    made = np.zeros(shape, np.int32)
    for number, (row, col) in enumerate(zip(*np.divmod(np.sort(cells), shape[1] // 8), strict=True), start=1):
        side = int(rng.integers(2, 7))
        made[8 * row : 8 * row + side, 8 * col : 8 * col + side] = number
    return made
