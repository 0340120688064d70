"""PNG, TIFF and JPEG files, and files that are no images."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scripts.data.reader.errors import MammogramReadError
from scripts.data.reader.mammogram_reader import read_mammogram, read_values
from scripts.data.reader.plausible import to_unit_range
from tests.data.dicom_factory import ramp
from tests.data.file_factory import EIGHT, nifti, write

pytestmark = pytest.mark.usefixtures("tiny_images")


def grey_png(path, values: np.ndarray, depth: int):
    """A PNG of 1, 2 or 4 bits, written by hand from its specification."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows, cols = values.shape
    bits = np.unpackbits(values[..., None], axis=2)[..., 8 - depth :].reshape(rows, -1)
    lines = b"".join(b"\0" + np.packbits(line).tobytes() for line in bits)
    header = struct.pack(">IIBBBBB", cols, rows, depth, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


# PNG, TIFF, JPEG


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_depth_is_the_smallest_that_holds_the_maximum(tmp_path, suffix, bits):
    values = EIGHT if bits == 8 else ramp(bits=bits)
    path = write(tmp_path / f"x{suffix}", values)
    image, meta = read_mammogram(path)
    np.testing.assert_allclose(image, values / (2**bits - 1), atol=1e-7)
    assert (image.dtype, meta["bits_stored"]) == (np.float32, bits)
    assert meta["file_format"] == ("tiff" if suffix == ".tif" else "png")
    np.testing.assert_array_equal(read_values(path), values)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_png_below_8_bits(tmp_path, depth):
    values = (np.arange(20, dtype=np.uint8) % 2**depth).reshape(4, 5)
    path = grey_png(tmp_path / "x.png", values, depth)
    np.testing.assert_array_equal(read_values(path), values)
    np.testing.assert_allclose(read_mammogram(path)[0], values / (2**depth - 1), atol=1e-7)


def test_palette_label_keeps_its_indices(tmp_path):
    image = Image.fromarray(EIGHT % 3).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.putdata((EIGHT % 3).ravel().tolist())
    image.save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_values(tmp_path / "x.png"), EIGHT % 3)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_grey_in_colour_png(tmp_path, channels, bits):
    grey = EIGHT if bits == 8 else ramp(bits=16)
    colour = np.repeat(grey[..., None], channels, axis=2)
    colour[..., 3:] = 2**bits - 1
    path = tmp_path / "x.png"
    assert cv2.imwrite(str(path), colour)
    np.testing.assert_array_equal(read_values(path), grey)
    colour[1, 1, 0] ^= 1
    assert cv2.imwrite(str(path), colour)
    with pytest.raises(MammogramReadError, match="colour image"):
        read_mammogram(path)


def test_transparency_is_refused(tmp_path):
    with pytest.raises(MammogramReadError, match="transparent"):
        read_mammogram(write(tmp_path / "x.png", np.stack([EIGHT, EIGHT], axis=2)))


def test_jpeg_grey_and_grey_in_colour(tmp_path):
    smooth = np.add.outer(np.arange(40), np.arange(64)).astype(np.uint8)
    for number, array in enumerate([smooth, np.repeat(smooth[..., None], 3, axis=2)]):
        path = tmp_path / f"{number}.dcm"  # the name does not matter
        Image.fromarray(array).save(path, format="JPEG", quality=95)
        image, meta = read_mammogram(path)
        np.testing.assert_allclose(image, smooth / 255, atol=0.02)
        assert meta["file_format"] == "jpeg"


@pytest.mark.parametrize(
    "options", [{"compression": "zlib"}, {"byteorder": ">"}, {"bigtiff": True}, {"tile": (16, 16)}]
)
def test_tiff_forms(tmp_path, options):
    path = write(tmp_path / "x.tif", ramp(20, 30), **options)
    np.testing.assert_array_equal(read_values(path), ramp(20, 30))


