"""Scenes of touching, large and superficial MCs: they touch, keep their numbers, and lie where they should."""

import cv2
import numpy as np
import pytest

from scripts.common.labels import IGNORE, MC
from scripts.common.objects import label_objects
from scripts.simulation.insertion.sampling import InsertionSettings
from scripts.simulation.insertion.shapes import shape_bank
from scripts.simulation.insertion.slices import (
    CLUSTER,
    LARGE,
    PAIR,
    SKIN,
    TRIPLE,
    SliceSettings,
    render_slices,
    sample_slices,
)

SPACING_MM = 0.07
SEEN = InsertionSettings(visible_cnr=0.0, ignored_cnr=0.0)


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(3)
    image = np.zeros((1000, 900), np.float32)
    cv2.ellipse(image, (0, 500), (800, 460), 0, 0, 360, 0.35, -1)
    breast = image > 0
    image[breast] += 0.01 * rng.standard_normal(np.count_nonzero(breast)).astype(np.float32)
    settings = SliceSettings(insertion=SEEN)
    spec = sample_slices(np.random.default_rng(5), breast, SPACING_MM, shape_bank(1), settings)
    return spec, render_slices(image, spec, shape_bank(1), settings), breast


def numbers_of(scene, group):
    return [record["number"] for record in scene.records if record["group"] == group]


def test_every_slice_is_there_and_equal_seeds_give_equal_scenes(drawn):
    spec, scene, breast = drawn
    wanted = {PAIR: 6, TRIPLE: 3, LARGE: 4, SKIN: 6}
    assert {name: spec.groups.count(name) for name in wanted} == wanted and spec.groups.count(CLUSTER) >= 3
    again = sample_slices(np.random.default_rng(5), breast, SPACING_MM, shape_bank(1), SliceSettings(insertion=SEEN))
    assert again == spec
    assert [record["number"] for record in scene.records] == list(range(1, len(spec.mcs) + 1))


def test_members_of_a_group_touch_and_nothing_else_does(drawn):
    spec, scene, _ = drawn
    for group, name in enumerate(spec.groups, start=1):
        own = np.isin(scene.objects, numbers_of(scene, group))
        assert len(numbers_of(scene, group)) == {PAIR: 2, TRIPLE: 3}.get(name, 1)
        if name in (PAIR, TRIPLE):
            assert label_objects(own)[1] == 1  # one component of several MCs
            assert all((scene.objects == number).sum() >= 4 for number in numbers_of(scene, group))
        around = cv2.dilate(own.view(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
        assert not np.isin(scene.objects[around & ~own], np.arange(1, len(spec.mcs) + 1)).any() or name == CLUSTER


def test_sizes_and_depths_are_those_asked_for(drawn):
    spec, scene, breast = drawn
    depth = (
        cv2.distanceTransform(np.pad(breast, 1, mode="edge").view(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1] * SPACING_MM
    )
    for mc in spec.mcs:
        name = spec.groups[mc.cluster - 1]
        if name == LARGE:
            area = np.count_nonzero(scene.objects == numbers_of(scene, mc.cluster)[0])
            assert 0.7 < 2 * np.sqrt(area / np.pi) * SPACING_MM < 3.9
        if name == SKIN:
            assert 0.25 <= depth[round(mc.row), round(mc.col)] <= 1.55


def test_a_group_with_a_faint_member_is_ignored(drawn):
    spec, _, breast = drawn
    image = np.full(breast.shape, 0.35, np.float32)
    image += 0.05 * np.random.default_rng(0).standard_normal(breast.shape).astype(np.float32)
    scene = render_slices(image, spec, shape_bank(1), SliceSettings())
    faint = {record["group"] for record in scene.records if not record["visible"]}
    assert faint
    for record in scene.records:
        pixels = scene.label[scene.objects == record["number"]]
        assert record["visible"] == (record["group"] not in faint)
        assert (pixels == (MC if record["visible"] else IGNORE)).all()
