"""Pictures of findings: the overlay that one shows a colleague, and the slim FCN's blue-to-red heat map."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial import cKDTree

from scripts.common.calcification_kinds import COARSE, EXCLUDED, INDIVIDUAL, METAL, RIM, SKIN_LINE, VASCULAR
from scripts.common.objects import Box as Part
from scripts.common.objects import Microcalcification, object_boxes
from scripts.common.tensors import Spacing, plane, spacing_of
from scripts.findings.cluster_findings import ClusterFinding
from scripts.outputs.canvas import Box, Canvas, View, write_drawing
from scripts.outputs.report import failed_analyses

MC_COLOUR = "#ffb000"
REGION_COLOUR = "#4cc9f0"
CLUSTER_COLOUR = "#7ae582"
WARNING_COLOUR = "#ff2d2d"  # of what failed
#: kind -> colour and line style of its ring, so that kinds differ without colour, too: excluded ones are dotted
KIND_STYLES: dict[str, tuple[str, str]] = {
    INDIVIDUAL: (MC_COLOUR, "-"),
    COARSE: ("#ff6d3a", "--"),
    RIM: ("#ffe45e", "-."),
    VASCULAR: ("#9db4ff", ":"),
    METAL: ("#ff8ae2", ":"),
    SKIN_LINE: ("#c8c8c8", ":"),
}
MOST_HULLS = 12  # that are numbered; more would cover the picture
FINER = 4  # steps of outlines to a pixel


def write_picture(path: Path, item: Mapping[str, Any]) -> Path:
    """The overlay of one image's findings, PNG."""
    report, identity = item["report"], item["report"]["identity"]
    count, density = report["summary"]["count"], report["summary"]["count_per_cm2"]
    where = " ".join(filter(None, (identity["laterality"], identity["view"])))
    title = "   ".join(filter(None, (report["name"], where, report["method"]))) + f"\n{count} microcalcifications"
    if density is not None:
        title += f", {density:.2f} per cm² of breast"
    if clusters := report["summary"]["clusters"]:
        title += f", {clusters} cluster{'s' if clusters > 1 else ''}"
    if report["reading"].get("spacing_source") == "default":
        title += f"\npixel spacing unknown: {report['spacing_mm'][0]:g} mm assumed"
    image, found = item["image"], item["analysis"]
    kinds, breast, spacing = [mark.kind for mark in found.kinds], plane(item["breast"]), spacing_of(image)
    more: dict[str, Any] = {"kinds": kinds, "clusters": found.clusters, "breast": breast}
    more["counted"] = found.is_counted
    if failed := failed_analyses(report):
        more["warning"] = f"INCOMPLETE: {', '.join(failed)} failed"
    pixels = draw_overlay(plane(image), found.labels, found.marks, spacing_mm=spacing, title=title, **more)
    return write_drawing(path, pixels)


def write_heat_map(path: Path, item: Mapping[str, Any]) -> Path:
    """The slim FCN's blue-to-red heat map of one image, PNG."""
    return write_drawing(path, heat_map(plane(item["map"]).astype(np.float32)))


def densest_regions(
    findings: Sequence[Microcalcification], shape: tuple[int, int], side_px: int, count: int
) -> list[tuple[int, int]]:
    """Squares that show most MCs, found greedily: each is centred on the MC with most not yet shown MCs around it.

    At most `count` squares of `side_px` in an image of `shape`; of each (first row, first col), fullest first.
    """
    points = np.array([(mc.row, mc.col) for mc in findings], float).reshape(-1, 2)
    open_points: np.ndarray = np.ones(len(points), bool)
    corners: list[tuple[int, int]] = []
    while open_points.any() and len(corners) < count:
        tree = cKDTree(points[open_points])
        crowd = tree.query_ball_point(tree.data, side_px / 2, p=np.inf, return_length=True)
        best = np.flatnonzero(open_points)[int(crowd.argmax())]
        near = np.abs(points - points[best]).max(-1) <= side_px / 2
        centre = points[near & open_points].mean(0)
        last = np.maximum(np.array(shape) - side_px, 0)
        row, col = np.clip(np.round(centre - side_px / 2).astype(int), 0, last)
        inside: np.ndarray = np.all((points >= (row, col)) & (points < (row + side_px, col + side_px)), axis=1)
        inside[best] = True
        open_points &= ~inside
        corners.append((int(row), int(col)))
    return corners


