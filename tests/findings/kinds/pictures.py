"""Hand-made pictures of marks whose kinds are known."""

import cv2
import numpy as np

from scripts.common.objects import label_objects
from scripts.findings.kinds.rules import KindRules

SPACING = (0.07, 0.07)


def picture(shape=(700, 700), seed=0):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(shape).astype(np.float32), (0, 0), 1.0)
    return 0.3 + 0.01 * noise / noise.std()


def dashes(walls, seed=0, bend=0.0006):
    """A line, or two 2 mm apart, of dashes over 40 mm; and the mask of the dashes."""
    rng, mask = np.random.default_rng(seed), np.zeros((700, 700), np.uint8)
    for offset in (-14, 14)[:walls] if walls > 1 else (0,):
        col = 50
        while col < 640:
            length = int(rng.integers(8, 30))
            cols = np.arange(col, col + length)
            rows = 350 + offset + bend * (cols - 350) ** 2
            cv2.polylines(mask, [np.stack([cols, rows], 1).round().astype(np.int32)], False, 1, 4)
            col += length + int(rng.integers(4, 14))
    return mask


def dots(seed=0, count=18):
    """MCs of one duct: round, about 2 mm apart, 0.35 mm off its axis; nothing between them."""
    rng, mask = np.random.default_rng(seed), np.zeros((700, 700), np.uint8)
    for place in np.linspace(80, 560, count):
        centre = (round(place + rng.normal(0, 4)), round(350 + rng.normal(0, 5)))
        cv2.circle(mask, centre, 3, 1, -1)
    return mask


def drawn(mask, contrast=0.2):
    return np.clip(picture() + cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8) * contrast, 0, 1)


def typed(image, mask, breast=None, rules=None):
    labels, count = label_objects(mask > 0)
    scores = np.ones(count + 1, np.float32)
    rules = rules or KindRules()
    breast = np.ones(mask.shape, bool) if breast is None else breast
    told = rules.tell(image, labels, scores, breast, SPACING, "L")
    return told.labels, told


def turned(array, times):
    return np.ascontiguousarray(np.rot90(array, times))
