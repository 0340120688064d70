"""Windows around single objects, all of one side and each object of one size in them: input of `CentreNet`."""

from typing import NamedTuple

import cv2
import numpy as np

from scripts.common.objects import Box

SIDE_PX = 32  # of a window
OBJECT_PX = 17.6  # the longer side of an object's box in its window, ...
ZOOM = (0.2, 3.0)  # ... as far as these limits of the magnification allow
LEAST_CONTRAST = 0.01  # of an object, by which its window is divided; units of the [0, 1] range


class Frame(NamedTuple):
    """Where an image's pixels lie in a window: window = zoom x (image - centre) + (SIDE_PX - 1) / 2."""

    row: float  # centre of the object's box, px of the image
    col: float
    zoom: float

    def cut(self, values: np.ndarray, number: int | None = None) -> np.ndarray:
        """The window of an array (rows, cols), bilinear, float32 (SIDE_PX, SIDE_PX).

        Beyond the array its edge goes on. With a number: of the mask {values == number}, and nothing beyond.
        """
        reach = int(SIDE_PX / 2 / self.zoom) + 2
        top, left = (max(round(middle) - reach, 0) for middle in (self.row, self.col))
        part = values[top : round(self.row) + reach + 1, left : round(self.col) + reach + 1]
        shift = [self.zoom * (start - at) + (SIDE_PX - 1) / 2 for start, at in ((left, self.col), (top, self.row))]
        matrix = np.array([[self.zoom, 0, shift[0]], [0, self.zoom, shift[1]]])
        border = cv2.BORDER_REPLICATE if number is None else cv2.BORDER_CONSTANT
        part = np.ascontiguousarray(part if number is None else part == number, np.float32)
        return cv2.warpAffine(part, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=border)

    def places(self, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest pixels of the window to pixels of the image, int (n,) each."""
        placed = (self.zoom * (of - middle) + (SIDE_PX - 1) / 2 for of, middle in ((rows, self.row), (cols, self.col)))
        row, col = (np.clip(np.rint(place), 0, SIDE_PX - 1).astype(np.intp) for place in placed)
        return row, col


def frame_of(box: Box) -> Frame:
    """The frame of an object with that box."""
    (top, bottom), (left, right) = ((side.start, side.stop - 1) for side in box)
    zoom = OBJECT_PX / (max(bottom - top, right - left) + 1)
    return Frame((top + bottom) / 2, (left + right) / 2, float(np.clip(zoom, *ZOOM)))


def object_window(image: np.ndarray, labels: np.ndarray, number: int, frame: Frame) -> np.ndarray:
    """What the network sees of an object, float32 (3, SIDE_PX, SIDE_PX).

    1. Grey values: 0 at the median around the object, 1 at its 95th percentile, clipped to [-2, 3].
    2. The object's mask.
    3. Half the binary logarithm of the magnification, everywhere.

    Args:
        image: float32 (rows, cols), [0, 1].
        labels: int (rows, cols).
        number: the object's in these.
        frame: of the object's box.
    """
    grey, own = frame.cut(image), frame.cut(labels, number)
    is_own = own > 0.5
    around = float(np.median(grey[~is_own])) if not is_own.all() else 0.0
    top = float(np.percentile(grey[is_own], 95)) if is_own.any() else around
    grey = np.clip((grey - around) / max(top - around, LEAST_CONTRAST), -2, 3)
    return np.stack([grey, own, np.full_like(own, np.log2(frame.zoom) / 2)])
