"""Tone: dark presentations are brightened before the network sees them."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from scripts.common.checks import check_fields

BLACK = 0.01  # grey value
STEP_PX = 4  # the median is that of every 4th pixel of every 4th row


@dataclass(frozen=True)
class Tone:
    """Images whose breast is dark are raised to the power that brings its median to `least_median`.

    Vendors' curves darken fat until the contrast of MCs in it is small; a power undoes a gamma exactly, other curves
    in part. What is measured of findings comes from the image as it is.
    """

    least_median: float = 0.3  # grey value, (0, 1); brighter images are left alone
    #: [0, 1]; where a larger share of the breast is below `BLACK`, a window cut fat off, which no power brings back:
    #: such images are left alone.
    most_black: float = 0.2
    least_exponent: float = 0.5  # (0, 1]; a breast that is nearly black is brightened by no smaller power

    def __post_init__(self) -> None:
        check_fields(self, least_median="(0, 1)", most_black="[0, 1]", least_exponent="(0, 1]")

    def exponent(self, values: np.ndarray) -> float:
        """The power for an image, of the grey values of its breast."""
        if not values.size or np.mean(values < BLACK) > self.most_black or np.median(values) >= self.least_median:
            return 1.0
        median = max(float(np.median(values)), BLACK)
        return max(self.least_exponent, math.log(self.least_median) / math.log(median))

    def exponents(self, images: torch.Tensor, breast: np.ndarray | None = None) -> list[float]:
        """Those of images [B, 1, H, W] in [0, 1] with breast masks, bool (B, H, W); None: all of it."""
        sampled = images[:, 0, ::STEP_PX, ::STEP_PX].float().cpu().numpy()
        inside = np.ones(sampled.shape, bool) if breast is None else breast[:, ::STEP_PX, ::STEP_PX]
        return [self.exponent(values[mask]) for values, mask in zip(sampled, inside, strict=True)]


def brightened(image: torch.Tensor, exponent: float) -> torch.Tensor:
    """An image in [0, 1], of any shape, raised to a power."""
    return image if exponent == 1 else image.clamp(0, 1) ** exponent
