"""Two methods on the same images: paired differences with bootstrap intervals, and Wilcoxon's signed-rank test.

    python -m scripts.evaluation.compare FIRST SECOND --output comparison.json

FIRST and SECOND are output folders of two evaluations. All differences are first - second.
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.files import json_values, write_json
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

logger = logging.getLogger(__name__)
CASES_NAME = "cases.csv"
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


def compare(
    first_dir: str | Path,
    second_dir: str | Path,
    samples: int = 1000,
    unit: str = IMAGE,
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Compare two evaluations.

    Args:
        first_dir, second_dir: their output folders.
        samples, unit, seed: of the bootstrap; unit is "image" or "patient".
        options: further arguments of `froc_differences`.

    Returns:
        {"images", "differences": `froc_differences`, "wilcoxon": `value_tests`, "bootstrap"}, JSON types.

    Raises:
        ValueError: the evaluations are not of the same images, or image names are not unique.
    """
    if unit not in (IMAGE, PATIENT):
        raise ValueError(f"unit: got {unit!r}, want {IMAGE!r} or {PATIENT!r}")
    (names, patients, first, rows), (others, _, second, other_rows) = (_load(Path(d)) for d in (first_dir, second_dir))
    if names != others:
        odd = sorted(set(names) ^ set(others))
        raise ValueError(f"{second_dir}: got other images than {first_dir} (e.g. {odd[:1] or 'twice the same'})")
    units = [str(i) for i in range(len(names))] if unit == IMAGE else patients
    weights = bootstrap_weights(units, samples, seed)
    found = {
        "images": len(names),
        "difference": f"{first_dir} - {second_dir}",
        "differences": froc_differences(first, second, weights, **options),
        "wilcoxon": value_tests(rows, other_rows),
        "bootstrap": {"samples": samples, "unit": unit, "seed": seed},
    }
    return json_values(_as_dicts(found))


def _load(folder: Path) -> tuple[list[str], list[str], FrocTable, list[dict[str, float]]]:
    """Names, patients, table and per-image values of an evaluation, in order of the image names."""
    for name in (TABLE_NAME, CASES_NAME):
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: found no {name}; want the output folder of an evaluation")
    with np.load(folder / TABLE_NAME, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    names = arrays["case_id"]
    if np.unique(names).size != names.size:
        raise ValueError(f"{folder}: got an image name twice; want unique names")
    order = np.argsort(names)
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    arrays |= {name: arrays[name][order] for name in ("annotated", "breast_cm2")} | {"case": place[arrays["case"]]}
    with (folder / CASES_NAME).open(newline="", encoding="utf-8") as text:
        rows = {row["case_id"]: {name: float(row[name] or "nan") for name in VALUES} for row in csv.DictReader(text)}
    missing = set(names.tolist()) - set(rows)
    if missing:
        raise ValueError(f"{folder / CASES_NAME}: found no row of {min(missing)!r}")
    sorted_names = names[order].tolist()
    table = FrocTable.from_arrays(arrays)
    return sorted_names, arrays["patient"][order].tolist(), table, [rows[name] for name in sorted_names]


def _as_dicts(value: Any) -> Any:
    if isinstance(value, Difference | Wilcoxon):
        return value._asdict()
    return {key: _as_dicts(v) for key, v in value.items()} if isinstance(value, dict) else value


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path, help="output folder of an evaluation")
    parser.add_argument("second", type=Path, help="output folder of the other one, of the same images")
    parser.add_argument("--output", type=Path, default=Path("comparison.json"), help="file to write")
    parser.add_argument("--samples", type=int, default=1000, help="bootstrap samples")
    parser.add_argument("--unit", default=IMAGE, choices=(IMAGE, PATIENT), help="what is resampled")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--fp-limit", type=float, default=1.0, help="pAUC is over 0 to this many FP per cm^2")
    args = parser.parse_args(arguments)
    found = compare(args.first, args.second, args.samples, args.unit, args.seed, fp_limit=args.fp_limit)
    write_json(args.output, found)
    logger.info("comparison: %s", args.output)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main()
