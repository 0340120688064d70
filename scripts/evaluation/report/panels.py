"""Pictures of single cases: the reference method's best, median and worst image, with every method's marks.

The value of an image is the reference method's mean IoU per annotated object larger than 1 px at its operating
threshold (`iou_sum / iou_objects` of cases.csv): 0 for a missed object, and blind to marks elsewhere. Shown is the
window with most annotated objects, which evaluation stored (scripts/evaluation/crops.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from scripts.evaluation.crops import Crop, read_crop, read_crops
from scripts.evaluation.report.runs import Run, number
from scripts.evaluation.report.style import FALSE_MARK, HIT, IGNORED, MISSED, REFERENCE, colour, new_figure

#: Most pictures beside each other.
ACROSS = 4
#: Radius of the ring around a missed MC.
RING_MM = 0.4


class Chosen(NamedTuple):
    """An image to show.

    Attributes:
        kind: "best", "median" or "worst".
        case_id: its name.
        value: the reference method's mean IoU per object there.
    """

    kind: str
    case_id: str
    value: float


def choose_cases(run: Run, known: Mapping[str, Path], per_kind: int = 1) -> list[Chosen]:
    """Best, median and worst images of a method, no image twice.

    Args:
        run: the reference method.
        known: images that can be shown.
        per_kind: how many of each kind; fewer where there are not enough images.

    Returns:
        Of equal values the name that sorts first comes first. Medians are those nearest to the middle rank.
    """
    values = {
        row["case_id"]: number(row["iou_sum"]) / int(row["iou_objects"])
        for row in run.cases
        if int(row["iou_objects"]) and row["case_id"] in known
    }
    ranked = sorted(values, key=lambda name: (-values[name], name))
    middle = (len(ranked) - 1) / 2
    central = sorted(range(len(ranked)), key=lambda i: (abs(i - middle), i))
    orders = {"best": ranked, "worst": ranked[::-1], "median": [ranked[i] for i in central]}
    taken: dict[str, str] = {}
    for _ in range(per_kind):
        for kind, order in orders.items():
            free = next((name for name in order if name not in taken), None)
            if free is not None:
                taken[free] = kind
    return [Chosen(kind, n, values[n]) for kind in ("best", "median", "worst") for n in taken if taken[n] == kind]


def case_panel(runs: Sequence[Run], case_id: str) -> Figure:
    """Image, reference and every method's marks in the stored window.

    Raises:
        ValueError: a method's window is not that of the first one.
    """
    crops = [read_crop(files[case_id]) if case_id in (files := read_crops(run.folder)) else None for run in runs]
    base = next(crop for crop in crops if crop is not None)
    total = 2 + len(runs)
    down = math.ceil(total / ACROSS)
    across = math.ceil(total / down)
    figure = new_figure(10.5, down * (10.5 / across + 0.42) + 0.35)
    panels = figure.subplots(down, across).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes in panels[:total]:
        axes.imshow(base.image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    scale_bar(panels[0], base.image.shape, base.spacing_mm[1])
    panels[0].set_title("\nimage", fontsize=10, loc="left")
    _outline(panels[1], base.annotated > 0, REFERENCE)
    _outline(panels[1], base.ignored, IGNORED)
    panels[1].set_title(f"reference\n{_count(base.annotated)} MCs", fontsize=10, loc="left")
    for place, (run, crop) in enumerate(zip(runs, crops, strict=True)):
        axes = panels[2 + place]
        if crop is None:
            axes.set_title(f"{run.name}\nno window stored", fontsize=10, loc="left")
            continue
        if crop.corner != base.corner or not np.array_equal(crop.annotated, base.annotated):
            where = f"{run.folder}: window of {case_id}"
            raise ValueError(f"{where}: got {crop.corner}; want {base.corner}; evaluate it alike")
        hit, false = _marks(axes, run, crop)
        axes.set_title(f"{run.name}\n{hit} hit, {false} false", fontsize=10, loc="left")
        frame = {"transform": axes.transAxes, "clip_on": False, "fill": False, "linewidth": 3}
        axes.add_patch(Rectangle((0, 0), 1, 1, edgecolor=colour(place), **frame))
    handles = [
        Line2D([], [], color=HIT, label="mark that hits"),
        Line2D([], [], color=FALSE_MARK, label="false mark"),
        Line2D([], [], color=MISSED, linestyle="none", marker="o", markerfacecolor="none", label="missed MC"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def scale_bar(axes: Axes, shape: tuple[int, ...], spacing_mm: float, length_mm: float = 2.0) -> None:
    """A white bar, edged black, with its length in the lower left corner of a picture of (rows, cols) px."""
    rows, cols = shape
    edge = [patheffects.withStroke(linewidth=4, foreground="black")]
    ends = [0.05 * cols, 0.05 * cols + length_mm / spacing_mm]
    axes.plot(ends, [0.94 * rows] * 2, color="white", linewidth=2.5, path_effects=edge)
    name = axes.text(ends[0], 0.92 * rows, f"{length_mm:g} mm", color="white", fontsize=9, va="bottom")
    name.set_path_effects([patheffects.withStroke(linewidth=2, foreground="black")])


def _marks(axes: Axes, run: Run, crop: Crop) -> tuple[int, int]:
    """Outline a method's marks at its operating threshold; how many MCs are hit, and false marks, in the window."""
    threshold = run.metrics["operating_point"]["threshold"]
    kept = crop.numbers[(crop.scores >= (math.inf if threshold is None else threshold)) & ~crop.uncounted]
    annotated = [row for row in run.objects if row["kind"] == "annotated" and row["case_id"] == crop.case_id]
    partners = {int(row["partner"]): i + 1 for i, row in enumerate(annotated) if row["partner"]}
    true = [n for n in kept.tolist() if n in partners]
    matched = set(partners.values())
    missed = [n for n in np.unique(crop.annotated[crop.annotated > 0]).tolist() if n not in matched]
    false = [n for n in kept.tolist() if n not in partners]
    _outline(axes, np.isin(crop.found, false), FALSE_MARK)
    for place in missed:
        row, col = (float(places.mean()) for places in np.nonzero(crop.annotated == place))
        axes.add_patch(Circle((col, row), RING_MM / crop.spacing_mm[0], fill=False, edgecolor=MISSED, linewidth=1.2))
    _outline(axes, np.isin(crop.found, true), HIT)
    return _count(crop.annotated) - len(missed), len(false)


def _outline(axes: Axes, mask: np.ndarray, ink: str) -> None:
    """Contour around a mask, half a pixel outside of it so that single pixels show."""
    if mask.any():
        padded = np.pad(mask.astype(float), 1)
        places = np.arange(-1, mask.shape[0] + 1), np.arange(-1, mask.shape[1] + 1)
        axes.contour(places[1], places[0], padded, levels=[0.25], colors=ink, linewidths=1.1)
        axes.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))


def _count(numbered: np.ndarray) -> int:
    return np.unique(numbered[numbered > 0]).size
