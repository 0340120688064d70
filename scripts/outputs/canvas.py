"""What pictures are drawn on: rasters, lines and words on one array. Lengths on it are px, sizes of lines and words pt.

Places are (x, y) with pixel centres at integers. A drawing library would take half a second to import and to draw.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from scripts.common.files import write_atomically

PNG_COMPRESSION = 2  # with `write_drawing`'s filter twice as fast as 3, and the pictures get a tenth larger
#: Line style -> lengths of dashes and of the gaps after them, in widths of the line; its ends are round, and add one.
DASHES = {"--": (2.7, 2.6), "-.": (5.4, 2.6, 0.0, 2.6), ":": (0.25, 2.4)}
LINE_HEIGHT, ASCENT = 1.2, 0.95  # of words, in font sizes
FINER = 4  # lines are drawn so many times larger and averaged: OpenCV's own smooth ones are 1.4, 3.4, 5.4 px wide only
_SHIFT = 4  # bits of a pixel's fraction in OpenCV's places


class Box(NamedTuple):
    """A part of the canvas, px."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """Whether both share more than a border."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def moved_into(self, other: "Box") -> "Box":
        """This box moved into another one; what is too large begins where the other one does."""
        left = max(min(self.left, other.right - (self.right - self.left)), other.left)
        top = max(min(self.top, other.bottom - (self.bottom - self.top)), other.top)
        return Box(left, top, left + self.right - self.left, top + self.bottom - self.top)


@dataclass(frozen=True)
class View:
    """A part of an image, and where it lies on the canvas: whole pixels, with the image's aspect ratio in mm."""

    rows: slice
    cols: slice
    box: Box
    px_per_mm: float

    @classmethod
    def fitted(cls, rows: slice, cols: slice, spacing_mm: tuple[float, float], space: Box) -> "View":
        """As large as a space allows, in the middle of its width."""
        height_mm, width_mm = ((s.stop - s.start) * mm for s, mm in zip((rows, cols), spacing_mm, strict=True))
        scale = min((space.right - space.left) / width_mm, (space.bottom - space.top) / height_mm)
        width, height = max(1, round(width_mm * scale)), max(1, round(height_mm * scale))
        left, top = round((space.left + space.right - width) / 2), round(space.top)
        return cls(rows, cols, Box(left, top, left + width, top + height), width / width_mm)

    def places(self, points: Any) -> np.ndarray:
        """(x, y) on the canvas of points (row, col) of the image, float (n, 2) both."""
        first = self.cols.start - 0.5, self.rows.start - 0.5
        count = self.cols.stop - self.cols.start, self.rows.stop - self.rows.start
        size = self.box.right - self.box.left, self.box.bottom - self.box.top
        at = np.asarray(points, float).reshape(-1, 2)[:, ::-1] - first
        return self.box[:2] + at * size / count - 0.5


