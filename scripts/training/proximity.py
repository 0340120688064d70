"""Proximity map: the regression target of HDoGReg (arXiv 2102.00754, eq. 7-9)."""

import numpy as np
from scipy import ndimage

from scripts.common.checks import check
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
        alpha: decay; positive values concentrate the map on the MCs, negative ones flatten it; within +-50.

    Returns:
        float32 (rows, cols) in [0, 1]; all zeros without an MC.
    """
    if label.ndim != 2:
        raise ValueError(f"label: got shape {label.shape}; want (rows, cols)")
    check("radius_px", radius_px, radius_px > 0, "a positive number of pixels")
    check("alpha", alpha, abs(alpha) <= 50, "a number between -50 and 50 (float32 overflows beyond)")
    proximity = np.zeros(label.shape, np.float32)
    is_mc = label == MC
    if not is_mc.any():
        return proximity
    (box,), margin_px = ndimage.find_objects(is_mc.view(np.uint8)), int(np.ceil(radius_px))
    window = tuple(slice(max(side.start - margin_px, 0), side.stop + margin_px) for side in box)
    # not OpenCV's transform: its last bits differ from call to call, and with them trained weights
    distance_px = ndimage.distance_transform_edt(~is_mc[window])
    closeness = np.clip(1.0 - distance_px / radius_px, 0.0, None)
    if abs(alpha) >= 1e-6:
        closeness = np.expm1(alpha * closeness) / np.expm1(alpha)  # exact for small alpha, too
    proximity[window] = closeness
    return proximity
