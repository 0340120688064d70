"""Objects by size: annotated and predicted ones at the operating threshold, and the labels of a whole data set."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from scripts.common.checks import check
from scripts.common.files import write_json
from scripts.common.tables import write_csv
from scripts.common.tensors import plane
from scripts.evaluation.cases import annotated_objects, equivalent_diameter_mm
from scripts.evaluation.figures import draw_sizes
from scripts.evaluation.matching import Matched
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, SectionBase
from scripts.evaluation.sections.strata import SINGLE_PIXEL, bin_names, bins_of

logger = logging.getLogger(__name__)
SIZE_FIELDS = ("diameter_mm", "low", "high", "annotated", "predicted", "true_positive", "false_positive")


@dataclass(frozen=True)
class SizeSection(SectionBase):
    """Size histogram of annotated and predicted objects."""

    edges_mm: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)  # of the bins of the diameter

    def __post_init__(self) -> None:
        bin_names(self.edges_mm)

    def results(self, scored: ScoredSet) -> Results:
        """sizes.csv."""
        return Results({}, {"sizes.csv": (SIZE_FIELDS, size_histogram(scored.operating, self.edges_mm))})


def size_histogram(images: Sequence[Matched], edges: Sequence[float]) -> list[dict[str, Any]]:
    """Annotated and predicted objects of matched images by equivalent diameter, edges of the bins in mm.

    Returns:
        Rows under `SIZE_FIELDS`: objects of one pixel first, whatever their size in mm, then the bins.
    """
    names = [SINGLE_PIXEL, *bin_names(edges)]
    counts = np.zeros((4, len(names)), np.int64)
    for matched in images:
        areas = (matched.case.annotations.area_px, matched.case.predictions.area_px)
        annotated, predicted = (
            bins_of(equivalent_diameter_mm(area, matched.case.spacing_mm), area, edges) for area in areas
        )
        chosen = (predicted[which] for which in (matched.kept, matched.true_positive, matched.false_positive))
        counts += [np.bincount(place, minlength=len(names)) for place in (annotated, *chosen)]
    low, high = [math.nan, 0.0, *edges], [math.nan, *edges, math.nan]
    rows = zip(names, low, high, *counts.tolist(), strict=True)
    return [dict(zip(SIZE_FIELDS, row, strict=True)) for row in rows]


def size_counts(label: np.ndarray, last_px: int = 100, bin_px: int = 1) -> np.ndarray:
    """Number of annotated objects by size, int (bins,): the first bin begins at 1 px, the last one at `last_px`.

    Args:
        label: (rows, cols), 0 background, 1 MC, 2 ignore.
        last_px: sizes from here on share the last bin.
        bin_px: width of the other bins.
    """
    area = np.bincount(annotated_objects(label).ravel())[1:]
    bins = (last_px - 1) // bin_px + 1
    return np.bincount(np.minimum((area - 1) // bin_px, bins - 1), minlength=bins)


class LabelSizes:
    """Writes label_sizes.csv, label_sizes.png and label_sizes.json: sizes of the annotated objects of a data set, each
    section apart (the slim FCN paper's figure 3, of any labels). No network: run id `label_sizes` of evaluate.json.

    Args:
        output_dir: folder of the results.
        datalist: section of the data -> its items.
        transform: loads an item's image and label.
        last_px: sizes from here on share the last bin (the paper: 100).
        bin_px: width of the other bins, px; must divide `last_px` - 1.
        progress: show a progress bar.
    """

    def __init__(
        self,
        output_dir: str | Path,
        datalist: Mapping[str, Sequence[Mapping[str, Any]]],
        transform: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        last_px: int = 100,
        bin_px: int = 1,
        progress: bool = True,
    ) -> None:
        divides = bin_px >= 1 and last_px > 1 and not (last_px - 1) % bin_px
        check("bin_px", bin_px, divides, f"a divisor of {last_px - 1} (last_px - 1)")
        self.output_dir, self.datalist, self.transform = Path(output_dir), datalist, transform
        self.last_px, self.bin_px, self.progress = last_px, bin_px, progress

    def write(self) -> dict[str, Any]:
        """Count, write the files, and return what label_sizes.json holds: numbers of each section.

        Returns:
            {section: {"images", "annotated", "single_px", "from_last_px", "counts": objects per bin}}.
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
        write_csv(self.output_dir / "label_sizes.csv", ("low_px", "high_px", *found), rows)
        shown = {section: np.array(numbers["counts"]) for section, numbers in found.items()}
        draw_sizes(self.output_dir / "label_sizes.png", shown, self.bin_px)
        write_json(self.output_dir / "label_sizes.json", found)
        logger.info("sizes of the labels: %s", self.output_dir / "label_sizes.csv")
        return found
