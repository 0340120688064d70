"""Rasterisation against hand-drawn arrays, analytic areas and scikit-image; label files of every kind."""

import json

import nibabel
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from skimage.draw import polygon

from scripts.data.labels.annotations import load_label, mask_to_label, merge_labels
from scripts.data.labels.drawing import contour_pixels, disc_pixels, point_pixels, polygon_pixels
from scripts.data.reader.errors import MammogramReadError
from tests.data.inbreast_factory import write_dicom

SPACING = (0.07, 0.07)


def draw(pixels, shape=(5, 5)):
    mask = np.zeros(shape, int)
    mask[pixels] = 1
    return mask


def circle(radius, count, centre=(30.3, 29.8)):
    angles = np.arange(count) * 2 * np.pi / count
    return np.stack([centre[0] + radius * np.sin(angles), centre[1] + radius * np.cos(angles)], axis=1)


SQUARE = [[0.6, 0.6], [0.6, 3.4], [3.4, 3.4], [3.4, 0.6]]


@pytest.mark.parametrize(
    ("points", "wanted"),
    [
        (SQUARE, ["00000", "01110", "01110", "01110", "00000"]),
        (SQUARE[::-1], ["00000", "01110", "01110", "01110", "00000"]),
        ([[0, 0], [0, 4], [4, 0]], ["11110", "11100", "11000", "10000", "00000"]),
        # an L with a re-entrant corner
        ([[-0.5, -0.5], [-0.5, 1.5], [2.5, 1.5], [2.5, 4.5], [4.5, 4.5], [4.5, -0.5]], ["11000"] * 3 + ["11111"] * 2),
        # drawn twice round: no hole by the winding rule
        (SQUARE * 2, ["00000", "01110", "01110", "01110", "00000"]),
        # half outside of the image
        ([[-9, -9], [-9, 1.5], [1.5, 1.5], [1.5, -9]], ["11000", "11000", "00000", "00000", "00000"]),
        # too thin to hold a pixel centre: the pixel of the mean
        ([[2.1, 1.2], [2.2, 1.4], [2.3, 1.3]], ["00000", "00000", "01000", "00000", "00000"]),
        # one and two distinct points
        ([[3.4, 1.6], [3.4, 1.6]], ["00000", "00000", "00000", "00100", "00000"]),
        ([[0, 0], [3, 3]], ["10000", "01000", "00100", "00010", "00000"]),
        ([[7, 7], [7, 9], [9, 8]], ["00000"] * 5),
        (np.empty((0, 2)), ["00000"] * 5),
    ],
)
def test_polygon_by_hand(points, wanted):
    rows = [list(map(int, row)) for row in wanted]
    assert_array_equal(draw(contour_pixels(np.array(points, float), (5, 5), "polygon")), rows)


def test_polygon_equals_scikit_image_on_random_stars():
    rng = np.random.default_rng(0)
    for _ in range(50):
        count = rng.integers(3, 12)
        angles, radii = np.sort(rng.uniform(0, 2 * np.pi, count)), rng.uniform(2, 14, count)
        points = np.stack([10 + radii * np.sin(angles), 12 + radii * np.cos(angles)], axis=1)
        wanted = draw(polygon(points[:, 0], points[:, 1], (20, 25)), (20, 25))
        assert_array_equal(draw(polygon_pixels(points, (20, 25)), (20, 25)), wanted)


def test_touching_polygons_share_no_pixel():
    left, right = np.array([[0, 0], [0, 2], [4, 2], [4, 0]]), np.array([[0, 2], [0, 4], [4, 4], [4, 2]])
    assert_array_equal(draw(polygon_pixels(left, (5, 5))) + draw(polygon_pixels(right, (5, 5))), draw(np.s_[:4, :4]))


@pytest.mark.parametrize("count", [6, 8, 12, 40])
@pytest.mark.parametrize("radius", [5.0, 12.0])
def test_spline_through_few_points_has_the_area_of_the_circle(radius, count):
    area = len(contour_pixels(circle(radius, count), (61, 61))[0])
    assert area == pytest.approx(np.pi * radius**2, rel=0.04)


@pytest.mark.parametrize(("count", "ratio"), [(5, 0.757), (6, 0.827)])
def test_polygon_through_few_points_is_18_to_25_percent_smaller(count, ratio):
    area = len(contour_pixels(circle(20.0, count), (61, 61), "polygon")[0])
    assert area / (np.pi * 20.0**2) == pytest.approx(ratio, abs=0.01)


