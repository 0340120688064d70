"""A mark among its neighbours: the curve through it along which most of them lie, and numbers about those on it.

The marks in the walls of a vessel follow one another along a curve, are long and lie along it, and the picture goes on
between them. `FEATURES` are these facts as numbers; `vascular_model` weighs them.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from scripts.common.checks import check, check_fields
from scripts.common.tensors import Spacing
from scripts.findings.kinds.geometry import Marks
from scripts.findings.kinds.line_filter import DIRECTIONS, LineFilter

#: Of each mark; "on the curve" are the mark and its neighbours there.
FEATURES = (
    "count",  # log of the number of marks on the curve
    "others",  # log of 1 + the number of neighbours within `near_mm` that are not on it
    "alignment",  # mean cosine of twice the angle between a mark and the curve, longer marks counting more, [-1, 1]
    "aligned length",  # mean length over width along the curve, longer marks counting more, mm
    "cover",  # log of 0.3 + the sum of lengths along the curve, mm
    "own length",  # of the mark along the curve, mm, -1 to 2
    "own alignment",  # cosine of twice its angle with the curve, times 1 - width / length
    "width",  # mean width of the marks on the curve, longer ones counting more, mm
    "scatter",  # root mean square of their distances from it, mm
    "extent",  # length of the curve between the outermost ones, in units of its reach
    "line here",  # most less median response of the line filter over its directions
    "own line",  # response at the mark along the curve
    "line",  # mean response at the marks on the curve, along it
    "lines",  # sum of the neighbours' positive responses
)


@dataclass(frozen=True)
class NeighbourhoodSettings:
    """How curves through marks are found. Lengths in mm."""

    near_mm: float = 6.0  # neighbours that decide the direction
    reach_mm: float = 10.0  # of the curve to either side
    most_neighbours: int = 48  # the nearest ones are taken
    half_width_mm: float = 2.0  # neighbours this near to the curve are on it: both walls of a vessel
    widest_mm: float = 0.9  # a wider mark has no direction
    line_weight: float = 2.0  # of the line filter's response against the neighbours', in choosing the direction
    lines: LineFilter = field(default_factory=LineFilter)

    def __post_init__(self) -> None:
        check_fields(self)
        check("most_neighbours", self.most_neighbours, self.most_neighbours >= 1, "1 or more")
        for name in ("near_mm", "reach_mm", "half_width_mm", "widest_mm"):
            check(name, getattr(self, name), getattr(self, name) > 0, "a length above 0")


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """The marks' curves, and the pairs (mark, neighbour) of those that lie on each other's."""

    direction: np.ndarray  # (n,) of each mark's curve at the mark, rad
    features: np.ndarray  # (n, len(FEATURES))
    pairs: np.ndarray  # (m, 2) places of a mark and of a neighbour on its curve
    along_mm: np.ndarray  # (m,) where on the curve
    near: np.ndarray  # (k, 2) all pairs within `near_mm`


def neighbourhoods(
    image: np.ndarray, marks: Marks, chosen: np.ndarray, spacing_mm: Spacing, settings: NeighbourhoodSettings
) -> Neighbourhoods:
    """The neighbourhoods of the chosen marks, places (n,), among themselves, in an image float32 (rows, cols)."""
    place, angle = marks.place_mm[chosen], marks.angle[chosen]
    length, width = np.minimum(marks.length_mm[chosen], 2 * settings.reach_mm), marks.width_mm[chosen]
    n = len(place)
    excess = np.where(width > settings.widest_mm, 0, length - width)  # how much longer than wide
    share = excess / np.maximum(length, 1e-6)
    response = settings.lines.responses(image, place, spacing_mm)
    a, b = _pairs(place, settings)
    way = place[b] - place[a]
    near = np.hypot(*way.T) <= settings.near_mm
    near_pairs = np.stack([a[near], b[near]], 1)
    turn = _directions(way[near], near_pairs, angle, share, length, response, settings)
    s = way[:, 0] * np.sin(turn[a]) + way[:, 1] * np.cos(turn[a])
    r = way[:, 0] * np.cos(turn[a]) - way[:, 1] * np.sin(turn[a])
    weight = 0.3 + np.minimum(length, 2.0)
    curve = _curves(s, r, a, weight[b], weight, settings.half_width_mm)
    off = r - (curve[a, 0] + curve[a, 1] * s + curve[a, 2] * s**2)
    on = np.abs(off) <= settings.half_width_mm
    tangent = turn[a] + np.arctan(curve[a, 1] + 2 * curve[a, 2] * s)
    own = turn + np.arctan(curve[:, 1])
    others = np.bincount(a[near & ~on], minlength=n)
    a, b, s, off, tangent = a[on], b[on], s[on], off[on], tangent[on]

    def total(of_neighbours: np.ndarray, of_marks: np.ndarray | float) -> np.ndarray:
        return np.bincount(a, of_neighbours, minlength=n) + of_marks

    lie, own_lie = np.cos(2 * (angle[b] - tangent)), np.cos(2 * (angle - own))
    line, own_line = response[b, _nearest(tangent)], response[np.arange(n), _nearest(own)]
    count, lengths = total(np.ones(len(a)), 1), total(excess[b], excess) + 0.05
    aligned = total(excess[b] * lie, excess * own_lie)
    ends = np.zeros((2, n))
    np.maximum.at(ends[0], a, s)
    np.maximum.at(ends[1], a, -s)
    features = [
        np.log(count),
        np.log1p(others),
        aligned / lengths,
        total(excess[b] ** 2 * lie, excess**2 * own_lie) / lengths,
        np.log(0.3 + np.clip(aligned, 0, None)),
        np.clip(excess * own_lie, -1, 2),
        share * own_lie,
        np.minimum(total((width * length)[b], width * length) / total(length[b], length), 1.5),
        np.sqrt(total(off**2, curve[:, 0] ** 2) / count),
        ends.sum(0) / settings.reach_mm,
        response.max(1) - np.median(response, 1),
        own_line,
        total(line, own_line) / count,
        total(np.clip(line, 0, None), 0) / 4,
    ]
    return Neighbourhoods(own, np.stack(features, 1), np.stack([a, b], 1), s, near_pairs)


def _pairs(place_mm: np.ndarray, settings: NeighbourhoodSettings) -> tuple[np.ndarray, np.ndarray]:
    """Each mark, (m,), with each of its nearest neighbours within reach, (m,)."""
    most = min(settings.most_neighbours + 1, len(place_mm))
    distance, nearest = cKDTree(place_mm).query(place_mm, k=most, distance_upper_bound=settings.reach_mm)
    distance, nearest = distance.reshape(len(place_mm), most), nearest.reshape(len(place_mm), most)
    a, column = np.nonzero(np.isfinite(distance))
    b = nearest[a, column]
    return a[a != b], b[a != b]


def _directions(
    way: np.ndarray,
    pairs: np.ndarray,
    angle: np.ndarray,
    share: np.ndarray,
    length: np.ndarray,
    response: np.ndarray,
    settings: NeighbourhoodSettings,
) -> np.ndarray:
    """Direction of each mark's strip, rad (n,): neighbours near to its axis and along it, and lines, count for it."""
    turns = (np.arange(DIRECTIONS) * (np.pi / DIRECTIONS)).astype(np.float32)
    lie = share[:, None] * np.cos(2 * (angle[:, None] - turns))
    value = (0.3 + np.minimum(length, 2)[:, None] * np.clip(lie, 0, None)).astype(np.float32)
    way = (way / settings.half_width_mm).astype(np.float32)
    across = way[:, :1] * np.cos(turns) - way[:, 1:] * np.sin(turns)
    held = np.maximum(1 - across * across, 0) * value[pairs[:, 1]]
    n = len(length)
    spread = csr_array((np.ones(len(pairs), np.float32), (pairs[:, 0], np.arange(len(pairs)))), shape=(n, len(pairs)))
    return turns[np.argmax(spread @ held + value + settings.line_weight * response, 1)].astype(np.float64)


