"""Mammography CAD report: the tree of TID 4000, held against PS3.17 E.3.1 and E.3.2 and read back from the file."""

import numpy as np
import pytest

pytest.importorskip("highdicom")

from pydicom import dcmread

from scripts.outputs.dicom.cad_sr import cad_report, write_cad_report
from scripts.outputs.dicom.document import write
from scripts.outputs.dicom.mammogram import failed_mammogram, mammogram_of
from scripts.outputs.dicom.tracking import with_tracking_uids
from tests.outputs.dicom.drawn import NOW, drawn_item, mammogram_file

PRESETS = {"sensitive": {"threshold": 0.5}, "balanced": {"threshold": 0.8}, "specific": {"threshold": 0.9}}


@pytest.fixture
def file(tmp_path):
    return mammogram_file(tmp_path)


@pytest.fixture
def read_back(tmp_path, file):
    return lambda **options: dcmread(write_cad_report(tmp_path / "cad_sr.dcm", drawn_item(file, **options), NOW))


def name(item):
    return item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""


def told(item):
    """Value of an item, as text or numbers."""
    if "ReferencedContentItemIdentifier" in item:
        return tuple(item.ReferencedContentItemIdentifier)
    kind = item.ValueType
    if kind == "CODE":
        return item.ConceptCodeSequence[0].CodeMeaning
    if kind == "NUM":
        return float(item.MeasuredValueSequence[0].NumericValue)
    keyword = {"TEXT": "TextValue", "UIDREF": "UID", "DATE": "Date"}.get(kind)
    return keyword and item[keyword].value


def children(item, wanted=None):
    return [child for child in item.get("ContentSequence", []) if wanted is None or name(child) == wanted]


def only(item, wanted):
    (child,) = children(item, wanted)
    return child


def outline(item, depth=0):
    """(depth, relationship, name, value) of all items in order."""
    rows = []
    for child in children(item):
        value = told(child)
        rows.append((depth, child.RelationshipType, name(child), value))
        rows += outline(child, depth + 1)
    return rows


def impressions(report):
    """The finding of each impression."""
    return [
        only(container, "Single Image Finding")
        for container in children(only(report, "CAD Processing and Findings Summary"))
    ]


def place(report, item, wanted):
    """(row, col) of an item's SCOORD; it must refer to an image of the library."""
    scoord = only(item, wanted)
    node = report
    for number in told(only(scoord, ""))[1:]:
        node = node.ContentSequence[number - 1]
    assert node.ValueType == "IMAGE"
    return np.array(scoord.GraphicData).reshape(-1, 2)[:, ::-1] - 0.5


def test_no_findings_as_in_e_3_1(read_back, file):
    report = read_back(marks={})
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.50" and name(report) == "Mammography CAD Report"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "4000"
    performed = [
        (3, "HAS PROPERTIES", "Algorithm Name", "HDoGReg"),
        (3, "HAS PROPERTIES", "Algorithm Version", report.SoftwareVersions),
        (3, "HAS PROPERTIES", "Algorithm Parameters", "preset balanced"),
        (3, "HAS PROPERTIES", "Algorithm Parameters", "score_threshold 0.5"),
        (3, "HAS PROPERTIES", "", (1, 2, 1)),
    ]
    assert outline(report) == [
        (0, "HAS CONCEPT MOD", "Language of Content Item and Descendants", "English (United States)"),
        (0, "CONTAINS", "Image Library", None),
        (1, "CONTAINS", "", None),
        (2, "HAS ACQ CONTEXT", "Image Laterality", "Left breast"),
        (2, "HAS ACQ CONTEXT", "Image View", "medio-lateral oblique"),
        (2, "HAS ACQ CONTEXT", "Patient Orientation Row", "A"),
        (2, "HAS ACQ CONTEXT", "Patient Orientation Column", "FR"),
        (2, "HAS ACQ CONTEXT", "Study Date", dcmread(file).StudyDate),
        (2, "HAS ACQ CONTEXT", "Horizontal Pixel Spacing", 0.07),
        (2, "HAS ACQ CONTEXT", "Vertical Pixel Spacing", 0.07),
        (0, "CONTAINS", "CAD Processing and Findings Summary", "All algorithms succeeded; without findings"),
        (0, "CONTAINS", "Summary of Detections", "Succeeded"),
        (1, "INFERRED FROM", "Successful Detections", None),
        (2, "CONTAINS", "Detection Performed", "Individual Calcification"),
        *performed,
        (2, "CONTAINS", "Detection Performed", "Calcification Cluster"),
        *performed,
        (0, "CONTAINS", "Summary of Analyses", "Not Attempted"),
    ]


