"""Targets made of a label: the proximity map of HDoGReg (arXiv 2102.00754, eq. 7-9), and the cores of MCs."""

import numpy as np
from scipy import ndimage

from scripts.common.checks import check
from scripts.common.labels import MC
from scripts.common.objects import label_objects


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


def core_mask(label: np.ndarray, depth: float = 0.6) -> np.ndarray:
    """The inmost part of every MC: pixels whose distance to what is not MC reaches ``depth`` of the MC's largest one.

    MCs are the 8-connected parts of the label, so that touching ones (a seam of one pixel apart) have a core each,
    further apart than their outlines are. MCs two pixels thin are all core. What lies beyond the label is unknown and
    limits nothing.

    Args:
        label: (rows, cols); pixels equal to 1 are MC.
        depth: in (0, 1]; larger ones give smaller cores.

    Returns:
        bool (rows, cols).
    """
    check("depth", depth, 0 < depth <= 1, "a share in (0, 1]")
    objects, count = label_objects(label == MC)
    if count == 0 or objects.all():
        return objects > 0
    distance_px = ndimage.distance_transform_edt(objects > 0)
    largest_px = np.zeros(count + 1)
    np.maximum.at(largest_px, objects.ravel(), distance_px.ravel())
    return (objects > 0) & (distance_px >= depth * largest_px[objects])
