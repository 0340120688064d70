"""The report's figures of distributions: sizes, strata, IoU. Each returns a matplotlib figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from scripts.evaluation.report.runs import Run, number
from scripts.evaluation.report.style import colour, legend, marked, new_figure, wrapped

#: Box plots of at most this many values show every one.
MOST_DOTS = 60
#: Ways to write the names of strata shorter.
SHORTER = {"single pixel": "1 px", "below ": "< ", " or more": "+", " to ": "–"}
LABEL_SIZES = "label_sizes.csv"
#: A histogram of label sizes names at most this many of its bins.
MOST_NAMES = 12


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
        names = [_short(row["stratum"]) for row in rows]
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


def label_size_figure(runs: Sequence[Run]) -> Figure | None:
    """Sizes of the labelled MCs in px, one panel per part of the data; None when no evaluation has them.

    label_sizes.csv holds one row per bin, with a column per part of the data, or one row per part and bin.
    """
    run = next((run for run in runs if (run.folder / LABEL_SIZES).is_file()), None)
    if run is None:
        return None
    sections: dict[str, dict[str, int]] = {}
    for row in run.rows(LABEL_SIZES):
        name = _size_name(row["low_px"], row["high_px"])
        counted = {row["section"]: row["count"]} if "section" in row else dict(list(row.items())[2:])
        for section, count in counted.items():
            sections.setdefault(section, {})[name] = int(count)
    figure = new_figure(10.5, 3.2)
    panels = figure.subplots(1, len(sections), squeeze=False)[0]
    for axes, (section, sizes) in zip(panels, sections.items(), strict=True):
        names, counts = list(sizes), list(sizes.values())
        every = math.ceil(len(names) / MOST_NAMES)
        spots = [*range(0, len(names) - max(every // 2, 1), every), len(names) - 1]  # the last one, nothing close to it
        axes.bar(range(len(counts)), counts, width=0.9, color="#777777")
        axes.set_xticks(spots, [names[spot] for spot in spots], rotation=45, ha="right", fontsize=8)
        axes.set_title(f"{section}: {sum(counts)} MCs", fontsize=10, loc="left")
        axes.grid(axis="x", visible=False)
    figure.supxlabel("labelled area, px", fontsize=10)
    figure.supylabel("annotated MCs", fontsize=10)
    return figure


def strata_figure(runs: Sequence[Run]) -> Figure:
    """TPR with intervals by diameter and by contrast to noise."""
    figure = new_figure(10.5, 4.4)
    panels = figure.subplots(1, 2, sharey=True)
    shown = (("diameter_mm", "diameter, mm"), ("contrast_to_noise", "contrast to noise"))
    for axes, (by, title) in zip(panels, shown, strict=True):
        names: list[str] = []
        for place, run in enumerate(runs):
            rows = [row for row in run.metrics["strata"] if row["by"] == by and row["annotated"]]
            names = names or [f"{row['stratum']}\n(n={row['annotated']})".replace(" to ", "–") for row in rows]
            y, low, high = (np.array([row[k] for row in rows], float) for k in ("tpr", "tpr_low", "tpr_high"))
            x = np.arange(len(rows)) + (place - (len(runs) - 1) / 2) * 0.7 / max(len(runs), 1)
            error = np.abs(np.stack([y - low, high - y]))
            look = {"linestyle": "none", "markersize": 5, "elinewidth": 1.2, **marked(place)}
            axes.errorbar(x, y, error, label=run.name, **look)
        axes.set_xticks(range(len(names)), names, fontsize=8)
        axes.set(xlabel=title, ylim=(-0.03, 1.03))
        axes.grid(axis="x", visible=False)
    panels[0].set_ylabel("true-positive rate at the threshold")
    legend(figure, panels[0])
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


def _short(name: str) -> str:
    for long, short in SHORTER.items():
        name = name.replace(long, short)
    return name


def _size_name(low: str, high: str) -> str:
    """A bin of sizes that holds its lower edge, not its upper one; without an upper edge it holds all larger ones."""
    first = round(number(low))
    if not high:
        return f"≥ {first}"
    last = round(number(high)) - 1
    return f"{first}" if last <= first else f"{first}–{last}"
