"""Two exams side by side: an MC has the same number and colour in both, and a shape that says what became of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from scripts.common.objects import Microcalcification
from scripts.findings.follow_up.compare import COMPARED, Comparison
from scripts.findings.follow_up.exams import Exam, reduced
from scripts.findings.follow_up.matching import GONE, GROWN, MATCHED, NEW, OUT_OF_VIEW, SHRUNK, STATUSES, UNCHANGED
from scripts.findings.follow_up.regions import Region, region_mask
from scripts.outputs.pictures import REGION_COLOUR, densest_regions, display_window

MARKERS = {UNCHANGED: "o", GROWN: "^", SHRUNK: "v", NEW: "s", GONE: "X", OUT_OF_VIEW: "D"}
#: of matched MCs, by number; told apart by readers with any colour vision (Okabe and Ito)
PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#8fd694", "#c5b0ff")
COLOURS = {NEW: "#ff5a36", GONE: "#ffffff", OUT_OF_VIEW: "#9a9a9a"}
OUTLINE = [patheffects.withStroke(linewidth=2, foreground="black")]
VIEW_MM = 0.2  # pixel size of the whole views


def draw_follow_up(
    prior: Exam,
    current: Exam,
    comparison: Comparison,
    regions: tuple[Region | None, Region | None] = (None, None),
    crop_mm: float = 14.0,
    crops: int = 3,
    dpi: int = 110,
) -> np.ndarray:
    """Both exams and, magnified, up to `crops` places with most change.

    The picture is uint8 (height, width, 3) RGB, about 17 x 10 inches. Exams that were refused are shown with the
    reason, all MCs alike.
    """
    marks = [_marks(exam, comparison, name) for exam, name in ((prior, "prior"), (current, "current"))]
    places = _places(prior, current, comparison, crop_mm, crops)
    figure = Figure(figsize=(17, 10), dpi=dpi, facecolor="black", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.add_gridspec(max(len(places), 1), 4, width_ratios=[1.5, 1.5, 1, 1])
    figure.suptitle(_title(prior, current, comparison), color="white", fontsize=12, parse_math=False)
    for column, (exam, name) in enumerate(((prior, "prior"), (current, "current"))):
        axis = figure.add_subplot(grid[:, column])
        _show(axis, reduced(exam, VIEW_MM), display_window(exam.image, exam.breast))
        _region_outline(axis, exam, regions[column])
        _draw(axis, marks[column], size=5, numbers=lambda status: status not in (UNCHANGED, OUT_OF_VIEW))
        axis.set_title(f"{name}: {exam.name}, {len(exam.findings)} MCs", color="white", loc="left", parse_math=False)
        _limit(axis, exam)
        _scale_bar(axis, 20.0)
        for row, corners in enumerate(places):
            top, left = corners[column]
            axis.add_patch(Rectangle((left, top), crop_mm, crop_mm, fill=False, edgecolor=REGION_COLOUR, linewidth=1))
            letter: dict[str, Any] = {"color": REGION_COLOUR, "fontsize": 11, "path_effects": OUTLINE}
            axis.text(left, top - 1, "ABCDEFGH"[row], **letter)
            _crop(figure.add_subplot(grid[row, 2 + column]), exam, marks[column], (top, left), crop_mm, row, name)
    _legend(figure, comparison)
    for axis in figure.axes:
        axis.set_axis_off()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


Mark = tuple[Microcalcification, Exam, str, str, str]  # MC, exam, label, colour, status


def _marks(exam: Exam, comparison: Comparison, name: str) -> list[Mark]:
    if comparison.status != COMPARED:
        return [(mc, exam, "", PALETTE[0], UNCHANGED) for mc in exam.findings]
    known = {mc.id: mc for mc in exam.findings}
    marks = []
    for entry in comparison.traces:
        mc = known.get(getattr(entry, f"{name}_id") or 0)
        if mc is not None:
            colour = COLOURS.get(entry.status, PALETTE[entry.number % len(PALETTE)])
            marks.append((mc, exam, str(entry.number), colour, entry.status))
    return marks


def _places(
    prior: Exam, current: Exam, comparison: Comparison, side_mm: float, count: int
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Corners (top, left) mm, in each exam, of the squares with most changed MCs (with most MCs if none changed)."""
    if comparison.to_current is None:
        return []
    priors, currents = ({mc.id: mc for mc in exam.findings} for exam in (prior, current))
    row_mm, col_mm = current.spacing_mm
    shown = []
    for entry in comparison.traces:
        mc = currents.get(entry.current_id or 0)
        if mc is None and entry.expected_row_mm is not None and entry.expected_col_mm is not None:
            row, col = entry.expected_row_mm / row_mm, entry.expected_col_mm / col_mm
            mc = replace(priors[entry.prior_id or 0], row=row, col=col)
        if mc is not None and entry.status != OUT_OF_VIEW:
            shown.append((mc, entry.status))
    changed = [mc for mc, status in shown if status != UNCHANGED] or [mc for mc, _ in shown]
    side_px = max(1, round(side_mm / row_mm))
    shape = (current.image.shape[0], current.image.shape[1])
    places = []
    for top, left in densest_regions(changed, shape, min(side_px, *shape), count):
        corner = (top * row_mm, left * col_mm)
        middle = np.array(corner) + side_mm / 2
        back = comparison.to_current.inverse(middle)[0] - side_mm / 2
        places.append(((float(back[0]), float(back[1])), corner))
    return places


