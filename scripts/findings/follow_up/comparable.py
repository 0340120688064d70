"""Whether two exams can be compared: do their names say so, and did their registration succeed."""

from dataclasses import dataclass

import cv2
import numpy as np

from scripts.common.checks import check_fields
from scripts.common.deformation import Deformation
from scripts.findings.follow_up.exams import Exam

_SAME = {"patient_id": "patient", "laterality": "breast", "view": "view"}
_DETAIL_MM = 3.0  # sigma: what varies more slowly is compression and display, not anatomy
_RIM_MM = 5.0  # the skin line fits in every breast, so it does not count


@dataclass(frozen=True)
class Quality:
    """How well the current exam, brought onto the prior one, agrees with it; over what both show."""

    overlap: float  # Dice of the breast masks, [0, 1]
    correlation: float  # Pearson's, of the details inside the breast (finer than about 3 mm; 5 mm from the skin)
    least_area_change: float  # smallest local change of area over the prior breast: under 0 is a fold
    most_area_change: float


@dataclass(frozen=True)
class QualityLimits:
    """What a registration must reach."""

    overlap: float = 0.9
    correlation: float = 0.4
    area_change: float = 3.0  # no part of the breast gets more than so many times larger, or smaller

    def __post_init__(self) -> None:
        check_fields(self, overlap="[0, 1]", correlation="[0, 1]", area_change="[1, inf)")

    def failures(self, quality: Quality) -> list[str]:
        """Why a registration fails; empty for a good one."""
        found = []
        for name in ("overlap", "correlation"):
            value, want = getattr(quality, name), getattr(self, name)
            if not value >= want:
                found.append(f"failed registration: {name} {value:.2f}; want {want:g} or more")
        low, high = quality.least_area_change, quality.most_area_change
        if not (low >= 1 / self.area_change and high <= self.area_change):
            found.append(f"failed registration: areas change {low:.2f} to {high:.2f} times; want {self.area_change:g}")
        return found


def differences(prior: Exam, current: Exam) -> list[str]:
    """Why two exams cannot be of one breast and view, by what is known of them; empty if nothing speaks against it."""
    found = []
    for key, words in _SAME.items():
        values = [str(exam.identity.get(key, "")).strip() for exam in (prior, current)]
        if all(values) and values[0] != values[1]:
            found.append(f"other {words}: {values[0]} and {values[1]}")
    known = all(exam.identity.get("laterality") for exam in (prior, current))
    sides = chest_wall_side(prior.breast), chest_wall_side(current.breast)
    if not known and sides[0] != sides[1]:
        found.append(f"other breast: chest wall {sides[0]} and {sides[1]}")
    uid = prior.identity.get("sop_uid")
    same_file = bool(uid) and uid == current.identity.get("sop_uid")
    if same_file or (prior.image.shape == current.image.shape and np.array_equal(prior.image, current.image)):
        found.append("the same image twice")
    return found


def chest_wall_side(breast: np.ndarray) -> str:
    """The side of the image, "left" or "right", that the breast comes from: where its mask meets the border more."""
    edge = max(1, breast.shape[1] // 50)
    return "left" if breast[:, :edge].sum() >= breast[:, -edge:].sum() else "right"


def quality_of(prior: Exam, current: Exam, to_current: Deformation) -> Quality:
    """Quality of a registration; exams reduced to about its spacing."""
    shape, spacing = prior.image.shape, prior.spacing_mm

    def pulled(array: np.ndarray) -> np.ndarray:
        return to_current.pull(array.astype(np.float32), current.spacing_mm, shape, spacing)

    in_view = pulled(np.ones(current.image.shape)) > 0.99
    first, second = prior.breast & in_view, (pulled(current.breast) > 0.5) & in_view
    total = int(first.sum() + second.sum())
    overlap = 2 * float((first & second).sum()) / total if total else 0.0
    rim = 2 * round(_RIM_MM / spacing[0]) + 1
    inner = cv2.erode((first & second).astype(np.uint8), np.ones((rim, rim), np.uint8), borderValue=1) > 0
    shown = ((prior.image, first), (pulled(current.image), second))
    values = [_details(image, breast, spacing[0])[inner] for image, breast in shown]
    spread = min((float(value.std()) for value in values), default=0.0) if inner.any() else 0.0
    correlation = float(np.corrcoef(*values)[0, 1]) if spread > 0 else 0.0
    change = to_current.jacobian()
    small = cv2.resize(first.astype(np.uint8), change.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    low, high = (float(change[small].min()), float(change[small].max())) if small.any() else (0.0, 0.0)
    return Quality(round(overlap, 4), round(correlation, 4), round(low, 4), round(high, 4))


def _details(image: np.ndarray, inside: np.ndarray, spacing_mm: float) -> np.ndarray:
    """The image less its mean over about 3 mm of what is inside, over the spread there: grey scales do not matter."""
    sigma, weight = _DETAIL_MM / spacing_mm, inside.astype(np.float32)

    def mean(values: np.ndarray) -> np.ndarray:
        share = np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3)
        return cv2.GaussianBlur((values * weight).astype(np.float32), (0, 0), sigma) / share

    detail = image - mean(image)
    return detail / np.sqrt(np.maximum(mean(detail**2), 1e-10))
