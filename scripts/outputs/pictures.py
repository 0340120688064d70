"""Pictures of findings: the overlay that one shows a colleague, and the slim FCN's blue-to-red heat map."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle
from matplotlib.patheffects import withStroke
from scipy.spatial import cKDTree
from skimage.measure import block_reduce

from scripts.common.calcification_kinds import COARSE, INDIVIDUAL, METAL, RIM, SKIN_LINE, VASCULAR
from scripts.common.files import write_png
from scripts.common.objects import Microcalcification
from scripts.common.tensors import Spacing, plane, spacing_of
from scripts.findings.cluster_findings import ClusterFinding
from scripts.outputs.report import failed_analyses

PNG_COMPRESSION = 3  # twice as fast as the usual 6, and the pictures get no larger
MC_COLOUR = "#ffb000"
REGION_COLOUR = "#4cc9f0"
CLUSTER_COLOUR = "#7ae582"
WARNING_COLOUR = "#ff2d2d"  # of what failed
#: kind -> colour and line style of its ring, so that kinds differ without colour, too: excluded ones are dotted
KIND_STYLES: dict[str, tuple[str, Any]] = {
    INDIVIDUAL: (MC_COLOUR, "-"),
    COARSE: ("#ff6d3a", "--"),
    RIM: ("#ffe45e", "-."),
    VASCULAR: ("#9db4ff", ":"),
    METAL: ("#ff8ae2", ":"),
    SKIN_LINE: ("#c8c8c8", ":"),
}
MOST_HULLS = 12  # that are numbered; more would cover the picture


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
    return write_png(path, pixels, PNG_COMPRESSION)


def write_heat_map(path: Path, item: Mapping[str, Any]) -> Path:
    """The slim FCN's blue-to-red heat map of one image, PNG."""
    return write_png(path, heat_map(plane(item["map"]).astype(np.float32)), PNG_COMPRESSION)


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
    picture is uint8 (height, width, 3) RGB, about 13 x 9 inches.
    """
    rows, cols = image.shape
    side = max(16, min(round(region_mm / spacing_mm[0]), rows, cols))
    kinds = list(kinds or [INDIVIDUAL] * len(findings))
    is_counted = np.ones(len(findings), bool) if counted is None else np.asarray(counted)
    mcs = [mc for mc, counts in zip(findings, is_counted, strict=True) if counts]
    corners = densest_regions(mcs, (rows, cols), side, regions)
    figure = Figure(figsize=(13, 9), dpi=dpi, facecolor="black", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.add_gridspec(max(regions, 1), 3, width_ratios=[2.1, 1, 1])
    whole = figure.add_subplot(grid[:, 0])
    low, high = display_window(image, breast)
    view, extent = _whole_view(image, breast, max(round(3 / spacing_mm[0]), 1), round(12 * dpi))
    whole.imshow(view, cmap="gray", vmin=low, vmax=high, extent=extent, aspect=spacing_mm[0] / spacing_mm[1])
    ring = 0.9 / spacing_mm[0]
    handles = _draw_rings(whole, findings, kinds, ring, spacing_mm)
    handles += _draw_hulls(whole, clusters, ring)
    if clusters or set(kinds) - {INDIVIDUAL}:
        style: dict[str, Any] = {"fontsize": 9, "labelcolor": "white", "frameon": False, "handlelength": 3}
        figure.legend(handles=handles, loc="outside lower left", ncols=4, **style)  # beside what it must not cover
    _draw_scale(whole, 20.0, spacing_mm)
    whole.set_title(title, color="white", fontsize=11, loc="left", wrap=True, parse_math=False)
    if not mcs:
        note: dict[str, Any] = {"color": MC_COLOUR, "ha": "center", "transform": whole.transAxes, "fontsize": 12}
        whole.text(0.5, 0.02, "no microcalcification found", **note)
    if warning:
        across: dict[str, Any] = {"color": WARNING_COLOUR, "va": "top", "transform": whole.transAxes, "fontsize": 14}
        whole.text(0.02, 0.98, warning, **across, parse_math=False).set_in_layout(False)
    for i, (row, col) in enumerate(corners):
        name = "ABCDEFGH"[i % 8]
        whole.add_patch(Rectangle((col, row), side, side, fill=False, edgecolor=REGION_COLOUR, linewidth=1))
        is_high = row - extent[3] < 0.04 * (extent[2] - extent[3])  # above it is the title
        at: dict[str, Any] = {"va": "top" if is_high else "bottom", "color": REGION_COLOUR, "fontsize": 11}
        letter = whole.text(col + 0.3 * ring, row + (0.6 if is_high else -0.6) * ring, name, **at)
        letter.set_path_effects([withStroke(linewidth=3, foreground="black")])
        letter.set_in_layout(False)
        part = (slice(row, row + side), slice(col, col + side))
        vmin, vmax = np.percentile(image[part], (1, 99.9))
        shown = sum(row <= mc.row < row + side and col <= mc.col < col + side for mc in mcs)
        titles = (
            (f"{name}: {side * spacing_mm[0]:.0f} mm", REGION_COLOUR),
            (f"{shown} MC{'s' * (shown != 1)}", MC_COLOUR),
        )
        for column, (words, colour) in enumerate(titles, start=1):
            axis = figure.add_subplot(grid[i, column])
            axis.imshow(image[part], cmap="gray", vmin=vmin, vmax=max(vmax, vmin + 1e-3), interpolation="bicubic")
            axis.set_title(words, color=colour, fontsize=9, loc="left")
            _draw_scale(axis, 2.0, spacing_mm)
        _draw_outlines(axis, labels[part], kinds, is_counted)
    for axis in figure.axes:
        axis.set_axis_off()
        axis.xaxis.set_visible(False)  # else the layout measures ticks that are not drawn
        axis.yaxis.set_visible(False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_rings(
    axes: Axes, findings: Sequence[Microcalcification], kinds: Sequence[str], ring: float, spacing_mm: Spacing
) -> list[Line2D]:
    """A ring around every mark in the colour of its kind; entries of the legend."""
    handles = []
    for kind, (colour, line) in KIND_STYLES.items():
        own = [mc for mc, name in zip(findings, kinds, strict=True) if name == kind]
        if not own:
            continue
        widths = [2 * max(ring, 0.75 * mc.equivalent_diameter_mm / spacing_mm[0]) for mc in own]
        style: dict[str, Any] = {"facecolors": "none", "edgecolors": colour, "linestyles": line, "linewidths": 1.0}
        places = [(mc.col, mc.row) for mc in own]
        style |= {"offsets": places, "offset_transform": axes.transData, "units": "xy"}
        rings = EllipseCollection(widths, widths, 0, **style)
        rings.set_in_layout(False)
        axes.add_collection(rings, autolim=False)
        name = f"{kind}: {len(own)}" + (" (not counted)" if line == ":" else "")
        handles.append(Line2D([], [], color=colour, linestyle=line, linewidth=1.5, label=name))
    return handles


def _draw_outlines(axes: Axes, labels: np.ndarray, kinds: Sequence[str], is_counted: np.ndarray) -> None:
    """Outlines of the marks of a region in the colours of their kinds, those that are not counted dotted."""
    kind_of = np.array(["", *kinds])
    for counts in (True, False):
        chosen = np.concatenate([[False], is_counted == counts])
        for kind, (colour, _) in KIND_STYLES.items():
            shown = (chosen & (kind_of == kind))[labels]
            if shown.any():
                line = {"linewidths": 1.0} if counts else {"linewidths": 0.7, "linestyles": ":"}
                axes.contour(shown, levels=[0.5], colors=colour, **line)


def _draw_hulls(axes: Axes, clusters: Sequence[ClusterFinding], ring: float) -> list[Line2D]:
    """Outline of every cluster; the first ones with number, MCs and distribution; the entry of the legend."""
    for finding in clusters:
        hull = np.array(finding.cluster.hull_px)
        axes.add_patch(Polygon(hull[:, ::-1], fill=False, edgecolor=CLUSTER_COLOUR, linewidth=1.4))
        if finding.cluster.id <= MOST_HULLS:
            words = f"{finding.cluster.id}: {len(finding.cluster.members)} {finding.distribution.name}"
            at: dict[str, Any] = {"color": CLUSTER_COLOUR, "fontsize": 9, "clip_on": True}
            is_right = hull[:, 1].mean() > sum(axes.get_xlim()) / 2  # so that the words stay in the picture
            is_low = hull[:, 0].max() > 0.95 * max(axes.get_ylim())
            at |= {"ha": "right" if is_right else "left", "va": "bottom" if is_low else "top"}
            col = hull[:, 1].max() if is_right else hull[:, 1].min()
            text = axes.text(col, hull[:, 0].min() - ring if is_low else hull[:, 0].max() + ring, words, **at)
            text.set_path_effects([withStroke(linewidth=2, foreground="black")])
            text.set_in_layout(False)
    words = f"clusters: {len(clusters)} (number: MCs, distribution)"
    return [Line2D([], [], color=CLUSTER_COLOUR, linewidth=1.5, label=words)] if clusters else []


def _draw_scale(axes: Axes, length_mm: float, spacing_mm: Spacing) -> None:
    """A bar of a length in the lower left corner."""
    left, right, bottom, top = *axes.get_xlim(), *axes.get_ylim()
    col, row = left + 0.03 * (right - left), bottom + 0.03 * (top - bottom)
    outline = [withStroke(linewidth=3, foreground="black")]
    axes.plot([col, col + length_mm / spacing_mm[1]], [row, row], color="white", linewidth=2, path_effects=outline)
    words: dict[str, Any] = {"color": "white", "fontsize": 8, "va": "bottom", "path_effects": outline}
    axes.text(col, row + 0.01 * (top - bottom), f"{length_mm:g} mm", **words)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


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
    blocks = block_reduce(probability, step, np.max)
    return (colormaps["jet"](np.clip(blocks, 0, 1))[..., :3] * 255).round().astype(np.uint8)


def _whole_view(
    image: np.ndarray, breast: np.ndarray | None, rim_px: int, longest_px: int
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """The breast's box and a rim (without a breast the whole image), reduced by averaging to at most `longest_px`.

    Also its (left, right, bottom, top) in px of the image, as `imshow` takes them.
    """
    shown = np.ones(image.shape, bool) if breast is None or not breast.any() else breast
    inside = (np.flatnonzero(shown.any(axis)) for axis in (1, 0))
    spans = zip(inside, image.shape, strict=True)
    rows, cols = (slice(max(int(i[0]) - rim_px, 0), min(int(i[-1]) + rim_px, size)) for i, size in spans)
    part = image[rows, cols]
    step = -(-max(part.shape) // longest_px)
    if step > 1:
        size = tuple(max(1, round(length / step)) for length in part.shape[::-1])
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    return part, (cols.start - 0.5, cols.stop - 0.5, rows.stop - 0.5, rows.start - 0.5)
