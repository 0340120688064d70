"""Can an ideal observer see an MC? Detectability index d' of a matched filter in the local background."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from scripts.common.labels import BACKGROUND, IGNORE, MC
from scripts.simulation.parameters import Parameters

NORMAL_MAD = 0.6744897501960817  # median absolute deviation of a normal distribution over its sd


@dataclass(frozen=True)
class Detectability(Parameters):
    """How d' is measured, and from which one on an MC is labelled."""

    least_d: float = 5.0  # MCs of at least this d' are labelled 1, others 2 (ignore)
    around_px: int = 120  # side of the square around an MC whose background its template meets
    margin_px: int = 3  # of the template around the MC's signal


def matched_filter_d(
    background: np.ndarray, signal: np.ndarray, top: int, left: int, settings: Detectability | None = None
) -> float:
    """d' of a signal at a known place: its template's response to it, over that response's spread in the background.

    The template is the signal less its mean (so that the level of the background does not count); the spread is
    1.4826 times the median absolute deviation of its responses with centres in the square of `around_px`.

    Args:
        background: without the signal, float32 (rows, cols).
        signal: what is added to it, float32 (height, width), surrounded by some px of (nearly) nothing.
        top, left: pixel of the background that the signal's first pixel lies on; all of it lies within.

    Returns:
        d'; infinite on a background without any variation, 0 for no signal.
    """
    settings = settings or Detectability()
    template = (signal - signal.mean()).astype(np.float32)
    response = float(np.sum(template * signal, dtype=np.float64))
    if response <= 0:
        return 0.0
    height, width = signal.shape
    reach = settings.around_px // 2
    first_row, last_row = max(top - reach, 0), min(top + reach, background.shape[0] - height)
    first_col, last_col = max(left - reach, 0), min(left + reach, background.shape[1] - width)
    around = background[first_row : last_row + height, first_col : last_col + width]
    around = np.ascontiguousarray(around - around.mean(), np.float32)
    responses = cv2.matchTemplate(around, template, cv2.TM_CCORR)
    spread = float(np.median(np.abs(responses - np.median(responses)))) / NORMAL_MAD
    return response / spread if spread > 0 else float("inf")


def label_detectable(
    with_mcs: np.ndarray, without: np.ndarray, objects: np.ndarray, count: int, settings: Detectability
) -> tuple[np.ndarray, list[float]]:
    """Label MCs by their d' in the image as it is shown, whatever processing came after they were drawn.

    Args:
        with_mcs, without: the image with and without them, float32 (rows, cols).
        objects: int32 (rows, cols), 0 or the number of the MC, 1..count.

    Returns:
        Label, uint8 (rows, cols) {0, 1 = MC, 2 = ignore}, and the d' of each, 0 for those without a pixel.
    """
    difference, values = with_mcs - without, np.full(count + 1, BACKGROUND, np.uint8)
    found: list[float] = []
    boxes: Sequence[Any] = ndimage.find_objects(objects, count)
    for number, box in enumerate(boxes, start=1):
        if box is None:
            found.append(0.0)
            continue
        # its own pixels and a rim, so that the neighbours' signal is not taken for its own
        rows, cols = (slice(max(side.start - settings.margin_px, 0), side.stop + settings.margin_px) for side in box)
        other = objects[rows, cols]
        signal = np.where((other == 0) | (other == number), difference[rows, cols], 0)
        reached = cv2.dilate((other == number).astype(np.uint8), np.ones((3, 3), np.uint8))
        signal = (signal * reached).astype(np.float32)
        found.append(matched_filter_d(without, signal, rows.start, cols.start, settings))
        values[number] = MC if found[-1] >= settings.least_d else IGNORE
    return values[objects], found
