"""Proximity map: the regression target of HDoGReg (arXiv 2102.00754, eq. 7-9)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scripts.common.labels import MC


def proximity_map(label: np.ndarray, radius_px: float = 10.0, alpha: float = 1.0) -> np.ndarray:
    """Map every pixel to its closeness to the nearest MC pixel.

    With r the Euclidean distance to the nearest MC pixel and xi = ``radius_px``,
    P = (exp(alpha * (1 - r / xi)) - 1) / (exp(alpha) - 1) for r <= xi and 0 beyond: 1 on MC pixels, 0 at r = xi.
    The maximum over MC pixels in eq. (7) is the value at the nearest one, as the curve falls with r for every alpha.
    For alpha -> 0, which the paper leaves undefined, the limit 1 - r / xi is used.

    Args:
        label: (rows, cols); pixels equal to 1 are MC, all others (0 background, 2 ignore) are not.
        radius_px: xi, where the map vanishes, in px.
        alpha: decay; positive values concentrate the map on the MCs, negative ones flatten it.

    Returns:
        float32 (rows, cols) in [0, 1]; all zeros without an MC.

    Raises:
        ValueError: ``label`` is not 2-D, ``radius_px`` is not positive, or ``alpha`` is beyond +-50.
    """
    if label.ndim != 2:
        raise ValueError(f"label: got shape {label.shape}; want (rows, cols)")
    if not radius_px > 0:
        raise ValueError(f"radius_px: got {radius_px}; want a positive number of pixels")
    if not abs(alpha) <= 50:
        raise ValueError(f"alpha: got {alpha}; want a number between -50 and 50 (float32 overflows beyond)")
    proximity = np.zeros(label.shape, np.float32)
    is_mc = label == MC
    window = _window_around(is_mc, int(np.ceil(radius_px)))
    if window is None:
        return proximity
    # not OpenCV's transform: its last bits differ from call to call, and with them trained weights
    distance_px = ndimage.distance_transform_edt(~is_mc[window])
    proximity[window] = _decay(np.clip(1.0 - distance_px / radius_px, 0.0, None), alpha)
    return proximity


def _decay(closeness: np.ndarray, alpha: float) -> np.ndarray:
    """Eq. (8) of closeness = 1 - r / xi in [0, 1]; ``expm1`` keeps it exact for small alpha."""
    if abs(alpha) < 1e-6:
        return closeness
    return np.expm1(alpha * closeness) / np.expm1(alpha)


def _window_around(mask: np.ndarray, margin_px: int) -> tuple[slice, slice] | None:
    """Slices of the bounding box of ``mask`` grown by ``margin_px``; None when the mask is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    cols = np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(rows[0] - margin_px, 0), rows[-1] + margin_px + 1),
        slice(max(cols[0] - margin_px, 0), cols[-1] + margin_px + 1),
    )
