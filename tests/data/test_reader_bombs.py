"""What a small file may take: time and memory, measured; and text of tags that would forge a log."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from scripts.data.reader.dicom_tags import text
from scripts.data.reader.errors import MammogramReadError
from scripts.data.reader.isolation import read_isolated
from scripts.data.reader.mammogram_reader import Reading, read_mammogram, read_values
from scripts.data.reader.plausible import BYTES_PER_PIXEL
from tests.data.dicom_factory import mg_dataset, ramp, save
from tests.data.file_factory import nifti, write
from tests.hostile.lies import deflate_bomb, dicom_bombs, nifti_lies, png_lies, tiff_with
from tests.hostile.mutations import cut_and_padded
from tests.hostile.seeds import make_seeds

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return make_seeds(tmp_path_factory.mktemp("seeds"))


def peak_mb(path: Path) -> float:
    """Peak memory of a process that reads the file and is refused."""
    code = f"""
import resource
from scripts.data.reader.mammogram_reader import read_mammogram
try:
    read_mammogram({str(path)!r})
except ValueError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(said.stdout)


def test_deflate_bombs_are_refused_before_they_fill_the_memory(seeds, tmp_path):
    """Each holds 300 MB or more in half a megabyte or less."""
    bombs = {"dicom": next(data for name, data, _ in dicom_bombs() if name == "deflated dataset")}
    bombs["png"] = next(data for name, data, _ in png_lies(seeds["png_16"].content) if name == "IDAT bomb")
    bombs["nifti"] = next(data for name, data, _ in nifti_lies(seeds["nifti"].content) if name == "gz: bomb")
    (tmp_path / "nothing").write_bytes(b"")
    floor = peak_mb(tmp_path / "nothing")
    for name, data in bombs.items():
        assert len(data) < 2**19
        (tmp_path / name).write_bytes(data)
        assert peak_mb(tmp_path / name) < floor + 100, name


def test_one_deflated_strip_of_too_much_is_refused_before_it_is_decoded(tmp_path):
    path = write(tmp_path / "x.tif", ramp(80, 90), compression="zlib")
    bomb = deflate_bomb(300)
    path.write_bytes(tiff_with(tiff_with(path.read_bytes(), 273, path.stat().st_size), 279, len(bomb)) + bomb)
    with pytest.raises(MammogramReadError, match="strip of more than 14400 bytes; want 14400"):
        read_mammogram(path)
    (tmp_path / "nothing").write_bytes(b"")
    assert peak_mb(path) < peak_mb(tmp_path / "nothing") + 100


def test_the_largest_image_follows_from_the_memory_limit(tmp_path):
    path = write(tmp_path / "x.png", ramp(5000, 4200))  # 21 million pixels
    with pytest.raises(MammogramReadError, match=r"5000 x 4200 px; want at most 20 million pixels"):
        read_mammogram(path, Reading(memory_limit_mb=1300))
    assert 5000 * 4200 * BYTES_PER_PIXEL < 1345 * 10**6
    assert read_mammogram(path, Reading(memory_limit_mb=1345))[0].shape == (5000, 4200)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("fill", [b"\0", b"\x80", b"\xff"])
def test_a_jpeg_cut_short_and_padded_is_refused_also_inside_dicom(tmp_path, share, fill):
    smooth = np.add.outer(np.arange(200), np.arange(144) / 2).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "x.jpg", quality=90)
    stream = cut_and_padded((tmp_path / "x.jpg").read_bytes(), share, fill, b"\xff\xd9")[1]
    (tmp_path / "x.jpg").write_bytes(stream)
    dataset = mg_dataset(smooth, bits_stored=8)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    for path in (tmp_path / "x.jpg", save(dataset, tmp_path / "x.dcm")):
        with pytest.raises(MammogramReadError, match=r"damaged data .*JPEG"):
            read_isolated(path)


# Text of tags


@pytest.mark.parametrize("forged", ["A\nERROR all is lost", "\x1b[31mred", "a\u2028b", "a\u202eb", "a\rb\x00c"])
def test_text_of_tags_cannot_forge_a_line_or_steer_a_terminal(make_mg, caplog, forged):
    word = forged.encode("ascii", "replace").decode()
    names = {"SpecificCharacterSet": "ISO_IR 192", "PatientID": forged, "VOILUTFunction": word}
    path = make_mg(ramp(80, 90), **names, WindowCenter=2000, WindowWidth=4000)
    dataset = dcmread(path)
    assert text(dataset, "PatientID").isprintable()
    assert "\\" in text(dataset, "PatientID")
    with caplog.at_level(logging.WARNING):
        assert read_mammogram(path)[1]["patient_id"].isprintable()
        with pytest.raises(MammogramReadError) as caught:
            read_mammogram(make_mg(ramp(80, 90), PhotometricInterpretation=f"RGB{word}"))
    assert str(caught.value).isprintable()
    assert all(record.getMessage().isprintable() for record in caplog.records)


# Blank


@pytest.mark.parametrize(
    "pixels, tags, reason",
    [
        (np.zeros((80, 90), np.uint16), {}, "every pixel has the stored value 0"),
        (np.full((80, 90), 9, np.uint16), {"WindowCenter": 9, "WindowWidth": 5}, "every pixel has the stored value 9"),
        (ramp(80, 90), {"WindowCenter": 1e9, "WindowWidth": 10}, r"stored values from 0 to 4095 .* LINEAR 1e\+09/10"),
        (ramp(80, 90), {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4095}, "every pixel is padding"),
        (ramp(80, 90), {"RescaleSlope": 0, "RescaleIntercept": 9, "WindowCenter": 9, "WindowWidth": 5}, "one output"),
        (ramp(63, 90), {}, "63 x 90 px; want a mammogram of at least 64 px"),
    ],
)
def test_blank_and_tiny_dicom_images_are_refused_with_the_reason(make_mg, pixels, tags, reason):
    with pytest.raises(MammogramReadError, match=reason):
        read_mammogram(make_mg(pixels, **tags))


@pytest.mark.parametrize("value", [0, 200])
def test_blank_pictures_are_refused_but_may_be_labels(tmp_path, value):
    flat = np.full((80, 90), value, np.uint8)
    for path in (
        write(tmp_path / "x.png", flat),
        write(tmp_path / "x.tif", flat),
        nifti(tmp_path / "x.nii", flat, np.eye(4)),
    ):
        with pytest.raises(MammogramReadError, match="a blank image"):
            read_mammogram(path)
        assert np.all(read_values(path) == value)
    for shape in ((1, 1), (3, 3), (64, 63)):
        path = write(tmp_path / "x.png", ramp(*shape).astype(np.uint8))
        with pytest.raises(MammogramReadError, match=f"{shape[0]} x {shape[1]} px"):
            read_mammogram(path)
        assert read_values(path).shape == shape


def test_our_own_results_are_labels_but_no_mammograms(seeds, tmp_path):
    path = tmp_path / "mask.nii"
    path.write_bytes(next(data for name, data, _ in nifti_lies(seeds["nifti"].content) if name == "our own mask"))
    with pytest.raises(MammogramReadError, match="got a result of this bundle"):
        read_mammogram(path)
    np.testing.assert_array_equal(read_values(path), read_values(seeds["nifti"].path))
