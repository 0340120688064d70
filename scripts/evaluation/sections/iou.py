"""IoU per object and per image at the operating threshold; docs/metrics.md, "IoU"."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.evaluation.iou import iou_per_object
from scripts.evaluation.scored_set import ScoredSet
from scripts.evaluation.sections.section import Results, SectionBase
from scripts.evaluation.statistics import ratio_interval


@dataclass(frozen=True)
class IouSection(SectionBase):
    """Intersection over union."""

    def results(self, scored: ScoredSet) -> Results:
        """`iou`."""
        with_mc = scored.column("annotated") > 0
        per_image: dict[str, Any] = {}
        for name in ("foreground_iou", "background_iou", "mean_iou"):
            values = scored.column(name)
            per_image[name] = {
                which: ratio_interval(values * chosen, chosen.astype(float), scored.weights).as_json()
                | _spread(values[chosen])
                for which, chosen in (("images_with_mc", with_mc), ("all_images", np.ones_like(with_mc)))
            }
        values = np.concatenate([iou_per_object(m.case, m.threshold) for m in scored.operating] + [np.zeros(0)])
        mean = ratio_interval(scored.column("iou_sum"), scored.column("iou_objects"), scored.weights)
        return Results({"iou": {"per_object": mean.as_json() | _spread(values), "per_image": per_image}})


def _spread(values: np.ndarray) -> dict[str, float | int | None]:
    """The paper's "+-": standard deviation over objects or images (population), and how many they are."""
    return {"std": float(values.std()) if values.size else None, "n": int(values.size)}
