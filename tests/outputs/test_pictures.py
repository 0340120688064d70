"""Pictures: regions found greedily, colours where they belong, empty findings."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFont

from scripts.common.calcification_kinds import COARSE, EXCLUDED, INDIVIDUAL, SKIN_LINE
from scripts.common.objects import label_objects, measure_objects
from scripts.outputs.canvas import Box, Canvas, _font, write_drawing
from scripts.outputs.failures import write_failed_picture
from scripts.outputs.pictures import KIND_STYLES, densest_regions, draw_overlay, heat_map

ROOT = Path(__file__).parents[2]


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


def of_colour(picture, colour):
    """Places (row, col) of the pixels of about a colour "#rrggbb"."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.argwhere(np.abs(picture.astype(int) - wanted).max(-1) < 40)


def test_rings_of_excluded_kinds_are_dotted():
    labels, mcs = found(dots((120, 100), [(30, 50), (90, 50)]))
    marked = {}
    for kind, (colour, style) in KIND_STYLES.items():
        assert (style == ":") == (kind in EXCLUDED)
        picture = draw_overlay(
            np.zeros((120, 100)), labels, mcs, kinds=[kind, COARSE], spacing_mm=(0.1, 0.1), title="", regions=0
        )
        marked[kind] = len(of_colour(picture[: picture.shape[0] // 2], colour))
    for kind in EXCLUDED:
        assert 50 < marked[kind] < 0.7 * marked[INDIVIDUAL]


def test_marks_that_are_not_counted_have_dotted_outlines():
    mask = np.zeros((120, 100), bool)
    mask[30:50, 30:50] = mask[30:50, 60:80] = True
    labels, mcs = found(mask)
    options = {"spacing_mm": (0.1, 0.1), "title": "", "regions": 1, "region_mm": 6, "kinds": [INDIVIDUAL, SKIN_LINE]}
    colour = KIND_STYLES[SKIN_LINE][0]
    inside = (slice(0, 600), slice(1480, None))  # the outlined region

    def outlined(counted):
        picture = draw_overlay(np.zeros((120, 100)), labels, mcs, counted=np.array([True, counted]), **options)
        return len(of_colour(picture[inside], colour))

    assert 30 < outlined(False) < 0.7 * outlined(True)


def test_words_of_clusters_stay_inside_of_the_picture_at_every_border():
    labels, mcs = found(dots((300, 220), [(75, 60)]))
    options = {"spacing_mm": (0.1, 0.1), "title": "t", "regions": 0, "dpi": 100}

    def draw(row, col):
        hull = ((row - 8, col - 8), (row - 8, col + 8), (row + 8, col + 8), (row + 8, col - 8))
        cluster = SimpleNamespace(id=1, members=tuple(range(12)), hull_px=hull)
        finding = SimpleNamespace(cluster=cluster, distribution=SimpleNamespace(name="segmental"))
        picture = draw_overlay(np.zeros((300, 220)), labels, mcs, clusters=[finding], **options)
        edge = np.concatenate([picture[[0, -1]].reshape(-1, 3), picture[:, [0, -1]].reshape(-1, 3)])
        assert not edge.any()
        return float(np.clip(picture[..., 1].astype(float) - picture[..., 0], 0, None).sum())  # all that is green

    middle = draw(150, 110)
    for row in (8, 150, 291):
        for col in (8, 110, 211):
            assert draw(row, col) == pytest.approx(middle, rel=0.02), (row, col)


def test_words_are_moved_into_the_canvas_and_make_room_for_others():
    canvas = Canvas(4, 3, dpi=100)
    for x in (-50, 200, 500):
        for y in (-50, 150, 400):
            box = canvas.words("some words", x, y, "white", 10, (0.5, 0.5))
            assert box.left >= 0 and box.top >= 0 and box.right < 400.01 and box.bottom < 300.01
    canvas = Canvas(4, 3, dpi=100)
    thing = Box(150, 100, 200, 150)
    boxes = [canvas.words_beside("1: 5 grouped", thing, canvas.box, "white", 9) for _ in range(4)]
    assert not any(box.overlaps(other) for box in [thing, *boxes] for other in [thing, *boxes] if box is not other)
    assert canvas.words_beside("1", thing, canvas.box, "white", 9) == canvas._box("1", 175, 150, 9, (0.5, 0))


def test_long_titles_wrap_also_where_a_name_has_no_spaces():
    canvas = Canvas(4, 3, dpi=100)
    text = canvas.wrapped("a name " + 60 * "x" + "\nnext", 10, 200)
    assert max(canvas.width(line, 10) for line in text.split("\n")) <= 200
    assert text.replace("\n", "").replace(" ", "") == "aname" + 60 * "x" + "next" and text.endswith("\nnext")


def test_characters_beyond_ascii_are_drawn():
    font = _font(20.0)
    missing = font.getmask("\ufffe").getbbox(), bytes(font.getmask("\ufffe"))
    shapes = {letter: bytes(font.getmask(letter)) for letter in "äöüßÄÖÜéñ²µ"}
    assert missing[1] not in shapes.values() and len(set(shapes.values())) == len(shapes)
    labels, mcs = found(np.zeros((20, 20), bool))
    options = {"spacing_mm": (0.1, 0.1), "dpi": 80}
    plain, accented = (
        draw_overlay(np.zeros((20, 20)), labels, mcs, title=title, **options) for title in ("Grosse", "Größe")
    )
    assert (plain != accented).any()


def test_a_font_is_there_without_matplotlib(monkeypatch):
    monkeypatch.setattr("scripts.outputs.canvas.find_spec", lambda name: None)
    assert isinstance(_font.__wrapped__(12.5), ImageFont.FreeTypeFont)


def test_file_names_are_no_formulas():
    labels, mcs = found(np.zeros((20, 20), bool))
    draw_overlay(np.full((20, 20), 0.5), labels, mcs, spacing_mm=(0.1, 0.1), title="a$x_{$b.dcm", dpi=40)


def test_pixels_that_are_not_square_keep_the_aspect_ratio():
    labels, mcs = found(np.zeros((100, 100), bool))
    image = np.ones((100, 100), np.float32)
    picture = draw_overlay(image, labels, mcs, spacing_mm=(0.2, 0.1), title="", dpi=100)
    white = np.argwhere((picture == 255).all(-1))
    height, width = white.max(0) - white.min(0) + 1
    assert height == pytest.approx(2 * width, abs=2) and height > 700


def test_a_warning_is_written_in_red_across_the_view():
    labels, mcs = found(np.zeros((60, 40), bool))
    options = {"spacing_mm": (0.1, 0.1), "title": "none"}
    picture = draw_overlay(np.zeros((60, 40)), labels, mcs, warning="INCOMPLETE: clusters failed", **options)
    places = of_colour(picture, "#ff2d2d")
    assert len(places) > 500 and places[:, 0].max() < 0.15 * picture.shape[0]
    assert not len(of_colour(draw_overlay(np.zeros((60, 40)), labels, mcs, **options), "#ff2d2d"))


def test_a_failure_is_told_with_the_longest_of_names(tmp_path):
    record = {"status": "failed", "image_id": 200 * "ü", "stage": "reading", "reason": 500 * "no such file "}
    picture = np.asarray(Image.open(write_failed_picture(tmp_path / "picture.png", record)))
    assert picture.shape == (675, 975, 3) and len(of_colour(picture, "#ff2d2d")) > 500
    assert not picture[-50:].any() and not picture[:, -20:].any()


def test_a_picture_is_written_as_it_was_drawn(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(write_drawing(tmp_path / "a" / "b.png", picture))), picture)


def test_writing_results_imports_no_matplotlib():
    code = "import sys\nfrom scripts.common.later import imported_later\n"
    code += "with imported_later():\n    import monai.bundle, monai.handlers\n"
    code += "import scripts.outputs.writer, scripts.outputs.study.studies, scripts.outputs.follow_up\n"
    code += "loaded = {'matplotlib', 'scipy.stats'} & {name for name in sys.modules}\nassert not loaded, loaded"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_heat_map_runs_from_blue_to_red_and_loses_no_peak():
    probability = np.zeros((50, 30), np.float32)
    probability[37, 11] = 1.0
    small = heat_map(probability, longest_px=10)
    assert small.shape == (10, 6, 3)
    peak = small[7, 2].astype(int)
    assert peak[0] > 100 and peak[2] == 0  # red
    assert small[0, 0, 2] > 100 and small[0, 0, 0] == 0  # blue
