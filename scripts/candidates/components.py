"""Connected components that hold a seed, found band by band: many at once, in cache, and without a large label image.

Most components are settled within their band. Those without a seed that reach the next band wait until all bands are
known; their few pixels are added afterwards.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from scripts.candidates.boxes import Box, shared_columns


class BandComponents(NamedTuple):
    """What a band tells about the 4-connected components of its part of a mask; index = label, 0 = background.

    Attributes:
        is_kept: bool (n + 1,), holds a seed.
        is_cut: bool (n + 1,), reaches one of the cut lines.
        first, last: int32 (cols,), labels in the band's first and last row.
        pixels, labels: int (m,), flat index in the band and label of each pixel of those components without a seed
            that leave the band.
    """

    is_kept: np.ndarray
    is_cut: np.ndarray
    first: np.ndarray
    last: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray


class Settled(NamedTuple):
    """Pixels of the image whose component was open; each an index (rows, cols).

    Attributes:
        kept: of components with a seed in another band.
        in_doubt: of components without a seed that reach a cut line: they may hold one beyond it.
    """

    kept: tuple[np.ndarray, np.ndarray]
    in_doubt: tuple[np.ndarray, np.ndarray]


def band_components(
    mask: np.ndarray, rows: np.ndarray, cols: np.ndarray, cut: Sequence[tuple]
) -> tuple[np.ndarray, BandComponents]:
    """Components of a band that hold a seed within it, and what is to be known of the others.

    Args:
        mask: bool (rows, cols).
        rows, cols: int (n,), the seeds in the band; those off the mask count for nothing.
        cut: indices of the lines beyond which nothing is known and no band follows.

    Returns:
        Pixels of the components with a seed, bool (rows, cols), and the rest.
    """
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    is_kept, is_cut, is_open = np.zeros((3, count), bool)
    is_kept[labels[rows, cols]] = True
    for line in cut:
        is_cut[labels[line]] = is_open[labels[line]] = True
    is_open[labels[0]] = is_open[labels[-1]] = True
    is_open &= ~is_kept
    is_kept[0] = is_cut[0] = is_open[0] = False
    state = (is_kept + 2 * is_open.view(np.uint8)).take(labels, mode="clip")
    pixels = np.flatnonzero(state == 2)
    first, last = labels[0].copy(), labels[-1].copy()
    return state == 1, BandComponents(is_kept, is_cut, first, last, pixels, labels.ravel()[pixels])


def settle(bands: Sequence[Box], parts: Sequence[BandComponents]) -> Settled:
    """Decide on the components that leave their band, once all bands are known.

    Args:
        bands: from top to bottom.
        parts: the components of each.
    """
    offsets = np.cumsum([0, *(part.is_kept.size for part in parts)])
    is_kept, is_cut = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    touching = [np.empty((2, 0), np.int64)]
    for i, (above, below) in enumerate(itertools.pairwise(bands)):
        shared = shared_columns(above, below)
        last = parts[i].last[shared.start - above.left : shared.stop - above.left]
        first = parts[i + 1].first[shared.start - below.left : shared.stop - below.left]
        both = (last > 0) & (first > 0)
        touching.append(np.stack([last[both] + offsets[i], first[both] + offsets[i + 1]]))
    pairs = np.concatenate(touching, axis=1)
    _spread(is_kept, pairs)
    is_cut &= ~is_kept
    _spread(is_cut, pairs)

    kept, in_doubt = (
        _pixels_of([of_all[start:] for start in offsets[:-1]], bands, parts) for of_all in (is_kept, is_cut)
    )
    return Settled(kept, in_doubt)


def _pixels_of(
    flags: Sequence[np.ndarray], bands: Sequence[Box], parts: Sequence[BandComponents]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns in the image of the waiting pixels whose label is flagged; flags of each band by label."""
    rows, cols = [], []
    for of_label, band, part in zip(flags, bands, parts, strict=True):
        row, col = np.divmod(part.pixels[of_label[part.labels]], band.right - band.left)
        rows.append(row + band.top)
        cols.append(col + band.left)
    return np.concatenate(rows), np.concatenate(cols)


def _spread(flags: np.ndarray, pairs: np.ndarray) -> None:
    """Set the flag of everything that pairs connect with something flagged."""
    first, second = pairs
    while (differ := flags[first] != flags[second]).any():
        flags[first[differ]] = flags[second[differ]] = True
