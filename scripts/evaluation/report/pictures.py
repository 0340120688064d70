"""Pictures of images: the reference method's best, median and worst with all methods' marks; a method's failures.

The value of an image is the reference method's mean IoU per annotated object larger than 1 px at its operating
threshold (`iou_sum / iou_objects` of cases.csv): 0 for a missed object, and blind to marks elsewhere. Shown is the
window with most annotated objects, which evaluation stored (scripts/evaluation/crops.py).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from scripts.data.lists.generic import generic_datalist
from scripts.data.reader.mammogram_reader import Reading, read_mammogram
from scripts.evaluation.crops import WINDOW_PERCENTILES, Crop, read_crop, read_crops
from scripts.evaluation.report import style
from scripts.evaluation.report.runs import Rows, Run, number
from scripts.evaluation.report.style import PAGE_WIDTH, new_figure, panels_of

#: Most pictures beside each other.
ACROSS = 4
TITLE: dict[str, Any] = {"loc": "left", "fontsize": 10, "parse_math": False}


class Chosen(NamedTuple):
    """An image to show."""

    kind: str  # "best", "median" or "worst"
    case_id: str
    value: float  # the reference method's mean IoU per object there


class Failure(NamedTuple):
    """A kind of failure: objects of objects.csv, the worst first."""

    kind: str
    outcome: str
    column: str  # the worst is largest in it
    title: str
    ink: str  # colour of the ring


FAILURES = (
    Failure("annotated", "missed", "area_mm2", "largest MCs missed", style.MISSED),
    Failure("predicted", "false positive", "score", "false marks of the highest scores", style.FALSE_MARK),
)


def choose_cases(run: Run, known: Mapping[str, Path], per_kind: int = 1) -> list[Chosen]:
    """Best, median and worst images of the reference method, `per_kind` of each or as many as there are, none twice.

    Only `known` images can be shown. Of equal values the name that sorts first comes first. Medians are those nearest
    to the middle rank.
    """
    rows = [row for row in run.cases if int(row["iou_objects"]) and row["case_id"] in known]
    values = {row["case_id"]: number(row["iou_sum"]) / int(row["iou_objects"]) for row in rows}
    ranked = sorted(values, key=lambda name: (-values[name], name))
    central = sorted(ranked, key=lambda name: abs(ranked.index(name) - (len(ranked) - 1) / 2))
    orders = {"best": ranked, "worst": ranked[::-1], "median": central}
    taken: dict[str, str] = {}
    for kind, order in [*orders.items()] * per_kind:
        free = [name for name in order if name not in taken]
        taken |= dict.fromkeys(free[:1], kind)
    return [Chosen(kind, n, values[n]) for kind in ("best", "median", "worst") for n in taken if taken[n] == kind]


def case_panel(runs: Sequence[Run], case_id: str) -> Figure:
    """Image, reference and every method's marks in the stored window; ValueError where two methods' windows differ."""
    files = [read_crops(run.folder).get(case_id) for run in runs]
    crops = [read_crop(file) if file else None for file in files]
    base = next(crop for crop in crops if crop is not None)
    total = 2 + len(runs)
    down = math.ceil(total / ACROSS)
    across = math.ceil(total / down)
    figure = new_figure(PAGE_WIDTH, down * (PAGE_WIDTH / across + 0.42) + 0.35)
    image, reference, *panels = panels_of(figure, down, across, total)
    for axes in (image, reference, *panels):
        axes.set_axis_off()
        axes.imshow(base.image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    _scale_bar(image, base.image.shape, base.spacing_mm[1])
    image.set_title("\nimage", **TITLE)
    _outline(reference, base.annotated > 0, style.REFERENCE)
    _outline(reference, base.ignored, style.IGNORED)
    reference.set_title(f"reference\n{_count(base.annotated)} MCs", **TITLE)
    for place, (axes, run, crop) in enumerate(zip(panels, runs, crops, strict=True)):
        if crop is None:
            axes.set_title(f"{run.name}\nno window stored", **TITLE)
            continue
        if crop.corner != base.corner or not np.array_equal(crop.annotated, base.annotated):
            where = f"{run.folder}: window of {case_id}"
            raise ValueError(f"{where}: got {crop.corner}; want {base.corner}; evaluate it alike")
        hit, false = _marks(axes, run, crop)
        axes.set_title(f"{run.name}\n{hit} hit, {false} false", **TITLE)
        frame = Rectangle((0, 0), 1, 1, edgecolor=style.colour(place), fill=False, linewidth=3, clip_on=False)
        axes.add_patch(frame).set_transform(axes.transAxes)
    handles = [
        Line2D([], [], color=style.HIT, label="mark that hits"),
        Line2D([], [], color=style.FALSE_MARK, label="false mark"),
        Line2D([], [], color=style.MISSED, linestyle="none", marker="o", markerfacecolor="none", label="missed MC"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def write_failures(
    folder: str | Path, datalist: str | Path, output: str | Path, dataset_dir: str | Path = "", **options: Any
) -> Path:
    """Write the picture (PNG) of the failures of the evaluation in a folder; `options`: see `failure_figure`.

    `datalist` is the list that was evaluated, `dataset_dir` the start of its relative paths ("" is its own folder).
    """
    items = [item for part in generic_datalist(datalist, dataset_dir).values() for item in part]
    files = {item["image_id"]: item["image"] for item in items}
    return style.save(failure_figure(Run(Path(folder)).objects, files, **options), Path(output))


def failure_figure(
    rows: Rows, files: Mapping[str, str | Path], count: int = 8, side_mm: float = 6.0, spacing_mm: float = 0.07
) -> Figure:
    """Draw the failures of an evaluation, `count` of each kind, in windows of `side_mm`.

    `rows` are of objects.csv, their row and col px of the file. `files`: case_id -> mammogram, ValueError where an
    image of `rows` is missing; `spacing_mm` is the pixel size of files that tell none.
    """
    chosen = [worst(rows, failure, count) for failure in FAILURES]
    missing = sorted({row["case_id"] for found in chosen for row in found} - set(files))
    if missing:
        raise ValueError(f"datalist: got no image {', '.join(missing[:3])}; want the list that was evaluated")
    down = [math.ceil(len(found) / ACROSS) for found in chosen]
    figure = new_figure(PAGE_WIDTH, 0.45 * len(chosen) + sum(down) * (PAGE_WIDTH / ACROSS + 0.1))
    parts = figure.subfigures(len(chosen), 1, height_ratios=[max(n, 0.2) for n in down], squeeze=False)[:, 0]
    for part, lines, failure, found in zip(parts, down, FAILURES, chosen, strict=True):
        part.suptitle(f"{failure.title}: {len(found)}", fontsize=11, x=0.01, ha="left")
        panels = panels_of(part, lines, ACROSS, len(found)) if lines else []
        for axes, row in zip(panels, found, strict=True):
            axes.set_axis_off()
            image, meta = read_mammogram(files[row["case_id"]], Reading(default_spacing_mm=spacing_mm))
            _draw_failure(axes, row, failure, image, float(meta["spacing_mm"][0]), side_mm)
    return figure


def worst(rows: Rows, failure: Failure, count: int) -> Rows:
    """The `count` worst objects of a kind of failure, worst first."""
    found = [row for row in rows if (row["kind"], row["outcome"]) == (failure.kind, failure.outcome)]
    return sorted(found, key=lambda row: (-number(row[failure.column]), row["case_id"], number(row["row"])))[:count]


def cut_window(image: np.ndarray, centre: tuple[float, float], side: int) -> np.ndarray:
    """Square of `side` px around a place, black beyond the image, stretched to [0, 1] by `WINDOW_PERCENTILES`."""
    row, col = (round(value) for value in centre)
    part = np.pad(image, side // 2)[row : row + side, col : col + side]
    low, high = np.percentile(part, WINDOW_PERCENTILES)
    return np.clip((part - low) / max(high - low, 1e-6), 0, 1)


def _draw_failure(
    axes: Axes, row: Mapping[str, str], failure: Failure, image: np.ndarray, spacing_mm: float, side_mm: float
) -> None:
    """The window around an object, which a ring 0.5 mm away marks, and what it is."""
    side = 2 * round(side_mm / spacing_mm / 2) + 1
    axes.imshow(cut_window(image, (number(row["row"]), number(row["col"])), side), cmap="gray", vmin=0, vmax=1)
    radius_mm = math.sqrt(number(row["area_mm2"]) / math.pi)
    _ring(axes, (side // 2, side // 2), (radius_mm + 0.5) / spacing_mm, failure.ink)
    _scale_bar(axes, (side, side), spacing_mm)
    score = f", score {number(row['score']):.2f}" if failure.column == "score" else ""
    axes.set_title(f"{row['case_id']}: {2 * radius_mm:.2f} mm{score}", fontsize=9, loc="left", pad=3, parse_math=False)


def _marks(axes: Axes, run: Run, crop: Crop) -> tuple[int, int]:
    """Outline a method's marks at its operating threshold; how many MCs are hit, and false marks, in the window."""
    threshold = run.metrics["operating_point"]["threshold"]
    kept = crop.numbers[(crop.scores >= (math.inf if threshold is None else threshold)) & ~crop.uncounted]
    annotated = [row for row in run.annotated if row["case_id"] == crop.case_id]
    partners = {int(row["partner"]): place for place, row in enumerate(annotated, start=1) if row["partner"]}
    missed = np.setdiff1d(crop.annotated, [0, *partners.values()])
    true = np.isin(kept, list(partners))
    _outline(axes, np.isin(crop.found, kept[~true]), style.FALSE_MARK)
    for number_missed in missed:
        row, col = (float(places.mean()) for places in np.nonzero(crop.annotated == number_missed))
        _ring(axes, (col, row), 0.4 / crop.spacing_mm[0], style.MISSED)
    _outline(axes, np.isin(crop.found, kept[true]), style.HIT)
    return _count(crop.annotated) - missed.size, int((~true).sum())


