"""Two methods on the same images: paired differences with bootstrap intervals, and Wilcoxon's signed-rank test.

All differences are first - second.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scripts.common.files import json_values
from scripts.common.tables import read_csv
from scripts.evaluation.froc import CM2, TABLE_NAME, FrocTable
from scripts.evaluation.froc import IMAGE as PER_IMAGE
from scripts.evaluation.statistics import (
    IMAGE,
    PATIENT,
    Difference,
    Wilcoxon,
    bootstrap_differences,
    bootstrap_weights,
    paired_wilcoxon,
)

CASES_NAME, OBJECTS_NAME, METRICS_NAME = "cases.csv", "objects.csv", "metrics.json"
#: {(case_id, place in label order from 1): (area in px, best IoU)} of annotated objects.
ObjectIoU = dict[tuple[str, int], tuple[int, float]]
#: Per-image values that are compared, columns of cases.csv.
VALUES = ("tpr", "fp_per_cm2", "foreground_iou", "background_iou", "mean_iou")


def froc_differences(
    first: FrocTable,
    second: FrocTable,
    weights: np.ndarray,
    fp_limit: float = 1.0,
    fp_rates: Sequence[float] = (0.1, 0.2, 0.4, 1.0),
    fp_rates_per_image: Sequence[float] = (),
) -> dict[str, Any]:
    """Differences of pAUC and of TPR at rates, both methods on the same bootstrap samples.

    Args:
        first, second: tables of the same images in the same order.
        weights: (samples, images) from `bootstrap_weights`.
        fp_limit: pAUC is over 0..fp_limit FP per cm^2.
        fp_rates: FP per cm^2 at which TPR is compared.
        fp_rates_per_image: FP per image at which TPR is compared.

    Returns:
        {"pauc": Difference, "tpr_at_fp_per_cm2": {rate: Difference}, "tpr_at_fp_per_image": {rate: Difference}}.

    Raises:
        ValueError: the tables' numbers of images or of annotated objects differ.
    """
    if not np.array_equal(first.annotated, second.annotated):
        raise ValueError("second: got other numbers of annotated objects per image than first; want the same images")
    rates, per_image = np.asarray(fp_rates, np.float64), np.asarray(fp_rates_per_image, np.float64)
    until = {CM2: max(fp_limit, *fp_rates), PER_IMAGE: max([0.0, *fp_rates_per_image])}

    def metrics(table: FrocTable, sample: np.ndarray) -> np.ndarray:
        curve = table.curve(sample, until)
        return np.concatenate([[curve.pauc(fp_limit)], curve.tpr_at(rates), curve.tpr_at(per_image, PER_IMAGE)])

    found = bootstrap_differences(lambda w: metrics(first, w), lambda w: metrics(second, w), weights)
    split = 1 + rates.size
    return {
        "pauc": found[0],
        "tpr_at_fp_per_cm2": {str(float(r)): d for r, d in zip(rates, found[1:split], strict=True)},
        "tpr_at_fp_per_image": {str(float(r)): d for r, d in zip(per_image, found[split:], strict=True)},
    }


def value_tests(first: Sequence[dict[str, float]], second: Sequence[dict[str, float]]) -> dict[str, Wilcoxon]:
    """Paired Wilcoxon tests of per-image values; an image on which a value is undefined (NaN) for either is left out.

    Args:
        first, second: per image {name: value}, in the same order.
    """
    tests = {}
    for name in VALUES:
        pairs = np.array([(a[name], b[name]) for a, b in zip(first, second, strict=True)], np.float64).reshape(-1, 2)
        pairs = pairs[~np.isnan(pairs).any(1)]
        tests[name] = paired_wilcoxon(pairs[:, 0], pairs[:, 1])
    return tests


def object_test(first: ObjectIoU, second: ObjectIoU) -> Wilcoxon:
    """Paired Wilcoxon test of IoU per object: best IoU of every annotated object larger than one pixel.

    Args:
        first, second: {(case_id, place in label order): (area in px, best IoU)} of all annotated objects.

    Raises:
        ValueError: the annotated objects are not the same.
    """
    if {key: area for key, (area, _) in first.items()} != {key: area for key, (area, _) in second.items()}:
        raise ValueError("second: got other annotated objects than first; want the same annotations")
    pairs = np.array([(iou, second[key][1]) for key, (area, iou) in first.items() if area > 1], np.float64)
    return paired_wilcoxon(*pairs.reshape(-1, 2).T)


def compare(
    first_dir: str | Path,
    second_dir: str | Path,
    samples: int = 1000,
    unit: str = IMAGE,
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Compare two evaluations; counts and IoU are those at each one's own operating threshold.

    Args:
        first_dir, second_dir: their output folders.
        samples, unit, seed: of the bootstrap; unit is "image" or "patient".
        options: further arguments of `froc_differences`.

    Returns:
        {"images", "operating_thresholds", "differences": `froc_differences`, "wilcoxon": `value_tests`,
        "wilcoxon_per_object": {"iou": `object_test`}, "bootstrap"}, JSON types.

    Raises:
        ValueError: the evaluations are not of the same images, or image names are not unique.
    """
    if unit not in (IMAGE, PATIENT):
        raise ValueError(f"unit: got {unit!r}; want {IMAGE!r} or {PATIENT!r}")
    first, second = _load(Path(first_dir)), _load(Path(second_dir))
    if first.names != second.names:
        odd = sorted(set(first.names) ^ set(second.names))
        example = odd[0] if odd else "one twice"
        raise ValueError(f"{second_dir}: got other images (e.g. {example}); want those of {first_dir}")
    units = [str(i) for i in range(len(first.names))] if unit == IMAGE else first.patients
    weights = bootstrap_weights(units, samples, seed)
    found = {
        "images": len(first.names),
        "difference": f"{first_dir} - {second_dir}",
        "operating_thresholds": {"first": first.operating, "second": second.operating},
        "differences": froc_differences(first.table, second.table, weights, **options),
        "wilcoxon": value_tests(first.cases, second.cases),
        "wilcoxon_per_object": {"iou": object_test(first.objects, second.objects)},
        "bootstrap": {"samples": samples, "unit": unit, "seed": seed},
    }
    return json_values(_as_dicts(found))


