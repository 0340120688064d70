"""Reports with a shape of their own: a grid of two parameters, and folds with mean and standard deviation."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from scripts.common.files import write_atomically
from scripts.common.tables import markdown_table, write_text
from scripts.sweeps.report import Row, as_number, best_of, write_best, write_rows
from scripts.sweeps.space import labels_of


class GridReport:
    """Tables in the shape of the paper's tables I and II: one parameter down, one across, one table per figure.

    Args:
        title: of the report.
        down, across: config keys of the two parameters.
        figures: what is tabled: "value" or names of the trials' values.
        note: a sentence on how to read it.
    """

    def __init__(self, title: str, down: str, across: str, figures: Sequence[str] = ("value",), note: str = "") -> None:
        self.title, self.down, self.across, self.figures, self.note = title, down, across, list(figures), note
        self._labels = labels_of([down, across])

    def write(self, folder: Path, rows: Sequence[Row], direction: str) -> None:
        """Write results.csv, results.md, results.png and, when a trial is complete, best.json."""
        write_rows(folder / "results.csv", rows)
        tables = {name: self.table(rows, name) for name in self.figures}
        parts = [f"# {self.title}", self.note]
        for name, (downs, acrosses, cells) in tables.items():
            if np.isnan(cells).all():
                continue
            header = [f"{self._labels[self.down]} / {self._labels[self.across]}", *acrosses]
            lines = [[down, *map(float, line)] for down, line in zip(downs, cells, strict=True)]
            parts += [f"## {name}", markdown_table(header, lines)]
        best = best_of(rows, direction)
        if best is not None:
            parts.append(f"Best: {best.parameters}, value {best.value:.4f} (to {direction}).")
            write_best(folder / "best.json", best, self.title)
        write_text(folder / "results.md", "\n\n".join(part.rstrip() for part in parts if part) + "\n")
        self._plot(folder / "results.png", tables)

    def table(self, rows: Sequence[Row], figure: str) -> tuple[list[Any], list[Any], np.ndarray]:
        """One figure as values down, values across and cells (down, across); NaN where no trial is complete."""
        done = [row for row in rows if row.value is not None]
        downs, acrosses = (sorted({row.parameters[key] for row in done}) for key in (self.down, self.across))
        cells = np.full((len(downs), len(acrosses)), np.nan)
        for row in done:
            place = downs.index(row.parameters[self.down]), acrosses.index(row.parameters[self.across])
            cells[place] = as_number(row, figure)
        return downs, acrosses, cells

    def _plot(self, path: Path, tables: dict[str, tuple[list[Any], list[Any], np.ndarray]]) -> None:
        shown = {name: table for name, table in tables.items() if not np.isnan(table[2]).all()}
        figure = Figure(figsize=(4.2 * max(len(shown), 1), 3.8), layout="constrained")
        for place, (name, (downs, acrosses, cells)) in enumerate(shown.items()):
            axes = figure.add_subplot(1, len(shown), place + 1)
            image = axes.imshow(cells, cmap="viridis", aspect="auto")
            axes.set_xticks(range(len(acrosses)), [f"{value:g}" for value in acrosses])
            axes.set_yticks(range(len(downs)), [f"{value:g}" for value in downs])
            axes.set(xlabel=self._labels[self.across], ylabel=self._labels[self.down], title=name)
            for (row, col), value in np.ndenumerate(cells):
                if not np.isnan(value):
                    box = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1}
                    axes.text(col, row, f"{value:.3f}", ha="center", va="center", fontsize=8, bbox=box)
            figure.colorbar(image, ax=axes)
        figure.suptitle(self.title)
        write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=150))


class FoldReport:
    """A cross-validation: one line per fold, then mean and standard deviation.

    Args:
        title: of the report.
        fold: config key of the parameter that numbers the folds.
        figures: what is tabled, names of the trials' values.
        note: a sentence on how to read it.
    """

    def __init__(self, title: str, fold: str, figures: Sequence[str], note: str = "") -> None:
        self.title, self.fold, self.figures, self.note = title, fold, list(figures), note

    def write(self, folder: Path, rows: Sequence[Row], direction: str) -> None:
        """Write results.csv, results.md and results.png."""
        write_rows(folder / "results.csv", rows)
        done = sorted((row for row in rows if row.value is not None), key=lambda row: row.parameters[self.fold])
        cells = np.array([[as_number(row, name) for name in self.figures] for row in done], np.float64)
        cells = cells.reshape(len(done), len(self.figures))
        mean, std = summarise(cells)
        lines = [[row.parameters[self.fold], *map(float, line)] for row, line in zip(done, cells, strict=True)]
        lines += [["mean", *map(float, mean)], ["standard deviation", *map(float, std)]]
        table = markdown_table(["fold", *self.figures], lines)
        explained = f"{len(done)} folds done. The standard deviation is over folds (n - 1); an empty cell is undefined."
        write_text(folder / "results.md", f"# {self.title}\n\n{self.note}\n\n{explained}\n\n{table}")
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for place in range(len(self.figures)):
            axes.plot(np.full(len(done), place), cells[:, place], "o", color="tab:blue", alpha=0.5, ms=4)
            axes.errorbar([place], [mean[place]], [std[place]], fmt="_", color="black", capsize=4)
        axes.set_xticks(range(len(self.figures)), self.figures, rotation=20, ha="right", fontsize=8)
        axes.set(title=f"{self.title}: folds, mean and standard deviation")
        axes.grid(alpha=0.3)
        write_atomically(folder / "results.png", lambda temporary: figure.savefig(temporary, dpi=150))


def summarise(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n - 1) of every column of (folds, figures), NaN left out; NaN when undefined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns with too few values
        return np.nanmean(cells, axis=0), np.nanstd(cells, axis=0, ddof=1)
