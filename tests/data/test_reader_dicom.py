"""DICOM reading: grey scale pipeline, bits, transfer syntaxes, tags and refusals."""

from __future__ import annotations

import math
import pickle

import gdcm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import apply_modality_lut, apply_voi_lut, compress
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from scripts.data.dicom_file import Bits, stored_values
from scripts.data.dicom_voi import Window, apply_window
from scripts.data.errors import MammogramReadError
from scripts.data.reader import read_mammogram, read_values
from tests.data.dicom_factory import lut_item, mg_dataset, ramp, save

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # pytest drops the reader's own filter

TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def standard_window(x: float, c: float, w: float, function: str) -> float:
    """The pseudo-code of PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and .2 with y from 0 to 1."""
    if function == "SIGMOID":
        return 1 / (1 + math.exp(-4 * (x - c) / w))
    if function == "LINEAR_EXACT":
        if x <= c - w / 2:
            return 0.0
        return 1.0 if x > c + w / 2 else (x - c) / w + 0.5
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 1.0
    return (x - (c - 0.5)) / (w - 1) + 0.5


# Grey scale


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@given(c=st.floats(-3000, 3000), w=st.floats(1, 5000), offsets=st.lists(st.floats(-1, 1), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_windows_follow_the_standard(function, c, w, offsets):
    x = np.array([c - 0.5 + w * offset for offset in offsets])
    expected = [standard_window(float(value), c, w, function) for value in x]
    np.testing.assert_allclose(apply_window(x, Window(c, w, function)), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "function, c, w, x, expected",
    [
        ("LINEAR", 2048, 4096, [0, 4095, 2047.5], [0, 1, 0.5]),  # the identity of 12 bits, as the standard notes
        ("LINEAR", 2048, 1, [2047, 2048], [0, 1]),  # a threshold
        ("LINEAR", 0, 100, [-50, 49], [0, 1]),
        ("LINEAR_EXACT", 2048, 4096, [0, 4096, 1024], [0, 1, 0.25]),
        ("SIGMOID", 100, 4, [100, 101, 99], [0.5, 0.7310585786, 0.2689414214]),
    ],
)
def test_windows_by_hand(function, c, w, x, expected):
    np.testing.assert_allclose(apply_window(np.array(x), Window(c, w, function)), expected, atol=1e-9)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("slope, intercept", [(1, 0), (2.5, -300), (-1, 4095)])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_agrees_with_pydicom(make_mg, signed, photometric, slope, intercept, function):
    pixels = (ramp().astype(np.int16) - 2048) if signed else ramp()
    path = make_mg(
        pixels,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        WindowCenter=700,
        WindowWidth=1500,
        VOILUTFunction=function,
        PhotometricInterpretation=photometric,
    )
    dataset = dcmread(path)
    shown = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    ends = [-2048 if signed else 0, 2047 if signed else 4095]
    low, high = (end * slope + intercept for end in ends)
    expected = (shown - low) / (high - low)  # pydicom's output goes from the lowest stored value's to the highest's
    expected = 1 - expected if photometric == "MONOCHROME1" else expected
    image, meta = read_mammogram(path)
    assert image.dtype == np.float32
    assert meta["voi_applied"] == f"{function} 700/1500"
    np.testing.assert_allclose(image, expected, atol=2e-6)


@pytest.mark.parametrize("bits", [10, 12, 13, 14, 16])
def test_full_stored_range_without_voi(make_mg, bits):
    image, meta = read_mammogram(make_mg(ramp(bits=bits), bits_stored=bits))
    np.testing.assert_allclose(image, ramp(bits=bits) / (2**bits - 1), atol=1e-7)
    assert (meta["bits_stored"], meta["voi_applied"]) == (bits, "none")


def test_none_ignores_the_window_and_keeps_the_slope(make_mg):
    path = make_mg(WindowCenter=5, WindowWidth=2, RescaleSlope=-2, RescaleIntercept=10)
    np.testing.assert_allclose(read_mammogram(path, voi="none")[0], 1 - ramp() / 4095, atol=1e-6)


def test_presets_by_index_and_by_name(make_mg):
    path = make_mg(
        WindowCenter=[2048, 1000], WindowWidth=[4096, 500], WindowCenterWidthExplanation=["NORMAL", "Harder"]
    )
    by_index, meta = read_mammogram(path, voi=1)
    expected = [standard_window(float(x), 1000, 500, "LINEAR") for x in ramp().ravel()]
    np.testing.assert_allclose(by_index.ravel(), expected, atol=1e-6)
    np.testing.assert_array_equal(read_mammogram(path, voi="harder")[0], by_index)
    assert meta["voi_applied"] == "LINEAR 1000/500 Harder"
    for missing in (2, -1, "SOFT"):
        with pytest.raises(MammogramReadError, match=r"no VOI preset.*'NORMAL', 'Harder'"):
            read_mammogram(path, voi=missing)


def test_invalid_width_is_passed_over_by_auto_and_refused_as_a_preset(make_mg, caplog):
    path = make_mg(WindowCenter=[0, 2048], WindowWidth=[0, 4096])
    image, meta = read_mammogram(path)
    assert meta["voi_applied"] == "LINEAR 2048/4096"
    np.testing.assert_allclose(image, ramp() / 4095, atol=1e-6)
    assert "invalid VOI window LINEAR 0/0" in caplog.text
    with pytest.raises(MammogramReadError, match="width of 1 or more"):
        read_mammogram(path, voi=0)


def test_voi_lut_sequence_goes_before_windows(make_mg):
    entries = [0, 1000, 1500, 4095]
    path = make_mg(
        np.array([[0, 10], [11, 12], [13, 400]], np.uint16),
        VOILUTSequence=Sequence([lut_item(10, entries, name="CURVE")]),
        WindowCenter=1,
        WindowWidth=1,
    )
    image, meta = read_mammogram(path)
    np.testing.assert_allclose(image * 4095, [[0, 0], [1000, 1500], [4095, 4095]], atol=1e-3)
    assert meta["voi_applied"] == "VOI LUT CURVE"
    np.testing.assert_array_equal(read_mammogram(path, voi="curve")[0], image)


def test_modality_lut_with_signed_input(make_mg):
    path = make_mg(
        np.array([[-2, -1], [0, 9]], np.int16),
        ModalityLUTSequence=Sequence([lut_item(-1, [100, 300, 500], bits=16)]),
    )
    image, _ = read_mammogram(path)
    np.testing.assert_allclose(image, [[0, 0], [0.5, 1]], atol=1e-6)  # 100, 100, 300, 500 over 100..500


def test_packed_8_bit_lut(make_mg):
    item = lut_item(0, [0x2010, 0xFF30], bits=8, count=4)
    image, _ = read_mammogram(make_mg(np.array([[0, 1, 2, 3]], np.uint16), VOILUTSequence=Sequence([item])))
    np.testing.assert_allclose(image * 255, [[0x10, 0x20, 0x30, 0xFF]], atol=1e-4)


def test_short_lut_is_refused(make_mg):
    item = lut_item(0, [1, 2, 3], count=9)
    with pytest.raises(MammogramReadError, match="3 of 9 entries"):
        read_mammogram(make_mg(VOILUTSequence=Sequence([item])))


@pytest.mark.parametrize("tags", [{"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}])
def test_inversion_comes_last_and_padding_stays_background(make_mg, tags):
    pixels = np.array([[0, 1000], [3000, 4095]], np.uint16)
    path = make_mg(pixels, PixelPaddingValue=4000, PixelPaddingRangeLimit=4095, **tags)
    image, _ = read_mammogram(path)
    np.testing.assert_allclose(image, [[1, 1 - 1000 / 4095], [1 - 3000 / 4095, 0]], atol=1e-6)
    single, _ = read_mammogram(make_mg(pixels, PixelPaddingValue=0, **tags))
    assert single[0, 0] == 0
    assert single[0, 1] > 0


def test_signed_padding(make_mg):
    image, _ = read_mammogram(make_mg(np.array([[-2000, 2047, 0]], np.int16), PixelPaddingValue=-2000))
    np.testing.assert_allclose(image, [[0, 1, 2048 / 4095]], atol=1e-6)


# Bits


@given(stored=st.integers(2, 16), signed=st.booleans(), data=st.data())
@settings(deadline=None)
def test_stored_values_ignore_unused_bits(stored, signed, data):
    shift = data.draw(st.integers(0, 16 - stored))
    value = data.draw(
        st.integers(-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else st.integers(0, 2**stored - 1)
    )
    noise = data.draw(st.integers(0, 65535))
    mask = (2**stored - 1) << shift
    code = ((value << shift) & mask) | (noise & ~mask & 65535)
    assert stored_values(Bits(stored, shift, signed), 16)[code] == value


def test_high_bit_above_the_stored_bits(make_mg):
    path = make_mg((ramp() << 4) | 5, HighBit=15)
    np.testing.assert_array_equal(read_values(path), ramp())
    np.testing.assert_allclose(read_mammogram(path)[0], ramp() / 4095, atol=1e-6)


def test_8_bit_and_odd_length(make_mg):
    pixels = np.arange(15, dtype=np.uint8).reshape(3, 5) * 17
    np.testing.assert_allclose(read_mammogram(make_mg(pixels, bits_stored=8))[0], pixels / 255, atol=1e-6)
    assert read_values(make_mg(pixels, bits_stored=8)).dtype == np.uint8


def test_identical_channels_are_grey_and_others_refused(make_mg):
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5) * 12
    colour = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_allclose(read_mammogram(make_mg(colour, bits_stored=8))[0], grey / 255, atol=1e-6)
    ybr = np.stack([grey, np.full_like(grey, 128), np.full_like(grey, 128)], axis=2)
    image, _ = read_mammogram(make_mg(ybr, bits_stored=8, PhotometricInterpretation="YBR_FULL"))
    np.testing.assert_allclose(image, grey / 255, atol=1e-6)
    colour[2, 2, 1] += 1
    with pytest.raises(MammogramReadError, match="colour image"):
        read_mammogram(make_mg(colour, bits_stored=8))


# Transfer syntaxes


def noisy_pixels(signed: bool) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 4096, (40, 33))
    return (values - 2048).astype(np.int16) if signed else values.astype(np.uint16)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_lossless_compression_changes_nothing(tmp_path, syntax, signed):
    tags = {"WindowCenter": 900, "WindowWidth": 2000, "PixelPaddingValue": 7}
    dataset = mg_dataset(noisy_pixels(signed), **tags)
    expected, _ = read_mammogram(save(dataset, tmp_path / "plain"))
    compress(dataset, syntax, generate_instance_uid=False)
    packed = save(dataset, tmp_path / "packed")
    image, meta = read_mammogram(packed)
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(read_values(packed), noisy_pixels(signed))
    assert meta["transfer_syntax"] == syntax


def change_syntax(source, target, name: str):
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("name", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"])
def test_gdcm_compressed_files(tmp_path, make_mg, name, signed):
    plain = make_mg(noisy_pixels(signed))
    packed = change_syntax(plain, tmp_path / "packed.dcm", name)
    assert dcmread(packed).file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(read_mammogram(packed)[0], read_mammogram(plain)[0])


def test_lossy_forms_stay_close(tmp_path, make_mg):
    smooth = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    plain = make_mg(smooth, bits_stored=8)
    dataset = mg_dataset(np.add.outer(np.arange(64), np.arange(48)).astype(np.uint16) * 16)
    expected, _ = read_mammogram(save(dataset, tmp_path / "plain12"))
    compress(dataset, "1.2.840.10008.1.2.4.91", j2k_cr=[4])
    lossy, _ = read_mammogram(save(dataset, tmp_path / "j2k"))
    np.testing.assert_allclose(lossy, expected, atol=0.01)
    baseline = change_syntax(plain, tmp_path / "jpeg", "JPEGBaselineProcess1")
    np.testing.assert_allclose(read_mammogram(baseline)[0], smooth / 255, atol=0.02)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_native_syntaxes(make_mg, syntax):
    path = make_mg(syntax=syntax, VOILUTSequence=Sequence([lut_item(0, list(range(4096)))]))
    np.testing.assert_allclose(read_mammogram(path)[0], ramp() / 4095, atol=1e-6)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_files_without_preamble_and_suffix(make_mg, syntax):
    bare = make_mg(syntax=syntax, bare=True)
    path = bare.rename(bare.with_suffix(".png"))  # a misleading name
    image, meta = read_mammogram(path)
    np.testing.assert_allclose(image, ramp() / 4095, atol=1e-6)
    assert meta["file_format"] == "dicom"


def test_lax_pixel_module(make_mg):
    path = make_mg(remove=("HighBit", "PixelRepresentation", "SOPClassUID", "PresentationIntentType"))
    np.testing.assert_allclose(read_mammogram(path)[0], ramp() / 4095, atol=1e-6)


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
    _, meta = read_mammogram(path, default_spacing_mm=0.085)
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
        ({"BitsAllocated": 32}, "BitsAllocated 32"),
        ({"Rows": 60000, "Columns": 60000}, "million pixels"),
        ({"Rows": 13}, "no decoder reads"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "one output value"),
        ({"ModalityLUTSequence": Sequence([lut_item(0, [1], bits=4)])}, "LUTDescriptor"),
    ],
)
def test_refusals(make_mg, tags, reason):
    path = make_mg(**tags)
    with pytest.raises(MammogramReadError, match=reason) as caught:
        read_mammogram(path)
    assert str(caught.value).startswith(f"{path}: found ")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_for_processing_by_leave(make_mg):
    path = make_mg(SOPClassUID=FOR_PROCESSING, PresentationIntentType="FOR PROCESSING")
    np.testing.assert_allclose(read_mammogram(path, allow_for_processing=True)[0], ramp() / 4095, atol=1e-6)


def test_dicom_without_image_is_refused(tmp_path):
    dataset = mg_dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33")
    del dataset.PixelData
    with pytest.raises(MammogramReadError, match="Comprehensive SR"):
        read_mammogram(save(dataset, tmp_path / "sr.dcm"))
    dataset = mg_dataset(SOPClassUID="1.2.840.10008.1.3.10")
    del dataset.PixelData
    with pytest.raises(MammogramReadError, match="Media Storage Directory"):
        read_mammogram(save(dataset, tmp_path / "DICOMDIR"))


@pytest.mark.parametrize(
    "name", ["plain", "JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"]
)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.95, 0.99])
def test_truncated_files_are_refused(tmp_path, make_mg, name, share):
    path = make_mg(noisy_pixels(False))
    if name != "plain":
        path = change_syntax(path, tmp_path / "packed.dcm", name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(MammogramReadError, match=str(path)):
        read_mammogram(path)


JPEG_FAMILY = ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"]


@pytest.mark.parametrize("name", JPEG_FAMILY)
def test_code_stream_of_another_size_is_refused(tmp_path, make_mg, name):
    path = change_syntax(make_mg(noisy_pixels(False)), tmp_path / "packed.dcm", name)
    dataset = dcmread(path)
    dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows  # as many pixels as before
    dataset.save_as(path)
    with pytest.raises(MammogramReadError, match=r"code stream of \(rows, cols\) \(40, 33\)"):
        read_mammogram(path)


@pytest.mark.parametrize("name", [*JPEG_FAMILY, "RLELossless"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.995])
def test_truncated_code_stream_in_whole_encapsulation_is_refused(tmp_path, make_mg, name, share):
    path = change_syntax(make_mg(noisy_pixels(False)), tmp_path / "packed.dcm", name)
    dataset = dcmread(path)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([stream[: int(len(stream) * share)]])
    dataset.save_as(path)
    with pytest.raises(MammogramReadError, match=str(path)):
        read_mammogram(path)


def test_12_bit_lossy_jpeg_is_refused_clearly():
    path = get_testdata_file("JPEG-lossy.dcm", download=False)  # inside pydicom
    with pytest.raises(MammogramReadError, match="12-bit precision"):
        read_values(path)


@given(data=st.binary(max_size=400), head=st.sampled_from([b"", b"\0" * 128 + b"DICM", b"\x08\x00\x05\x00"]))
@settings(max_examples=150, deadline=None)
def test_arbitrary_bytes_never_pass(tmp_path_factory, data, head):
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(head + data)
    with pytest.raises(MammogramReadError):
        read_mammogram(path)


@pytest.mark.parametrize("arguments", [{"voi": True}, {"voi": 1.5}, {"voi": ""}, {"default_spacing_mm": 0.0}])
def test_arguments_are_checked(make_mg, arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}: found"):
        read_mammogram(make_mg(), **arguments)
