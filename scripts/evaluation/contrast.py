"""How well an annotated object stands out: contrast-to-noise ratio (CNR) against a ring around it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scripts.evaluation.cases import annotated_objects
from scripts.findings.objects import Spacing

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
    if image.shape != label.shape:
        raise ValueError(f"image {image.shape} and label {label.shape} must have one shape")
    if gap_mm < 0 or not width_mm > 0:
        raise ValueError(f"gap_mm, width_mm: got {gap_mm} and {width_mm}, want 0 or more and a value above 0")
    objects, reach = annotated_objects(label), gap_mm + width_mm
    margin = [int(np.ceil(reach / side)) for side in spacing_mm]
    values = []
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        crop = tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in zip(box, margin, strict=True))
        inside = objects[crop] == number
        distance = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
        ring = image[crop][(distance > gap_mm) & (distance <= reach) & (label[crop] == 0)].astype(np.float64)
        noise = ring.std() if ring.size >= LEAST_RING_PX else 0.0
        values.append((image[crop][inside].mean(dtype=np.float64) - ring.mean()) / noise if noise > 0 else np.nan)
    return np.array(values, np.float64)
