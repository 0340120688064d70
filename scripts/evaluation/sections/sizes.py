"""Objects by size: annotated and predicted ones at the operating threshold, and the labels of a whole data set."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from scripts.common.checks import check, check_fields
from scripts.common.files import write_atomically, write_json
from scripts.common.tables import write_csv
from scripts.common.tensors import plane
from scripts.evaluation.cases import annotated_objects, equivalent_diameter_mm
from scripts.evaluation.matching import Matched
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, Section
from scripts.evaluation.sections.strata import SINGLE_PIXEL, bin_names, bins_of

logger = logging.getLogger(__name__)
SIZE_FIELDS = ("diameter_mm", "low", "high", "annotated", "predicted", "true_positive", "false_positive")


@dataclass(frozen=True)
class SizeSection(Section):
    """Size histogram of annotated and predicted objects."""

    edges_mm: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)  # of the bins of the diameter

    def __post_init__(self) -> None:
        check_fields(self)
        bin_names(self.edges_mm)

    def results(self, scored: ScoredSet) -> Results:
        """sizes.csv."""
        return Results({}, {"sizes.csv": (SIZE_FIELDS, size_histogram(scored.operating, self.edges_mm))})


def size_histogram(images: Sequence[Matched], edges: Sequence[float]) -> list[dict[str, Any]]:
    """Annotated and predicted objects of matched images by equivalent diameter, edges of the bins in mm: rows under
    `SIZE_FIELDS`, objects of one pixel first, whatever their size in mm, then the bins.
    """
    names = [SINGLE_PIXEL, *bin_names(edges)]
    counts = np.zeros((4, len(names)), np.int64)
    for matched in images:
        case = matched.case
        areas = (case.annotations.area_px, case.predictions.area_px)
        annotated, predicted = (bins_of(equivalent_diameter_mm(area, case.spacing_mm), area, edges) for area in areas)
        chosen = (predicted[which] for which in (matched.kept, matched.true_positive, matched.false_positive))
        counts += [np.bincount(place, minlength=len(names)) for place in (annotated, *chosen)]
    low, high = [math.nan, 0.0, *edges], [math.nan, *edges, math.nan]
    rows = zip(names, low, high, *counts.tolist(), strict=True)
    return [dict(zip(SIZE_FIELDS, row, strict=True)) for row in rows]


def size_counts(label: np.ndarray, last_px: int = 100, bin_px: int = 1) -> np.ndarray:
    """Number of annotated objects of a label (0 background, 1 MC, 2 ignore) by size, int (bins,): bins of `bin_px` from
    1 px on, the last one of `last_px` or more.
    """
    area = np.bincount(annotated_objects(label).ravel())[1:]
    bins = (last_px - 1) // bin_px + 1
    return np.bincount(np.minimum((area - 1) // bin_px, bins - 1), minlength=bins)


@dataclass(eq=False)
class LabelSizes:
    """Writes label_sizes.csv, label_sizes.png and label_sizes.json: sizes of the annotated objects of a data set, each
    section apart (the slim FCN paper's figure 3, of any labels). No network: run id `label_sizes` of evaluate.json.
    """

    output_dir: str | Path
    datalist: Mapping[str, Sequence[Mapping[str, Any]]]  # section of the data -> its items
    transform: Callable[[Mapping[str, Any]], Mapping[str, Any]]  # loads an item's image and label
    last_px: int = 100  # sizes from here on share the last bin (100 in the paper)
    bin_px: int = 1  # width of the other bins, px; must divide `last_px` - 1
    progress: bool = True  # show a progress bar

    def __post_init__(self) -> None:
        divides = self.bin_px >= 1 and self.last_px > 1 and not (self.last_px - 1) % self.bin_px
        check("bin_px", self.bin_px, divides, f"a divisor of {self.last_px - 1} (last_px - 1)")

    def write(self) -> dict[str, Any]:
        """Count, write the files, and return what label_sizes.json holds: {section: {"images", "annotated",
        "single_px", "from_last_px", "counts": objects per bin}}.
        """
        found: dict[str, Any] = {}
        for section, items in self.datalist.items():
            counts, single = np.zeros((self.last_px - 1) // self.bin_px + 1, np.int64), 0
            for item in tqdm(items, desc=section, unit="image", disable=not self.progress):
                label = plane(self.transform(dict(item))["label"])
                counts += size_counts(label, self.last_px, self.bin_px)
                single += int(size_counts(label)[0])
            found[section] = {
                "images": len(items),
                "annotated": int(counts.sum()),
                "single_px": single,
                "from_last_px": int(counts[-1]),
                "counts": counts.tolist(),
            }
        rows = [
            {"low_px": low, "high_px": None if low == self.last_px else low + self.bin_px}
            | {section: numbers["counts"][place] for section, numbers in found.items()}
            for place, low in enumerate(range(1, self.last_px + 1, self.bin_px))
        ]
        path = Path(self.output_dir) / "label_sizes.csv"
        write_csv(path, ("low_px", "high_px", *found), rows)
        draw_sizes(path.with_suffix(".png"), {name: np.array(of["counts"]) for name, of in found.items()}, self.bin_px)
        write_json(path.with_suffix(".json"), found)
        logger.info("sizes of the labels: %s", path)
        return found


def draw_sizes(path: str | Path, counts: Mapping[str, np.ndarray], bin_px: int) -> Path:
    """Draw histograms of object sizes, one panel per section of the data: `counts` (bins,) as from `size_counts`."""
    figure = Figure(figsize=(6.4, 2.2 * max(len(counts), 1) + 0.6), layout="constrained")
    for place, (section, numbers) in enumerate(counts.items(), start=1):
        axes = figure.add_subplot(len(counts), 1, place)
        low = 1 + bin_px * np.arange(numbers.size)
        axes.bar(low, numbers, width=bin_px, align="edge")
        axes.set(title=f"{section}: {int(numbers.sum())} MCs", xlim=(0, low[-1] + 2 * bin_px), ylabel="MCs")
        axes.set_xlabel(f"size, px (last bin: {low[-1]} or more)")
    return write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=150))
