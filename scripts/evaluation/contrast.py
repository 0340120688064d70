"""How well an object stands out: contrast-to-noise ratio (CNR) against a ring around it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from scripts.common.checks import check
from scripts.common.labels import BACKGROUND
from scripts.common.objects import Spacing
from scripts.evaluation.cases import CaseScores, ImageArrays

#: name of the value in tables
CONTRAST = "contrast_to_noise"
#: A mean and a standard deviation of fewer pixels say nothing.
LEAST_RING_PX = 10


@dataclass(frozen=True)
class Contrast:
    """Measures the CNR of annotated objects and of the predictions of the highest scores."""

    gap_mm: float = 0.2  # keeps blurred borders out of the ring; see `contrast_to_noise`
    width_mm: float = 1.0  # of the ring
    predictions: int = 200  # so many of an image get a value (about a millisecond each); NaN for the others
    names: ClassVar[tuple[str, ...]] = (CONTRAST,)

    def __post_init__(self) -> None:
        check("gap_mm", self.gap_mm, self.gap_mm >= 0, "0 or more")
        check("width_mm", self.width_mm, self.width_mm > 0, "a value above 0")

    def of_annotations(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """CNR of the annotated objects, (annotations,)."""
        return {CONTRAST: self._measure(arrays, arrays.annotated, range(1, len(case.annotations) + 1))}

    def of_predictions(self, arrays: ImageArrays, case: CaseScores) -> dict[str, np.ndarray]:
        """CNR of the predictions of the highest scores, (predictions,)."""
        values = np.full(arrays.score.size, np.nan)
        chosen = np.sort(np.argsort(-arrays.score, kind="stable")[: self.predictions])
        values[chosen] = self._measure(arrays, arrays.predicted, (chosen + 1).tolist())
        return {CONTRAST: values}

    def _measure(self, arrays: ImageArrays, objects: np.ndarray, numbers: Iterable[int]) -> np.ndarray:
        if arrays.image is None:
            raise ValueError(f"{CONTRAST}: got no image; want the grey values of the objects")
        ring = (arrays.spacing_mm, self.gap_mm, self.width_mm)
        return contrast_to_noise(arrays.image, arrays.label, objects, numbers, *ring)


def contrast_to_noise(
    image: np.ndarray,
    label: np.ndarray,
    objects: np.ndarray,
    numbers: Iterable[int],
    spacing_mm: Spacing,
    gap_mm: float = 0.2,
    width_mm: float = 1.0,
) -> np.ndarray:
    """CNR of objects: (mean of the object - mean of the ring) / standard deviation of the ring.

    The ring holds the unlabelled pixels farther than `gap_mm` from the object's pixels, and at most `gap_mm` +
    `width_mm`. The standard deviation is the population's, anatomy included.

    Args:
        image: float (rows, cols), MCs bright.
        label: (rows, cols), 0 background, 1 MC, 2 ignore.
        objects: int (rows, cols), objects by number.
        numbers: those to measure.
        spacing_mm: (row, col) pixel spacing in mm.
        gap_mm, width_mm: see `Contrast`.

    Returns:
        float (numbers,); NaN where the ring has fewer than 10 px or is flat.
    """
    shapes = (image.shape, label.shape, objects.shape)
    check("image, label, objects", shapes, len(set(shapes)) == 1, "one shape")
    reach, boxes = gap_mm + width_mm, ndimage.find_objects(objects)
    margin = [int(np.ceil(reach / side)) for side in spacing_mm]
    values = []
    for number in numbers:
        box = zip(boxes[number - 1], margin, strict=True)
        crop = tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in box)
        inside = objects[crop] == number
        distance = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
        ring = image[crop][(distance > gap_mm) & (distance <= reach) & (label[crop] == BACKGROUND)].astype(np.float64)
        noise = ring.std() if ring.size >= LEAST_RING_PX else 0.0
        values.append((image[crop][inside].mean(dtype=np.float64) - ring.mean()) / noise if noise > 0 else np.nan)
    return np.array(values, np.float64)
