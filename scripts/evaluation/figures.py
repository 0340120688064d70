"""Figures of an evaluation: FROC curves, sizes of annotated objects."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from scripts.common.files import write_atomically
from scripts.evaluation.froc import CM2, IMAGE, Froc
from scripts.evaluation.statistics import interval

#: Points along the axis of false positives that the bootstrap band is drawn at.
BAND_POINTS = 201
AXES = {CM2: ("false positives per cm² of breast", "FP/cm²"), IMAGE: ("false positives per image", "FP/image")}


def band_rates(fp_limit: float) -> np.ndarray:
    """FP rates at which the bootstrap band is evaluated, 0..fp_limit."""
    return np.linspace(0, fp_limit, BAND_POINTS)


def draw_froc(
    path: str | Path,
    curve: Froc,
    sampled: np.ndarray,
    *,
    per: str = CM2,
    fp_limit: float,
    operating_index: int | None,
    title: str,
    note: str,
) -> Path:
    """Draw a FROC curve with its 95 % bootstrap band.

    Args:
        path: PNG file, written atomically.
        curve: the curve.
        sampled: (samples, points) TPR of each sample at `band_rates(fp_limit)`; NaN where it is not defined.
        per: what false positives are per, "cm2" (of breast) or "image".
        fp_limit: end of the axis, FP per cm^2 or per image.
        operating_index: point to mark, or None.
        title: of the plot.
        note: label of the curve, e.g. its pAUC.
    """
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    rates, fp, (label, unit) = band_rates(fp_limit), curve.fp_rate(per), AXES[per]
    band = [interval(np.nan, values) for values in sampled.T]
    low, high = np.array([point.low for point in band]), np.array([point.high for point in band])
    axes.fill_between(rates, low, high, step="post", alpha=0.25, linewidth=0, label="95 % bootstrap interval")
    end = max(fp_limit, fp[-1])
    axes.step(np.append(fp, end), np.append(curve.tpr, curve.tpr[-1]), where="post", label=note)
    if operating_index is not None:
        x, y = fp[operating_index], curve.tpr[operating_index]
        text = f"threshold {curve.threshold[operating_index]:.3g}: TPR {y:.3f} at {x:.3f} {unit}"
        axes.plot([x], [y], "o", color="black", markersize=5, label=text, clip_on=True)
    axes.set(xlim=(0, fp_limit), ylim=(0, 1.005), title=title, xlabel=label, ylabel="true-positive rate")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    return write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=150))


def draw_sizes(path: str | Path, counts: Mapping[str, np.ndarray], bin_px: int) -> Path:
    """Draw histograms of object sizes, one panel per section of the data.

    Args:
        path: PNG file, written atomically.
        counts: section -> (bins,) number of objects; the last bin has no upper end.
        bin_px: width of a bin, px; the first one begins at 1 px.
    """
    figure = Figure(figsize=(6.4, 2.2 * max(len(counts), 1) + 0.6), layout="constrained")
    for place, (section, numbers) in enumerate(counts.items(), start=1):
        axes = figure.add_subplot(len(counts), 1, place)
        low = 1 + bin_px * np.arange(numbers.size)
        axes.bar(low, numbers, width=bin_px, align="edge")
        axes.set(title=f"{section}: {int(numbers.sum())} MCs", xlim=(0, low[-1] + 2 * bin_px), ylabel="MCs")
        axes.set_xlabel(f"size, px (last bin: {low[-1]} or more)")
    return write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=150))