def draw_overlay(
    image: np.ndarray,
    labels: np.ndarray,
    findings: Sequence[Microcalcification],
    *,
    spacing_mm: Spacing,
    title: str,
    kinds: Sequence[str] | None = None,
    counted: np.ndarray | None = None,
    clusters: Sequence[ClusterFinding] = (),
    breast: np.ndarray | None = None,
    region_mm: float = 18.0,
    regions: int = 3,
    warning: str = "",
    dpi: int = 150,
) -> np.ndarray:
    """Whole mammogram with every mark ringed, beside it the fullest regions magnified, plain and outlined.

    The image is float (rows, cols) in [0, 1]; `labels` are int (rows, cols), 0 background, and `findings` are their
    measured objects; `kinds` are theirs (all individual MCs without), `counted` says which the regions are chosen by.
    The whole view is cropped to the breast, bool (rows, cols), plus a rim, when given and not empty.
    `regions` says how many of the side `region_mm` are magnified; a `warning` is written across the whole view. The
    picture is uint8 (height, width, 3) RGB, 13 x 9 inches.
    """
    rows, cols = image.shape
    side = max(16, min(round(region_mm / spacing_mm[0]), rows, cols))
    kinds = list(kinds or [INDIVIDUAL] * len(findings))
    is_counted = np.ones(len(findings), bool) if counted is None else np.asarray(counted)
    mcs = [mc for mc, counts in zip(findings, is_counted, strict=True) if counts]
    corners = densest_regions(mcs, (rows, cols), side, regions)
    parts = [(slice(row, min(row + side, rows)), slice(col, min(col + side, cols))) for row, col in corners]
    canvas = Canvas(13, 9, dpi)
    gap = canvas.px(7)
    panels = _panels(canvas, len(parts), gap)
    end = panels[0][0].left if panels else canvas.box.right  # of the column of the whole view
    column = Box(gap, gap, end - gap, canvas.box.bottom - gap)
    below = canvas.words(canvas.wrapped(title, 11, column.right - gap), gap, gap, "white", 11).bottom + gap
    above = column.bottom
    if clusters or set(kinds) - {INDIVIDUAL}:
        above = _draw_legend(canvas, column, kinds, len(clusters)) - gap
    rim_px = [round(3 / mm) + 1 for mm in spacing_mm]
    whole = View.fitted(*_shown_part(image.shape, breast, rim_px), spacing_mm, column._replace(top=below, bottom=above))
    canvas.show(whole, image, *display_window(image, breast))
    _draw_rings(canvas, whole, findings, kinds)
    canvas.scale_bar(whole, 20.0)
    if warning:
        told = canvas.wrapped(warning, 14, column.right - whole.box.left - gap)
        canvas.words(told, whole.box.left + gap, whole.box.top + gap, WARNING_COLOUR, 14, is_outlined=True)
    if not mcs:
        x, y = (whole.box.left + whole.box.right) / 2, whole.box.bottom - canvas.px(20)
        canvas.words("no microcalcification found", x, y, MC_COLOUR, 12, (0.5, 1), is_outlined=True)
    for name, part, spaces in zip(cycle("ABCDEFGH"), parts, panels, strict=False):
        _draw_region(canvas, whole, part, name)
        shown = sum(_is_in(mc, part) for mc in mcs)
        sides = dict.fromkeys(f"{(s.stop - s.start) * mm:.0f}" for s, mm in zip(part, spacing_mm, strict=True))
        titles = (
            (f"{name}: {' x '.join(sides)} mm", REGION_COLOUR),
            (f"{shown} MC{'s' * (shown != 1)}", MC_COLOUR),
        )
        low, high = np.percentile(image[part], (1, 99.9))
        for (words, colour), space in zip(titles, spaces, strict=True):
            view = View.fitted(*part, spacing_mm, space)
            canvas.words(words, view.box.left, view.box.top - canvas.px(1), colour, 9, (0, 1))
            canvas.show(view, image, float(low), float(max(high, low + 1e-3)))
            canvas.scale_bar(view, 2.0)
        _draw_outlines(canvas, view, labels, kinds, is_counted)
    _draw_hulls(canvas, whole, clusters, column)
    return canvas.finished()


def display_window(image: np.ndarray, breast: np.ndarray | None) -> tuple[float, float]:
    """Grey values shown as black and white: 0 and the 99.9th percentile of the breast (of the image without one)."""
    values = image[::4, ::4] if breast is None or not breast.any() else image[::4, ::4][breast[::4, ::4]]
    return 0.0, float(max(np.percentile(values, 99.9), 1e-3)) if values.size else 1.0


