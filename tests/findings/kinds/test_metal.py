"""Large components of a mask, against SciPy's labels."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from scripts.findings.kinds.metal import large_components


@pytest.mark.parametrize(("shape", "share"), [((64, 80), 0.1), ((61, 83), 0.3), ((7, 5), 0.5), ((130, 77), 0.02)])
def test_large_components_are_those_of_all_components(shape, share):
    rng = np.random.default_rng(round(100 * share))
    mask = (cv2.GaussianBlur(rng.random(shape, np.float32), (0, 0), 1.0) > 0.5 + 0.1 * (0.5 - share)).astype(np.uint8)
    mask[rng.random(shape) < share / 10] = 1
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    for least in (1, 4.5, 12, float(sizes.max(initial=1))):
        wanted = {np.flatnonzero(labels == n).tobytes() for n in range(1, count + 1) if sizes[n - 1] >= least}
        found = []
        for row, col, own in large_components(mask * 255, least):
            whole = np.zeros(shape, bool)
            whole[row : row + own.shape[0], col : col + own.shape[1]] = own
            found.append(np.flatnonzero(whole).tobytes())
        assert len(found) == len(set(found)) and set(found) == wanted
    assert not list(large_components(np.zeros(shape, np.uint8), 1))
