"""INbreast files written exactly as described, awkward ones included: parsing, label rules, data list."""

import logging
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigParser
from numpy.testing import assert_array_equal

from scripts.data.labels.annotations import load_label
from scripts.data.labels.inbreast_xml import annotation_of, classify_name, read_rois, rois_to_label
from scripts.data.lists.inbreast import inbreast_datalist
from scripts.data.reader.errors import MammogramReadError
from scripts.data.splits import ANNOTATIONS, folded_datalist
from tests.data.inbreast_factory import contour, oval, point, roi, write_image, write_xml

CONFIGS = Path(__file__).parents[2] / "configs"
SHAPE = (40, 30)
SPACING = (0.07, 0.07)
CM2_PER_PX = 0.07**2 / 100


def circle_xy(x, y, radius, count):
    angles = np.arange(count) * 2 * np.pi / count
    return list(zip(x + radius * np.cos(angles), y + radius * np.sin(angles), strict=True))


def label_of(tmp_path, *rois, shape=SHAPE, **options):
    return load_label(str(write_xml(tmp_path / "1.xml", rois)), shape, SPACING, **options)


# --- one file ----------------------------------------------------------------------------------------------------


def test_points_are_single_pixels_x_is_the_column_and_the_origin_is_the_corner(tmp_path):
    label = label_of(tmp_path, point(3.0, 7.0), point(10.99, 20.01), point(0.0, 0.0), point(29.9, 39.9))
    assert_array_equal(np.argwhere(label == 1), [[0, 0], [7, 3], [20, 10], [39, 29]])
    assert label.sum() == 4