def test_a_cluster_with_its_members_as_in_e_3_2(read_back, file):
    report = read_back(clusters=True)
    item = with_tracking_uids(drawn_item(file, clusters=True)["report"], str(file))
    cluster, *others = impressions(report)
    assert told(cluster) == "Calcification Cluster"
    assert [told(other) for other in others] == ["Individual Calcification"] * 4
    assert told(only(cluster, "Number of calcifications")) == 3
    assert told(only(cluster, "Calcification Distribution")) == "Grouped calcification distribution"
    assert place(report, cluster, "Center").tolist() == [[13.0, 8.5]]
    hull = place(report, cluster, "Outline")
    assert hull.tolist() == [*item["clusters"][0]["hull_px"], item["clusters"][0]["hull_px"][0]]
    marks = {mark["tracking_uid"]: mark for mark in item["microcalcifications"]}
    members = children(cluster, "Single Image Finding")
    assert {child.RelationshipType for child in members} == {"INFERRED FROM"}
    assert [marks[told(only(child, "Tracking Unique Identifier"))]["id"] for child in members] == [1, 3, 4]
    for finding in (*members, *others):
        mark = marks.pop(told(only(finding, "Tracking Unique Identifier")))
        assert place(report, finding, "Center")[0] == pytest.approx((mark["row"], mark["col"]), abs=5e-4)
        assert told(only(finding, "Certainty of Finding")) == pytest.approx(100 * mark["score"])
        assert told(only(finding, "Calcification Type")) == "Microcalcifications of the breast"
        assert told(only(finding, "Algorithm Name")) == "HDoGReg"
    assert not marks


def test_vessels_metal_and_skin_are_no_findings(read_back):
    report = read_back(kinds=True)
    scores = [round(told(only(finding, "Certainty of Finding"))) for finding in impressions(report)]
    assert scores == [91, 62, 55, 84]


def test_a_vessel_alone_is_no_finding(tmp_path, file):
    item = drawn_item(file, marks={1: [(3, 3, 6)]})
    item["report"]["microcalcifications"][0] |= {"kind": "vascular", "counted": False}
    report = dcmread(write_cad_report(tmp_path / "cad_sr.dcm", item, NOW))
    assert told(only(report, "CAD Processing and Findings Summary")) == "All algorithms succeeded; without findings"
    assert not impressions(report)


def test_five_outcomes(tmp_path):
    found, nothing, failed = (mammogram_file(tmp_path, *view) for view in (("L", "CC"), ("R", "CC"), ("L", "MLO")))
    with_marks, without = (
        mammogram_of(drawn_item(found), "cad_sr"),
        mammogram_of(drawn_item(nothing, marks={}), "cad_sr"),
    )
    broken, untried = failed_mammogram(failed, "HDoGReg"), failed_mammogram(failed, "HDoGReg", attempted=False)
    table = [
        ([without], "All algorithms succeeded; without findings", "Succeeded"),
        ([with_marks, without], "All algorithms succeeded; with findings", "Succeeded"),
        ([without, broken], "Not all algorithms succeeded; without findings", "Partially Succeeded"),
        ([broken, with_marks], "Not all algorithms succeeded; with findings", "Partially Succeeded"),
        ([broken], "No algorithms succeeded; without findings", "Failed"),
        ([untried], "No algorithms succeeded; without findings", "Not Attempted"),
    ]
    for images, outcome, detections in table:
        report = dcmread(write(tmp_path / "cad_sr.dcm", cad_report(images), NOW))
        summary, performed = only(report, "CAD Processing and Findings Summary"), only(report, "Summary of Detections")
        assert (told(summary), told(performed)) == (outcome, detections)
        assert bool(children(summary)) == ("with findings" in outcome)
        assert report.CompletionFlag == ("COMPLETE" if outcome.startswith("All") else "PARTIAL")
        library = [
            entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for entry in children(only(report, "Image Library"))
        ]
        assert library == [image.header.SOPInstanceUID for image in images]
        failures = [
            told(item) for part in children(performed, "Failed Detections") for item in children(children(part)[0], "")
        ]
        wanted = (
            [] if detections == "Not Attempted" else [(1, 2, n) for n, image in enumerate(images, 1) if image is broken]
        )
        assert failures == wanted


