"""Pictures of findings: the overlay that one shows a colleague, and the slim FCN's blue-to-red heat map."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.spatial import cKDTree
from skimage.measure import block_reduce

from scripts.common.files import write_png
from scripts.common.objects import Microcalcification
from scripts.common.tensors import Spacing, plane, spacing_of

PNG_COMPRESSION = 3  # twice as fast as the usual 6, and the pictures get no larger
MC_COLOUR = "#ffb000"
REGION_COLOUR = "#4cc9f0"


def write_picture(path: Path, item: Mapping[str, Any]) -> Path:
    """The overlay of one image's findings, PNG."""
    report, identity = item["report"], item["report"]["identity"]
    count, density = report["summary"]["count"], report["summary"]["count_per_cm2"]
    where = " ".join(filter(None, (identity["laterality"], identity["view"])))
    title = "   ".join(filter(None, (report["name"], where, report["method"]))) + f"\n{count} microcalcifications"
    if density is not None:
        title += f", {density:.2f} per cm² of breast"
    image, labels = item["image"], plane(item["instances"])
    breast, spacing = plane(item["breast"]), spacing_of(image)
    pixels = draw_overlay(plane(image), labels, item["findings"], spacing_mm=spacing, title=title, breast=breast)
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
    breast: np.ndarray | None = None,
    region_mm: float = 18.0,
    regions: int = 3,
    dpi: int = 150,
) -> np.ndarray:
    """Whole mammogram with every MC ringed, beside it the fullest regions magnified, plain and outlined.

    The image is float (rows, cols) in [0, 1]; `labels` are int (rows, cols), 0 background, and `findings` are their
    measured objects. The whole view is cropped to the breast, bool (rows, cols), plus a rim, when given and not empty.
    `regions` says how many of the side `region_mm` are magnified. The picture is uint8 (height, width, 3) RGB, about
    13 x 9 inches.
    """
    rows, cols = image.shape
    side = max(16, min(round(region_mm / spacing_mm[0]), rows, cols))
    corners = densest_regions(findings, (rows, cols), side, regions)
    figure = Figure(figsize=(13, 9), dpi=dpi, facecolor="black", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.add_gridspec(max(regions, 1), 3, width_ratios=[2.1, 1, 1])
    whole = figure.add_subplot(grid[:, 0])
    low, high = display_window(image, breast)
    view, extent = _whole_view(image, breast, max(round(3 / spacing_mm[0]), 1), round(12 * dpi))
    whole.imshow(view, cmap="gray", vmin=low, vmax=high, extent=extent, aspect=spacing_mm[0] / spacing_mm[1])
    ring = 0.9 / spacing_mm[0]
    widths = [2 * max(ring, 0.75 * mc.equivalent_diameter_mm / spacing_mm[0]) for mc in findings]
    places = [(mc.col, mc.row) for mc in findings]
    style: dict[str, Any] = {"facecolors": "none", "edgecolors": MC_COLOUR, "linewidths": 0.7, "units": "xy"}
    rings = EllipseCollection(widths, widths, 0, offsets=places, offset_transform=whole.transData, **style)
    rings.set_in_layout(False)
    whole.add_collection(rings, autolim=False)
    whole.set_title(title, color="white", fontsize=11, loc="left", wrap=True, parse_math=False)
    if not findings:
        note: dict[str, Any] = {"color": MC_COLOUR, "ha": "center", "transform": whole.transAxes, "fontsize": 12}
        whole.text(0.5, 0.02, "no microcalcification found", **note)
    for i, (row, col) in enumerate(corners):
        name = "ABCDEFGH"[i % 8]
        whole.add_patch(Rectangle((col, row), side, side, fill=False, edgecolor=REGION_COLOUR, linewidth=1))
        whole.text(col, row - 0.6 * ring, name, color=REGION_COLOUR, fontsize=11, va="bottom")
        part = (slice(row, row + side), slice(col, col + side))
        vmin, vmax = np.percentile(image[part], (1, 99.9))
        shown = sum(row <= mc.row < row + side and col <= mc.col < col + side for mc in findings)
        titles = (f"{name}: {side * spacing_mm[0]:.0f} mm", REGION_COLOUR), (f"{shown} MCs", MC_COLOUR)
        for column, (words, colour) in enumerate(titles, start=1):
            axis = figure.add_subplot(grid[i, column])
            axis.imshow(image[part], cmap="gray", vmin=vmin, vmax=max(vmax, vmin + 1e-3), interpolation="bicubic")
            axis.set_title(words, color=colour, fontsize=9, loc="left")
        axis.contour(labels[part] > 0, levels=[0.5], colors=MC_COLOUR, linewidths=0.8)
    for axis in figure.axes:
        axis.set_axis_off()
        axis.xaxis.set_visible(False)  # else the layout measures ticks that are not drawn
        axis.yaxis.set_visible(False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


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