def test_points_outside_are_dropped_with_a_warning_that_names_the_file(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        label = label_of(tmp_path, point(30.0, 5.0), point(5.0, -0.1), point(4, 4))
    assert_array_equal(np.argwhere(label), [[4, 4]])
    assert "1.xml" in caplog.text and "dropped" in caplog.text


def test_contour_area_agrees_with_the_area_tag_as_a_spline_and_not_as_a_polygon(tmp_path):
    """The tag is the viewer's splined area; here that of the circle that six points sample."""
    area_cm2 = np.pi * 9.0**2 * CM2_PER_PX
    rois = [contour(circle_xy(15.2, 20.4, 9.0, 6), area_cm2=area_cm2)]
    spline, polygon = label_of(tmp_path, *rois), label_of(tmp_path, *rois, contour="polygon")
    assert spline.sum() * CM2_PER_PX == pytest.approx(area_cm2, rel=0.02)
    assert polygon.sum() * CM2_PER_PX < 0.85 * area_cm2
    assert (spline[polygon == 1] == 1).all()
    assert read_rois(tmp_path / "1.xml")[0].area_cm2 == pytest.approx(area_cm2)


def test_oval_is_placed_and_sized_right(tmp_path):
    label = label_of(tmp_path, oval(15.5, 20.5, 6.2, 11.3, name="Calcification"))
    assert label.sum() * CM2_PER_PX == pytest.approx(read_rois(tmp_path / "1.xml")[0].area_cm2, rel=0.02)
    rows, cols = np.nonzero(label)
    assert (rows.mean(), cols.mean()) == pytest.approx((20, 15), abs=1e-6)
    assert np.ptp(rows) > np.ptp(cols)


def test_degenerate_contours(tmp_path, caplog):
    one, two, none = contour([(3.5, 3.5)]), contour([(10.5, 5.5), (12.5, 5.5)]), contour([])
    thin = contour([(20.1, 20.1), (20.2, 20.2), (20.1, 20.3)])
    with caplog.at_level(logging.WARNING):
        label = label_of(tmp_path, one, two, none, thin)
    assert_array_equal(np.argwhere(label), [[3, 3], [5, 10], [5, 11], [5, 12], [20, 20]])
    assert "dropped: ['Calcification']" in caplog.text


def test_cluster_only_image_is_ignored_there_and_not_a_negative(tmp_path):
    label = label_of(tmp_path, oval(15, 20, 5, 5))
    assert set(np.unique(label)) == {0, 2} and label[20, 15] == 2
    assert annotation_of(read_rois(tmp_path / "1.xml")) == "clusters_only"


@pytest.mark.parametrize("reverse", [False, True])
def test_cluster_with_an_individual_mc_counts_as_labelled(tmp_path, reverse):
    rois = [oval(8, 10, 5, 5), point(8, 10), oval(20, 30, 4, 4), roi("Mass", 15, circle_xy(8, 30, 5, 12))]
    label = label_of(tmp_path, *(rois[::-1] if reverse else rois))
    assert_array_equal(np.argwhere(label == 1), [[10, 8]])
    assert label[10, 10] == 0 and label[30, 20] == 2 and label[30, 8] == 0
    assert annotation_of(read_rois(tmp_path / "1.xml")) == "full"


def test_other_findings_alone_are_no_mc(tmp_path):
    rois = [roi(name, 15, circle_xy(15, 20, 5, 12)) for name in ("Mass", "Asymmetry", "Spiculated Region")]
    assert label_of(tmp_path, *rois).sum() == 0
    assert annotation_of(read_rois(tmp_path / "1.xml")) == "none"


@pytest.mark.parametrize(
    ("name", "single_point", "finding"),
    [
        ("Calcification", True, "mc"),
        (" calcification ", False, "mc"),
        ("Calcifications", True, "mc"),
        ("Calcificaton", True, "mc"),
        ("CALCIFICATION", False, "mc"),
        ("Cluster", False, "region"),
        ("clusters ", False, "region"),
        ("Calcification Cluster", False, "region"),
        ("Unnamed", True, "mc"),
        ("Point 3", True, "mc"),
        ("", True, "mc"),
        ("Unnamed", False, "region"),
        ("Mass", False, "other"),
        ("Assymetry", False, "other"),
        ("Espiculated Region", False, "other"),
        ("Distortion", False, "other"),
        ("Point of interest", True, "other"),
    ],
)
def test_names(name, single_point, finding):
    assert classify_name(name, single_point) == finding


def test_unknown_name_is_reported(caplog):
    with caplog.at_level(logging.WARNING):
        classify_name("Lymph node", True)
        classify_name("Mass", False)
    assert [record.args[0] for record in caplog.records] == ["Lymph node"]


def test_floats_in_exponent_form_and_loose_spacing(tmp_path):
    entry = point(0, 0)
    entry["Point_px"] = ["( 1.2e1,3.75 )"]
    assert_array_equal(np.argwhere(label_of(tmp_path, entry)), [[3, 12]])


def broken(**changes):
    return point(1, 1) | changes


@pytest.mark.parametrize(
    ("rois", "changes", "message"),
    [
        ([point(1, 1)], {"NumberOfROIs": 2}, r"got 1 ROIs; want NumberOfROIs = 2"),
        ([broken(NumberOfPoints=4)], {}, r"ROI 0 \('Calcification'\) with 1 points; want NumberOfPoints = 4"),
        ([point(1, 1), broken(Point_px=["1, 2"])], {}, r"ROI 1 with the point '1, 2'"),
        ([broken(Point_px=["(nan, 2)"])], {}, "ROI 0 with the point"),
        ([broken(Point_px=["(1e30, 2)"])], {}, "ROI 0 with the point"),
        ([broken(Point_px="(1, 2)")], {}, "without a list 'Point_px'"),
        ([broken(Type="dot")], {}, "Type 'dot'"),
        ([], {"ROIs": 5}, "without a list 'ROIs'"),
    ],
)
def test_contradictions_name_the_file(tmp_path, rois, changes, message):
    with pytest.raises(MammogramReadError, match=r"22\.xml: .*" + message):
        read_rois(write_xml(tmp_path / "22.xml", rois, **changes))


ENTITIES = """<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY a "aaaaaaaa"><!ENTITY b SYSTEM "file:///etc/hostname">]>
<plist version="1.0"><dict><key>Images</key><string>&a;&b;</string></dict></plist>"""
PLIST = '<?xml version="1.0"?><plist version="1.0">{}</plist>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "malformed XML"),
        ("no xml", "malformed XML"),
        ("<plist><dict><key>Images</key>", "malformed XML"),
        (PLIST.format("<dict><key>a</key><integer>x</integer></dict>"), "malformed XML"),
        (ENTITIES, "malformed XML .*ntit"),
        ('<?xml version="1.0" encoding="UTA-8"?><plist/>', "malformed XML .*unknown encoding"),  # found by fuzzing
        (PLIST.format("<array/>"), "no list 'Images'"),
        (PLIST.format("<dict><key>Images</key><array/></dict>"), "got 0 images"),
    ],
)
def test_malformed_files_name_the_file(tmp_path, text, message):
    (tmp_path / "9.xml").write_text(text)
    with pytest.raises(MammogramReadError, match=r"9\.xml: got .*" + message.removeprefix("got ")):
        read_rois(tmp_path / "9.xml")


def test_missing_xml_file_names_the_file(tmp_path):
    with pytest.raises(MammogramReadError, match=r"gone\.xml: got no readable file"):
        load_label(str(tmp_path / "gone.xml"), SHAPE, SPACING)


def test_no_rois_is_an_empty_label(tmp_path):
    assert label_of(tmp_path).sum() == 0
    assert rois_to_label([], (3, 4)).shape == (3, 4)


# --- the data list -----------------------------------------------------------------------------------------------

KINDS = {"full": [point(3, 4)], "clusters_only": [oval(15, 20, 5, 5)], "none": [roi("Mass", 15, circle_xy(9, 9, 4, 9))]}