class Canvas:
    """A black picture, uint8 (height, width, 3) RGB, of a size in inches."""

    def __init__(self, width_in: float, height_in: float, dpi: int) -> None:
        self.dpi = dpi
        self.pixels: np.ndarray = np.zeros((round(height_in * dpi), round(width_in * dpi), 3), np.uint8)
        self.box = Box(0, 0, self.pixels.shape[1], self.pixels.shape[0])
        self._words: list[tuple[Box, str, str, float, bool]] = []

    def px(self, points: float) -> float:
        """A length in pt as px."""
        return points * self.dpi / 72

    def show(self, view: View, image: np.ndarray, low: float, high: float) -> None:
        """A view's part of an image, float (rows, cols), magnified bicubically or reduced by averaging.

        Values up to `low` are black, from `high` on white.
        """
        left, top, right, bottom = map(int, view.box)
        part = np.ascontiguousarray(image[view.rows, view.cols], np.float32)
        is_reduced = part.shape[0] >= bottom - top and part.shape[1] >= right - left
        method = cv2.INTER_AREA if is_reduced else cv2.INTER_CUBIC
        part = cv2.resize(part, (right - left, bottom - top), interpolation=method)
        grey = np.clip((part - low) * (255 / (high - low)) + 0.5, 0, 255).astype(np.uint8)
        self.pixels[top:bottom, left:right] = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)

    def line(self, places: np.ndarray, colour: str, width: float, style: str = "-", closed: bool = False) -> None:
        """A line through places, float (n, 2); `style` is "-" or one of `DASHES`."""
        thick, rgb = self.px(width), np.array(ImageColor.getrgb(colour), np.float32)
        parts = [places] if style == "-" else list(_dashes(places, DASHES[style], thick, closed))
        rim = thick / 2 + 1
        left, top = first = np.maximum(np.floor(places.min(axis=0) - rim), 0).astype(int)
        right, bottom = np.minimum(np.ceil(places.max(axis=0) + rim) + 1, self.box[2:]).astype(int)
        if left >= right or top >= bottom:
            return
        finer = np.zeros((FINER * (bottom - top), FINER * (right - left)), np.uint8)
        moved = [(FINER * (part - first + 0.5) - 0.5) * (1 << _SHIFT) for part in parts]
        fixed = [np.round(part).astype(np.int32) for part in moved]
        cv2.polylines(finer, fixed, closed and style == "-", 255, max(1, round(FINER * thick) - 1), cv2.LINE_8, _SHIFT)
        share = cv2.resize(finer, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        touched = np.nonzero(share)
        below, painted = self.pixels[top:bottom, left:right], share[touched][:, None] / np.float32(255)
        below[touched] = below[touched] + (rgb - below[touched]) * painted + 0.5

    def ring(self, place: np.ndarray, radius: float, colour: str, width: float, style: str = "-") -> None:
        """A circle round a place, float (2,)."""
        angle = np.linspace(0, 2 * np.pi, 32 + round(radius), endpoint=False)
        around = place + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        self.line(around, colour, width, style, closed=True)

    def frame(self, box: Box, colour: str, width: float) -> None:
        """The outline of a box."""
        left, top, right, bottom = box
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        self.line(corners, colour, width, closed=True)

    def scale_bar(self, view: View, length_mm: float) -> None:
        """A bar of a length in the lower left corner of a view, halved until it fits."""
        while length_mm * view.px_per_mm > 0.8 * (view.box.right - view.box.left):
            length_mm /= 2
        width, height, rim = round(length_mm * view.px_per_mm), max(1, round(self.px(2))), max(1, round(self.px(0.8)))
        left, top = round(view.box.left + self.px(7)), round(view.box.bottom - self.px(10))
        for grey, more in ((0, rim), (255, 0)):
            self.pixels[top - more : top + height + more, left - more : left + width + more] = grey
        self.words(f"{length_mm:g} mm", left, top - self.px(2), "white", 8, (0, 1), is_outlined=True)

    def words(
        self,
        text: str,
        x: float,
        y: float,
        colour: str,
        size: float,
        align: tuple[float, float] = (0, 0),
        is_outlined: bool = False,
    ) -> Box:
        """Words whose box has the share `align` of its width to the left of x, and of its height above y.

        They are moved into the canvas where they would leave it. The box is returned.
        """
        return self._put(self._box(text, x, y, size, align).moved_into(self.box), text, colour, size, is_outlined)

    def words_beside(
        self,
        text: str,
        thing: Box,
        space: Box,
        colour: str,
        size: float,
        sides: Sequence[str] = ("below", "above", "right", "left"),
        along: float = 0.5,
    ) -> Box:
        """Outlined words beside a thing, inside a space: on the first side where they cover neither it nor other words.

        Where there is no such side, on the first one. They begin at the thing's left or top (`along` 0), or are in its
        middle (0.5).
        """
        left, top, right, bottom = thing
        x, y = left + along * (right - left), top + along * (bottom - top)
        places: dict[str, tuple[float, float, tuple[float, float]]] = {
            "below": (x, bottom, (along, 0)),
            "above": (x, top, (along, 1)),
        }
        places |= {"right": (right, y, (0, along)), "left": (left, y, (1, along))}
        boxes = [self._box(text, x, y, size, align).moved_into(space) for x, y, align in map(places.__getitem__, sides)]
        taken = [thing, *(box for box, *_ in self._words)]
        free = (box for box in boxes if not any(map(box.overlaps, taken)))
        return self._put(next(free, boxes[0]), text, colour, size, True)

    def width(self, text: str, size: float) -> float:
        """Width of the longest line of a text, px."""
        return max(map(_font(self.px(size)).getlength, text.split("\n")))

    def wrapped(self, text: str, size: float, width: float) -> str:
        """A text with lines of at most a width, px; longer words are cut."""
        lines = []
        for paragraph in text.split("\n"):
            line = ""
            for word in paragraph.split(" "):
                longer = f"{line} {word}" if line else word
                if line and self.width(longer, size) > width:
                    lines.append(line)
                    longer = word
                while self.width(longer, size) > width and len(longer) > 1:
                    fits = max(1, sum(self.width(longer[:n], size) <= width for n in range(1, len(longer))))
                    lines.append(longer[:fits])
                    longer = longer[fits:]
                line = longer
            lines.append(line)
        return "\n".join(lines)

    def finished(self) -> np.ndarray:
        """The picture with its words."""
        picture = Image.fromarray(self.pixels)
        draw = ImageDraw.Draw(picture)
        for box, text, colour, size, is_outlined in self._words:
            style: dict[str, Any] = {"fill": colour, "font": _font(size), "anchor": "ls"}
            if is_outlined:
                style |= {"stroke_width": max(1, size / 10), "stroke_fill": "black"}
            for number, line in enumerate(text.split("\n")):
                draw.text((box.left, box.top + (number * LINE_HEIGHT + ASCENT) * size), line, **style)
        return np.asarray(picture).copy()

    def _box(self, text: str, x: float, y: float, size: float, align: tuple[float, float]) -> Box:
        width = self.width(text, size)
        height = LINE_HEIGHT * self.px(size) * (text.count("\n") + 1)
        left, top = x - align[0] * width, y - align[1] * height
        return Box(left, top, left + width, top + height)

    def _put(self, box: Box, text: str, colour: str, size: float, is_outlined: bool) -> Box:
        self._words.append((box, text, colour, self.px(size), is_outlined))
        return box


def write_drawing(path: Path, pixels: np.ndarray) -> Path:
    """Write a picture, uint8 (height, width, 3) RGB, as PNG."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG]
    _, coded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    return write_atomically(path, lambda temporary: temporary.write_bytes(coded))


@lru_cache(maxsize=32)
def _font(size: float) -> Any:
    """DejaVu Sans, of which Matplotlib brings the file; without it Pillow's own font, which has no umlauts."""
    found = find_spec("matplotlib")  # which does not import it
    folders = (found.submodule_search_locations if found else None) or []
    files = (Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf" for folder in folders)
    file = next((file for file in files if file.is_file()), None)
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)


def _dashes(places: np.ndarray, pattern: tuple[float, ...], width: float, closed: bool) -> Iterator[np.ndarray]:
    """The dashes of a line, float (k, 2) each; round a closed one a whole number of patterns."""
    places = np.concatenate([places, places[:1]]) if closed else places
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(places, axis=0).T))])
    lengths = width * np.array(pattern)
    if closed:
        lengths *= along[-1] / lengths.sum() / max(1, round(along[-1] / lengths.sum()))
    start, number = 0.0, 0
    while start < along[-1] - 1e-6:
        stop = min(start + lengths[number % len(lengths)], along[-1])
        ends = np.stack([np.interp([start, stop], along, axis) for axis in places.T], axis=1)
        yield np.concatenate([ends[:1], places[(along > start) & (along < stop)], ends[1:]])
        start = stop + lengths[(number + 1) % len(lengths)]
        number += 2