def _curves(
    s: np.ndarray, r: np.ndarray, of: np.ndarray, weight: np.ndarray, own: np.ndarray, half_width_mm: float
) -> np.ndarray:
    """Parabolas r = c0 + c1 s + c2 s^2 through each mark's neighbours, (n, 3); r is the distance from its axis.

    Weighted least squares, three times, each time with those near to the last curve; slope and curvature are held down
    where few marks tell them.
    """
    n, curve = len(own), np.zeros((len(own), 3))
    powers = s ** np.arange(5)[:, None]
    fade = weight * np.exp(-0.5 * (s / 5) ** 2)
    for _ in range(3):
        off = r - (curve[of] * powers[:3].T).sum(1)
        k = np.maximum(1 - (off / half_width_mm) ** 2, 0) * fade
        sums = [np.bincount(of, k * power, minlength=n) for power in powers]
        # not in place: without neighbours, NumPy's sums are integers
        matrix = np.stack([np.stack(sums[i : i + 3], 1) for i in range(3)], 1) + np.diag([1e-3, 1.0, 60.0])
        matrix[:, 0, 0] += own
        right = np.stack([np.bincount(of, k * r * power, minlength=n) for power in powers[:3]], 1)
        curve = np.linalg.solve(matrix, right[..., None])[..., 0]
    return curve


def _nearest(angle: np.ndarray) -> np.ndarray:
    """Number of the line filter's direction nearest to each angle."""
    return np.round(angle * (DIRECTIONS / np.pi)).astype(int) % DIRECTIONS