@pytest.fixture
def release(tmp_path):
    """20 patients with two images each: a CC view of one of the kinds, an MLO view without XML."""
    for number in range(20):
        patient = f"{number:02d}ab61c9f0e4d3b7"
        write_image(tmp_path / "AllDICOMs", 100 + number, patient, "R", "CC")
        write_image(tmp_path / "AllDICOMs", 200 + number, patient, "L", "ML")
        kind = "full" if number < 10 else "clusters_only" if number < 15 else "none"
        write_xml(tmp_path / "AllXML" / f"{100 + number}.xml", KINDS[kind])
    (tmp_path / "AllDICOMs" / "._100_00ab_MG_R_CC_ANON.dcm").write_bytes(b"resource fork")
    (tmp_path / "AllDICOMs" / "notes.dcm").write_bytes(b"")
    (tmp_path / "INbreast.xml").write_text("not an annotation")
    return tmp_path


def test_items(release):
    items = {
        item["image_id"]: item for part in inbreast_datalist(release, annotations=ANNOTATIONS).values() for item in part
    }
    assert len(items) == 40
    assert items["100"] == {
        "image": str(release / "AllDICOMs" / "100_00ab61c9f0e4d3b7_MG_R_CC_ANON.dcm"),
        "label": str(release / "AllXML" / "100.xml"),
        "patient": "00ab61c9f0e4d3b7",
        "image_id": "100",
        "laterality": "R",
        "view": "CC",
        "annotation": "full",
    }
    assert (items["200"]["label"], items["200"]["view"], items["200"]["annotation"]) == ("", "MLO", "none")
    assert items["112"]["annotation"] == "clusters_only" and items["117"]["annotation"] == "none"


def test_split_is_by_patient_and_choosing_annotations_moves_nobody(release):
    everything, full = (inbreast_datalist(release, seed=3, annotations=kept) for kept in (ANNOTATIONS, ["full"]))
    patients = {part: {item["patient"] for item in items} for part, items in everything.items()}
    assert sum(map(len, patients.values())) == len(set.union(*patients.values())) == 20
    for part, items in full.items():
        assert items and {item["annotation"] for item in items} == {"full"}
        assert {item["patient"] for item in items} <= patients[part]


def test_cross_validation_tests_every_patient_once(release):
    tested = [
        item["image_id"]
        for fold in range(4)
        for item in folded_datalist(inbreast_datalist(release, annotations=ANNOTATIONS), 4, fold)["testing"]
    ]
    assert len(tested) == len(set(tested)) == 40


def test_xml_without_image_is_reported(release, caplog):
    write_xml(release / "AllXML" / "999.xml", [point(1, 1)])
    with caplog.at_level(logging.WARNING):
        inbreast_datalist(release)
    assert "1 XML files belong to no image" in caplog.text and "999.xml" in caplog.text


def test_bad_releases(release, tmp_path_factory):
    with pytest.raises(MammogramReadError, match="no INbreast image"):
        inbreast_datalist(tmp_path_factory.mktemp("empty"))
    write_image(release / "copy", 100, "00ab61c9f0e4d3b7", "R", "CC")
    with pytest.raises(MammogramReadError, match=r"image_id 100 in .* and again in"):
        inbreast_datalist(release)
    (release / "copy" / "100_00ab61c9f0e4d3b7_MG_R_CC_ANON.dcm").unlink()
    (release / "AllXML" / "103.xml").write_text("<plist>")
    with pytest.raises(MammogramReadError, match=r"103\.xml.*malformed"):
        inbreast_datalist(release)


def test_overlay_gives_the_published_proportions_of_images_with_mcs(tmp_path):
    for number in range(86):
        write_image(tmp_path / "AllDICOMs", 100 + number, f"{number:016x}")
        write_xml(tmp_path / "AllXML" / f"{100 + number}.xml", KINDS["full"])
    write_image(tmp_path / "AllDICOMs", 300, f"{300:016x}")
    parser = ConfigParser(ConfigParser.load_config_file(CONFIGS / "data_inbreast.json"))
    parser["dataset_dir"] = str(tmp_path)
    assert [len(items) for items in parser.get_parsed_content("source").values()] == [51, 17, 18]


def test_density_classes_come_from_the_release_table(tmp_path):
    for image_id in (20586908, 20586934, 20586960):
        write_image(tmp_path / "AllDICOMs", image_id, "6c613a14b80a8591")
    header = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name ;ACR;Bi-Rads"
    rows = ["removed;removed;L;CC;201001;20586908;3 ;2", "removed;removed;L;MLO;201001;20586934;;2", ""]
    table = "\n".join([header, *rows]).encode("utf-8-sig")
    (tmp_path / "INbreast.csv").write_bytes(table.replace(b"removed", b"retir\xe9"))  # bytes that are no UTF-8
    options = {"annotations": ["none"], "validation_fraction": 0.0, "test_fraction": 0.0}
    found = {
        item["image_id"]: item["density"] for part in inbreast_datalist(tmp_path, **options).values() for item in part
    }
    assert found == {"20586908": "ACR 3", "20586934": "", "20586960": ""}
    (tmp_path / "INbreast.csv").write_text("File,ACR\n")
    with pytest.raises(MammogramReadError, match=r"INbreast.csv: got .*'File Name' and 'ACR'"):
        inbreast_datalist(tmp_path)