@pytest.mark.parametrize("values", [EIGHT, ramp()])
def test_lzw_tiff(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "x.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_values(tmp_path / "x.tif"), values)


def test_white_is_zero_tiff_is_inverted(tmp_path):
    image, meta = read_mammogram(write(tmp_path / "x.tif", EIGHT, photometric="miniswhite"))
    np.testing.assert_allclose(image, 1 - EIGHT / 255, atol=1e-6)
    assert meta["photometric"] == "MONOCHROME1"


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_grey_in_colour_tiff(tmp_path, planar):
    colour = np.repeat(ramp()[..., None], 3, axis=2)
    stored = colour if planar == "contig" else np.moveaxis(colour, -1, 0)
    path = write(tmp_path / "x.tif", stored, photometric="rgb", planarconfig=planar)
    np.testing.assert_array_equal(read_values(path), ramp())


def test_float_tiff(tmp_path, caplog):
    unit = (ramp() / 4095).astype(np.float32)
    np.testing.assert_array_equal(read_mammogram(write(tmp_path / "unit.tif", unit))[0], unit)
    whole = ramp().astype(np.float64)
    np.testing.assert_allclose(read_mammogram(write(tmp_path / "whole.tif", whole))[0], ramp() / 4095, atol=1e-6)
    assert "no known scale" not in caplog.text
    other = unit * 7.5 - 3
    np.testing.assert_allclose(read_mammogram(write(tmp_path / "other.tif", other))[0], unit, atol=1e-6)
    assert "other.tif: values from -3 to 4.5 are on no known scale" in caplog.text
    unit[3, 3] = np.nan
    with pytest.raises(MammogramReadError, match="NaN or infinite"):
        read_mammogram(write(tmp_path / "nan.tif", unit))


@pytest.mark.parametrize(
    "highest, bits",
    [(0, 8), (255, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12), (4096, 14), (16384, 16), (65535, 16)],
)
def test_integer_scale_at_its_steps(highest, bits):
    image, found = to_unit_range("x", np.array([[0, highest]], np.uint16))
    assert found == bits
    np.testing.assert_allclose(image, [[0, highest / (2**bits - 1)]], rtol=1e-6)


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=9))
def test_integer_scale_keeps_order_and_range(values):
    image, bits = to_unit_range("x", np.array([values], np.int32))
    np.testing.assert_allclose(image[0] * (2**bits - 1), values, rtol=1e-6)
    assert image.max() <= 1
    smaller = [b for b in (8, 10, 12, 14, 16) if b < bits]
    assert not smaller or max(values) >= 2 ** smaller[-1]


@pytest.mark.parametrize(
    "name, options, spacing, source",
    [
        ("a.png", {"dpi": (508, 508)}, 0.05, "resolution tag"),
        ("b.png", {"dpi": (72, 72)}, 0.07, "default"),
        ("c.png", {"dpi": (96, 96)}, 0.07, "default"),  # a screen
        ("d.png", {}, 0.07, "default"),
        ("e.tif", {"resolution": (200, 200), "resolutionunit": "CENTIMETER"}, 0.05, "resolution tag"),
        ("f.tif", {"resolution": (300, 300), "resolutionunit": "NONE"}, 0.07, "default"),
        ("g.tif", {"resolution": (1, 1), "resolutionunit": "INCH"}, 0.07, "default"),
    ],
)
def test_resolution_tags(tmp_path, caplog, name, options, spacing, source):
    _, meta = read_mammogram(write(tmp_path / name, EIGHT, **options))
    assert meta["spacing_mm"] == pytest.approx((spacing, spacing), rel=1e-3)
    assert meta["spacing_source"] == source
    assert sum("the default of" in record.message for record in caplog.records) == (source == "default")


def test_images_longer_than_any_detector_get_the_default_spacing(tmp_path):
    path = write(tmp_path / "x.png", ramp(2000, 10), dpi=(100, 100))  # 50 cm
    assert read_mammogram(path)[1]["spacing_source"] == "default"


def test_rows_and_columns_of_the_resolution(tmp_path):  # both are given as (x, y)
    tiff = write(tmp_path / "x.tif", EIGHT, resolution=(508, 254), resolutionunit="INCH")
    png = write(tmp_path / "x.png", EIGHT, dpi=(508, 254))
    for path in (tiff, png):
        assert read_mammogram(path)[1]["spacing_mm"] == pytest.approx((0.1, 0.05), rel=1e-3)


# Refusals


@pytest.mark.parametrize("name", ["a.png", "b16.png", "c.tif", "d.tif", "e.jpg", "f.nii", "g.nii.gz", "h48.png"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_truncated_files_are_refused(tmp_path, name, share):
    path = tmp_path / name
    values = np.random.default_rng(0).integers(0, 256, (64, 80), dtype=np.uint8)
    if ".nii" in name:
        nifti(path, values, np.eye(4))
    elif name == "h48.png":
        assert cv2.imwrite(str(path), np.repeat(values[..., None].astype(np.uint16) * 257, 3, axis=2))
    elif name == "d.tif":
        write(path, values, compression="zlib")
    else:
        write(path, values.astype(np.uint16) * 257 if "16" in name else values)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(MammogramReadError, match=name):
        read_mammogram(path)


def test_non_images(tmp_path):
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "text.png").write_text("patient,label\n1,2\n")
    with pytest.raises(MammogramReadError, match="empty file"):
        read_mammogram(tmp_path / "empty.dcm")
    with pytest.raises(MammogramReadError, match="no known image format"):
        read_mammogram(tmp_path / "text.png")
    with pytest.raises(MammogramReadError, match="a directory"):
        read_mammogram(tmp_path)
    with pytest.raises(MammogramReadError, match="no such file"):
        read_mammogram(tmp_path / "none.dcm")
    write(tmp_path / "pages.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    with pytest.raises(MammogramReadError, match="3 pages"):
        read_mammogram(tmp_path / "pages.tif")


def test_decompression_bomb_is_refused_unopened(tmp_path):
    path = grey_png(tmp_path / "x.png", np.zeros((1, 1), np.uint8), 1)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 13000, 13000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)
    with pytest.raises(MammogramReadError, match="at most 62 million pixels"):
        read_mammogram(path)
