"""DICOM segmentations read back: the same pixels, unmirrored, and the same tracking UIDs."""

import numpy as np
import pytest

pytest.importorskip("highdicom")

import highdicom
from pydicom import dcmread

from scripts.outputs.dicom.seg import write_labelmap, write_segmentation
from scripts.outputs.dicom.tracking import with_tracking_uids
from tests.outputs.dicom.drawn import NOW, drawn_item, drawn_labels, mammogram_file


@pytest.fixture
def file(tmp_path):
    return mammogram_file(tmp_path)


def test_binary_is_the_mask_as_stored(tmp_path, file):
    path = write_segmentation(tmp_path / "segmentation.dcm", drawn_item(file), NOW)
    assert (
        highdicom.seg.segread(path).get_pixels_by_source_instance([dcmread(file).SOPInstanceUID])[0, ..., 0]
        == (drawn_labels() > 0)
    ).all()
    assert (dcmread(path).pixel_array == (drawn_labels() > 0)).all()


def test_excluded_kinds_are_not_in_the_mask(tmp_path, file):
    path = write_segmentation(tmp_path / "segmentation.dcm", drawn_item(file, kinds=True), NOW)
    assert (dcmread(path).pixel_array == np.isin(drawn_labels(), (1, 2, 3, 4))).all()


def test_without_a_mask_all_instances_count(tmp_path, file):
    item = drawn_item(file)
    del item["pred"]
    path = write_segmentation(tmp_path / "segmentation.dcm", item, NOW)
    assert (dcmread(path).pixel_array == (drawn_labels() > 0)).all()


def test_labelmap_has_the_ids_and_kinds(tmp_path, file):
    item = drawn_item(file, kinds=True)
    path = write_labelmap(tmp_path / "labelmap.dcm", item, NOW)
    segmentation = highdicom.seg.segread(path)
    assert (dcmread(path).pixel_array == drawn_labels()).all()
    report = with_tracking_uids(item["report"], str(file))
    uids = {mc["id"]: mc["tracking_uid"] for mc in report["microcalcifications"]}
    told = {number: segmentation.get_segment_description(number) for number in uids}
    assert {number: segment.tracking_uid for number, segment in told.items()} == uids
    types = {number: segment.segmented_property_type.meaning for number, segment in told.items()}
    assert types[1] == "Microcalcifications of the breast" and types[5] == "Vascular calcification"
    assert types[6] == "Foreign body" and types[7] == "Calcified skin of breast"


def test_more_than_255_marks_need_16_bits(tmp_path, file):
    marks = {n: [(2 * (n // 20), 2 * (n % 20), 2 * (n % 20) + 1)] for n in range(1, 301)}
    labels = drawn_labels(marks)
    item = drawn_item(file, marks={})
    from scripts.common.objects import measure_objects

    item["findings"] = measure_objects(labels, np.ones(301, np.float32), (0.07, 0.07))
    item["report"]["microcalcifications"] = [vars(mc) for mc in item["findings"]]
    item["instances"] = labels[None]
    dataset = dcmread(write_labelmap(tmp_path / "labelmap.dcm", item, NOW))
    assert dataset.BitsAllocated == 16 and (dataset.pixel_array == labels).all()


@pytest.mark.parametrize("write", [write_segmentation, write_labelmap])
def test_nothing_found_is_one_segment_without_a_pixel(tmp_path, file, write):
    path = write(tmp_path / "empty.dcm", drawn_item(file, marks={}), NOW)
    segmentation = highdicom.seg.segread(path)
    assert list(segmentation.segment_numbers) == [1]
    assert not dcmread(path).pixel_array.any()


def test_header_names_the_image_that_it_is_of(tmp_path, file):
    source, path = dcmread(file), write_segmentation(tmp_path / "segmentation.dcm", drawn_item(file), NOW)
    dataset = dcmread(path)
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "PatientOrientation"):
        assert dataset[keyword].value == source[keyword].value
    series = dataset.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.PixelSpacing == [0.07, 0.07] and measures.SliceThickness == source.BodyPartThickness


@pytest.mark.parametrize(
    "missing", ["BodyPartThickness", "PixelSpacing", "PatientOrientation", "StudyDate", "PatientName"]
)
def test_headers_that_lack_something(tmp_path, file, missing):
    source = dcmread(file)
    del source[missing]
    source.save_as(file)
    path = write_segmentation(tmp_path / "segmentation.dcm", drawn_item(file), NOW)
    assert (highdicom.seg.segread(path).pixel_array == (drawn_labels() > 0)).all()
