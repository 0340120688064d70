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
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scripts.common.labels import MC
from scripts.common.text import printable
from scripts.data.labels.drawing import FARTHEST_PX, disc_pixels
from scripts.data.reader.errors import check_file
from scripts.data.text_files import csv_rows, json_content

logger = logging.getLogger(__name__)

Pair = tuple[float, float]  # along rows, along columns
COORDINATES = (("row", "col"), ("y", "x"), ("y_mm", "x_mm"))  # along rows, along columns
WANT_COORDINATES = "row,col or x,y or x_mm,y_mm"


def points_to_label(path: str | Path, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> np.ndarray:
    """Draw the points of a file into the label, uint8 (rows, cols) of 0 and 1, of an image of this shape and spacing.

    A file of only a header, or an empty JSON list, is an image without MCs. Points outside of the image are dropped
    with a warning; if all are (most likely px taken for mm, or rows for columns), it is a MammogramReadError, as are
    no or mixed coordinates and values that are no numbers (it names file and row).
    """
    label = np.zeros(shape, np.uint8)
    outside = 0
    points = [_place(columns, record, where, path, spacing_mm) for columns, record, where in _records(path)]
    for (row, col), diameter_px in points:
        if -0.5 <= row < shape[0] - 0.5 and -0.5 <= col < shape[1] - 0.5:
            label[disc_pixels((row, col), diameter_px, shape)] = MC
        else:
            outside += 1
    all_lost = outside and outside == len(points)
    check_file(path, not all_lost, f"all {outside} points outside of the image", f"points inside {shape} px")
    if outside:
        logger.warning(
            "%s: %d of %d points are outside of the image and dropped", printable(path), outside, len(points)
        )
    return label


def _records(path: str | Path) -> Iterable[tuple[tuple[str, str], Mapping[str, Any], str]]:
    """Names of the coordinates (along rows, along columns), the record that has them, and where it stands."""
    if Path(path).suffix.lower() != ".json":
        header, rows = csv_rows(path, f"a CSV file of points: {WANT_COORDINATES}")
        columns = _coordinates(header, "header", path)
        return ((columns, record, where) for where, record in rows)
    content = json_content(path, "a JSON list of points")
    records: Any = content.get("points") if isinstance(content, dict) else content
    is_list = isinstance(records, list) and all(isinstance(record, dict) for record in records)
    check_file(path, is_list, "other content", '[{"row": .., "col": ..}, ..] or {"points": [..]}')
    named = ((f"point {number}", record) for number, record in enumerate(records))
    return ((_coordinates(record, where, path), record, where) for where, record in named)


def _coordinates(keys: Iterable[str], where: str, path: str | Path) -> tuple[str, str]:
    present = [pair for pair in COORDINATES if set(pair) <= set(keys)]
    check_file(path, len(present) == 1, f"{where} with the columns {sorted(keys)}", WANT_COORDINATES)
    return present[0]


def _place(
    columns: tuple[str, str], record: Mapping[str, Any], where: str, path: str | Path, spacing_mm: Pair
) -> tuple[Pair, Pair]:
    """Centre and diameter of one MC, each along rows and columns, px; the diameter is 0 where it is not known."""
    row, col = (_number(record.get(name), f"{where}, {name}", path) for name in columns)
    diameter = _number(record.get("diameter_mm") or 0, f"{where}, diameter_mm", path)
    check_file(path, diameter >= 0, f"{where}, diameter_mm = {diameter}", "0 or more")
    unit = spacing_mm if columns[0].endswith("_mm") else (1.0, 1.0)
    return (row / unit[0], col / unit[1]), (diameter / spacing_mm[0], diameter / spacing_mm[1])


def _number(value: Any, where: str, path: str | Path) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    got = repr(value) if isinstance(value, str | int | float) else type(value).__name__
    check_file(path, abs(number) <= FARTHEST_PX, f"{where} = {got}", "a finite number")
    return number
