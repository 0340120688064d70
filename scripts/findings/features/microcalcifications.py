"""Features of every single microcalcification (MC) of an image: shape and contrast."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scripts.common.tensors import Spacing
from scripts.findings.features import contrast, shapes
from scripts.findings.features.contrast import Ring
from scripts.findings.features.shapes import Outlined

SHAPE_FEATURES: dict[str, Callable[[Any], np.ndarray]] = {
    function.__name__: function
    for function in (
        *(shapes.perimeter_mm, shapes.circularity, shapes.compactness, shapes.major_axis_mm, shapes.minor_axis_mm),
        *(shapes.eccentricity, shapes.orientation_deg, shapes.solidity),
    )
}
CONTRAST_FEATURES: dict[str, Callable[[Any], np.ndarray]] = {
    function.__name__: function
    for function in (
        *(contrast.contrast, contrast.max_contrast, contrast.contrast_to_noise, contrast.edge_sharpness_per_mm),
    )
}
#: Names of the features of an MC, in the order of the outputs.
MC_FEATURES = (*SHAPE_FEATURES, *CONTRAST_FEATURES)
DIGITS = 5  # significant ones in the outputs

FeatureRecord = dict[str, float | None]


@dataclass(frozen=True)
class MCFeatures:
    """Measures shape and contrast of MCs."""

    ring: Ring = field(default_factory=Ring)  # what contrasts are taken against

    def measure(self, labels: np.ndarray, image: np.ndarray, spacing_mm: Spacing) -> dict[str, np.ndarray]:
        """{name: float64 (n,)} of all MCs of an image; NaN where a feature is not defined.

        Labels are int (rows, cols), MCs numbered 1..n without gaps; the image is float (rows, cols), [0, 1].
        """
        objects = Outlined(labels, spacing_mm)
        around = self.ring.around(objects, image)
        found = {name: function(objects) for name, function in SHAPE_FEATURES.items()}
        return found | {name: function(around) for name, function in CONTRAST_FEATURES.items()}


def records_of(features: dict[str, np.ndarray]) -> list[FeatureRecord]:
    """One dictionary per object, ready for JSON: `DIGITS` significant digits, None where a feature is not defined."""
    columns = [[rounded(value) for value in values.tolist()] for values in features.values()]
    return [dict(zip(features, row, strict=True)) for row in zip(*columns, strict=True)]


def arrays_of(records: Sequence[FeatureRecord]) -> dict[str, np.ndarray]:
    """{name of `MC_FEATURES`: float64 (n,)} of records as the JSON holds them; NaN for None and for what is missing."""
    rows = [[record.get(name) for name in MC_FEATURES] for record in records]
    table = np.array(rows, np.float64).reshape(-1, len(MC_FEATURES))
    return dict(zip(MC_FEATURES, table.T, strict=True))


def rounded(value: float) -> float | None:
    """`DIGITS` significant digits; None for what is not finite."""
    return float(f"{value:.{DIGITS}g}") + 0.0 if math.isfinite(value) else None  # no -0