def test_findings_refer_to_their_own_image(tmp_path):
    files = mammogram_file(tmp_path, "L", "CC"), mammogram_file(tmp_path, "L", "MLO")
    report = cad_report([mammogram_of(drawn_item(file), "cad_sr") for file in files])
    places = [told(only(only(finding, "Center"), "")) for finding in impressions(report)]
    assert places == [(1, 2, 1)] * 7 + [(1, 2, 2)] * 7


def test_images_of_two_studies_are_no_report(tmp_path):
    images = [mammogram_of(drawn_item(mammogram_file(tmp_path, seed=seed)), "cad_sr") for seed in (1, 2)]
    with pytest.raises(ValueError, match="images: got 'images of 2 studies'; want one or more images of one study"):
        cad_report(images)


@pytest.mark.parametrize(
    ("preset", "intent"),
    [("sensitive", "Optional"), ("balanced", "Required"), ("specific", "Required"), (None, "Required")],
)
def test_without_operating_points_the_preset_decides(read_back, preset, intent):
    intents = {told(only(finding, "Rendering Intent")) for finding in impressions(read_back(preset=preset))}
    assert len(intents) == 1 and intents.pop().startswith(f"Presentation {intent}")


def test_operating_points_are_bins(read_back):
    report = read_back(preset="sensitive", presets=PRESETS)
    bins = {}
    for finding in impressions(report):
        rendering = only(finding, "Rendering Intent")
        point = [told(item) for item in children(rendering, "CAD Operating Point")]
        bins[round(told(only(finding, "Certainty of Finding")))] = (told(rendering).split(":")[0], point)
    required, optional = ("Presentation Required", []), ("Presentation Optional", [2])
    assert bins == {91: required, 62: optional, 55: optional, 84: required, 71: optional, 99: required, 60: optional}
    for performed in children(only(only(report, "Summary of Detections"), "Successful Detections")):
        assert told(only(performed, "Maximum CAD Operating Point")) == 2
        assert told(only(performed, "Recommended CAD Operating Point")) == 1


def test_an_analysis_that_failed_stands_under_failed_detections(tmp_path, file):
    item = drawn_item(file)
    item["report"]["failures"] = [{"analysis": name, "reason": "broken"} for name in ("kinds", "clusters")]
    other = mammogram_of(drawn_item(mammogram_file(tmp_path, "R", "CC")), "cad_sr")
    report = cad_report([mammogram_of(item, "cad_sr"), other])
    performed = only(report, "Summary of Detections")
    assert told(performed) == "Partially Succeeded"
    parts = [
        [
            (told(one), told(only(one, "Algorithm Name")), [told(at) for at in children(one, "")])
            for one in children(part)
        ]
        for part in children(performed)
    ]
    both, second, first = [(1, 2, 1), (1, 2, 2)], [(1, 2, 2)], [(1, 2, 1)]
    assert parts == [
        [("Individual Calcification", "HDoGReg", both), ("Calcification Cluster", "HDoGReg", second)],
        [
            ("Individual Calcification", "HDoGReg, kinds", first),
            ("Calcification Cluster", "HDoGReg, clusters", first),
        ],
    ]
    types = [children(finding, "Calcification Type") for finding in impressions(report)]
    assert [bool(one) for one in types] == [False] * 7 + [True] * 7


def test_what_was_not_tried_is_no_failed_detection(tmp_path, file):
    untried = failed_mammogram(mammogram_file(tmp_path, "L", "CC"), "HDoGReg", attempted=False)
    report = cad_report([mammogram_of(drawn_item(file), "cad_sr"), untried])
    assert told(only(report, "CAD Processing and Findings Summary")) == "Not all algorithms succeeded; with findings"
    performed = only(report, "Summary of Detections")
    assert told(performed) == "Succeeded" and [name(part) for part in children(performed)] == ["Successful Detections"]