def test_spline_does_not_depend_on_the_first_point_or_on_repeated_points():
    points = np.random.default_rng(1).uniform(-2, 2, (7, 2)) + circle(10, 7)
    wanted = draw(contour_pixels(points, (61, 61)), (61, 61))
    for other in (
        np.roll(points, 3, axis=0),
        points[::-1],
        np.repeat(points, 2, axis=0),
        np.vstack([points, points[:1]]),
    ):
        assert_array_equal(draw(contour_pixels(other, (61, 61)), (61, 61)), wanted)


def test_contour_name_is_checked():
    with pytest.raises(ValueError, match=r"contour: got 'bezier'.*spline"):
        contour_pixels(circle(5, 6), (61, 61), "bezier")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e12])
def test_absurd_coordinates_are_refused(bad):
    with pytest.raises(ValueError, match="want px within"):
        point_pixels(np.array([[1.0, bad]]), (5, 5))


def test_points_round_to_their_pixel_and_outside_ones_vanish():
    points = np.array([[-0.5, 0], [0.49, 4.49], [4.5, 0], [2, -0.51], [2, 4.5]])
    rows, cols = point_pixels(points, (5, 5))
    assert list(zip(rows, cols, strict=True)) == [(0, 0), (0, 4)]


def test_disc_by_hand_area_and_anisotropic_pixels():
    plus = [[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    assert_array_equal(draw(disc_pixels((2, 2), (2, 2), (5, 5))), plus)
    assert len(disc_pixels((50, 50), (60, 30), (101, 101))[0]) == pytest.approx(np.pi * 30 * 15, rel=0.02)
    assert draw(disc_pixels((2.4, 0.3), (0, 0), (5, 5)))[2, 0] == 1
    assert draw(disc_pixels((2.4, 2.4), (0.1, 0.1), (5, 5))).sum() == 1


# --- label files -------------------------------------------------------------------------------------------------


MASK = np.array([[0, 0, 1], [0, 1, 0]], np.uint8)


def test_no_label_is_background():
    for label in ("", None, [], [""]):
        assert_array_equal(load_label(label, (2, 3), SPACING), np.zeros((2, 3)))
    assert load_label("", (2, 3), SPACING).dtype == np.uint8


def save_mask(kind, values, folder):
    path = folder / f"mask.{kind}"
    if kind in ("png", "tif"):
        Image.fromarray(values).save(path)
    elif kind == "dcm":
        write_dicom(path, values)
    else:  # NIfTI stores columns first
        nibabel.save(nibabel.Nifti1Image(values.T, np.diag([-0.07, -0.07, 1, 1])), path)
    return path


@pytest.mark.parametrize("kind", ["png", "tif", "nii.gz", "dcm"])
@pytest.mark.parametrize("value", [1, 255])
def test_mask_files(kind, value, tmp_path):
    path = save_mask(kind, MASK * np.uint8(value), tmp_path)
    assert_array_equal(load_label(str(path), (2, 3), SPACING), MASK)
    assert_array_equal(load_label(path, (2, 3), SPACING, annotation="clusters_only"), MASK * 2)


def test_two_means_ignore_only_as_the_highest_value():
    assert_array_equal(mask_to_label(np.array([[0, 1, 2]])), [[0, 1, 2]])
    assert_array_equal(mask_to_label(np.array([[0, 2, 2]])), [[0, 2, 2]])
    assert_array_equal(mask_to_label(np.array([[0, 2, 3]])), [[0, 1, 1]])
    with pytest.raises(MammogramReadError, match="negative or non-finite"):
        mask_to_label(np.array([[0, -1]]))


def test_several_masks_merge_with_mc_on_top(tmp_path):
    assert_array_equal(merge_labels(np.array([[0, 0, 1, 2, 2]]), np.array([[0, 2, 2, 1, 2]])), [[0, 2, 1, 1, 2]])
    for name, values in (("a.png", [[0, 0, 1]]), ("b.png", [[0, 2, 2]])):
        Image.fromarray(np.array(values, np.uint8)).save(tmp_path / name)
    merged = load_label([str(tmp_path / "a.png"), str(tmp_path / "b.png")], (1, 3), SPACING)
    assert_array_equal(merged, [[0, 2, 1]])


def test_shape_mismatch_names_file_and_both_shapes(tmp_path):
    path = save_mask("png", MASK, tmp_path)
    with pytest.raises(MammogramReadError, match=r"mask\.png.*\(2, 3\).*\(3, 2\)"):
        load_label(str(path), (3, 2), SPACING)


def test_missing_and_lossy_masks_and_unknown_annotation(tmp_path):
    with pytest.raises(MammogramReadError, match=r"gone\.png.*no such file"):
        load_label(str(tmp_path / "gone.png"), (2, 3), SPACING)
    Image.fromarray(MASK).save(tmp_path / "m.jpg")
    with pytest.raises(MammogramReadError, match=r"m\.jpg.*lossless"):
        load_label(str(tmp_path / "m.jpg"), (2, 3), SPACING)
    with pytest.raises(ValueError, match="annotation: got 'partial'"):
        load_label("", (2, 3), SPACING, annotation="partial")


@pytest.mark.parametrize("fractional", [False, True])
def test_dicom_seg_segments_are_merged(fractional, tmp_path):
    frames = np.zeros((2, 4, 4), np.uint8)
    frames[0, 0, 1], frames[1, 2, 3] = 1, 1
    tags = {"Modality": "SEG", "NumberOfFrames": 2, "SegmentationType": "BINARY"}
    if fractional:
        frames = frames * np.uint8(200)
        frames[1, 3, 3] = 90
        tags |= {"SegmentationType": "FRACTIONAL", "MaximumFractionalValue": 255}
        data = frames.tobytes()
    else:  # one bit a pixel, packed over frames
        tags |= {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
        data = np.packbits(frames, axis=None, bitorder="little").tobytes()
    path = write_dicom(tmp_path / "seg.dcm", frames, "1.2.840.10008.5.1.4.1.1.66.4", PixelData=data, **tags)
    assert_array_equal(np.argwhere(load_label(str(path), (4, 4), SPACING)), [[0, 1], [2, 3]])


# --- points ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("row,col\n1,3\n", [(1, 3)]),
        ("x,y\n3,1\n", [(1, 3)]),
        (" X , Y \n3, 1\n", [(1, 3)]),
        ("\ufeffrow,col,reader\n1.4,2.6,B\n", [(1, 3)]),
        ("x_mm,y_mm\n0.15,0.1\n", [(1, 3)]),  # spacing: 0.1 mm rows, 0.05 mm columns
        ("row,col,diameter_mm\n1,3,\n", [(1, 3)]),
        ("row,col,diameter_mm\n1,3,0.1\n", [(1, 2), (1, 3), (1, 4)]),
        ("row,col\n1,3\n90,3\n", [(1, 3)]),
        ("row,col\n", []),
    ],
)
def test_points_csv(text, wanted, tmp_path):
    path = tmp_path / "points.csv"
    path.write_text(text, encoding="utf-8")
    label = load_label(str(path), (4, 6), (0.1, 0.05))
    assert list(map(tuple, np.argwhere(label == 1))) == wanted


@pytest.mark.parametrize("wrap", [lambda points: points, lambda points: {"points": points}])
def test_points_json(wrap, tmp_path):
    path = tmp_path / "points.json"
    path.write_text(json.dumps(wrap([{"row": 1, "col": 3}, {"row": 3, "col": 0, "diameter_mm": 0.05}])))
    assert_array_equal(np.argwhere(load_label(str(path), (4, 6), (0.1, 0.05))), [[1, 3], [3, 0]])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", "a,b\n1,2\n", r"p\.csv: got header.*want row,col"),
        ("p.csv", "row,col,x,y\n1,2,3,4\n", "got header"),
        ("p.csv", "", "got header"),
        ("p.csv", "row,col\n1,2\n1,two\n", "line 3, col = 'two'"),
        ("p.csv", "row,col\n1\n", "line 2, col = None"),
        ("p.csv", "row,col\n1,nan\n", "line 2, col = 'nan'"),
        ("p.csv", "row,col,diameter_mm\n1,1,-2\n", "line 2, diameter_mm = -2"),
        ("p.csv", "row,col\n100,100\n", r"all 1 points outside.*\(4, 6\)"),
        ("p.json", "{", r"p\.json: got an unreadable file"),
        ("p.json", "[1, 2]", "other content"),
        ("p.json", '[{"row": 1}]', r"point 0 with the columns \['row'\]"),
    ],
)
def test_bad_points_files(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(MammogramReadError, match=message):
        load_label(str(tmp_path / name), (4, 6), (0.1, 0.05))


def test_points_marking_regions_are_ignored(tmp_path):
    (tmp_path / "p.csv").write_text("row,col\n1,3\n")
    assert load_label(str(tmp_path / "p.csv"), (4, 6), SPACING, annotation="clusters_only")[1, 3] == 2
