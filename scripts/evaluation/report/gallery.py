"""A method's failures in one picture: the largest MCs that it missed, and its false marks of the highest scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from scripts.data.lists.generic import generic_datalist
from scripts.data.reader.mammogram_reader import Reading, read_mammogram
from scripts.evaluation.crops import WINDOW_PERCENTILES
from scripts.evaluation.report.panels import scale_bar
from scripts.evaluation.report.runs import Rows, load_runs, number
from scripts.evaluation.report.style import FALSE_MARK, MISSED, new_figure, save

#: (kind, outcome) of objects.csv, its heading, the colour of the ring, the column that the worst is largest in.
FAILURES = (
    ("annotated", "missed", "largest MCs missed", MISSED, "area_mm2"),
    ("predicted", "false positive", "false marks of the highest scores", FALSE_MARK, "score"),
)
ACROSS = 4
RING_MM = 0.5


def worst(rows: Rows, kind: str, outcome: str, column: str, count: int) -> Rows:
    """The `count` objects of an outcome with the largest values of a column, largest first."""
    found = [row for row in rows if (row["kind"], row["outcome"]) == (kind, outcome)]
    return sorted(found, key=lambda row: (-number(row[column]), row["case_id"], number(row["row"])))[:count]


def cut_window(image: np.ndarray, centre: tuple[float, float], side: int) -> np.ndarray:
    """Square of `side` px around a place, black beyond the image, stretched to [0, 1] by `WINDOW_PERCENTILES`."""
    half = side // 2
    row, col = (round(value) for value in centre)
    part = np.pad(image, half)[row : row + side, col : col + side]
    low, high = np.percentile(part, WINDOW_PERCENTILES)
    return np.clip((part - low) / max(high - low, 1e-6), 0, 1)


def failure_gallery(
    rows: Rows, files: Mapping[str, str | Path], count: int = 8, side_mm: float = 6.0, spacing_mm: float = 0.07
) -> Figure:
    """Draw the failures of an evaluation.

    Args:
        rows: of objects.csv; row, col in px of the file.
        files: case_id -> mammogram.
        count: of each kind of failure.
        side_mm: side of a window.
        spacing_mm: pixel size of files that tell none.

    Raises:
        ValueError: an image of `rows` is not in `files`.
    """
    chosen = [(failure, worst(rows, *failure[:2], failure[4], count)) for failure in FAILURES]
    missing = sorted({row["case_id"] for _, found in chosen for row in found} - set(files))
    if missing:
        raise ValueError(f"datalist: got no image {', '.join(missing[:3])}; want the list that was evaluated")
    down = [math.ceil(len(found) / ACROSS) for _, found in chosen]
    figure = new_figure(10.5, 0.45 * len(chosen) + sum(down) * (10.5 / ACROSS + 0.1))
    parts = figure.subfigures(len(chosen), 1, height_ratios=[max(n, 0.2) for n in down], squeeze=False)[:, 0]
    for part, lines, ((_, _, title, ink, column), found) in zip(parts, down, chosen, strict=True):
        part.suptitle(f"{title}: {len(found)}", fontsize=11, x=0.01, ha="left")
        panels = part.subplots(lines, ACROSS, squeeze=False).ravel() if lines else []
        for axes in panels:
            axes.set_axis_off()
        for axes, row in zip(panels, found, strict=False):
            _tile(axes, row, files[row["case_id"]], side_mm, spacing_mm, ink)
            axes.set_title(_caption(row, column), fontsize=9, loc="left", pad=3)
    return figure


def _tile(axes: Axes, row: Mapping[str, str], file: str | Path, side_mm: float, default_mm: float, ink: str) -> None:
    values, meta = read_mammogram(file, Reading(default_spacing_mm=default_mm))
    spacing = float(meta["spacing_mm"][0])
    side = 2 * round(side_mm / spacing / 2) + 1
    axes.imshow(cut_window(values, (number(row["row"]), number(row["col"])), side), cmap="gray", vmin=0, vmax=1)
    radius = math.sqrt(number(row["area_mm2"]) / math.pi) + RING_MM
    axes.add_patch(Circle((side // 2, side // 2), radius / spacing, fill=False, edgecolor=ink, linewidth=1.2))
    scale_bar(axes, (side, side), spacing)


def _caption(row: Mapping[str, str], column: str) -> str:
    diameter = 2 * math.sqrt(number(row["area_mm2"]) / math.pi)
    score = f", score {number(row['score']):.2f}" if column == "score" else ""
    return f"{row['case_id']}: {diameter:.2f} mm{score}"


def write_gallery(
    folder: str | Path,
    datalist: str | Path,
    output: str | Path,
    dataset_dir: str | Path = "",
    count: int = 8,
    side_mm: float = 6.0,
    spacing_mm: float = 0.07,
) -> Path:
    """Write the picture of an evaluation's failures.

    Args:
        folder: output folder of the evaluation.
        datalist: data list that was evaluated, JSON or CSV.
        output: PNG file.
        dataset_dir: start of the list's relative paths; "" is the list's own folder.
        count, side_mm, spacing_mm: see `failure_gallery`.
    """
    (run,) = load_runs([folder])
    items = [item for part in generic_datalist(datalist, dataset_dir).values() for item in part]
    files = {item["image_id"]: item["image"] for item in items}
    return save(failure_gallery(run.objects, files, count, side_mm, spacing_mm), Path(output))
