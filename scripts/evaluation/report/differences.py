"""The report's tables of paired differences: the reference method against each other one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from scripts.evaluation.compare import compare
from scripts.evaluation.report.runs import Run
from scripts.evaluation.report.tables import NONE, Cell, Table
from scripts.evaluation.statistics import Bootstrap

#: Tests shown: column -> section of `compare.compare`, value.
TESTS = {
    "TPR of an image": ("wilcoxon", "tpr"),
    "FP per cm² of an image": ("wilcoxon", "fp_per_cm2"),
    "foreground IoU of an image": ("wilcoxon", "foreground_iou"),
    "mean IoU of an image": ("wilcoxon", "mean_iou"),
    "IoU of an annotated MC": ("wilcoxon_per_object", "iou"),
}


def difference_tables(runs: Sequence[Run], progress: bool = False) -> tuple[list[Table], list[dict[str, Any]]]:
    """The first method against each other one: bootstrap differences and Wilcoxon tests, and what they came from.

    Returns:
        Tables (none for a single method), and `compare.compare`'s result for each other method.
    """
    if len(runs) < 2:
        return [], []
    first, name = runs[0], runs[0].name
    froc, used = first.metrics["froc"], Bootstrap(**first.metrics["provenance"]["bootstrap"])
    rates = [float(rate) for rate in froc["tpr_at_fp_per_cm2"]]
    found = [
        compare(first.folder, other.folder, used, fp_limit=froc["fp_limit_per_cm2"], fp_rates=rates)
        for other in tqdm(runs[1:], desc="comparisons", unit="method", disable=not progress)
    ]
    rows, tests = [], []
    for run, result in zip(runs[1:], found, strict=True):
        entries = [result["differences"]["pauc"], *result["differences"]["tpr_at_fp_per_cm2"].values()]
        rows.append([Cell(run.name), *(_difference(entry, f"< {2 / used.samples:.2g}") for entry in entries)])
        tests.append([Cell(run.name), *(_wilcoxon(result[section][value]) for section, value in TESTS.values())])
    detection = Table(
        key="differences",
        title="Differences of detection",
        header=[f"{name} minus", "pAUC", *(f"TPR at {rate:g} FP/cm²" for rate in rates)],
        rows=rows,
        note=f"{name} minus the other (above 0: {name} is better), 95 % interval and two-sided p of "
        f"{used.samples} bootstrap samples of {used.unit}s, the same for both. No correction for several tests.",
    )
    operating = Table(
        key="wilcoxon",
        title="Differences at the operating thresholds",
        header=[f"{name} minus", *TESTS],
        rows=tests,
        note=f"Median over images, or over annotated MCs larger than one pixel, of {name} minus the other, each "
        "at its own operating threshold; p of Wilcoxon's signed-rank test, two-sided, and the number of images or MCs "
        f"that differ. More false positives are worse: there, below 0 means that {name} is better.",
    )
    return [detection, operating], found


def p_text(p: float | None, least: str = "< 0.0001") -> str:
    """A p value; `least` where it is too small for a number."""
    if p is None:
        return NONE
    return least if p < 1e-4 else f"{p:.2g}" if p < 0.095 else f"{p:.2f}"


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
