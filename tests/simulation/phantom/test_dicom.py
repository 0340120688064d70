"""The DICOM writer: valid, honest about being simulated, reproducible."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scripts.simulation.phantom.dicom import phantom_uid, write_phantom_dicom

IMAGE = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30)


def _write(path: Path, **options: object) -> Path:
    arguments: dict = {"spacing_mm": 0.07, "laterality": "L", "view": "CC", "seed": 5} | options
    return write_phantom_dicom(path, arguments.pop("image", IMAGE), **arguments)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
@pytest.mark.parametrize("laterality", ["L", "R"])
@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize(("bits", "detector"), [(12, "DIRECT"), (14, "SCINTILLATOR")])
def test_dciodvfy_finds_no_error(tmp_path: Path, laterality: str, view: str, bits: int, detector: str) -> None:
    path = _write(tmp_path / "a.dcm", laterality=laterality, view=view, bits=bits, detector_type=detector)
    found = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    report = found.stdout + found.stderr
    assert "MammographyImageForPresentation" in report
    assert "Error" not in report, report


def test_pixels_and_geometry_survive(tmp_path: Path) -> None:
    ds = pydicom.dcmread(_write(tmp_path / "sub" / "a.dcm", laterality="R", view="MLO"))
    np.testing.assert_array_equal(ds.pixel_array, IMAGE)
    assert [float(x) for x in ds.ImagerPixelSpacing] == [0.07, 0.07]
    assert (ds.ImageLaterality, ds.PresentationIntentType, ds.PhotometricInterpretation) == (
        "R",
        "FOR PRESENTATION",
        "MONOCHROME2",
    )
    assert ds.ViewCodeSequence[0].CodeMeaning == "medio-lateral oblique"
    assert ds.PatientOrientation[0] == "P"


def test_first_window_is_the_full_range(tmp_path: Path) -> None:
    ds = pydicom.dcmread(_write(tmp_path / "a.dcm"))
    centre, width = float(ds.WindowCenter[0]), float(ds.WindowWidth[0])
    for value, shown in ((0, 0.0), (4095, 1.0)):  # PS3.3 C.11.2.1.2.1, LINEAR
        assert (value - (centre - 0.5)) / (width - 1) + 0.5 == pytest.approx(shown)


def test_header_says_that_it_is_simulated(tmp_path: Path) -> None:
    ds = pydicom.dcmread(_write(tmp_path / "a.dcm", comment="Density fatty"))
    assert "SIMULATED" in ds.ImageComments and "Density fatty" in ds.ImageComments
    assert "phantom" in ds.SeriesDescription.lower() and str(ds.PatientName).startswith("Phantom^")


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    first, second = _write(tmp_path / "a.dcm").read_bytes(), _write(tmp_path / "b.dcm").read_bytes()
    assert first == second
    assert _write(tmp_path / "c.dcm", seed=6).read_bytes() != first


def test_images_of_a_patient_share_a_study_but_nothing_else(tmp_path: Path) -> None:
    cc, mlo = (pydicom.dcmread(_write(tmp_path / f"{view}.dcm", view=view)) for view in ("CC", "MLO"))
    assert cc.StudyInstanceUID == mlo.StudyInstanceUID
    assert cc.SeriesInstanceUID != mlo.SeriesInstanceUID
    assert cc.SOPInstanceUID != mlo.SOPInstanceUID
    other = pydicom.dcmread(_write(tmp_path / "o.dcm", patient_id="P2"))
    assert other.StudyInstanceUID != cc.StudyInstanceUID


def test_uids_are_valid() -> None:
    for part in range(50):
        assert pydicom.uid.UID(phantom_uid("x", part)).is_valid


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    _write(tmp_path / "a.dcm")
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": IMAGE.astype(np.float32)}, "uint16"),
        ({"image": IMAGE + 4000}, "uint16"),
        ({"image": IMAGE[None]}, "2-D"),
        ({"laterality": "X"}, "laterality"),
        ({"view": "LM"}, "view"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _write(tmp_path / "a.dcm", **options)
    assert not list(tmp_path.iterdir())
