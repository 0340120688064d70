"""The report's figures of curves and distributions. Each draws all methods; None where there is nothing to draw."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from tqdm import tqdm

from scripts.evaluation.froc import CM2, IMAGE, Froc
from scripts.evaluation.report.runs import Run, number
from scripts.evaluation.report.style import PAGE_WIDTH, colour, legend, line, marked, new_figure, panels_of, wrapped
from scripts.evaluation.sections.froc import BAND_POINTS
from scripts.evaluation.statistics import Bootstrap, interval

#: Bins of a reliability diagram with fewer scores are not drawn: their shares are noise.
LEAST_COUNT = 10
#: Box plots of at most this many values show every one.
MOST_DOTS = 60
#: A histogram of label sizes names at most this many of its bins.
MOST_NAMES = 12
#: Ways to write the names of strata shorter.
SHORTER = {"single pixel": "1 px", "below ": "< ", " or more": "+", " to ": "–"}
DOTTED: dict[str, Any] = {"color": "#888888", "linewidth": 1, "linestyle": ":"}
HATCHED: dict[str, Any] = {"facecolor": "white", "edgecolor": "#777777", "hatch": "////", "linewidth": 0.6}


class FrocAxis(NamedTuple):
    """What false positives are counted by in a FROC figure."""

    per: str  # "cm2" or "image"
    label: str
    least: float  # ends of the logarithmic axis
    most: float

    def limit(self, run: Run) -> float:
        """End of the linear axis: that of pAUC; per image, enough for the rates asked for and the operating point."""
        froc, point = run.metrics["froc"], run.metrics["operating_point"]
        if self.per == CM2:
            return froc["fp_limit_per_cm2"]
        most = max(map(float, froc["tpr_at_fp_per_image"]))
        return max(most, min(1.2 * (point[f"fp_per_{self.per}"]["value"] or 0.0), 5 * most))


PER_CM2 = FrocAxis(CM2, "false positives per cm² of breast", 0.01, 100)
PER_IMAGE = FrocAxis(IMAGE, "false positives per mammogram", 0.1, 10_000)


def froc_figure(runs: Sequence[Run], axis: FrocAxis = PER_CM2) -> Figure:
    """FROC of all methods: linear with bootstrap bands, and logarithmic."""
    limit = axis.limit(runs[0])
    figure = new_figure(PAGE_WIDTH, 4.6)
    left, right = figure.subplots(1, 2, sharey=True)
    rates, end = np.linspace(0, limit, BAND_POINTS), limit
    for place, run in enumerate(tqdm(runs, desc=f"FROC bands per {axis.per}", unit="method", disable=None)):
        curve, low, high = _band(run, rates, axis.per)
        fp, point = curve.fp_rate(axis.per), run.metrics["operating_point"]
        end = max(end, fp[-1])
        left.fill_between(rates, low, high, step="post", color=colour(place), alpha=0.13, linewidth=0)
        x, y = point[f"fp_per_{axis.per}"]["value"], point["tpr"]["value"]
        for axes in (left, right):
            _steps(axes, fp, curve.tpr, run, place)
            if x is not None and y is not None:
                axes.plot([x], [y], markersize=7, markeredgecolor="white", **marked(place), zorder=5)
    left.set(xlim=(0, limit), ylim=(0, 1.01), xlabel=axis.label, ylabel="true-positive rate")
    right.set(xscale="log", xlim=(axis.least, min(end, axis.most) * 1.05), xlabel=f"{axis.label}, logarithmic")
    return legend(figure, left)


def pixel_figure(runs: Sequence[Run]) -> Figure | None:
    """Pixel ROC (logarithmic) and precision-recall; None when no method gives a map."""
    names = ("false_positive_rate", "recall", "precision")
    curves = {place: run.columns("pixel_curve.csv", *names) for place, run in enumerate(runs)}
    curves = {place: curve for place, curve in curves.items() if curve[1].size and not np.isnan(curve[1]).any()}
    if not curves:
        return None
    figure = new_figure(PAGE_WIDTH, 4.6)
    roc, pr = figure.subplots(1, 2)
    for place, (fpr, recall, precision) in curves.items():
        look = {"label": runs[place].name, **line(place)}
        roc.plot(np.maximum(np.append(0.0, fpr), 1e-7), np.append(0.0, recall), drawstyle="steps-post", **look)
        pr.plot(recall, precision, drawstyle="steps-pre", **look)
    roc.plot(np.logspace(-7, 0, 50), np.logspace(-7, 0, 50), **DOTTED)
    roc.set(xscale="log", xlim=(1e-6, 1), ylim=(0, 1.01), xlabel="false-positive rate of pixels, logarithmic")
    roc.set(ylabel="true-positive rate of pixels", title="ROC")
    pr.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="recall of pixels")
    pr.set(ylabel="precision of pixels", title="precision-recall")
    return legend(figure, roc)


def cluster_figure(runs: Sequence[Run]) -> Figure | None:
    """Share of clusters found against false-positive clusters per image; None without clusters."""
    curves = [run.columns("cluster_froc.csv", "fp_per_image", "tpr") for run in runs]
    if not all(tpr.size for _, tpr in curves):
        return None
    figure = new_figure(6.6, 4.4)
    axes = figure.add_subplot()
    for place, (run, (fp, tpr)) in enumerate(zip(runs, curves, strict=True)):
        if not np.isnan(tpr).any():
            _steps(axes, fp, tpr, run, place)
    axes.set(xlim=(0, 3), ylim=(0, 1.02), xlabel="false-positive clusters per image", ylabel="share of clusters found")
    return legend(figure, axes)


def reliability_figure(runs: Sequence[Run]) -> Figure:
    """Reliability diagrams of object scores and of pixel scores."""
    figure = new_figure(PAGE_WIDTH, 4.9)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, ("objects", "pixels"), strict=True):
        axes.plot([0, 1], [0, 1], **DOTTED)
        for place, run in enumerate(runs):
            rows = [row for row in run.rows("reliability.csv") if row["of"] == kind]
            rows = [row for row in rows if int(row["count"]) >= LEAST_COUNT]
            x, y = ([number(row[name]) for row in rows] for name in ("mean_score", "share_positive"))
            axes.plot(x, y, markersize=5, label=run.name, **line(place) | marked(place))
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=f"mean score of {kind} in the bin", aspect="equal")
    panels[0].set_ylabel("share that is true")
    return legend(figure, panels[0])


def size_figure(runs: Sequence[Run]) -> Figure:
    """Annotated MCs by diameter, found and missed, one panel per method."""
    across = 2 if len(runs) in (2, 4) else min(3, len(runs))
    down = math.ceil(len(runs) / across)
    figure = new_figure(PAGE_WIDTH if across > 1 else 6.6, 2.9 * down + 0.5)
    panels = panels_of(figure, down, across, len(runs), sharex=True, sharey=True)
    for place, (run, axes) in enumerate(zip(runs, panels, strict=True)):
        rows = [row for row in run.metrics["strata"] if row["by"] == "diameter_mm"]
        found, total = (np.array([row[name] for row in rows], float) for name in ("tp", "annotated"))
        axes.bar(range(len(rows)), found, color=colour(place), width=0.8)
        axes.bar(range(len(rows)), total - found, bottom=found, width=0.8, **HATCHED)
        _name_bars(axes, [_short(row["stratum"]) for row in rows], run.name, fontsize=9)
        axes.tick_params(labelbottom=place + across >= len(runs))
        if place % across == 0:
            axes.set_ylabel("annotated MCs")
    figure.supxlabel("diameter of the labelled area, mm", fontsize=10)
    handles = [Patch(facecolor="#999999", label="found"), Patch(label="missed", **HATCHED)]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return figure


def label_size_figure(runs: Sequence[Run]) -> Figure | None:
    """Sizes of the labelled MCs in px, one panel per part of the data; None when no evaluation has them."""
    rows = next((rows for run in runs if (rows := run.rows("label_sizes.csv"))), None)
    if rows is None:
        return None
    low, high, *sections = rows[0]  # a column per part of the data
    names = [_size_name(row[low], row[high]) for row in rows]
    every = math.ceil(len(names) / MOST_NAMES)
    spots = [*range(0, len(names) - max(every // 2, 1), every), len(names) - 1]  # the last one, nothing close to it
    figure = new_figure(PAGE_WIDTH, 3.2)
    for axes, section in zip(panels_of(figure, 1, len(sections), len(sections)), sections, strict=True):
        counts = [int(row[section]) for row in rows]
        axes.bar(range(len(counts)), counts, width=0.9, color="#777777")
        _name_bars(axes, {spot: names[spot] for spot in spots}, f"{section}: {sum(counts)} MCs", fontsize=8)
    figure.supxlabel("labelled area, px", fontsize=10)
    figure.supylabel("annotated MCs", fontsize=10)
    return figure


def strata_figure(runs: Sequence[Run]) -> Figure:
    """TPR with intervals by diameter and by contrast to noise."""
    figure = new_figure(PAGE_WIDTH, 4.4)
    panels = figure.subplots(1, 2, sharey=True)
    shown = (("diameter_mm", "diameter, mm"), ("contrast_to_noise", "contrast to noise"))
    for axes, (by, title) in zip(panels, shown, strict=True):
        names: list[str] = []
        for place, run in enumerate(runs):
            rows = [row for row in run.metrics["strata"] if row["by"] == by and row["annotated"]]
            names = names or [f"{row['stratum']}\n(n={row['annotated']})".replace(" to ", "–") for row in rows]
            y, low, high = (np.array([row[k] for row in rows], float) for k in ("tpr", "tpr_low", "tpr_high"))
            x = np.arange(len(rows)) + (place - (len(runs) - 1) / 2) * 0.7 / len(runs)
            look = {"linestyle": "none", "markersize": 5, "elinewidth": 1.2, **marked(place)}
            axes.errorbar(x, y, np.abs(np.stack([y - low, high - y])), label=run.name, **look)
        axes.set_xticks(range(len(names)), names, fontsize=8)
        axes.set(xlabel=title, ylim=(-0.03, 1.03))
        axes.grid(axis="x", visible=False)
    panels[0].set_ylabel("true-positive rate at the threshold")
    return legend(figure, panels[0])


def iou_figure(runs: Sequence[Run]) -> Figure:
    """Box plots of IoU per annotated object and of foreground IoU per image."""
    figure = new_figure(PAGE_WIDTH, 1.5 + 0.55 * len(runs))
    left, right = figure.subplots(1, 2, sharey=True)
    per_object = [[number(row["best_iou"]) for row in run.annotated if int(row["area_px"]) > 1] for run in runs]
    per_image = [[number(row["foreground_iou"]) for row in run.cases if int(row["annotated"])] for run in runs]
    for axes, values, title in ((left, per_object, "IoU per object"), (right, per_image, "foreground IoU per image")):
        _boxes(axes, values)
        axes.set(xlim=(-0.02, 1.02), xlabel=f"{title} (n = {len(values[0])})")
        axes.grid(axis="y", visible=False)
    left.set_yticks(range(len(runs)), wrapped([run.name for run in runs]))
    left.invert_yaxis()
    return figure


def _band(run: Run, rates: np.ndarray, per: str) -> tuple[Froc, np.ndarray, np.ndarray]:
    """Curve, and low and high of its 95 % bootstrap band at `rates`, as the evaluation's own froc.png."""
    table, _, patients = run.froc()
    sampled = Bootstrap(**run.metrics["provenance"]["bootstrap"]).weights(patients)
    band = np.stack([table.curve(weights, {per: rates.max()}).tpr_at(rates, per) for weights in sampled])
    shown = [interval(0.0, values) for values in band.T]
    return table.curve(), np.array([s.low for s in shown]), np.array([s.high for s in shown])


