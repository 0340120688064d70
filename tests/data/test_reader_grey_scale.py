"""DICOM reading: windows, lookup tables, inversion, padding, stored bits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence

from scripts.data.reader.dicom_file import Bits, stored_values
from scripts.data.reader.dicom_grey_scale import Window
from scripts.data.reader.errors import MammogramReadError
from scripts.data.reader.mammogram_reader import Reading, read_mammogram, read_values
from tests.data.dicom_factory import lut_item, ramp

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),  # pytest drops the reader's own filter
    pytest.mark.usefixtures("tiny_images"),
]


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
    np.testing.assert_allclose(Window(c, w, function)(x), expected, rtol=0, atol=1e-9)


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
    np.testing.assert_allclose(Window(c, w, function)(np.array(x)), expected, atol=1e-9)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("slope, intercept", [(1, 0), (2.5, -300), (-1, 1000)])
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
    np.testing.assert_allclose(read_mammogram(path, Reading(voi="none"))[0], 1 - ramp() / 4095, atol=1e-6)


def test_presets_by_index_and_by_name(make_mg):
    path = make_mg(
        WindowCenter=[2048, 1000], WindowWidth=[4096, 500], WindowCenterWidthExplanation=["NORMAL", "Harder"]
    )
    by_index, meta = read_mammogram(path, Reading(voi=1))
    expected = [standard_window(float(x), 1000, 500, "LINEAR") for x in ramp().ravel()]
    np.testing.assert_allclose(by_index.ravel(), expected, atol=1e-6)
    np.testing.assert_array_equal(read_mammogram(path, Reading(voi="harder"))[0], by_index)
    assert meta["voi_applied"] == "LINEAR 1000/500 Harder"
    for missing in (2, -1, "SOFT"):
        with pytest.raises(MammogramReadError, match=r"no VOI preset.*'NORMAL', 'Harder'"):
            read_mammogram(path, Reading(voi=missing))


def test_invalid_width_is_passed_over_by_auto_and_refused_as_a_preset(make_mg, caplog):
    path = make_mg(WindowCenter=[0, 2048], WindowWidth=[0, 4096])
    image, meta = read_mammogram(path)
    assert meta["voi_applied"] == "LINEAR 2048/4096"
    np.testing.assert_allclose(image, ramp() / 4095, atol=1e-6)
    assert "invalid VOI window LINEAR 0/0" in caplog.text
    with pytest.raises(MammogramReadError, match="width of 1 or more"):
        read_mammogram(path, Reading(voi=0))


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
    np.testing.assert_array_equal(read_mammogram(path, Reading(voi="curve"))[0], image)


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
