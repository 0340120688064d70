"""Two methods on the same images: paired differences with bootstrap intervals, and Wilcoxon's signed-rank test.

All differences are first - second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.files import json_values
from scripts.evaluation.froc import CM2, IMAGE, FrocTable
from scripts.evaluation.report.runs import CASES, Run, number
from scripts.evaluation.statistics import Bootstrap, Wilcoxon, bootstrap_differences, paired_wilcoxon

#: Values of images that are compared, columns of cases.csv.
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
    until = {CM2: max(fp_limit, *fp_rates), IMAGE: max([0.0, *fp_rates_per_image])}

    def metrics(table: FrocTable, sample: np.ndarray) -> np.ndarray:
        curve = table.curve(sample, until)
        return np.concatenate([[curve.pauc(fp_limit)], curve.tpr_at(rates), curve.tpr_at(per_image, IMAGE)])

    found = bootstrap_differences(lambda w: metrics(first, w), lambda w: metrics(second, w), weights)
    split = 1 + rates.size
    return {
        "pauc": found[0],
        "tpr_at_fp_per_cm2": {str(float(r)): d for r, d in zip(rates, found[1:split], strict=True)},
        "tpr_at_fp_per_image": {str(float(r)): d for r, d in zip(per_image, found[split:], strict=True)},
    }


def paired_test(first: Mapping[Hashable, float], second: Mapping[Hashable, float]) -> Wilcoxon:
    """Wilcoxon test of values by image or by object; where a value is undefined (NaN) for either, both are left out.

    Raises:
        ValueError: the images or objects are not the same.
    """
    if first.keys() != second.keys():
        raise ValueError("second: got other images or other annotated objects than first; want the same annotations")
    pairs = np.array([(value, second[key]) for key, value in first.items()], np.float64).reshape(-1, 2)
    return paired_wilcoxon(*pairs[~np.isnan(pairs).any(1)].T)


def object_iou(run: Run) -> dict[Hashable, float]:
    """{(case_id, place in label order from 1, area in px): best IoU} of annotated objects; of a single pixel NaN."""
    found: dict[Hashable, float] = {}
    places: Counter[str] = Counter()
    for row in run.objects:
        if row["kind"] == "annotated":
            case, area = row["case_id"], int(row["area_px"])
            places[case] += 1
            found[case, places[case], area] = float(row["best_iou"]) if area > 1 else np.nan
    return found


def compare(
    first_dir: str | Path, second_dir: str | Path, bootstrap: Bootstrap | None = None, **options: Any
) -> dict[str, Any]:
    """Compare two evaluations; counts and IoU are those at each one's own operating threshold.

    Args:
        first_dir, second_dir: their output folders.
        bootstrap: how intervals are made; None is the default.
        options: further arguments of `froc_differences`.

    Returns:
        {"images", "difference", "operating_thresholds", "differences": `froc_differences`, "wilcoxon": `paired_test` of
        every one of `VALUES`, "wilcoxon_per_object": {"iou": `paired_test`}, "bootstrap"}, JSON types.

    Raises:
        ValueError: the evaluations are not of the same images, or image names are not unique.
    """
    bootstrap = bootstrap or Bootstrap()
    runs = Run(Path(first_dir)), Run(Path(second_dir))
    (first, names, patients), (second, other_names, _) = (run.froc(by_name=True) for run in runs)
    if len(set(names)) < len(names):
        raise ValueError(f"{first_dir}: got an image name twice; want unique names")
    if names != other_names:
        odd = min(set(names) ^ set(other_names), default="one twice")
        raise ValueError(f"{second_dir}: got other images (e.g. {odd}); want those of {first_dir}")
    points = [run.metrics["operating_point"] for run in runs]
    values = [_image_values(run, names) for run in runs]
    found = {
        "images": len(names),
        "difference": f"{first_dir} - {second_dir}",
        "operating_thresholds": {
            which: {name: point[name] for name in ("threshold", "chosen_by")}
            for which, point in zip(("first", "second"), points, strict=True)
        },
        "differences": froc_differences(first, second, bootstrap.weights(patients), **options),
        "wilcoxon": {name: paired_test(*(each[name] for each in values)) for name in VALUES},
        "wilcoxon_per_object": {"iou": paired_test(*map(object_iou, runs))},
        "bootstrap": asdict(bootstrap),
    }
    return json_values(_as_dicts(found))


def _image_values(run: Run, names: Sequence[str]) -> dict[str, dict[Hashable, float]]:
    """{column: {case_id: value}} of `VALUES`."""
    rows = {row["case_id"]: row for row in run.cases}
    missing = set(names) - set(rows)
    if missing:
        raise ValueError(f"{run.folder / CASES}: got no row of {min(missing)!r}; want one per image")
    return {column: {name: number(rows[name][column]) for name in names} for column in VALUES}


def _as_dicts(value: Any) -> Any:
    """Named tuples become dictionaries."""
    value = value._asdict() if hasattr(value, "_asdict") else value
    return {key: _as_dicts(part) for key, part in value.items()} if isinstance(value, dict) else value