def _steps(axes: Axes, x: np.ndarray, y: np.ndarray, run: Run, place: int) -> None:
    """A step function that goes on to the right."""
    axes.step(np.append(x, 1e9), np.append(y, y[-1]), where="post", label=run.name, **line(place))


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


def _name_bars(axes: Axes, names: Sequence[str] | dict[int, str], title: str, fontsize: int) -> None:
    """Title a bar chart and name its bars, all or those at some places."""
    named = names if isinstance(names, dict) else dict(enumerate(names))
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xticks(list(named), list(named.values()), rotation=45, ha="right", fontsize=fontsize)
    axes.grid(axis="x", visible=False)


def _short(name: str) -> str:
    for long, short in SHORTER.items():
        name = name.replace(long, short)
    return name


def _size_name(low: str, high: str) -> str:
    """A bin of sizes that holds its lower edge, not its upper one; without an upper edge it holds all larger ones."""
    if not high:
        return f"≥ {low}"
    last = int(high) - 1
    return low if last == int(low) else f"{low}–{last}"


#: Key of a figure in the page and name of its file -> what draws it; None where there is nothing to draw.
FIGURES: dict[str, Callable[[Sequence[Run]], Figure | None]] = {
    "froc": froc_figure,
    "froc_per_image": partial(froc_figure, axis=PER_IMAGE),
    "iou": iou_figure,
    "sizes": size_figure,
    "label_sizes": label_size_figure,
    "strata": strata_figure,
    "clusters": cluster_figure,
    "pixels": pixel_figure,
    "reliability": reliability_figure,
}