def heat_map(probability: np.ndarray, longest_px: int = 2000) -> np.ndarray:
    """The slim FCN paper's heat map: blue for low, red for high probability of calcification.

    Maps, float (rows, cols), longer than `longest_px` are reduced to this length by the maximum of each block, so that
    no MC is lost. The result is uint8 (height, width, 3) RGB.
    """
    step = max(1, -(-max(probability.shape) // longest_px))
    for axis, length in enumerate(probability.shape):
        probability = np.maximum.reduceat(probability, np.arange(0, length, step), axis=axis)
    levels = (np.clip(probability, 0, 1) * 255).round().astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)


def _panels(canvas: Canvas, rows: int, gap: float) -> list[list[Box]]:
    """Spaces of the magnified regions, below their titles: two in each row, at the right of a canvas."""
    head, right = canvas.px(13), canvas.box.right
    side = min((canvas.box.bottom - gap) / max(rows, 1) - gap - head, right / 4 - gap)
    lefts = (right - 2 * (side + gap), right - (side + gap))
    tops = (gap + head + i * (head + side + gap) for i in range(rows))
    return [[Box(left, top, left + side, top + side) for left in lefts] for top in tops]


def _draw_legend(canvas: Canvas, column: Box, kinds: Sequence[str], clusters: int) -> float:
    """Lines and names of the kinds and of clusters at the bottom of a column; gives the top of it, px."""
    numbers = {kind: kinds.count(kind) for kind in KIND_STYLES if kind in kinds}
    entries = [
        (f"{kind}: {number}" + (" (not counted)" if kind in EXCLUDED else ""), *KIND_STYLES[kind])
        for kind, number in numbers.items()
    ]
    if clusters:
        entries.append((f"clusters: {clusters} (number: MCs, distribution)", CLUSTER_COLOUR, "-"))
    line, space, height = canvas.px(26), canvas.px(6), canvas.px(13)
    places, x, row = [], column.left, 0
    for text, *_ in entries:
        width = line + space + canvas.width(text, 9)
        if x > column.left and x + width > column.right:
            x, row = column.left, row + 1
        places.append((x, row))
        x += width + 3 * space
    top = column.bottom - (row + 1) * height
    for (text, colour, style), (x, row) in zip(entries, places, strict=True):
        y = top + (row + 0.5) * height
        canvas.line(np.array([(x, y), (x + line, y)]), colour, 1.5, style)
        canvas.words(text, x + line + space, y, "white", 9, (0, 0.5))
    return top


def _draw_rings(canvas: Canvas, whole: View, findings: Sequence[Microcalcification], kinds: Sequence[str]) -> None:
    """A ring around every mark in the colour and line of its kind."""
    places = whole.places([(mc.row, mc.col) for mc in findings])
    for place, mc, kind in zip(places, findings, kinds, strict=True):
        radius_mm = max(0.9, 0.75 * mc.equivalent_diameter_mm)
        colour, style = KIND_STYLES[kind]
        canvas.ring(place, radius_mm * whole.px_per_mm, colour, 1.0, style)


def _draw_region(canvas: Canvas, whole: View, part: Part, name: str) -> None:
    """The outline of a region in the whole view, and its letter."""
    first, end = whole.places([[span.start - 0.5 for span in part], [span.stop - 0.5 for span in part]])
    outline = Box(*first, *end)
    canvas.frame(outline, REGION_COLOUR, 1.0)
    canvas.words_beside(name, outline, whole.box, REGION_COLOUR, 11, ("above", "below", "right", "left"), along=0.0)


def _draw_outlines(
    canvas: Canvas, view: View, labels: np.ndarray, kinds: Sequence[str], is_counted: np.ndarray
) -> None:
    """Outlines of the marks of a view in the colours of their kinds, those that are not counted dotted and thinner."""
    part = labels[view.rows, view.cols]
    for number, (rows, cols) in object_boxes(part).items():
        mask = np.pad((part[rows, cols] == number).astype(np.uint8) * 255, 1)
        finer = cv2.resize(mask, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LINEAR)
        contours, _ = cv2.findContours((finer > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        first = view.rows.start + rows.start - 1, view.cols.start + cols.start - 1
        width, style = (1.0, "-") if is_counted[number - 1] else (0.7, ":")
        for contour in contours:
            points = (contour[:, 0, ::-1] + 0.5) / FINER - 0.5 + first
            canvas.line(view.places(points), KIND_STYLES[kinds[number - 1]][0], width, style, closed=True)


def _draw_hulls(canvas: Canvas, whole: View, clusters: Sequence[ClusterFinding], column: Box) -> None:
    """Outline of every cluster; the first ones with number, MCs and distribution, inside the column."""
    hulls = [whole.places(finding.cluster.hull_px) for finding in clusters]
    for hull in hulls:
        canvas.line(hull, CLUSTER_COLOUR, 1.4, closed=True)
    space, rim = column._replace(top=whole.box.top, bottom=whole.box.bottom), canvas.px(3)
    for finding, hull in zip(clusters, hulls, strict=True):
        if finding.cluster.id <= MOST_HULLS:
            words = f"{finding.cluster.id}: {len(finding.cluster.members)} {finding.distribution.name}"
            canvas.words_beside(words, Box(*(hull.min(0) - rim), *(hull.max(0) + rim)), space, CLUSTER_COLOUR, 9)


def _shown_part(shape: tuple[int, int], breast: np.ndarray | None, rim_px: Sequence[int]) -> Part:
    """The breast's box and a rim of so many (rows, cols); without a breast the whole image."""
    if breast is None or not breast.any():
        return slice(0, shape[0]), slice(0, shape[1])
    inside = (np.flatnonzero(breast.any(axis)) for axis in (1, 0))
    spans = zip(inside, shape, rim_px, strict=True)
    rows, cols = (slice(max(int(i[0]) - rim, 0), min(int(i[-1]) + rim, size)) for i, size, rim in spans)
    return rows, cols


def _is_in(mc: Microcalcification, part: Part) -> bool:
    return all(span.start <= place < span.stop for span, place in zip(part, (mc.row, mc.col), strict=True))
