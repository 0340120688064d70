"""Crude regions of interest in one exam, as a reader marks them (slim FCN paper, section 4.2).

A region is one of these dictionaries, a JSON file of one, or a picture (PNG, ...) whose pixels over 0 are it:

    {"rectangle": {"top": 10, "left": 20, "bottom": 40, "right": 60}, "unit": "px" or "mm"}
    {"polygon": [[row, col], ...], "unit": "px" or "mm"}      at least three corners, no side crosses another
    {"members": [3, 4, 8]}                                    ids of MCs, such as a cluster's

px are those of the findings (centres at whole numbers), mm are from the centre of the first pixel.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from skimage.draw import polygon2mask

from scripts.common.checks import check
from scripts.common.objects import Microcalcification
from scripts.common.tensors import Spacing
from scripts.data.reader.errors import check_file
from scripts.data.reader.mammogram_reader import read_values

SHAPES = ("rectangle", "polygon", "members")
EDGES = ("top", "left", "bottom", "right")
FORMS = 'a path, or {"rectangle": {"top", "left", "bottom", "right"}}, {"polygon": [[row, col], ...]} or {"members"}'


@dataclass(frozen=True, eq=False)
class Region:
    """A checked region of one exam."""

    kind: str  # "rectangle", "polygon", "mask" or "members"
    area_mm2: float | None  # None for members: what they cover is not known
    corners_px: np.ndarray | None = None  # (n, 2) row, col
    mask: np.ndarray | None = None  # bool (rows, cols) of the exam
    members: frozenset[int] = frozenset()

    def contains(self, findings: Sequence[Microcalcification]) -> list[bool]:
        """Which MCs belong to it: by id, else by centroid; a border belongs to its region."""
        if self.kind == "members":
            return [mc.id in self.members for mc in findings]
        if self.mask is not None:
            return [bool(self.mask[round(mc.row), round(mc.col)]) for mc in findings]
        return [inside(self.corners_px, (mc.row, mc.col)) for mc in findings]

    def select(self, findings: Sequence[Microcalcification]) -> list[Microcalcification]:
        """The MCs that belong to it."""
        return [mc for mc, belongs in zip(findings, self.contains(findings), strict=True) if belongs]


def read_region(given: Any, shape: tuple[int, ...], spacing_mm: Spacing, ids: Sequence[int] = ()) -> Region:
    """A region (see above) of an exam of `shape` (rows, cols) whose MCs have `ids`; an error names what is wrong."""
    if isinstance(given, Mapping):
        return _from_dictionary("region", given, shape, spacing_mm, ids)
    check("region", given, isinstance(given, str | Path) and str(given), FORMS)
    path = Path(given).expanduser()
    check_file(path, path.is_file(), "no such file", "a region: JSON, or a picture of the exam's size")
    if path.suffix.lower() != ".json":
        mask = read_values(path) > 0
        check_file(path, mask.shape == shape, f"a mask of shape {mask.shape}", f"the exam's {shape}, (rows, cols)")
        check_file(path, mask.any(), "a mask without any pixel over 0", "a region")
        return Region("mask", float(mask.sum() * spacing_mm[0] * spacing_mm[1]), mask=mask)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        check_file(path, False, f"no JSON ({error})", FORMS)
    check_file(path, isinstance(content, Mapping), repr(content)[:60], FORMS)
    return _from_dictionary(str(path), content, shape, spacing_mm, ids)


def inside(corners: np.ndarray | None, point: tuple[float, float]) -> bool:
    """Whether a point lies in a polygon, corners (n, 2), or on its border."""
    start, point_ = np.asarray(corners, float), np.asarray(point, float)
    end = np.roll(start, -1, axis=0)
    side, to_point = end - start, point_ - start
    cross = side[:, 0] * to_point[:, 1] - side[:, 1] * to_point[:, 0]
    along = (side * to_point).sum(axis=1)
    length2 = (side**2).sum(axis=1)
    if bool(((np.abs(cross) <= 1e-9 * (1 + length2)) & (along >= 0) & (along <= length2)).any()):
        return True
    crosses = (start[:, 0] > point_[0]) != (end[:, 0] > point_[0])  # sides that a ray along the row may meet
    with np.errstate(divide="ignore", invalid="ignore"):
        col = start[:, 1] + to_point[:, 0] / side[:, 0] * side[:, 1]
    return bool(np.count_nonzero(crosses & (point_[1] < col)) % 2)


def polygon_area(corners: np.ndarray) -> float:
    """Area of a polygon, corners (n, 2), by the shoelace formula."""
    row, col = corners.T
    return abs(float(row @ np.roll(col, -1) - col @ np.roll(row, -1))) / 2


def region_mask(region: Region, shape: tuple[int, ...]) -> np.ndarray | None:
    """Its pixels, bool (rows, cols), for pictures; None for members."""
    if region.mask is not None or region.corners_px is None:
        return region.mask
    return polygon2mask(shape, region.corners_px)


def _from_dictionary(
    name: str, given: Mapping[str, Any], shape: tuple[int, ...], spacing_mm: Spacing, ids: Sequence[int]
) -> Region:
    kinds = [key for key in SHAPES if key in given]
    check(name, dict(given), len(kinds) == 1, FORMS)
    kind = kinds[0]
    unknown = sorted(given.keys() - {kind, *(() if kind == "members" else ("unit",))})
    check(name, unknown, not unknown, f"no other key than {kind}" + ("" if kind == "members" else " and unit"))
    if kind == "members":
        members = frozenset(given[kind])
        check(f"{name}: members", sorted(members - set(ids)), members and members <= set(ids), "ids of the exam's MCs")
        return Region(kind, None, members=members)
    unit = given.get("unit")
    check(f"{name}: unit", unit, unit in ("px", "mm"), "px or mm")
    corners = _corners(f"{name}: {kind}", kind, given[kind])
    corners = corners / spacing_mm if unit == "mm" else corners
    most = np.array(shape) - 0.5
    out = corners[((corners < -0.5) | (corners > most)).any(axis=1)]
    size_mm = " x ".join(f"{length * mm:.1f}" for length, mm in zip(shape, spacing_mm, strict=True))
    want = f"corners in the image, {shape[0]} x {shape[1]} px or {size_mm} mm (rows x cols); is {unit} right?"
    found = (out * (spacing_mm if unit == "mm" else 1)).round(2).tolist()
    check(f"{name}: {kind}", found, not len(out), want)
    area_px = polygon_area(corners)
    check(f"{name}: {kind}", corners.tolist(), not _crosses_itself(corners), "a polygon whose sides do not cross")
    check(f"{name}: {kind}", corners.tolist(), area_px > 0, "a region with an area")
    return Region(kind, area_px * spacing_mm[0] * spacing_mm[1], corners_px=corners)


def _corners(name: str, kind: str, given: Any) -> np.ndarray:
    if kind == "rectangle":
        complete = isinstance(given, Mapping) and sorted(given) == sorted(EDGES)
        check(name, given, complete, f"{', '.join(EDGES)}")
        given = [given[edge] for edge in EDGES]
        check(name, given, all(map(_is_number, given)), "numbers")
        top, left, bottom, right = given
        check(name, given, top < bottom and left < right, "top < bottom and left < right")
        given = [[top, left], [top, right], [bottom, right], [bottom, left]]
    pairs = isinstance(given, Sequence) and all(isinstance(point, Sequence) and len(point) == 2 for point in given)
    check(name, given, pairs and all(_is_number(part) for point in given for part in point), "[[row, col], ...]")
    points = list(map(list, given))
    points = points[:-1] if len(points) > 1 and points[0] == points[-1] else points  # closed by hand
    check(name, given, len(points) >= 3, "three corners or more")
    return np.array(points, float)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _crosses_itself(corners: np.ndarray) -> bool:
    """Whether two sides that are not neighbours share a point, or a side runs back over the one before."""
    start, end, count = corners, np.roll(corners, -1, axis=0), len(corners)

    def turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Sign of the area of the triangles a, b, c: side of the line a-b on which c lies."""
        first, second = b - a, c - a
        return np.sign(np.round(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0], 9))

    def between(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Whether c, on the line a-b, lies between a and b."""
        return ((np.minimum(a, b) <= c) & (c <= np.maximum(a, b))).all(axis=-1)

    for first in range(count):
        after = start[(first + 2) % count]
        back = end[first] - start[first], after - end[first]
        if turn(start[first], end[first], after) == 0 and float(back[0] @ back[1]) < 0:
            return True
        others = [other for other in range(first + 2, count) if (other + 1) % count != first]
        a, b, c, d = start[first], end[first], start[others], end[others]
        sides = turn(a, b, c), turn(a, b, d), turn(c, d, a), turn(c, d, b)
        touches = ((sides[0] == 0) & between(a, b, c)) | ((sides[1] == 0) & between(a, b, d))
        touches |= ((sides[2] == 0) & between(c, d, a)) | ((sides[3] == 0) & between(c, d, b))
        if bool(((sides[0] * sides[1] < 0) & (sides[2] * sides[3] < 0) | touches).any()):
            return True
    return False
