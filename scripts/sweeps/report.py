"""Tables and plots of a sweep: results.csv, results.md, results.png, and best.json, a config overlay of the best."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from scripts.common.files import write_atomically, write_json
from scripts.common.tables import markdown_table, write_csv, write_text
from scripts.sweeps.space import labels_of, values_of


@dataclass(frozen=True)
class Row:
    """One trial.

    Attributes:
        trial: its number.
        state: "complete", "pruned", "fail", "running" or "waiting".
        parameters: config key -> value.
        value: what was maximised or minimised, or None.
        feasible: whether it keeps all constraints; None when it has no value.
        values: further figures.
        overlay: config keys that belong to the result.
        seconds: duration, or None.
        reason: why there is no value, or "".
    """

    trial: int
    state: str
    parameters: dict[str, Any]
    value: float | None = None
    feasible: bool | None = None
    values: dict[str, Any] = field(default_factory=dict)
    overlay: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    reason: str = ""


class SweepReport(Protocol):
    """Writes what a sweep leaves."""

    def write(self, folder: Path, rows: Sequence[Row], direction: str) -> None:
        """Write all files into a folder."""


def row_of(trial: FrozenTrial, keys: Sequence[str]) -> Row:
    """A trial of a study as a row, its parameters in the order of `keys`."""
    parameters, attributes = values_of(trial), trial.user_attrs
    complete = trial.state == TrialState.COMPLETE
    return Row(
        trial=trial.number,
        state=trial.state.name.lower(),
        parameters={key: parameters[key] for key in keys if key in parameters},
        value=trial.value if complete else None,
        feasible=all(violation <= 0 for violation in trial.constraints.values()) if complete else None,
        values=dict(attributes.get("values", {})) if complete else {},
        overlay=dict(attributes.get("overlay", {})) if complete else {},
        seconds=attributes.get("seconds") if complete else None,
        reason="" if complete else str(attributes.get("reason", "")),
    )


def ranked(rows: Sequence[Row], direction: str) -> list[Row]:
    """Complete trials, feasible ones first, best first."""
    sign = -1 if direction == "maximize" else 1
    complete = [row for row in rows if row.value is not None]
    return sorted(complete, key=lambda row: (not row.feasible, sign * float(row.value or 0), row.trial))


def best_of(rows: Sequence[Row], direction: str) -> Row | None:
    """The best feasible trial, or None."""
    order = ranked(rows, direction)
    return order[0] if order and order[0].feasible else None


def write_rows(path: str | Path, rows: Sequence[Row]) -> Path:
    """Write one CSV line per trial; what is not known is an empty cell."""
    parameters, values = (list(dict.fromkeys(k for r in rows for k in getattr(r, n))) for n in ("parameters", "values"))
    columns = ["trial", "state", *parameters, "value", "feasible", *values, "seconds", "reason"]
    return write_csv(path, columns, [{**row.values, **row.parameters, **vars(row)} for row in rows])


def write_best(path: str | Path, best: Row, title: str) -> Path:
    """Write a config overlay: the parameters of the best trial and what was chosen with them."""
    told = f"{title}: best of the sweep, trial {best.trial}, value {best.value}."
    return write_json(path, {"_desc_": told, **best.parameters, **best.overlay})


class RankingReport:
    """All trials in order of merit, and the course of the search.

    Args:
        title: of table and plot.
        shown: number of trials in the Markdown table.
        note: a sentence on how to read it.
    """

    def __init__(self, title: str, shown: int = 20, note: str = "") -> None:
        self.title, self.shown, self.note = title, shown, note

    def write(self, folder: Path, rows: Sequence[Row], direction: str) -> None:
        """Write results.csv, results.md, results.png and best.json."""
        write_rows(folder / "results.csv", rows)
        order = ranked(rows, direction)
        parameters = list(order[0].parameters) if order else []
        values = list(order[0].values) if order else []
        lines = [
            [r.trial, *(r.parameters.get(k) for k in parameters), r.value, "yes" if r.feasible else "no"]
            + [r.values.get(k) for k in values]
            for r in order[: self.shown]
        ]
        table = markdown_table(["trial", *labels_of(parameters).values(), "value", "feasible", *values], lines)
        states = ", ".join(f"{sum(r.state == s for r in rows)} {s}" for s in sorted({r.state for r in rows}))
        text = f"# {self.title}\n\n{self.note}\n\nTrials: {states}; to {direction}. Best first:\n\n{table}"
        write_text(folder / "results.md", text)
        best = best_of(rows, direction)
        if best is not None:
            write_best(folder / "best.json", best, self.title)
        self._plot(folder / "results.png", rows, direction)

    def _plot(self, path: Path, rows: Sequence[Row], direction: str) -> None:
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        complete = [row for row in rows if row.value is not None]
        for feasible, colour, label in ((True, "tab:blue", "feasible"), (False, "tab:gray", "breaks a constraint")):
            points = [(row.trial, as_number(row, "value")) for row in complete if row.feasible is feasible]
            if points:
                trials, values = map(list, zip(*points, strict=True))
                axes.plot(trials, values, "o", color=colour, label=label, ms=4)
            if points and feasible:
                pick = np.maximum.accumulate if direction == "maximize" else np.minimum.accumulate
                axes.step(trials, pick(values), where="post", label="best so far")
        if complete:
            axes.legend(fontsize="small")
        axes.set(xlabel="trial", ylabel="value", title=self.title)
        axes.grid(alpha=0.3)
        write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=150))


def as_number(row: Row | None, name: str) -> float:
    """A figure of a row, "value" or one of its values; NaN when there is none."""
    figure: Any = None if row is None else row.value if name == "value" else row.values.get(name)
    return float("nan") if figure is None else float(figure)