def _show(axis: Axes, exam: Exam, window: tuple[float, float]) -> None:
    (row_mm, col_mm), (rows, cols) = exam.spacing_mm, exam.image.shape
    extent = (-col_mm / 2, (cols - 0.5) * col_mm, (rows - 0.5) * row_mm, -row_mm / 2)
    axis.imshow(exam.image, cmap="gray", vmin=window[0], vmax=window[1], extent=extent)


def _crop(
    axis: Axes, exam: Exam, marks: Sequence[Mark], corner: tuple[float, float], side_mm: float, row: int, name: str
) -> None:
    most = np.array(exam.image.shape)
    first = np.clip(np.array(corner) / exam.spacing_mm, 0, most - 2).astype(int)
    last = np.clip((np.array(corner) + side_mm) / exam.spacing_mm + 1, first + 2, most).astype(int)
    part = exam.image[first[0] : last[0], first[1] : last[1]]
    (row_mm, col_mm), (top, left) = exam.spacing_mm, corner
    extent = ((first[1] - 0.5) * col_mm, (last[1] - 0.5) * col_mm, (last[0] - 0.5) * row_mm, (first[0] - 0.5) * row_mm)
    low, high = np.percentile(part, (1, 99.9))
    axis.imshow(part, cmap="gray", vmin=low, vmax=max(high, low + 1e-3), extent=extent, interpolation="bicubic")
    if exam.instances is not None:
        shown = exam.instances[first[0] : last[0], first[1] : last[1]] > 0
        if shown.any():
            rows, cols = (np.arange(*span) * mm for *span, mm in zip(first, last, exam.spacing_mm, strict=True))
            axis.contour(cols, rows, shown, levels=[0.5], colors="white", linewidths=0.6)
    near = [mark for mark in marks if top <= mark[0].y_mm <= top + side_mm and left <= mark[0].x_mm <= left + side_mm]
    _draw(axis, near, size=11, numbers=lambda status: True)
    axis.set(xlim=(left, left + side_mm), ylim=(top + side_mm, top))
    axis.set_title(f"{'ABCDEFGH'[row]} {name}: {len(near)} MCs", color=REGION_COLOUR, fontsize=10, loc="left")
    _scale_bar(axis, 2.0)


def _draw(axis: Axes, marks: Sequence[Mark], size: float, numbers: Any) -> None:
    for mc, _, label, colour, status in marks:
        style: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": colour, "markersize": size}
        axis.plot(mc.x_mm, mc.y_mm, MARKERS[status], **style, markeredgewidth=1.2)
        if label and numbers(status):
            at: dict[str, Any] = {"xytext": (size / 2 + 1, size / 2), "textcoords": "offset points"}
            axis.annotate(
                label, (mc.x_mm, mc.y_mm), color=colour, fontsize=5 + size / 3, clip_on=True, **at, path_effects=OUTLINE
            )


def _region_outline(axis: Axes, exam: Exam, region: Region | None) -> None:
    mask = None if region is None else region_mask(region, exam.image.shape)
    if mask is None or not mask.any():
        return
    step = max(1, round(VIEW_MM / exam.spacing_mm[0]))
    (row_mm, col_mm), small = exam.spacing_mm, np.pad(mask[::step, ::step], 1).astype(float)
    rows, cols = (np.arange(-1, length - 1) * step for length in small.shape)
    axis.contour(cols * col_mm, rows * row_mm, small, levels=[0.5], colors="white", linestyles="dashed", linewidths=1)


def _limit(axis: Axes, exam: Exam, rim_mm: float = 5.0) -> None:
    """Show the breast and a rim."""
    spans = []
    for side, mm, most in zip((1, 0), exam.spacing_mm, exam.size_mm, strict=True):
        inside = np.flatnonzero(exam.breast.any(axis=side)) * mm
        low, high = (inside[0], inside[-1]) if len(inside) else (0.0, most)
        spans.append((max(low - rim_mm, 0.0), min(high + rim_mm, most)))
    axis.set(ylim=spans[0][::-1], xlim=spans[1])


def _scale_bar(axis: Axes, length_mm: float) -> None:
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    x, y = left + 0.04 * (right - left), bottom + 0.03 * (top - bottom)
    axis.plot([x, x + length_mm], [y, y], color="white", linewidth=3, solid_capstyle="butt")
    style: dict[str, Any] = {"xytext": (0, 4), "textcoords": "offset points", "color": "white", "fontsize": 9}
    axis.annotate(f"{length_mm:g} mm", (x, y), **style)


def _legend(figure: Figure, comparison: Comparison) -> None:
    if comparison.status != COMPARED:
        return
    statuses = [entry.status for entry in comparison.traces]
    handles = []
    for status in STATUSES:
        colour = COLOURS.get(status, PALETTE[0])
        style: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": colour, "markersize": 9}
        words = f"{status}: {statuses.count(status)}"
        handles.append(Line2D([], [], linestyle="none", marker=MARKERS[status], label=words, **style))
    made = figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=11)
    for text in made.get_texts():
        text.set_color("white")


def _title(prior: Exam, current: Exam, comparison: Comparison) -> str:
    if comparison.status != COMPARED:
        return f"{comparison.status}: {'; '.join(comparison.reasons)}" if comparison.reasons else comparison.status
    matched = sum(entry.status in MATCHED for entry in comparison.traces)
    where = " ".join(filter(None, (current.identity.get("laterality", ""), current.identity.get("view", ""))))
    counts = f"{len(prior.findings)} MCs before, {len(current.findings)} now, {matched} of them in both"
    return f"{where}   {counts}".strip()
