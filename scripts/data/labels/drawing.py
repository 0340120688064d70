"""Points and closed contours -> the pixels that they cover.

Coordinates are (row, col) in px with pixel *centres* at integers; `points` are (N, 2) of them, `shape` is the (rows,
cols) of the image. Every function returns pixel indices ``(rows, cols)`` as `skimage.draw` does, clipped to the image,
so that a 14-megapixel label needs no temporary of its own size per drawn object. Its own `polygon` (even-odd: a contour
drawn twice round is empty) and `ellipse` (a centre on the edge is outside) are not used; `cv2.fillPoly` also fills the
pixels that a contour only touches.
"""

import numpy as np
from scipy.interpolate import CubicSpline

from scripts.common.checks import check

Pixels = tuple[np.ndarray, np.ndarray]
CONTOURS = ("spline", "polygon")
FARTHEST_PX = 1e5  # coordinates beyond this are a broken file, not an image
SAMPLES_PER_PX = 4  # straight pieces per px of contour; the area error of a 5 px circle is then under 0.1 %


def point_pixels(points: np.ndarray, shape: tuple[int, int]) -> Pixels:
    """The pixel that holds each point; points outside of the image are left out."""
    pixels = np.floor(_as_points(points) + 0.5)
    inside = ((pixels >= 0) & (pixels < np.asarray(shape))).all(axis=1)
    kept = pixels[inside].astype(np.intp)
    return kept[:, 0], kept[:, 1]


def disc_pixels(centre: tuple[float, float], diameter_px: tuple[float, float], shape: tuple[int, int]) -> Pixels:
    """Pixels whose centre lies in a disc of these diameters along rows and cols; its centre's own pixel always does."""
    middle, radii = np.asarray(centre, float), np.asarray(diameter_px, float) / 2
    low = np.clip(np.ceil(middle - radii), 0, shape).astype(int)
    high = np.clip(np.floor(middle + radii) + 1, 0, shape).astype(int)
    rows, cols = np.mgrid[low[0] : high[0], low[1] : high[1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = ((rows - middle[0]) / radii[0]) ** 2 + ((cols - middle[1]) / radii[1]) ** 2 <= 1
    own = point_pixels(middle[None], shape)
    return np.append(rows[inside], own[0]), np.append(cols[inside], own[1])


def contour_pixels(points: np.ndarray, shape: tuple[int, int], contour: str = "spline") -> Pixels:
    """Pixels whose centre lies inside a closed contour, which joins the last point to the first.

    One distinct point gives its pixel, two give the pixels of the line between them. A contour too thin to hold
    any pixel centre gives the pixel of its vertices' mean, so that no annotation vanishes.
    `contour` ``"spline"`` passes a closed cubic spline through the points, ``"polygon"`` joins them by straight lines.
    """
    check("contour", contour, contour in CONTOURS, f"one of {CONTOURS}")
    points = _drop_repeats(_as_points(points))
    if len(points) < 2:
        return point_pixels(points, shape)
    if len(points) == 2:
        steps = int(SAMPLES_PER_PX * np.linalg.norm(points[1] - points[0])) + 2
        return point_pixels(np.linspace(points[0], points[1], steps), shape)
    rows, cols = polygon_pixels(closed_spline(points) if contour == "spline" else points, shape)
    return (rows, cols) if len(rows) else point_pixels(points.mean(axis=0, keepdims=True), shape)


def polygon_pixels(points: np.ndarray, shape: tuple[int, int]) -> Pixels:
    """Fill a polygon by the non-zero winding rule (loops of a hand-drawn line leave no holes).

    Along each row of pixel centres every edge adds +1 (going down) or -1 (going up) from where it crosses the row
    onwards; the running sum is the winding number. Crossings are half open: a centre on a left or upper edge is
    inside, one on a right or lower edge is outside, so that touching polygons never share a pixel.
    """
    low = np.clip(np.ceil(points.min(axis=0)), 0, shape).astype(int)
    height, width = np.clip(np.ceil(points.max(axis=0)), 0, shape).astype(int) - low
    start, end = points, np.roll(points, -1, axis=0)
    down = (end[:, 0] >= start[:, 0])[:, None]
    upper, lower = np.where(down, start, end), np.where(down, end, start)
    first, stop = (np.clip(np.ceil(ends[:, 0]), 0, shape[0]).astype(int) for ends in (upper, lower))
    count = stop - first
    edge = np.repeat(np.arange(len(points)), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (lower[edge, 1] - upper[edge, 1]) / (lower[edge, 0] - upper[edge, 0])
    crossing = np.ceil(upper[edge, 1] + (row - upper[edge, 0]) * slope).astype(int)
    winding = np.zeros((height, width + 1), np.int32)
    np.add.at(winding, (row - low[0], np.clip(crossing - low[1], 0, width)), np.where(down[edge, 0], 1, -1))
    rows, cols = np.nonzero(np.cumsum(winding, axis=1)[:, :width])
    return rows + low[0], cols + low[1]


def closed_spline(points: np.ndarray) -> np.ndarray:
    """Points (M, 2) on the closed cubic spline through three or more distinct ones, `SAMPLES_PER_PX` per px of it.

    Periodic, twice continuously differentiable, parametrised by chord length: the curve that the viewer which
    made the INbreast annotations draws, and whose area it reports.
    """
    closed = np.vstack([points, points[:1]])
    chord = np.linalg.norm(np.diff(closed, axis=0), axis=1)
    knots = np.concatenate([[0.0], np.cumsum(chord)])
    spline = CubicSpline(knots, closed, bc_type="periodic")
    samples = max(16, 4 * len(points), int(np.ceil(SAMPLES_PER_PX * knots[-1])))
    return spline(np.linspace(0.0, knots[-1], samples, endpoint=False))


def _as_points(points: np.ndarray) -> np.ndarray:
    array = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    broken = array[~(np.abs(array) <= FARTHEST_PX)]  # also NaN
    if len(broken):
        raise ValueError(f"points: got a coordinate of {broken[0]}; want px within +-{FARTHEST_PX:g}")
    return array


def _drop_repeats(points: np.ndarray) -> np.ndarray:
    """Drop points equal to their predecessor, the last one's successor being the first."""
    kept = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    return kept if len(kept) else points[:1]
