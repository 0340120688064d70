"""Sizes of the annotated objects of a data set, each section apart: the slim FCN paper's figure 3, of any labels.

It needs no network: run id `label_sizes` of evaluate.json.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from scripts.common.files import write_json
from scripts.common.tables import write_csv
from scripts.common.tensors import plane
from scripts.evaluation.cases import annotated_objects
from scripts.evaluation.figures import draw_sizes

logger = logging.getLogger(__name__)


def size_counts(label: np.ndarray, last_px: int = 100, bin_px: int = 1) -> np.ndarray:
    """Number of annotated objects by size.

    Args:
        label: (rows, cols), 0 background, 1 MC, 2 ignore.
        last_px: sizes from here on share the last bin.
        bin_px: width of the other bins; the first one begins at 1 px.

    Returns:
        int (bins,).
    """
    area = np.bincount(annotated_objects(label).ravel())[1:]
    bins = (last_px - 1) // bin_px + 1
    return np.bincount(np.minimum((area - 1) // bin_px, bins - 1), minlength=bins)


class LabelSizes:
    """Writes label_sizes.csv, label_sizes.png and label_sizes.json.

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
        if bin_px < 1 or last_px <= 1 or (last_px - 1) % bin_px:
            raise ValueError(f"bin_px: got {bin_px}, want a divisor of {last_px - 1} (last_px - 1)")
        self.output_dir, self.datalist, self.transform = Path(output_dir), datalist, transform
        self.last_px, self.bin_px, self.progress = last_px, bin_px, progress

    def write(self) -> dict[str, Any]:
        """Count, write the files, and return what label_sizes.json holds: numbers of each section.

        Returns:
            {section: {"images", "annotated", "single_px", "from_last_px", "counts": objects per bin}}.
        """
        found: dict[str, Any] = {}
        for section, items in self.datalist.items():
            counts = np.zeros((self.last_px - 1) // self.bin_px + 1, np.int64)
            single = 0
            for item in tqdm(items, desc=section, unit="image", disable=not self.progress):
                label = plane(self.transform(dict(item))["label"])
                counts += size_counts(label, self.last_px, self.bin_px)
                single += int(size_counts(label, self.last_px)[0])
            found[section] = {
                "images": len(items),
                "annotated": int(counts.sum()),
                "single_px": single,
                "from_last_px": int(counts[-1]),
                "counts": counts.tolist(),
            }
        lows = range(1, self.last_px + 1, self.bin_px)
        rows = [
            {"low_px": low, "high_px": None if low == self.last_px else low + self.bin_px}
            | {section: numbers["counts"][place] for section, numbers in found.items()}
            for place, low in enumerate(lows)
        ]
        write_csv(self.output_dir / "label_sizes.csv", ("low_px", "high_px", *found), rows)
        shown = {section: np.array(numbers["counts"]) for section, numbers in found.items()}
        draw_sizes(self.output_dir / "label_sizes.png", shown, self.bin_px)
        write_json(self.output_dir / "label_sizes.json", found)
        logger.info("sizes of the labels: %s", self.output_dir / "label_sizes.csv")
        return found
