"""DICOM reading: every transfer syntax gives the same pixels; damaged streams are refused."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import compress
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

from scripts.data.reader.errors import MammogramReadError
from scripts.data.reader.mammogram_reader import read_mammogram, read_values
from tests.data.dicom_factory import lut_item, mg_dataset, ramp, save
from tests.hostile.gdcm_syntax import change_syntax

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),  # pytest drops the reader's own filter
    pytest.mark.usefixtures("tiny_images"),
]

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
