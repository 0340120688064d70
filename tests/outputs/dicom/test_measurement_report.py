"""TID 1500 read back by highdicom: every mark and cluster with the same numbers."""

import numpy as np
import pytest

pytest.importorskip("highdicom")

from highdicom.sr import srread
from pydicom.sr.codedict import codes
from skimage.draw import polygon2mask

from scripts.outputs.dicom.document import write
from scripts.outputs.dicom.mammogram import failed_mammogram
from scripts.outputs.dicom.measurement_report import measurement_report, write_measurement_report
from scripts.outputs.dicom.tracking import with_tracking_uids
from tests.outputs.dicom.drawn import NOW, SHAPE, drawn_item, drawn_labels, mammogram_file

DCM, SCT = codes.DCM, codes.SCT


@pytest.fixture
def read_back(tmp_path):
    """Report of an item, as highdicom reads it, and the item's own."""
    file = mammogram_file(tmp_path)

    def write_and_read(**options):
        item = drawn_item(file, **options)
        path = write_measurement_report(tmp_path / "report_sr.dcm", item, NOW)
        return srread(path).content, with_tracking_uids(item["report"], str(file))

    return write_and_read


def value(group, name):
    (measurement,) = group.get_measurements(name)
    return measurement.value


def region(group):
    """Pixels of a group's region, bool (rows, cols)."""
    corners = group.roi.value
    assert (corners[0] == corners[-1]).all()
    return polygon2mask(SHAPE, corners[:-1, ::-1] - 0.5)


def test_every_mark_is_there_with_its_numbers(read_back):
    content, report = read_back(kinds=True)
    for mark in report["microcalcifications"]:
        (group,) = content.get_planar_roi_measurement_groups(tracking_uid=mark["tracking_uid"])
        assert value(group, SCT.Area) == mark["area_mm2"]
        assert value(group, SCT.Diameter) == mark["equivalent_diameter_mm"]
        assert value(group, DCM.CertaintyOfFinding) == pytest.approx(100 * mark["score"])
        own = region(group)
        assert (own == (drawn_labels() == mark["id"])).all()
        assert np.argwhere(own).mean(axis=0) == pytest.approx((mark["row"], mark["col"]), abs=5e-4)
    assert len(content.get_planar_roi_measurement_groups()) == len(report["microcalcifications"])


def test_kinds_are_types_and_metal_is_none(read_back):
    content, report = read_back(kinds=True)
    groups = {
        mark["id"]: content.get_planar_roi_measurement_groups(tracking_uid=mark["tracking_uid"])[0]
        for mark in report["microcalcifications"]
    }
    types = {
        n: [item.value.meaning for item in group.get_qualitative_evaluations(DCM.CalcificationType)]
        for n, group in groups.items()
    }
    assert types[1] == ["Microcalcifications of the breast"] and types[5] == ["Vascular calcification"]
    assert types[7] == ["Calcified skin of breast"] and types[6] == []
    assert groups[6].finding_type == SCT.ForeignBody and groups[5].finding_type == SCT.IndividualCalcification


def test_cluster_by_hand(read_back):
    content, report = read_back(clusters=True)
    (cluster,) = report["clusters"]
    (group,) = content.get_planar_roi_measurement_groups(tracking_uid=cluster["tracking_uid"])
    assert group.finding_type == SCT.CalcificationCluster and group.tracking_identifier == "cluster 1"
    # two trapezoids, rows 3.5 to 15.5 to 21.5, widths 4, 28/3 and 3 px: 12 * (4 + 28/3) / 2 + 6 * (28/3 + 3) / 2 = 117
    assert value(group, SCT.Area) == pytest.approx(117 * 0.07**2)
    assert value(group, SCT.LongAxis) == pytest.approx(0.07 * np.hypot(18, 4))
    assert value(group, DCM.NumberOfCalcifications) == 3
    assert value(group, DCM.CertaintyOfFinding) == pytest.approx(91)
    assert (
        group.get_qualitative_evaluations(DCM.CalcificationDistribution)[0].value
        == SCT.GroupedCalcificationDistribution
    )
    assert group.finding_sites[0].laterality == SCT.Left
    members = {
        mark["id"]
        for mark in report["microcalcifications"]
        if content.get_planar_roi_measurement_groups(tracking_uid=mark["tracking_uid"])[
            0
        ].tracking_identifier.startswith("cluster 1, MC")
    }
    assert members == {1, 3, 4}


@pytest.mark.parametrize(
    ("marks", "outcome", "count"),
    [({}, DCM.AllAlgorithmsSucceededWithoutFindings, 0), (None, DCM.AllAlgorithmsSucceededWithFindings, 4)],
)
def test_the_image_says_what_came_out(read_back, marks, outcome, count):
    content, _ = read_back(kinds=True) if marks is None else read_back(marks=marks)
    (group,) = content.get_image_measurement_groups()
    assert group.get_qualitative_evaluations(DCM.CADProcessingAndFindingsSummary)[0].value == outcome
    assert value(group, DCM.NumberOfCalcifications) == count


def test_failed_image_says_so(tmp_path):
    image = failed_mammogram(mammogram_file(tmp_path), "HDoGReg")
    content = srread(write(tmp_path / "report_sr.dcm", measurement_report(image), NOW)).content
    (group,) = content.get_image_measurement_groups()
    summary = group.get_qualitative_evaluations(DCM.CADProcessingAndFindingsSummary)[0].value
    assert summary == DCM.NoAlgorithmsSucceededWithoutFindings
    assert not group.get_measurements(DCM.NumberOfCalcifications)  # not 0: nobody counted
