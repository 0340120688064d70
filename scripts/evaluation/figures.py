"""The FROC plot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from scripts.common.files import write_atomically
from scripts.evaluation.froc import Froc

#: Points along the axis of FP per cm^2 that the bootstrap band is drawn at.
BAND_POINTS = 201


def band_rates(fp_limit: float) -> np.ndarray:
    """FP per cm^2 at which the bootstrap band is evaluated, 0..fp_limit."""
    return np.linspace(0, fp_limit, BAND_POINTS)


def draw_froc(
    path: str | Path,
    curve: Froc,
    low: np.ndarray,
    high: np.ndarray,
    *,
    fp_limit: float,
    operating_index: int | None,
    title: str,
    note: str,
) -> Path:
    """Draw a FROC curve with its 95 % bootstrap band.

    Args:
        path: PNG file, written atomically.
        curve: the curve.
        low, high: band at `band_rates(fp_limit)`; NaN where it is not defined.
        fp_limit: end of the axis, FP per cm^2.
        operating_index: point to mark, or None.
        title: of the plot.
        note: label of the curve, e.g. its pAUC.
    """
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    rates = band_rates(fp_limit)
    axes.fill_between(rates, low, high, step="post", alpha=0.25, linewidth=0, label="95 % bootstrap interval")
    end = max(fp_limit, curve.fp_per_cm2[-1])
    axes.step(np.append(curve.fp_per_cm2, end), np.append(curve.tpr, curve.tpr[-1]), where="post", label=note)
    if operating_index is not None:
        x, y = curve.fp_per_cm2[operating_index], curve.tpr[operating_index]
        text = f"threshold {curve.threshold[operating_index]:.3g}: TPR {y:.3f} at {x:.3f} FP/cm²"
        axes.plot([x], [y], "o", color="black", markersize=5, label=text, clip_on=True)
    axes.set(xlim=(0, fp_limit), ylim=(0, 1.005), title=title)
    axes.set_xlabel("false positives per cm² of breast")
    axes.set_ylabel("true-positive rate")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    return write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=150))
