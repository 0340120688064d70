"""Presentation as vendors make it: a tone curve of one of three families, and edge enhancement at several scales."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.common.checks import check, check_fields
from scripts.simulation.parameters import Parameters, Range, Rng, between, log_between

FAMILIES = ("sigmoid", "power", "shoulder")
SCALES_PX = (1.0, 2.5, 6.0)  # Gaussian sigmas between which details are enhanced


@dataclass(frozen=True)
class Processing:
    """How an image is presented. The defaults change nothing."""

    family: str = "power"  # of `FAMILIES`
    strength: float = 0.0  # bend of the curve: slope of a sigmoid, log of an exponent, height of a shoulder
    centre: float = 0.5  # grey value about which a sigmoid is steepest, or where a shoulder begins
    enhancement: tuple[float, ...] = (0.0, 0.0, 0.0)  # share of the details of each of `SCALES_PX` that is added

    def __post_init__(self) -> None:
        check_fields(self, strength="(-inf, inf)")
        check("family", self.family, self.family in FAMILIES, f"one of {', '.join(FAMILIES)}")
        check("enhancement", self.enhancement, len(self.enhancement) == len(SCALES_PX), f"{len(SCALES_PX)} numbers")


@dataclass(frozen=True)
class ProcessingSettings(Parameters):
    """How a presentation is drawn."""

    curve_share: float = 0.7  # of the draws have a curve
    sigmoid_range: Range = (2.0, 6.0)  # slope, in units of the [0, 1] range
    power_range: Range = (0.6, 1.7)  # exponent
    shoulder_range: Range = (0.2, 0.7)  # contrast that is lost above its beginning
    centre_range: Range = (0.3, 0.6)
    enhanced_share: float = 0.6  # of the draws are edge-enhanced
    enhancement_range: Range = (0.1, 1.0)  # at a draw's main scale; half of it at the next


def sample_processing(rng: Rng, settings: ProcessingSettings) -> Processing:
    """Draw a presentation."""
    family = str(rng.choice(FAMILIES))
    limits = {"sigmoid": settings.sigmoid_range, "shoulder": settings.shoulder_range}.get(family)
    strength = between(rng, limits) if limits else math.log(log_between(rng, settings.power_range))
    strength *= float(rng.random() < settings.curve_share)
    centre, gains = between(rng, settings.centre_range), np.zeros(len(SCALES_PX))
    if rng.random() < settings.enhanced_share:
        scale, gain = int(rng.integers(len(SCALES_PX))), between(rng, settings.enhancement_range)
        gains[scale] = gain
        gains[(scale + 1) % len(SCALES_PX)] = gain / 2
    return Processing(family, strength, centre, tuple(gains.tolist()))


def apply_processing(image: np.ndarray, processing: Processing) -> np.ndarray:
    """Present a [0, 1] image, float32 (rows, cols): enhanced, then through the curve; 0 (air) and 1 stay."""
    result, finer = image, image
    for sigma, gain in zip(SCALES_PX, processing.enhancement, strict=True):
        if any(processing.enhancement):
            coarser = cv2.GaussianBlur(image, (0, 0), sigma)
            if gain:
                result = result + np.float32(gain) * (finer - coarser)
            finer = coarser
    result = np.ascontiguousarray(tone_curve(np.clip(result, 0, 1), processing), np.float32)
    result[image <= 0] = 0
    return result


def tone_curve(values: np.ndarray, processing: Processing) -> np.ndarray:
    """Grey values in [0, 1] through a curve that rises everywhere, from 0 to 1."""
    strength, centre = processing.strength, processing.centre
    if strength == 0:
        return values
    if processing.family == "power":
        return values ** np.float32(math.exp(strength))
    if processing.family == "sigmoid":  # logistic, stretched to the range
        low, high = (1 / (1 + math.exp(-strength * (end - centre))) for end in (0, 1))
        return (1 / (1 + np.exp(-strength * (values - centre))) - low) / (high - low)
    top = centre + (1 - strength) * (1 - centre)  # a line that is less steep above its shoulder
    return np.where(values < centre, values, centre + (1 - strength) * (values - centre)) / np.float32(top)
