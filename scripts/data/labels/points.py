"""Point annotations in CSV or JSON: one microcalcification (MC) a row.

The header (or the keys) chooses the coordinates:

- ``row,col``: px, the centre of the first pixel is (0, 0);
- ``x,y``: the same, x being the column;
- ``x_mm,y_mm``: mm from the centre of the first pixel, x along the columns.

An optional ``diameter_mm`` draws a disc; without it (or empty, or 0) the MC is the one pixel that holds the point.
JSON is a list of such objects, or {"points": [...]}. Other columns are ignored.
"""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scripts.common.labels import MC
from scripts.data.labels.drawing import FARTHEST_PX, disc_pixels
from scripts.data.reader.errors import check_file
from scripts.data.text_files import Row, csv_rows, json_content

logger = logging.getLogger(__name__)

COORDINATES = (("row", "col"), ("y", "x"), ("y_mm", "x_mm"))  # along rows, along columns
WANT_COORDINATES = "row,col or x,y or x_mm,y_mm"


class Point(NamedTuple):
    """One MC."""

    row: float  # px, or mm if `in_mm`
    col: float
    diameter_mm: float  # 0 if not known
    in_mm: bool


def read_points(path: str | Path) -> list[Point]:
    """Read a points file. A file of only a header, or an empty JSON list, is an image without MCs.

    Raises:
        MammogramReadError: missing or malformed file, no or mixed coordinates, values that are no numbers; the
            message names file and row.
    """
    if Path(path).suffix.lower() == ".json":
        return [_point(record, _coordinate_keys(record, where, path), where, path) for where, record in _records(path)]
    header, rows = csv_rows(path, f"a CSV file of points: {WANT_COORDINATES}")
    columns = _coordinate_keys(header, "header", path)
    return [_point(record, columns, where, path) for where, record in rows]


def points_to_label(
    points: list[Point], shape: tuple[int, int], spacing_mm: tuple[float, float], source: str | Path = "points"
) -> np.ndarray:
    """Draw points into a label; those outside of the image are dropped with a warning.

    Args:
        points: of one image.
        shape: (rows, cols) of the image.
        spacing_mm: (row, col) mm per px of the image.
        source: names the file in messages.

    Returns:
        uint8 (rows, cols): 0 background, 1 MC.

    Raises:
        MammogramReadError: every point is outside (most likely px taken for mm, or rows for columns).
    """
    label = np.zeros(shape, np.uint8)
    outside = 0
    for point in points:
        scale = spacing_mm if point.in_mm else (1.0, 1.0)
        row, col = point.row / scale[0], point.col / scale[1]
        if not (-0.5 <= row < shape[0] - 0.5 and -0.5 <= col < shape[1] - 0.5):
            outside += 1
            continue
        diameter_px = (point.diameter_mm / spacing_mm[0], point.diameter_mm / spacing_mm[1])
        label[disc_pixels((row, col), diameter_px, shape)] = MC
    all_lost = outside and outside == len(points)
    check_file(source, not all_lost, f"all {outside} points outside of the image", f"points inside {shape} px")
    if outside:
        logger.warning("%s: %d of %d points are outside of the image and dropped", source, outside, len(points))
    return label


def _records(path: str | Path) -> list[Row]:
    content = json_content(path, "a JSON list of points")
    records = content.get("points") if isinstance(content, dict) else content
    is_list = isinstance(records, list) and all(isinstance(record, dict) for record in records)
    check_file(path, is_list, "other content", '[{"row": .., "col": ..}, ..] or {"points": [..]}')
    return [(f"point {number}", record) for number, record in enumerate(records)]


def _coordinate_keys(keys: Any, where: str, path: str | Path) -> tuple[str, str]:
    present = [pair for pair in COORDINATES if set(pair) <= set(keys)]
    check_file(path, len(present) == 1, f"{where} with the columns {sorted(keys)}", WANT_COORDINATES)
    return present[0]


def _point(record: Mapping[str, Any], columns: tuple[str, str], where: str, path: str | Path) -> Point:
    row, col = (_number(record.get(name), f"{where}, {name}", path) for name in columns)
    diameter = _number(record.get("diameter_mm") or 0, f"{where}, diameter_mm", path)
    check_file(path, diameter >= 0, f"{where}, diameter_mm = {diameter}", "0 or more")
    return Point(row, col, diameter, in_mm=columns[0].endswith("_mm"))


def _number(value: Any, where: str, path: str | Path) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    check_file(path, abs(number) <= FARTHEST_PX, f"{where} = {value!r}", "a finite number")
    return number
