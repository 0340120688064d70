"""Tone: dark presentations are brightened, flat ones stretched before the network sees them."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from scripts.common.checks import check_fields

BLACK = 0.01  # grey value
STEP_PX = 4  # median and range are those of every 4th pixel of every 4th row


class Curve(NamedTuple):
    """What an image goes through: value^exponent, then `centre` + `gain` x (that - `centre`), clipped to [0, 1]."""

    exponent: float = 1.0
    centre: float = 0.0
    gain: float = 1.0

    def of(self, image: torch.Tensor) -> torch.Tensor:
        """An image in [0, 1], of any shape, after it; the same tensor where nothing changes."""
        if self.exponent != 1:
            image = image.clamp(0, 1) ** self.exponent
        return image if self.gain == 1 else ((image - self.centre) * self.gain + self.centre).clamp(0, 1)


@dataclass(frozen=True)
class Tone:
    """Images whose breast is dark or flat are changed until its median and range are at least these.

    Vendors' curves darken fat until the contrast of MCs in it is small; a power undoes a gamma exactly, other curves
    in part. Wide windows flatten all; a stretch about the median undoes that. What is measured of findings comes from
    the image as it is.
    """

    least_median: float = 0.3  # grey value, (0, 1); brighter images are left alone
    #: [0, 1]; where a larger share of the breast is below `BLACK`, a window cut fat off, which no power brings back:
    #: such images are left alone.
    most_black: float = 0.2
    least_exponent: float = 0.5  # (0, 1]; a breast that is nearly black is brightened by no smaller power
    least_range: float = 0.33  # grey values, [0, 1), from the 5th to the 95th percentile of the brightened breast
    most_gain: float = 2.0  # [1, inf); a breast that is nearly even is stretched no more

    def __post_init__(self) -> None:
        check_fields(self, least_median="(0, 1)", most_black="[0, 1]", least_exponent="(0, 1]")
        check_fields(self, least_range="[0, 1)", most_gain="[1, inf)")

    def curve(self, values: np.ndarray) -> Curve:
        """What an image goes through, of the grey values of its breast."""
        if not values.size or np.mean(values < BLACK) > self.most_black:
            return Curve()
        median, exponent = max(float(np.median(values)), BLACK), 1.0
        if median < self.least_median:
            exponent = max(self.least_exponent, math.log(self.least_median) / math.log(median))
        low, high = np.percentile(np.clip(values, 0, 1) ** exponent, (5, 95)).tolist()
        gain = min(self.least_range / max(high - low, BLACK), self.most_gain)
        return Curve(exponent, median**exponent, gain) if gain > 1 else Curve(exponent)

    def curves(self, images: torch.Tensor, breast: np.ndarray | None = None) -> list[Curve]:
        """Those of images [B, 1, H, W] in [0, 1] with breast masks, bool (B, H, W); None: all of it."""
        sampled = images[:, 0, ::STEP_PX, ::STEP_PX].float().cpu().numpy()
        inside = np.ones(sampled.shape, bool) if breast is None else breast[:, ::STEP_PX, ::STEP_PX]
        return [self.curve(values[mask]) for values, mask in zip(sampled, inside, strict=True)]
