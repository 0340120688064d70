"""Pictures: regions found greedily, colours where they belong, empty findings."""

import numpy as np
import pytest

from scripts.common.objects import label_objects, measure_objects
from scripts.outputs.pictures import densest_regions, draw_overlay, heat_map


def found(mask):
    labels, count = label_objects(mask)
    return labels, measure_objects(labels, np.ones(count + 1), (0.1, 0.1))


def dots(shape, points):
    mask = np.zeros(shape, bool)
    for row, col in points:
        mask[row, col] = True
    return mask


def test_regions_are_the_fullest_ones_first_and_inside_the_image():
    _, mcs = found(dots((100, 100), [(5, 5), (8, 9), (11, 4), (80, 80), (84, 86), (50, 5)]))
    corners = densest_regions(mcs, (100, 100), 20, 5)
    assert len(corners) == 3
    assert corners[0] == (0, 0) and corners[1] == (72, 73)
    assert all(0 <= row <= 80 and 0 <= col <= 80 for row, col in corners)


def test_no_finding_no_region_but_a_picture():
    labels, mcs = found(np.zeros((60, 40), bool))
    assert densest_regions(mcs, (60, 40), 20, 3) == []
    picture = draw_overlay(np.full((60, 40), 0.5), labels, mcs, spacing_mm=(0.1, 0.1), title="none", dpi=40)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and picture.std() > 0


def amber(picture):
    red, green, blue = (picture[..., i].astype(int) for i in range(3))
    return int(((red > 200) & (green > 120) & (green < 200) & (blue < 90)).sum())


def test_every_mc_adds_a_ring_and_every_region_an_outline():
    image = np.full((120, 100), 0.4, np.float32)

    def draw(points, regions):
        labels, mcs = found(dots((120, 100), points))
        picture = draw_overlay(
            image, labels, mcs, spacing_mm=(0.1, 0.1), title="t", region_mm=3, regions=regions, dpi=150
        )
        return amber(picture)

    nothing_magnified = [draw([(30, 30), (60, 60), (90, 70)][:count], 0) for count in (1, 2, 3)]
    one_ring = nothing_magnified[1] - nothing_magnified[0]
    assert one_ring > 20 and nothing_magnified[2] - nothing_magnified[1] == pytest.approx(one_ring, rel=0.4)
    labels, mcs = found(dots((120, 100), [(30, 30)]))
    options = {"spacing_mm": (0.1, 0.1), "title": "t", "region_mm": 3, "regions": 1, "dpi": 150}
    outlined, bare = (draw_overlay(image, shown, mcs, **options) for shown in (labels, np.zeros_like(labels)))
    assert amber(outlined) > amber(bare) + 20


def test_file_names_are_no_formulas():
    labels, mcs = found(np.zeros((20, 20), bool))
    draw_overlay(np.full((20, 20), 0.5), labels, mcs, spacing_mm=(0.1, 0.1), title="a$x_{$b.dcm", dpi=40)


def test_the_heat_map_runs_from_blue_to_red_and_loses_no_peak():
    probability = np.zeros((50, 30), np.float32)
    probability[37, 11] = 1.0
    small = heat_map(probability, longest_px=10)
    assert small.shape == (10, 6, 3)
    peak = small[7, 2].astype(int)
    assert peak[0] > 100 and peak[2] == 0  # red
    assert small[0, 0, 2] > 100 and small[0, 0, 0] == 0  # blue
