"""Operating thresholds for three uses, chosen on a validation set; `scripts.findings.presets` reads and writes them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.common.checks import check
from scripts.evaluation.froc import ROUNDING, Froc, point_of


@dataclass(frozen=True)
class PresetLimits:
    """Most false positives of two presets, FP per cm^2, inclusive."""

    sensitive_fp_per_cm2: float = 1.0
    specific_fp_per_cm2: float = 0.1  # at most that of "sensitive"

    def __post_init__(self) -> None:
        specific, most = self.specific_fp_per_cm2, self.sensitive_fp_per_cm2
        check("specific_fp_per_cm2", specific, 0 <= specific <= most, f"0 to {most}")


def choose_presets(curve: Froc, limits: PresetLimits | None = None) -> dict[str, dict[str, Any]]:
    """Operating thresholds for three uses, from the curve of a validation set.

    "balanced" is the paper's point nearest to (0, 1); "sensitive" and "specific" have the largest TPR within their
    limits, of equal TPRs the highest threshold. Then the order is made sure of: "specific" is at least as high as
    "balanced", and "sensitive" at most.

    Returns:
        {"sensitive", "balanced", "specific"}: each {"threshold", "tpr", "fp_per_cm2", "fp_per_image",
        "within_limit"}. "within_limit" is false where the point has more FP than its limit: when even the highest
        score has (that point is given), or when the order asks for a lower threshold.
    """
    limits, balanced = limits or PresetLimits(), curve.nearest_to_ideal()
    if balanced is None:
        raise ValueError("curve: got no predictions, annotated objects or breast area; want a labelled validation set")
    sensitive, specific = limits.sensitive_fp_per_cm2, limits.specific_fp_per_cm2
    # indices ascend as thresholds fall
    chosen = {
        "sensitive": (max(curve.best_within(sensitive) or 1, balanced), sensitive),
        "balanced": (balanced, np.inf),
        "specific": (min(curve.best_within(specific) or 1, balanced), specific),
    }
    return {
        name: point_of(curve, index) | {"within_limit": bool(curve.fp_per_cm2[index] <= limit * (1 + ROUNDING))}
        for name, (index, limit) in chosen.items()
    }
