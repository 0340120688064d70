"""Arteries, metal, ducts and scenes: drawn where they may be, labelled where they are, the same by seed."""

import cv2
import numpy as np
import pytest

from scripts.common.calcification_kinds import INDIVIDUAL, KINDS, METAL, VASCULAR
from scripts.common.objects import label_objects
from scripts.simulation.insertion.arteries import ArterySettings, draw_artery, sample_artery, sample_artery_through
from scripts.simulation.insertion.clips import FORMS, ClipSettings, draw_clip, sample_clip
from scripts.simulation.insertion.ducts import LINEAR, SEGMENTAL, DuctSettings, sample_ducts
from scripts.simulation.insertion.sampling import InsertionSettings
from scripts.simulation.insertion.scenes import SceneSettings, render_scene, sample_scene
from scripts.simulation.insertion.shapes import shape_bank
from scripts.simulation.insertion.strokes import Stroke, draw_strokes

SHAPE = (900, 900)
ALLOWED = np.zeros(SHAPE, bool)
ALLOWED[60:840, 60:840] = True
SPACING = 0.07


def background():
    return (0.3 + 0.01 * np.random.default_rng(0).standard_normal(SHAPE)).astype(np.float32)


def test_an_artery_stays_where_it_may_and_has_its_length_and_walls():
    settings = ArterySettings(
        length_range_mm=(30, 30), gap_range_mm=(2, 2), taper_range=(1, 1), branch_share=0, ring_rate=0
    )
    artery = sample_artery(np.random.default_rng(3), ALLOWED, SPACING, settings)
    line = np.array(artery.centrelines[0])
    rows, cols = np.round(line).astype(int).T
    assert ALLOWED[rows, cols].all()
    assert np.hypot(*np.diff(line, axis=0).T).sum() * SPACING == pytest.approx(30, abs=3)
    for plaque in artery.plaques:  # along a wall: 1 mm from the centreline (or across the vessel, or a ring)
        distance = np.linalg.norm(line[:, None] - np.array(plaque.line)[None], axis=2).min(0) * SPACING
        if plaque.width * SPACING <= 0.61 and not plaque.closed:
            assert np.abs(distance - 1).max() < 0.6
    image, plaques, vessel = draw_artery(background(), artery, 0.5)
    assert (vessel | ~plaques).all()
    assert image[plaques].mean() > background()[plaques].mean() + 0.03
    away = cv2.dilate(vessel.astype(np.uint8), np.ones((13, 13), np.uint8)) == 0
    np.testing.assert_allclose(image[away], background()[away], atol=1e-3)


@pytest.mark.filterwarnings("error")
def test_short_arteries_need_no_numbers_beyond_range():
    settings = ArterySettings(length_range_mm=(2, 8))
    drawn = [sample_artery(np.random.default_rng(seed), ALLOWED, SPACING, settings) for seed in range(40)]
    assert all(np.isfinite(plaque.line).all() for artery in drawn for plaque in artery.plaques)


def test_a_stroke_has_its_width_and_attenuation():
    stroke = Stroke(((100.0, 100.0), (100.0, 160.0)), 6.0, 0.4, 1.0)
    image = np.full((200, 260), 0.2, np.float32)
    drawn, mask = draw_strokes(image, [stroke], 0.3, image)
    column = mask[:, 130]
    assert 5 <= column.sum() <= 7
    # 6.75 / cm x 0.04 cm, less beam hardening (scripts/simulation/phantom/physics.py)
    assert (drawn - image)[:, 130].max() == pytest.approx(6.75 * 0.04 - 2 * 0.04**2, rel=0.05)


@pytest.mark.parametrize("form", FORMS)
def test_metal_is_one_nearly_white_piece_with_sharp_edges(form):
    clip = sample_clip(
        np.random.default_rng(1), ALLOWED[:, :] & (np.indices(SHAPE)[0] > 300), SPACING, ClipSettings(), form
    )
    image, mask = draw_clip(background(), clip, 0.5)
    assert label_objects(mask)[1] == 1
    assert image[mask].max() >= 0.9
    assert np.median(image[mask]) > 0.85
    assert np.abs(image - background())[~mask].max() < 0.4


@pytest.mark.parametrize(("kind", "narrow"), [(LINEAR, True), (SEGMENTAL, False)])
def test_ducts_have_the_shape_of_their_distribution(kind, narrow):
    mcs = []
    settings = DuctSettings(linear_range_mm=(25, 25), segment_range_mm=(35, 35), branch_share=0, bend_sd=0)
    sample_ducts(
        np.random.default_rng(5), ALLOWED, SPACING, kind, 1, shape_bank(0, 4), settings, InsertionSettings(), mcs
    )
    places = np.array([(mc.row, mc.col) for mc in mcs]) * SPACING
    assert len(places) >= 8
    spread = np.sqrt(np.linalg.eigvalsh(np.cov(places.T)))
    assert (spread[0] < 0.6) == narrow


def test_a_scene_is_the_same_by_seed_and_labels_what_it_draws():
    settings, bank = SceneSettings(arteries=1, clips=2), shape_bank(0, 4)
    made = []
    for _ in range(2):
        spec = sample_scene(np.random.default_rng(9), ALLOWED, SPACING, bank, settings)
        made.append(render_scene(background(), spec, bank, settings))
    for name in ("image", "label", "objects"):
        np.testing.assert_array_equal(getattr(made[0], name), getattr(made[1], name))
    scene = made[0]
    assert {record["kind"] for record in scene.records} <= set(KINDS)
    kinds = [record["kind"] for record in scene.records]
    assert kinds.count(VASCULAR) == 1
    assert kinds.count(METAL) == 2
    numbers = {kind: [r["number"] for r in scene.records if r["kind"] == kind] for kind in KINDS}
    mcs = np.isin(scene.objects, numbers[INDIVIDUAL])
    assert (scene.label[mcs] > 0).all()  # an MC is one in the label, too
    assert not (scene.label[np.isin(scene.objects, numbers[METAL])] == 1).mean() > 0.1
    assert scene.image.max() <= 1


def test_without_room_nothing_is_drawn():
    nowhere = np.zeros(SHAPE, bool)
    assert sample_artery(np.random.default_rng(0), nowhere, SPACING, ArterySettings()) is None
    assert sample_clip(np.random.default_rng(0), nowhere, SPACING, ClipSettings()) is None
    spec = sample_scene(np.random.default_rng(0), nowhere, SPACING, shape_bank(0, 4), SceneSettings())
    assert not (spec.arteries or spec.clips or spec.mcs or spec.skin)


def test_an_artery_through_a_patch_may_leave_it():
    allowed = np.zeros((200, 200), bool)
    allowed[80:120, 80:120] = True
    settings = ArterySettings(length_range_mm=(40, 40), branch_share=0)
    for seed in range(10):
        artery = sample_artery_through(np.random.default_rng(seed), allowed, SPACING, settings)
        line = np.array(artery.centrelines[0])
        rows, cols = np.round(line).astype(int).T
        inside = (rows >= 0) & (rows < 200) & (cols >= 0) & (cols < 200)
        assert allowed[rows[inside], cols[inside]].any() and not inside.all()  # 40 mm are 571 px
        for plaque in artery.plaques:
            points = np.array(plaque.line)
            assert (points.max(0) > -20).all() and (points.min(0) < 220).all()
        image, plaques, vessel = draw_artery(np.full((200, 200), 0.3, np.float32), artery, 0.5)
        assert vessel.any() and (vessel | ~plaques).all() and image.shape == (200, 200)
    assert sample_artery_through(np.random.default_rng(0), np.zeros((9, 9), bool), SPACING, settings) is None
