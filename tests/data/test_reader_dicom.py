"""DICOM reading: tags and refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from scripts.data.reader.errors import MammogramReadError
from scripts.data.reader.mammogram_reader import Reading, read_mammogram
from tests.data.dicom_factory import lut_item, mg_dataset, ramp, save

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),  # pytest drops the reader's own filter
    pytest.mark.usefixtures("tiny_images"),
]

TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


# Tags


@pytest.mark.parametrize(
    "tags, spacing, source",
    [
        ({"PixelSpacing": [0.05, 0.06]}, (0.05, 0.06), "PixelSpacing"),
        ({}, (0.07, 0.07), "ImagerPixelSpacing"),
        (
            {"ImagerPixelSpacing": [0.1, 0.2], "EstimatedRadiographicMagnificationFactor": 1.6},
            (0.0625, 0.125),
            "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor",
        ),
        ({"EstimatedRadiographicMagnificationFactor": 0}, (0.07, 0.07), "ImagerPixelSpacing"),
        (
            {"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.05, 0.05]},
            (0.05, 0.05),
            "NominalScannedPixelSpacing",
        ),
        ({"PixelSpacing": [1, 1], "ImagerPixelSpacing": [0.08, 0.08]}, (0.08, 0.08), "ImagerPixelSpacing"),
    ],
)
def test_spacing(make_mg, caplog, tags, spacing, source):
    _, meta = read_mammogram(make_mg(**tags))
    assert meta["spacing_mm"] == pytest.approx(spacing)
    assert meta["spacing_source"] == source
    assert not caplog.records


@pytest.mark.parametrize("tags", [{}, {"PixelSpacing": [0, 0]}, {"PixelSpacing": [1, 1]}])
def test_missing_spacing_warns_once(make_mg, caplog, tags):
    path = make_mg(remove=("ImagerPixelSpacing",), **tags)
    _, meta = read_mammogram(path, Reading(default_spacing_mm=0.085))
    assert (meta["spacing_mm"], meta["spacing_source"]) == ((0.085, 0.085), "default")
    assert [str(path) in record.message for record in caplog.records] == [True]


def code(value: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = value, meaning
    return Sequence([item])


def test_laterality_view_and_identity(make_mg):
    _, meta = read_mammogram(make_mg())
    assert (meta["laterality"], meta["view"], meta["patient_id"], meta["manufacturer"]) == ("L", "MLO", "P1", "ACME")
    dataset = dcmread(meta["filename_or_obj"])
    uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    assert (meta["study_uid"], meta["series_uid"], meta["sop_uid"]) == uids
    bare = ("ImageLaterality", "ViewPosition")
    assert read_mammogram(make_mg(remove=bare, Laterality="R"))[1]["laterality"] == "R"
    anatomy, group = Dataset(), Dataset()
    anatomy.FrameLaterality, group.FrameAnatomySequence = "R", None
    group.FrameAnatomySequence = Sequence([anatomy])
    shared = Sequence([group])
    assert read_mammogram(make_mg(remove=bare, SharedFunctionalGroupsSequence=shared))[1]["laterality"] == "R"
    empty = read_mammogram(make_mg(remove=bare))[1]
    assert (empty["laterality"], empty["view"]) == ("", "")


@pytest.mark.parametrize(
    "value, meaning, view",
    [
        ("R-10242", "cranio-caudal", "CC"),
        ("399162004", "", "CC"),
        ("R-10226", "x", "MLO"),
        ("399368009", "x", "MLO"),
        ("R-10224", "medio-lateral", "medio-lateral"),
    ],
)
def test_view_codes(make_mg, value, meaning, view):
    path = make_mg(remove=("ViewPosition",), ViewCodeSequence=code(value, meaning))
    assert read_mammogram(path)[1]["view"] == view


@pytest.mark.parametrize("sop_class", [SECONDARY_CAPTURE, "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"])
def test_other_classes_of_mammography_data_sets(make_mg, sop_class):
    path = make_mg(SOPClassUID=sop_class, remove=("PresentationIntentType",))
    np.testing.assert_allclose(read_mammogram(path)[0], ramp() / 4095, atol=1e-6)


# Refusals


@pytest.mark.parametrize(
    "tags, reason",
    [
        ({"SOPClassUID": TOMOSYNTHESIS}, "tomosynthesis"),
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "SOP class CT Image Storage"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "FOR PROCESSING"),
        ({"SOPClassUID": FOR_PROCESSING, "PresentationIntentType": None}, "FOR PROCESSING"),
        ({"remove": ("Rows",)}, "no Rows"),
        ({"Rows": 0}, "no Rows"),
        ({"remove": ("PhotometricInterpretation",)}, "no PhotometricInterpretation"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"BitsStored": 20}, "BitsStored 20"),
        ({"remove": ("BitsStored", "HighBit")}, "no BitsStored"),
        ({"BitsStored": 11, "remove": ("HighBit",)}, "beyond BitsStored 11 and no HighBit"),
        ({"BitsAllocated": 32}, "BitsAllocated 32"),
        ({"Rows": 30000, "Columns": 30000}, "million pixels"),
        ({"Columns": 32768}, "at most 32767 px a side"),
        ({"Rows": 13}, "no decoder reads"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "one output value"),
        ({"ModalityLUTSequence": Sequence([lut_item(0, [1], bits=4)])}, "LUTDescriptor"),
    ],
)
def test_refusals(make_mg, tags, reason):
    path = make_mg(**tags)
    with pytest.raises(MammogramReadError, match=reason) as caught:
        read_mammogram(path)
    assert str(caught.value).startswith(f"{path}: got ")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_for_processing_by_leave(make_mg):
    path = make_mg(SOPClassUID=FOR_PROCESSING, PresentationIntentType="FOR PROCESSING")
    np.testing.assert_allclose(read_mammogram(path, Reading(allow_for_processing=True))[0], ramp() / 4095, atol=1e-6)


def test_dicom_without_image_is_refused(tmp_path):
    dataset = mg_dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33")
    del dataset.PixelData
    with pytest.raises(MammogramReadError, match="Comprehensive SR"):
        read_mammogram(save(dataset, tmp_path / "sr.dcm"))
    dataset = mg_dataset(SOPClassUID="1.2.840.10008.1.3.10")
    del dataset.PixelData
    with pytest.raises(MammogramReadError, match="Media Storage Directory"):
        read_mammogram(save(dataset, tmp_path / "DICOMDIR"))


@given(data=st.binary(max_size=400), head=st.sampled_from([b"", b"\0" * 128 + b"DICM", b"\x08\x00\x05\x00"]))
@settings(max_examples=150, deadline=None)
def test_arbitrary_bytes_never_pass(tmp_path_factory, data, head):
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(head + data)
    with pytest.raises(MammogramReadError):
        read_mammogram(path)


@pytest.mark.parametrize(
    "arguments",
    [
        *({"voi": voi} for voi in (True, 1.5, "", " ", None)),
        *({"default_spacing_mm": mm} for mm in (0.0, -0.07, float("nan"), float("inf"), "0.07", True)),
        *({"allow_for_processing": value} for value in (1, "yes", None)),
    ],
)
def test_reading_checks_itself(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}: got"):
        Reading(**arguments)