class _Evaluated(NamedTuple):
    """What is read of an evaluation, in order of the image names."""

    names: list[str]
    patients: list[str]
    table: FrocTable
    cases: list[dict[str, float]]
    objects: ObjectIoU
    operating: dict[str, Any]


def _load(folder: Path) -> _Evaluated:
    for name in (TABLE_NAME, CASES_NAME, OBJECTS_NAME, METRICS_NAME):
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: got no {name}; want the output folder of an evaluation")
    with np.load(folder / TABLE_NAME, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    names = arrays["case_id"]
    if np.unique(names).size != names.size:
        raise ValueError(f"{folder}: got an image name twice; want unique names")
    order = np.argsort(names)
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    arrays |= {name: arrays[name][order] for name in ("annotated", "breast_cm2")} | {"case": place[arrays["case"]]}
    sorted_names = names[order].tolist()
    rows = {row["case_id"]: {k: float(row[k] or "nan") for k in VALUES} for row in read_csv(folder / CASES_NAME)}
    missing = set(sorted_names) - set(rows)
    if missing:
        raise ValueError(f"{folder / CASES_NAME}: got no row of {min(missing)!r}; want one per image")
    point = json.loads((folder / METRICS_NAME).read_text(encoding="utf-8"))["operating_point"]
    return _Evaluated(
        names=sorted_names,
        patients=arrays["patient"][order].tolist(),
        table=FrocTable.from_arrays(arrays),
        cases=[rows[name] for name in sorted_names],
        objects=_object_iou(folder / OBJECTS_NAME),
        operating={name: point[name] for name in ("threshold", "chosen_by")},
    )


def _object_iou(path: Path) -> ObjectIoU:
    """Of all annotated objects; rows of an image come in label order."""
    found: ObjectIoU = {}
    places: dict[str, int] = {}
    for row in read_csv(path):
        if row["kind"] == "annotated":
            case = row["case_id"]
            places[case] = places.get(case, 0) + 1
            found[case, places[case]] = (int(row["area_px"]), float(row["best_iou"]))
    return found


def _as_dicts(value: Any) -> Any:
    if isinstance(value, Difference | Wilcoxon):
        return value._asdict()
    return {key: _as_dicts(v) for key, v in value.items()} if isinstance(value, dict) else value
