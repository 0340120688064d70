"""The cost curves as a picture: seconds over the size of the breast and the number of MCs, memory over the size."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from scripts.bench.growth import BREAST_PX, SIZE_TITLE, SPOTS_TITLE
from scripts.bench.report import Row
from scripts.bench.stages import NETWORK, OBJECTS, WRITE
from scripts.evaluation.report.style import line, marked, new_figure, save

#: Title below the axes, column, label upwards.
SIZE_PANELS = ((f"{NETWORK} s", "network, s"), ("all s", "file to results, s"), ("peak MB", "peak memory, MB"))


def growth_picture(tables: Mapping[str, Sequence[Row]], path: Path) -> Path | None:
    """Draw the sweeps over image size and over MCs.

    Args:
        tables: title -> rows, as the bench hands them out; other titles are left alone.
        path: PNG file, written atomically.

    Returns:
        The path, or None where neither sweep was run.
    """
    sizes, spots = list(tables.get(SIZE_TITLE, [])), list(tables.get(SPOTS_TITLE, []))
    panels = (len(SIZE_PANELS) if sizes else 0) + bool(spots)
    if not panels:
        return None
    figure = new_figure(3.5 * panels, 3.3)
    axes: list[Axes] = list(figure.subplots(1, panels, squeeze=False)[0])
    if sizes:
        for place, method in enumerate(dict.fromkeys(row["method"] for row in sizes)):
            rows = [row for row in sizes if row["method"] == method]
            for panel, (column, label) in zip(axes, SIZE_PANELS, strict=False):
                _curve(panel, rows, BREAST_PX, column, place, method)
                panel.set(xlabel="breast, million pixels", ylabel=label)
    if spots:
        for place, stage in enumerate((OBJECTS, WRITE)):
            _curve(axes[-1], spots, "MCs", f"{stage} s", place + 2, stage)
        axes[-1].set_xscale("symlog", linthresh=10)
        axes[-1].set(xlabel="MCs in the image (log from 10)", ylabel="after the network, s")
    for panel in axes:
        panel.set_xlim(left=0)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small", loc="best")
    return save(figure, path)


def _curve(axes: Axes, rows: Sequence[Row], across: str, up: str, place: int, label: str) -> None:
    axes.plot([row[across] for row in rows], [row[up] for row in rows], label=label, **line(place) | marked(place))
