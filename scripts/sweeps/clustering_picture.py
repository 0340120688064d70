"""Picture of groups of clusters: confusion with the labels, and an example image of each label."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from scripts.common.files import write_atomically
from scripts.findings.clusters import Cluster
from scripts.findings.clusters.cluster import points_of
from scripts.sweeps.clustering_cases import LabelledImage

Pictured = tuple[LabelledImage, Cluster, int]  # the image, one of its clusters, its group


def draw_groups(
    path: Path,
    labels: Sequence[str],
    tables: Mapping[str, tuple[Sequence[str], np.ndarray]],
    clusters: Sequence[Pictured],
) -> None:
    """Write a PNG: a table (labels x columns) for each of `tables`, and the first image of each label alone.

    MCs are dots, hulls have the colour of their group; axes in mm.
    """
    width = max(len(labels), 2)
    figure = Figure(figsize=(2.7 * width, 7.2), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(1, 1.15))
    above, below = (figure.add_subfigure(grid[row]) for row in (0, 1))
    for axes, (name, (columns, table)) in zip(above.subplots(1, len(tables)), tables.items(), strict=True):
        _draw_table(axes, labels, columns, table)
        axes.set_title(f"labels and {name} (clusters)", fontsize=11)
    examples = below.subplots(1, width, squeeze=False)[0]
    for axes, label in zip(examples, labels, strict=False):
        image_id = next((image.image_id for image, _, _ in clusters if image.labels == (label,)), None)
        own = [part for part in clusters if part[0].image_id == image_id]
        if own:
            _draw_example(axes, own)
        axes.set_title(label, fontsize=11)
    for axes in examples:
        axes.set_aspect("equal")
        axes.tick_params(labelsize=8)
    examples[0].set_ylabel("mm")
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110, metadata={"Software": None}))


def _draw_table(axes: Axes, labels: Sequence[str], columns: Sequence[str], table: np.ndarray) -> None:
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, col), count in np.ndenumerate(table):
        colour = "white" if shares[row, col] > 0.6 else "black"
        axes.text(col, row, str(count), ha="center", va="center", color=colour, fontsize=10)
    axes.set_xticks(range(len(columns)), columns, fontsize=9)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)


def _draw_example(axes: Axes, clusters: Sequence[Pictured]) -> None:
    points = points_of(clusters[0][0].mcs)
    axes.plot(points[:, 1], points[:, 0], ".", color="black", ms=2)
    for _, cluster, group in clusters:
        corners = [(x, y) for y, x in cluster.hull_mm]
        axes.add_patch(Polygon(corners, fill=False, edgecolor=colormaps["tab10"](group), linewidth=1.5))
        axes.annotate(str(group), corners[0], color=colormaps["tab10"](group), fontsize=9)
    axes.margins(0.1)
    axes.invert_yaxis()
