"""Pixel ROC, precision-recall and calibration over whole data sets, in memory that does not grow with them.

Scores of MC pixels and of other pixels are counted in fixed bins. What is computed from the bins is a value and bounds
that the value of the very scores cannot leave: within a bin the order of the scores is not known, all else is exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from scripts.common.checks import check
from scripts.common.labels import IGNORE, MC
from scripts.common.ranks import gathered
from scripts.common.tensors import plane

#: Scores below 2^-32 share a bin, and so do those above 1 - 2^-32.
OCTAVES = 31
_FLOAT_BITS, _HALF_EXPONENT = 23, 126


class Binned(NamedTuple):
    """A value from binned scores, with bounds on the value of the scores themselves (no statistical interval)."""

    value: float  # with the scores of a bin taken as equal
    binning_low: float
    binning_high: float


UNDEFINED = Binned(*[float("nan")] * 3)


class ScoreHistogram:
    """Counts of positive and negative scores in fixed bins: logarithmic towards 0 and, mirrored, towards 1.

    Networks push most scores of pixels close to 0 or 1, where bins of one width would put them all together. Here a
    bin spans a share of 1 / `bins_per_octave` of the score (below 0.5) or of 1 - score (above). That is a power of two;
    2048 makes 126,977 bins, that is 2 MB.
    """

    def __init__(self, bins_per_octave: int = 2048) -> None:
        power_of_two = 0 < bins_per_octave <= 1 << 18 and not bins_per_octave & (bins_per_octave - 1)
        check("bins_per_octave", bins_per_octave, power_of_two, f"a power of two up to {1 << 18}")
        self._bits = bins_per_octave.bit_length() - 1
        self._half = OCTAVES << self._bits  # bin of the score 0.5
        self._offset = np.uint32((_HALF_EXPONENT - OCTAVES) << self._bits)
        self.positive, self.negative = np.zeros((2, 2 * self._half + 1), np.int64)

    def add(self, scores: np.ndarray, positive: np.ndarray) -> None:
        """Count some scores (n,) in [0, 1], taken as float32, and whether each is positive, bool (n,)."""
        scores, positive = _checked(scores, positive)
        place = self._bin(scores.astype(np.float32, copy=False))
        found = np.bincount(place[positive], minlength=self.positive.size)
        self.positive += found
        self.negative += np.bincount(place, minlength=self.negative.size) - found

    def thresholds(self) -> np.ndarray:
        """Lowest score of each bin, float64 ascending: bins i and above are the scores >= thresholds()[i]."""
        keys, unit = np.arange(self._half + 1, dtype=np.uint32) + self._offset, 1 << (_FLOAT_BITS - self._bits)
        lower = (keys * np.uint32(unit)).view(np.float32).astype(np.float64)
        largest = ((keys[:-1] + np.uint32(1)) * np.uint32(unit) - np.uint32(1)).view(np.float32).astype(np.float64)
        return np.concatenate([[0.0], lower[1:], 1 - largest[::-1]])

    def roc_auc(self) -> Binned:
        """Area under the ROC curve; equal scores count half. NaN without positives or without negatives."""
        p, n = self.positive.astype(np.float64), self.negative.astype(np.float64)
        pairs = p.sum() * n.sum()
        if not pairs:
            return UNDEFINED
        below, equal = float(p @ (np.cumsum(n) - n) / pairs), float(p @ n / pairs)
        return Binned(below + equal / 2, below, below + equal)

    def average_precision(self) -> Binned:
        """Sum over thresholds of (rise of recall) x precision, not interpolated. NaN without positives."""
        p, n = (counts[::-1].astype(np.float64) for counts in (self.positive, self.negative))
        p, n = p[p + n > 0], n[p + n > 0]
        tp, fp = np.cumsum(p), np.cumsum(n)
        if not tp.size or not tp[-1]:
            return UNDEFINED
        value = p * tp / (tp + fp)
        high = p * tp / np.maximum(tp + fp - n, 1)  # all positives of the bin at once, before its negatives
        first = tp - p + 1  # one by one, after all its negatives: precision is concave, so above its chord
        low = p * (first / (first + fp) + tp / (tp + fp)) / 2
        return Binned(*(float(terms.sum() / tp[-1]) for terms in (value, low, high)))

    def curve(self) -> dict[str, np.ndarray]:
        """{"threshold", "tp", "fp", "precision", "recall", "false_positive_rate"}: points of both curves at every bin
        that holds a score, thresholds descending. Recall (the true-positive rate) is NaN without positives, the
        false-positive rate without negatives. Scores >= threshold are positive.
        """
        filled = np.flatnonzero(self.positive + self.negative)[::-1]
        tp, fp = (np.cumsum(counts[filled]) for counts in (self.positive, self.negative))
        with np.errstate(invalid="ignore"):
            recall, rate = (c / np.float64(c[-1]) if c.size else c.astype(np.float64) for c in (tp, fp))
        points = {"threshold": self.thresholds()[filled], "tp": tp, "fp": fp, "precision": tp / np.maximum(tp + fp, 1)}
        return points | {"recall": recall, "false_positive_rate": rate}

    def _bin(self, scores: np.ndarray) -> np.ndarray:
        """Places of float32 scores. The bits of a positive float, read as an integer, are in its order."""
        upper = scores > 0.5
        key = np.where(upper, np.float32(1) - scores, scores).view(np.int32) >> (_FLOAT_BITS - self._bits)
        key = np.maximum(key - np.int32(self._offset), 0)
        return np.where(upper, 2 * self._half - key, key)


class Reliability:
    """How often scores of a size come true, of scores that come in parts; exact. One entry per bin of equal width.

    Bin i of `bins` holds [i / bins, (i + 1) / bins), the last one also 1. `count` is the number of scores of each,
    `positive` that of positives, `score_sum` their sum.
    """

    def __init__(self, bins: int = 15) -> None:
        check("bins", bins, bins >= 1, "1 or more")
        self.count, self.positive = np.zeros((2, bins), np.int64)
        self.score_sum = np.zeros(bins)

    def add(self, scores: np.ndarray, positive: np.ndarray) -> None:
        """Count some scores in [0, 1] (n,) and whether each is positive, bool (n,)."""
        scores, positive = _checked(scores, positive)
        bins = self.count.size
        place = np.minimum((scores.astype(np.float64) * bins).astype(np.int64), bins - 1)
        self.count += np.bincount(place, minlength=bins)
        self.positive += np.bincount(place[positive], minlength=bins)
        self.score_sum += np.bincount(place, scores, minlength=bins)

    @property
    def mean_score(self) -> np.ndarray:
        """NaN in empty bins."""
        with np.errstate(invalid="ignore"):
            return self.score_sum / self.count

    @property
    def share_positive(self) -> np.ndarray:
        """NaN in empty bins."""
        with np.errstate(invalid="ignore"):
            return self.positive / self.count

    @property
    def ece(self) -> float:
        """Expected calibration error: mean over scores of |mean score - share of positives| of their bin."""
        gap = np.nan_to_num(np.abs(self.mean_score - self.share_positive))
        return float(gap @ self.count / self.count.sum()) if self.count.any() else float("nan")


@dataclass(eq=False)
class PixelCurvesHandler:
    """Collect the pixels of every image that an evaluator completes, as counts alone.

    Pixels in ignore regions and outside of the breast are left out, MCs outside of it too. It runs where `FROCHandler`
    does and reads `map`, `label` and `breast`. A method without a map adds nothing: `images` stays 0.
    """

    channel: int = 0  # of the map
    bins_per_octave: int = 2048  # see `ScoreHistogram`
    calibration_bins: int = 15  # see `Reliability`
    map_key: str = "map"  # the map, [channels, rows, cols] in [0, 1]

    histogram: ScoreHistogram = field(init=False)
    calibration: Reliability = field(init=False)
    images: int = field(init=False)

    def __post_init__(self) -> None:
        self._start()

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Count the pixels of the images just done."""
        for item in engine.state.output:
            self.add(item)

    def add(self, item: Mapping[str, Any]) -> None:
        """Count the pixels of one image (what postprocessing left)."""
        if item.get(self.map_key) is None:
            return
        label, breast = plane(item["label"]), plane(item["breast"]).astype(bool)
        scores = _channel(item[self.map_key], self.channel)
        shapes = (scores.shape, label.shape, breast.shape)
        check("map, label, breast", shapes, len(set(shapes)) == 1, "one shape")
        counted = breast & (label != IGNORE)
        scores, positive = scores[counted], label[counted] == MC
        self.histogram.add(scores, positive)
        self.calibration.add(scores, positive)
        self.images += 1

    def gather(self) -> None:
        """Take in what all ranks have counted."""
        shares = gathered((self.images, self.histogram, self.calibration))
        images, histograms, calibrations = zip(*shares, strict=True)
        self.images = sum(images)
        for own, parts in ((self.histogram, histograms), (self.calibration, calibrations)):
            for name in [name for name, value in vars(own).items() if isinstance(value, np.ndarray)]:
                setattr(own, name, sum(getattr(part, name) for part in parts))

    def _start(self, engine: Engine | None = None) -> None:
        self.histogram, self.images = ScoreHistogram(self.bins_per_octave), 0
        self.calibration = Reliability(self.calibration_bins)


def _channel(tensor: Any, channel: int) -> np.ndarray:
    array = tensor.detach().cpu().float().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor)
    there = array.ndim == 3 and 0 <= channel < array.shape[0]
    check("channel", channel, there, f"one of a map [channels, rows, cols], here of shape {array.shape}")
    return array[channel]


def _checked(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, positive = np.asarray(scores), np.asarray(positive, bool)
    shapes = (scores.shape, positive.shape)
    check("scores, positive", shapes, shapes[0] == shapes[1] and scores.ndim == 1, "two lists of one length")
    valid = (scores >= 0) & (scores <= 1)
    check("scores", scores[~valid][:3].tolist(), valid.all(), "no NaN and nothing outside of [0, 1]")
    return scores, positive
