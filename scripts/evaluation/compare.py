"""Two methods on the same images: paired differences with bootstrap intervals, and Wilcoxon's signed-rank test.

All differences are first - second. In a report the reference method is the first, against each other one.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from scripts.common.files import json_values
from scripts.evaluation.froc import CM2, IMAGE, FrocTable
from scripts.evaluation.report.runs import CASES, Run, number
from scripts.evaluation.report.tables import NONE, Cell, Table
from scripts.evaluation.statistics import Bootstrap, Wilcoxon, bootstrap_differences, paired_wilcoxon

#: Values of images that are compared, columns of cases.csv.
VALUES = ("tpr", "fp_per_cm2", "foreground_iou", "background_iou", "mean_iou")
#: Tests that a report shows: column -> section of `compare`'s result, value.
TESTS = {
    "TPR of an image": ("wilcoxon", "tpr"),
    "FP per cm² of an image": ("wilcoxon", "fp_per_cm2"),
    "foreground IoU of an image": ("wilcoxon", "foreground_iou"),
    "mean IoU of an image": ("wilcoxon", "mean_iou"),
    "IoU of an annotated MC": ("wilcoxon_per_object", "iou"),
}


def froc_differences(
    first: FrocTable,
    second: FrocTable,
    weights: np.ndarray,
    fp_limit: float = 1.0,
    fp_rates: Sequence[float] = (0.1, 0.2, 0.4, 1.0),
    fp_rates_per_image: Sequence[float] = (),
) -> dict[str, Any]:
    """Differences of pAUC over 0..`fp_limit` FP per cm^2, and of TPR at rates of FP per cm^2 and per image:
    {"pauc": Difference, "tpr_at_fp_per_cm2": {rate: Difference}, "tpr_at_fp_per_image": {rate: Difference}}.

    Both methods are seen on the same samples, `weights` (samples, images) from `bootstrap_weights`. The tables are of
    the same images in the same order; ValueError where their numbers of images or of annotated objects differ.
    """
    if not np.array_equal(first.annotated, second.annotated):
        raise ValueError("second: got other numbers of annotated objects per image than first; want the same images")
    rates = [(CM2, float(rate)) for rate in fp_rates] + [(IMAGE, float(rate)) for rate in fp_rates_per_image]
    until = {CM2: max(fp_limit, *fp_rates), IMAGE: max([0.0, *fp_rates_per_image])}

    def metrics(table: FrocTable, sample: np.ndarray) -> np.ndarray:
        curve = table.curve(sample, until)
        return np.array([curve.pauc(fp_limit), *(curve.tpr_at(rate, per) for per, rate in rates)])

    pauc, *others = bootstrap_differences(lambda w: metrics(first, w), lambda w: metrics(second, w), weights)
    found: dict[str, Any] = {"pauc": pauc, "tpr_at_fp_per_cm2": {}, "tpr_at_fp_per_image": {}}
    for (per, rate), difference in zip(rates, others, strict=True):
        found[f"tpr_at_fp_per_{per}"][str(rate)] = difference
    return found


def paired_test(first: Mapping[Hashable, float], second: Mapping[Hashable, float]) -> Wilcoxon:
    """Wilcoxon test of values by image or by object, ValueError where these differ; where a value is undefined (NaN)
    for either, both are left out.
    """
    if first.keys() != second.keys():
        raise ValueError("second: got other images or other annotated objects than first; want the same annotations")
    pairs = np.array([(value, second[key]) for key, value in first.items()], np.float64).reshape(-1, 2)
    return paired_wilcoxon(*pairs[~np.isnan(pairs).any(1)].T)


def image_values(run: Run, names: Sequence[str], column: str) -> dict[Hashable, float]:
    """{case_id: value in a column of cases.csv}; ValueError where one of the images has no row."""
    found = {row["case_id"]: number(row[column]) for row in run.cases}
    missing = set(names) - set(found)
    if missing:
        raise ValueError(f"{run.folder / CASES}: got no row of {min(missing)!r}; want one per image")
    return {name: found[name] for name in names}


def object_iou(run: Run) -> dict[Hashable, float]:
    """{(case_id, place in label order from 1, area in px): best IoU} of annotated objects; of a single pixel NaN."""
    found: dict[Hashable, float] = {}
    places: Counter[str] = Counter()
    for row in run.annotated:
        case, area = row["case_id"], int(row["area_px"])
        places[case] += 1
        found[case, places[case], area] = float(row["best_iou"]) if area > 1 else np.nan
    return found


def compare(
    first_dir: str | Path, second_dir: str | Path, bootstrap: Bootstrap | None = None, **options: Any
) -> dict[str, Any]:
    """Compare two evaluations by their output folders; counts and IoU are those at each one's own operating threshold.

    {"images", "difference", "operating_thresholds", "differences": `froc_differences` with its `options`, "wilcoxon":
    `paired_test` of every one of `VALUES`, "wilcoxon_per_object": {"iou": `paired_test`}, "bootstrap"}, JSON types.
    ValueError where the evaluations are not of the same images, or image names are not unique.
    """
    bootstrap = bootstrap or Bootstrap()
    runs = Run(Path(first_dir)), Run(Path(second_dir))
    (first, names, patients), (second, other_names, _) = (run.froc(by_name=True) for run in runs)
    if len(set(names)) < len(names):
        raise ValueError(f"{first_dir}: got an image name twice; want unique names")
    if names != other_names:
        odd = min(set(names) ^ set(other_names), default="one twice")
        raise ValueError(f"{second_dir}: got other images (e.g. {odd}); want those of {first_dir}")
    thresholds = [{key: run.metrics["operating_point"][key] for key in ("threshold", "chosen_by")} for run in runs]
    found = {
        "images": len(names),
        "difference": f"{first_dir} - {second_dir}",
        "operating_thresholds": {"first": thresholds[0], "second": thresholds[1]},
        "differences": froc_differences(first, second, bootstrap.weights(patients), **options),
        "wilcoxon": {value: paired_test(*(image_values(run, names, value) for run in runs)) for value in VALUES},
        "wilcoxon_per_object": {"iou": paired_test(*map(object_iou, runs))},
        "bootstrap": asdict(bootstrap),
    }
    return json_values(_as_dicts(found))


def difference_tables(runs: Sequence[Run]) -> tuple[list[Table], list[dict[str, Any]]]:
    """The first method against each other one: tables of bootstrap differences and of Wilcoxon tests (none for a single
    method), and `compare`'s result for each other method.
    """
    if len(runs) < 2:
        return [], []
    first, name = runs[0], runs[0].name
    froc, used = first.metrics["froc"], Bootstrap(**first.metrics["provenance"]["bootstrap"])
    rates = [float(rate) for rate in froc["tpr_at_fp_per_cm2"]]
    found = [
        compare(first.folder, other.folder, used, fp_limit=froc["fp_limit_per_cm2"], fp_rates=rates)
        for other in tqdm(runs[1:], desc="comparisons", unit="method", disable=None)
    ]
    rows, tests = [], []
    for run, result in zip(runs[1:], found, strict=True):
        entries = [result["differences"]["pauc"], *result["differences"]["tpr_at_fp_per_cm2"].values()]
        rows.append([Cell(run.name), *(_difference(entry, f"< {2 / used.samples:.2g}") for entry in entries)])
        tests.append([Cell(run.name), *(_wilcoxon(result[section][value]) for section, value in TESTS.values())])
    header = ["pAUC", *(f"TPR at {rate:g} FP/cm²" for rate in rates)]
    detection = Table("differences", "Differences of detection", [f"{name} minus", *header], rows)
    operating = Table("wilcoxon", "Differences at the operating thresholds", [f"{name} minus", *TESTS], tests)
    return [detection, operating], found


def p_text(p: float | None, least: str = "< 0.0001") -> str:
    """A p value; `least` where it is too small for a number."""
    if p is None:
        return NONE
    return least if p < 1e-4 else f"{p:.2g}" if p < 0.095 else f"{p:.2f}"


def _as_dicts(value: Any) -> Any:
    """Named tuples become dictionaries."""
    value = value._asdict() if hasattr(value, "_asdict") else value
    return {key: _as_dicts(part) for key, part in value.items()} if isinstance(value, dict) else value


def _difference(entry: Mapping[str, Any], least: str) -> Cell:
    if entry["value"] is None:
        return Cell(NONE)
    ends = "" if entry["low"] is None else f"{_signed(entry['low'])} to {_signed(entry['high'])}"
    return Cell(_signed(entry["value"]), ends, f"p {p_text(entry['p'], least)}")


def _wilcoxon(entry: Mapping[str, Any]) -> Cell:
    if entry["median"] is None:
        return Cell(NONE)
    return Cell(_signed(entry["median"]), "", f"p {p_text(entry['p'])}, n = {entry['n']}")


def _signed(number: float) -> str:
    text = f"{number:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "−")
