"""The report's figures of curves and distributions. Each draws all methods and returns a matplotlib figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from tqdm import tqdm

from scripts.evaluation.figures import band_rates
from scripts.evaluation.froc import CM2, Froc
from scripts.evaluation.report.runs import Run, number
from scripts.evaluation.report.style import colour, line, marked, new_figure, wrapped
from scripts.evaluation.statistics import bootstrap_weights, interval

#: Left end of the logarithmic axis of FP per cm^2.
LEAST_FP_RATE = 0.01
#: Bins of a reliability diagram with fewer scores are not drawn: their shares are noise.
LEAST_COUNT = 10
#: Box plots of at most this many values show every one.
MOST_DOTS = 60


def froc_figure(runs: Sequence[Run], progress: bool = False) -> Figure:
    """FROC of all methods: linear with bootstrap bands, and logarithmic."""
    limit = runs[0].metrics["froc"]["fp_limit_per_cm2"]
    figure = new_figure(10.5, 4.6)
    left, right = figure.subplots(1, 2, sharey=True)
    rates, end = band_rates(limit), limit
    for place, run in enumerate(tqdm(runs, desc="FROC bands", unit="method", disable=not progress)):
        curve, low, high = _band(run, rates)
        end = max(end, curve.fp_per_cm2[-1])
        left.fill_between(rates, low, high, step="post", color=colour(place), alpha=0.13, linewidth=0)
        for axes in (left, right):
            x = np.append(curve.fp_per_cm2, 1e9)
            axes.step(x, np.append(curve.tpr, curve.tpr[-1]), where="post", label=run.name, **line(place))
        point = run.metrics["operating_point"]
        if point["fp_per_cm2"]["value"] is not None and point["tpr"]["value"] is not None:
            for axes in (left, right):
                x, y = point["fp_per_cm2"]["value"], point["tpr"]["value"]
                axes.plot([x], [y], markersize=7, markeredgecolor="white", **marked(place), zorder=5)
    left.set(xlim=(0, limit), ylim=(0, 1.01), xlabel="false positives per cm² of breast", ylabel="true-positive rate")
    right.set(xscale="log", xlim=(LEAST_FP_RATE, min(end, 100) * 1.05), xlabel="false positives per cm², logarithmic")
    _legend(figure, left)
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
    pr.set(
        xlim=(0, 1), ylim=(0, 1.01), xlabel="recall of pixels", ylabel="precision of pixels", title="precision-recall"
    )
    _legend(figure, roc)
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
    _legend(figure, axes)
    return figure


def size_figure(runs: Sequence[Run]) -> Figure:
    """Annotated MCs by diameter, found and missed, one panel per method."""
    across = 2 if len(runs) in (2, 4) else min(3, len(runs))
    down = math.ceil(len(runs) / across)
    figure = new_figure(10.5 if across > 1 else 6.6, 2.9 * down + 0.5)
    panels = np.atleast_1d(figure.subplots(down, across, sharex=True, sharey=True)).ravel()
    for place, axes in enumerate(panels):
        if place >= len(runs):
            axes.set_visible(False)
            continue
        rows = [row for row in runs[place].metrics["strata"] if row["by"] == "diameter_mm"]
        names = [
            row["stratum"]
            .replace("single pixel", "1 px")
            .replace("below ", "< ")
            .replace(" or more", "+")
            .replace(" to ", "–")
            for row in rows
        ]
        found, total = (np.array([row[name] for row in rows], float) for name in ("tp", "annotated"))
        spots = np.arange(len(rows))
        axes.bar(spots, found, color=colour(place), width=0.8)
        missed: dict[str, Any] = {"facecolor": "white", "edgecolor": "#777777", "hatch": "////", "linewidth": 0.6}
        axes.bar(spots, total - found, bottom=found, width=0.8, **missed)
        axes.set_title(runs[place].name, fontsize=10, loc="left")
        axes.set_xticks(spots, names, rotation=45, ha="right", fontsize=9)
        axes.grid(axis="x", visible=False)
        axes.tick_params(labelbottom=place + across >= len(runs))
        if place % across == 0:
            axes.set_ylabel("annotated MCs")
    figure.supxlabel("diameter of the labelled area, mm", fontsize=10)
    handles = [Patch(facecolor="#999999", label="found"), Patch(label="missed", **missed)]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return figure


def strata_figure(runs: Sequence[Run]) -> Figure:
    """TPR with intervals by diameter and by contrast to noise."""
    figure = new_figure(10.5, 4.4)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, by, title in zip(
        panels, ("diameter_mm", "contrast_to_noise"), ("diameter, mm", "contrast to noise"), strict=True
    ):
        names: list[str] = []
        for place, run in enumerate(runs):
            rows = [row for row in run.metrics["strata"] if row["by"] == by and row["annotated"]]
            names = names or [f"{row['stratum']}\n(n={row['annotated']})".replace(" to ", "–") for row in rows]
            y, low, high = (np.array([_nan(row[k]) for row in rows]) for k in ("tpr", "tpr_low", "tpr_high"))
            x = np.arange(len(rows)) + (place - (len(runs) - 1) / 2) * 0.7 / max(len(runs), 1)
            error = np.abs(np.stack([y - low, high - y]))
            axes.errorbar(
                x,
                y,
                error,
                linestyle="none",
                markersize=5,
                elinewidth=1.2,
                label=run.name,
                **marked(place),
            )
        axes.set_xticks(range(len(names)), names, fontsize=8)
        axes.set(xlabel=title, ylim=(-0.03, 1.03))
        axes.grid(axis="x", visible=False)
    panels[0].set_ylabel("true-positive rate at the threshold")
    _legend(figure, panels[0])
    return figure


def iou_figure(runs: Sequence[Run]) -> Figure:
    """Box plots of IoU per annotated object and of foreground IoU per image."""
    figure = new_figure(10.5, 1.5 + 0.55 * len(runs))
    left, right = figure.subplots(1, 2, sharey=True)
    per_object = [
        [number(row["best_iou"]) for row in run.objects if row["kind"] == "annotated" and int(row["area_px"]) > 1]
        for run in runs
    ]
    per_image = [[number(row["foreground_iou"]) for row in run.cases if int(row["annotated"])] for run in runs]
    for axes, values, title in ((left, per_object, "IoU per object"), (right, per_image, "foreground IoU per image")):
        _boxes(axes, values)
        axes.set(xlim=(-0.02, 1.02), xlabel=f"{title} (n = {len(values[0])})")
        axes.grid(axis="y", visible=False)
    left.set_yticks(range(len(runs)), wrapped([run.name for run in runs]))
    left.invert_yaxis()
    return figure


def reliability_figure(runs: Sequence[Run]) -> Figure:
    """Reliability diagrams of object scores and of pixel scores."""
    figure = new_figure(10.5, 4.9)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, ("objects", "pixels"), strict=True):
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=":")
        for place, run in enumerate(runs):
            rows = [row for row in run.reliability if row["of"] == kind and int(row["count"]) >= LEAST_COUNT]
            x, y = (np.array([number(row[name]) for row in rows]) for name in ("mean_score", "share_positive"))
            axes.plot(x, y, markersize=5, label=run.name, **line(place) | marked(place))
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=f"mean score of {kind} in the bin", aspect="equal")
    panels[0].set_ylabel("share that is true")
    _legend(figure, panels[0])
    return figure


def _boxes(axes: Axes, values: Sequence[Sequence[float]]) -> None:
    rng = np.random.default_rng(0)  # scatter of the points, of no meaning
    parts = axes.boxplot(
        [list(v) for v in values],
        positions=range(len(values)),
        orientation="horizontal",
        widths=0.55,
        patch_artist=True,
        flierprops={"marker": ".", "markersize": 6, "alpha": 0.5, "markeredgewidth": 0},
        showmeans=True,
        medianprops={"color": "black", "linewidth": 1.6},
        meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 5},
    )
    for place, (box, outliers, points) in enumerate(zip(parts["boxes"], parts["fliers"], values, strict=True)):
        outliers.set(markerfacecolor=colour(place), visible=len(points) > MOST_DOTS)
        box.set(facecolor=colour(place), alpha=0.45)
        if len(points) <= MOST_DOTS:
            spots = place + rng.uniform(-0.16, 0.16, len(points))
            axes.plot(points, spots, ".", color=colour(place), markersize=4, alpha=0.9, zorder=3)


def _band(run: Run, rates: np.ndarray) -> tuple[Froc, np.ndarray, np.ndarray]:
    """Curve, and low and high of its 95 % bootstrap band at `rates`, as the evaluation's own froc.png."""
    table, units = run.froc()
    used = run.metrics["provenance"]["bootstrap"]
    sampled = bootstrap_weights(units, used["samples"], used["seed"])
    band = np.stack([table.curve(weights, {CM2: rates.max()}).tpr_at(rates) for weights in sampled])
    shown = [interval(0.0, values) for values in band.T]
    return table.curve(), np.array([s.low for s in shown]), np.array([s.high for s in shown])


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = len(handles) if len(handles) <= 4 else math.ceil(len(handles) / 2)
        figure.legend(
            handles, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize=10, handlelength=3.2
        )


def _nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
