"""The report's figures of curves. Each draws all methods and returns a matplotlib figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from scripts.evaluation.froc import CM2, IMAGE, Froc
from scripts.evaluation.report.runs import Run, number
from scripts.evaluation.report.style import colour, legend, line, marked, new_figure
from scripts.evaluation.sections.froc import BAND_POINTS
from scripts.evaluation.statistics import bootstrap_weights, interval

#: Bins of a reliability diagram with fewer scores are not drawn: their shares are noise.
LEAST_COUNT = 10


class FrocAxis(NamedTuple):
    """What false positives are counted by in a FROC figure.

    Attributes:
        per: "cm2" or "image".
        field: false positives by it, an attribute of `Froc` and a key of the operating point.
        label: of the axis.
        least, most: ends of the logarithmic axis.
    """

    per: str
    field: str
    label: str
    least: float
    most: float

    def limit(self, run: Run) -> float:
        """End of the linear axis: that of pAUC; per image, enough for the rates asked for and the operating point."""
        froc, point = run.metrics["froc"], run.metrics["operating_point"]
        if self.per == CM2:
            return froc["fp_limit_per_cm2"]
        most = max(map(float, froc["tpr_at_fp_per_image"]))
        return max(most, min(1.2 * (point[self.field]["value"] or 0.0), 5 * most))


PER_CM2 = FrocAxis(CM2, "fp_per_cm2", "false positives per cm² of breast", 0.01, 100)
PER_IMAGE = FrocAxis(IMAGE, "fp_per_image", "false positives per mammogram", 0.1, 10_000)


def froc_figure(runs: Sequence[Run], axis: FrocAxis = PER_CM2, progress: bool = False) -> Figure:
    """FROC of all methods: linear with bootstrap bands, and logarithmic."""
    limit = axis.limit(runs[0])
    figure = new_figure(10.5, 4.6)
    left, right = figure.subplots(1, 2, sharey=True)
    rates, end = np.linspace(0, limit, BAND_POINTS), limit
    for place, run in enumerate(tqdm(runs, desc=f"FROC bands per {axis.per}", unit="method", disable=not progress)):
        curve, low, high = _band(run, rates, axis.per)
        fp, point = curve.fp_rate(axis.per), run.metrics["operating_point"]
        end = max(end, fp[-1])
        left.fill_between(rates, low, high, step="post", color=colour(place), alpha=0.13, linewidth=0)
        x, y = point[axis.field]["value"], point["tpr"]["value"]
        for axes in (left, right):
            tpr = np.append(curve.tpr, curve.tpr[-1])
            axes.step(np.append(fp, 1e9), tpr, where="post", label=run.name, **line(place))
            if x is not None and y is not None:
                axes.plot([x], [y], markersize=7, markeredgecolor="white", **marked(place), zorder=5)
    left.set(xlim=(0, limit), ylim=(0, 1.01), xlabel=axis.label, ylabel="true-positive rate")
    right.set(xscale="log", xlim=(axis.least, min(end, axis.most) * 1.05), xlabel=f"{axis.label}, logarithmic")
    legend(figure, left)
    return figure


def pixel_figure(runs: Sequence[Run]) -> Figure | None:
    """Pixel ROC (logarithmic) and precision-recall; None when no method gives a map."""
    curves = [(place, run, run.pixel_curve()) for place, run in enumerate(runs)]
    curves = [entry for entry in curves if entry[2]["recall"].size and not np.isnan(entry[2]["recall"]).any()]
    if not curves:
        return None
    figure = new_figure(10.5, 4.6)
    roc, pr = figure.subplots(1, 2, sharey=False)
    for place, run, curve in curves:
        fpr, recall = (np.append(0.0, curve[name]) for name in ("false_positive_rate", "recall"))
        roc.plot(np.maximum(fpr, 1e-7), recall, drawstyle="steps-post", label=run.name, **line(place))
        pr.plot(recall[1:], curve["precision"], drawstyle="steps-pre", label=run.name, **line(place))
    chance = np.logspace(-7, 0, 50)
    roc.plot(chance, chance, color="#888888", linewidth=1, linestyle=":")
    roc.set(xscale="log", xlim=(1e-6, 1), ylim=(0, 1.01), xlabel="false-positive rate of pixels, logarithmic")
    roc.set(ylabel="true-positive rate of pixels", title="ROC")
    pr.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="recall of pixels")
    pr.set(ylabel="precision of pixels", title="precision-recall")
    legend(figure, roc)
    return figure


def cluster_figure(runs: Sequence[Run]) -> Figure | None:
    """Share of clusters found against false-positive clusters per image; None without clusters."""
    if not all((run.folder / "cluster_froc.csv").is_file() for run in runs):
        return None
    figure = new_figure(6.6, 4.4)
    axes = figure.add_subplot()
    for place, run in enumerate(runs):
        rows = run.rows("cluster_froc.csv")
        x, y = (np.array([number(row[name]) for row in rows]) for name in ("fp_per_image", "tpr"))
        if not np.isnan(y).any():
            axes.step(np.append(x, 1e9), np.append(y, y[-1]), where="post", label=run.name, **line(place))
    axes.set(xlim=(0, 3), ylim=(0, 1.02), xlabel="false-positive clusters per image", ylabel="share of clusters found")
    legend(figure, axes)
    return figure


def reliability_figure(runs: Sequence[Run]) -> Figure:
    """Reliability diagrams of object scores and of pixel scores."""
    figure = new_figure(10.5, 4.9)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, ("objects", "pixels"), strict=True):
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=":")
        for place, run in enumerate(runs):
            rows = [
                row for row in run.rows("reliability.csv") if row["of"] == kind and int(row["count"]) >= LEAST_COUNT
            ]
            x, y = (np.array([number(row[name]) for row in rows]) for name in ("mean_score", "share_positive"))
            axes.plot(x, y, markersize=5, label=run.name, **line(place) | marked(place))
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=f"mean score of {kind} in the bin", aspect="equal")
    panels[0].set_ylabel("share that is true")
    legend(figure, panels[0])
    return figure


def _band(run: Run, rates: np.ndarray, per: str) -> tuple[Froc, np.ndarray, np.ndarray]:
    """Curve, and low and high of its 95 % bootstrap band at `rates`, as the evaluation's own froc.png."""
    table, units = run.froc()
    used = run.metrics["provenance"]["bootstrap"]
    sampled = bootstrap_weights(units, used["samples"], used["seed"])
    band = np.stack([table.curve(weights, {per: rates.max()}).tpr_at(rates, per) for weights in sampled])
    shown = [interval(0.0, values) for values in band.T]
    return table.curve(), np.array([s.low for s in shown]), np.array([s.high for s in shown])
