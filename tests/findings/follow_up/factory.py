"""Exams made by hand: an image, a breast, and MCs where and as large as wanted."""

import numpy as np

from scripts.common.deformation import Deformation
from scripts.common.objects import Microcalcification
from scripts.findings.follow_up.exams import Exam


def mc(number, y_mm, x_mm, area_mm2=0.05, spacing_mm=0.1):
    """An MC at a place in mm."""
    row, col = y_mm / spacing_mm, x_mm / spacing_mm
    px = max(1, round(area_mm2 / spacing_mm**2))
    return Microcalcification(number, row, col, y_mm, x_mm, px, area_mm2, 0.2, 1.0, (0, 0, 1, 1))


def exam(name, points, areas=None, shape=(400, 300), spacing_mm=0.1, seed=0, **facts):
    """An exam whose left part is breast with a texture by seed; MCs at points (mm), numbered from 1."""
    areas = areas or [0.05] * len(points)
    findings = [mc(n, *at, area, spacing_mm) for n, (at, area) in enumerate(zip(points, areas, strict=True), start=1)]
    rng, rows = np.random.default_rng(seed), np.indices(shape)
    breast = ((rows[0] - shape[0] / 2) / (shape[0] * 0.45)) ** 2 + (rows[1] / (shape[1] * 0.8)) ** 2 < 1
    image = np.where(breast, 0.4 + 0.1 * rng.random(shape), 0).astype(np.float32)
    return Exam(name, image, breast, (spacing_mm, spacing_mm), findings, **facts)


def shift(row_mm=0.0, col_mm=0.0):
    """A deformation that moves everything alike."""
    field = np.zeros((2, 10, 10))
    field[0], field[1] = row_mm, col_mm
    return Deformation(field, (5.0, 5.0))


class Known:
    """A registration that knows the answer."""

    spacing_mm = 0.2

    def __init__(self, to_current):
        self.to_current = to_current

    def register(self, prior, current):
        """The answer."""
        return self.to_current
