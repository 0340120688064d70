"""How well an object stands out: contrast-to-noise ratio (CNR) against a ring around it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from scripts.common.objects import Spacing
from scripts.evaluation.cases import annotated_objects, predicted_objects

#: name of the value in tables
CONTRAST = "contrast_to_noise"
#: A mean and a standard deviation of fewer pixels say nothing.
LEAST_RING_PX = 10


def contrast_to_noise(
    image: np.ndarray, label: np.ndarray, spacing_mm: Spacing, gap_mm: float = 0.2, width_mm: float = 1.0
) -> np.ndarray:
    """CNR of every annotated object: (mean of the object - mean of the ring) / standard deviation of the ring.

    The ring holds the unlabelled pixels farther than `gap_mm` from the object's pixels, and at most `gap_mm` +
    `width_mm`. The standard deviation is the population's, anatomy included.

    Args:
        image: float (rows, cols), MCs bright.
        label: (rows, cols), 0 background, 1 MC, 2 ignore.
        spacing_mm: (row, col) pixel spacing in mm.
        gap_mm: keeps blurred borders out of the ring.
        width_mm: of the ring.

    Returns:
        float (objects,) in label order; NaN where the ring has fewer than 10 px or is flat.
    """
    objects = annotated_objects(label)
    return _contrasts(image, label, objects, range(1, int(objects.max(initial=0)) + 1), spacing_mm, gap_mm, width_mm)


def contrast_of_marks(
    image: np.ndarray,
    label: np.ndarray,
    instances: np.ndarray,
    scores: np.ndarray,
    spacing_mm: Spacing,
    most: int,
    gap_mm: float = 0.2,
    width_mm: float = 1.0,
) -> np.ndarray:
    """CNR of the predictions of the highest scores, as `contrast_to_noise` defines it.

    Args:
        image, label, spacing_mm, gap_mm, width_mm: as there.
        instances: int (rows, cols), a number per prediction.
        scores: float (predictions,), in label order (see `score_case`).
        most: so many get a value, which takes about a millisecond each.

    Returns:
        float (predictions,); NaN for the others too.
    """
    values = np.full(len(scores), np.nan)
    chosen = np.sort(np.argsort(-np.asarray(scores), kind="stable")[:most])
    objects = predicted_objects(instances)
    values[chosen] = _contrasts(image, label, objects, (chosen + 1).tolist(), spacing_mm, gap_mm, width_mm)
    return values


def _contrasts(
    image: np.ndarray,
    label: np.ndarray,
    objects: np.ndarray,
    numbers: Iterable[int],
    spacing_mm: Spacing,
    gap_mm: float,
    width_mm: float,
) -> np.ndarray:
    if not image.shape == label.shape == objects.shape:
        raise ValueError(f"image {image.shape}, label {label.shape}, objects {objects.shape}: want one shape")
    if gap_mm < 0 or not width_mm > 0:
        raise ValueError(f"gap_mm, width_mm: got {gap_mm} and {width_mm}, want 0 or more and a value above 0")
    reach, boxes = gap_mm + width_mm, ndimage.find_objects(objects)
    margin = [int(np.ceil(reach / side)) for side in spacing_mm]
    values = []
    for number in numbers:
        box = zip(boxes[number - 1], margin, strict=True)
        crop = tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in box)
        inside = objects[crop] == number
        distance = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
        ring = image[crop][(distance > gap_mm) & (distance <= reach) & (label[crop] == 0)].astype(np.float64)
        noise = ring.std() if ring.size >= LEAST_RING_PX else 0.0
        values.append((image[crop][inside].mean(dtype=np.float64) - ring.mean()) / noise if noise > 0 else np.nan)
    return np.array(values, np.float64)