def _scale_bar(axes: Axes, shape: tuple[int, ...], spacing_mm: float, length_mm: float = 2.0) -> None:
    """A white bar, edged black, with its length in the lower left corner of a picture of (rows, cols) px."""
    rows, cols = shape
    ends = [0.05 * cols, 0.05 * cols + length_mm / spacing_mm]
    wide, narrow = ([patheffects.withStroke(linewidth=width, foreground="black")] for width in (4, 2))
    axes.plot(ends, [0.94 * rows] * 2, color="white", linewidth=2.5, path_effects=wide)
    axes.text(ends[0], 0.92 * rows, f"{length_mm:g} mm", color="white", fontsize=9, va="bottom", path_effects=narrow)


def _ring(axes: Axes, centre: tuple[float, float], radius_px: float, ink: str) -> None:
    axes.add_patch(Circle(centre, radius_px, fill=False, edgecolor=ink, linewidth=1.2))


def _outline(axes: Axes, mask: np.ndarray, ink: str) -> None:
    """Contour around a mask, half a pixel outside of it so that single pixels show."""
    if mask.any():
        rows, cols = (np.arange(-1, size + 1) for size in mask.shape)
        axes.contour(cols, rows, np.pad(mask.astype(float), 1), levels=[0.25], colors=ink, linewidths=1.1)
        axes.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))


def _count(numbered: np.ndarray) -> int:
    return np.unique(numbered[numbered > 0]).size
