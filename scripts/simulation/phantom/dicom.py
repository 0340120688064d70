"""Write a phantom as Digital Mammography X-Ray Image Storage - For Presentation (DICOM PS3.3 A.27).

Every identifier and date follows from `seed`, so equal arguments give equal bytes. Several texts in the header say
that the image is simulated.
"""

import hashlib
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from scripts.common.files import write_atomically

SOP_CLASS_MG_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
SIMULATED = "SIMULATED PHANTOM, not a patient"


def phantom_uid(*parts: object) -> str:
    """A UID under 2.25 that depends on `parts` only."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return "2.25." + str(int.from_bytes(digest[:16], "big") & ((1 << 128) - 1))


def write_phantom_dicom(
    path: str | Path,
    image: np.ndarray,  # (rows, cols) uint16 stored values, MONOCHROME2
    *,
    spacing_mm: float,  # pixel spacing at the detector
    laterality: str,  # "L" or "R"
    view: str,  # "CC" or "MLO"
    seed: int,  # all UIDs and dates follow from it and from patient, side and view
    patient_id: str = "PHANTOM-0000",  # PatientID; images of one id share one study
    bits: int = 12,  # bits stored
    thickness_mm: float = 50.0,  # of the compressed breast
    detector_type: str = "DIRECT",  # or "SCINTILLATOR"
    comment: str = "",  # appended to ImageComments
    monochrome1: bool = False,  # store the inverted values, as some vendors do
    exam: int = 0,  # 1, 2, ...: later exams of the patient, a year apart
) -> Path:
    """Write `image` atomically and return its path.

    Raises:
        ValueError: if `image` is not 2-D uint16 within `bits`, or side or view is unknown.
    """
    most = image.max(initial=0)
    if image.ndim != 2 or image.dtype != np.uint16 or int(most) >= 2**bits:
        raise ValueError(f"image: got {image.dtype} {image.shape}, max {most}; want 2-D uint16 < 2**{bits}")
    if laterality not in ("L", "R") or view not in ("CC", "MLO"):
        raise ValueError(f"laterality, view: got {laterality!r}, {view!r}; want L or R, CC or MLO")
    content = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
    uid = phantom_uid("image", seed, patient_id, laterality, view, content)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SOP_CLASS_MG_PRESENTATION, uid
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, phantom_uid("implementation")
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    _patient_and_study(ds, uid, seed, patient_id, laterality, view, exam)
    _equipment_and_detector(ds, spacing_mm, image.shape, detector_type, thickness_mm)
    _view(ds, laterality, view)
    _pixels(ds, image, bits)
    if monochrome1:
        ds.PhotometricInterpretation, ds.PresentationLUTShape = "MONOCHROME1", "INVERSE"
        ds.PixelData = (2**bits - 1 - image).astype("<u2").tobytes()
    ds.ImageComments = f"{SIMULATED}. {comment}".strip()
    return write_atomically(path, lambda temporary: ds.save_as(temporary, enforce_file_format=True))


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return code


def _patient_and_study(
    ds: Dataset, uid: str, seed: int, patient_id: str, laterality: str, view: str, exam: int
) -> None:
    number = int(hashlib.sha256(f"{seed}/{patient_id}".encode()).hexdigest(), 16)
    day = (date(2020, 1, 1) + timedelta(days=number % 1460 + 365 * exam)).strftime("%Y%m%d")
    study = (seed, patient_id, exam) if exam else (seed, patient_id)
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID, ds.SOPInstanceUID = SOP_CLASS_MG_PRESENTATION, uid
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = day
    ds.StudyTime, ds.SeriesTime, ds.AcquisitionTime, ds.ContentTime = "090000", "090100", "090130", "090130"
    ds.PatientName, ds.PatientID, ds.PatientSex = f"Phantom^{patient_id}", patient_id, "F"
    ds.PatientBirthDate = f"{1940 + number % 40}0101"
    ds.PatientAge = f"{int(day[:4]) - 1940 - number % 40:03d}Y"
    ds.PatientComments = SIMULATED
    ds.StudyInstanceUID = phantom_uid("study", *study)
    ds.SeriesInstanceUID = phantom_uid("series", *study, laterality, view)
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "1", 1, 1, 1
    ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.StudyDescription, ds.SeriesDescription = "Simulated phantom mammogram", f"Simulated phantom {laterality} {view}"


def _equipment_and_detector(
    ds: Dataset, spacing_mm: float, shape: tuple[int, ...], detector_type: str, thickness_mm: float
) -> None:
    ds.Modality, ds.PresentationIntentType = "MG", "FOR PRESENTATION"
    ds.Manufacturer, ds.ManufacturerModelName = "Simulated phantom", "FFDM phantom"
    ds.DeviceSerialNumber, ds.SoftwareVersions, ds.StationName = "0", "1", "PHANTOM"
    ds.DetectorType, ds.DetectorConfiguration, ds.DetectorID = detector_type, "AREA", "PHANTOM"
    ds.DetectorActiveShape = ds.FieldOfViewShape = "RECTANGLE"
    ds.FieldOfViewDimensions = [round(shape[0] * spacing_mm), round(shape[1] * spacing_mm)]
    ds.DetectorElementPhysicalSize = ds.DetectorElementSpacing = [spacing_mm, spacing_mm]
    ds.ImagerPixelSpacing = ds.PixelSpacing = [spacing_mm, spacing_mm]
    ds.PixelSpacingCalibrationType = "GEOMETRY"
    ds.PixelSpacingCalibrationDescription = "Spacing at the detector; no magnification"
    ds.EstimatedRadiographicMagnificationFactor = 1.0
    ds.PositionerType, ds.DetectorTemperature = "MAMMOGRAPHIC", "25.0"
    ds.DistanceSourceToDetector, ds.DistanceSourceToPatient = 660, 660
    ds.KVP, ds.ExposureTime, ds.XRayTubeCurrent, ds.Exposure = 29, 1000, 100, 100
    ds.AnodeTargetMaterial, ds.FilterMaterial = "TUNGSTEN", "RHODIUM"
    ds.FocalSpots, ds.Grid = 0.3, ["FIXED", "FOCUSED"]
    ds.BodyPartThickness, ds.CompressionForce = round(thickness_mm, 1), 100.0  # mm, N
    ds.OrganDose = ds.EntranceDoseInmGy = None
    ds.ExposureControlMode, ds.QualityControlImage = "AUTOMATIC", "NO"


def _view(ds: Dataset, laterality: str, view: str) -> None:
    ds.ImageLaterality = laterality
    ds.BodyPartExamined = ds.OrganExposed = "BREAST"
    down = {"CC": {"L": "R", "R": "L"}, "MLO": {"L": "FR", "R": "FL"}}[view][laterality]
    ds.PatientOrientation = ["A" if laterality == "L" else "P", down]
    ds.PositionerPrimaryAngle = 0.0 if view == "CC" else (45.0 if laterality == "R" else -45.0)
    ds.ViewPosition = view
    ds.AnatomicRegionSequence = Sequence([_code("76752008", "Breast")])
    names = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}
    code = _code(*names[view])
    code.ViewModifierCodeSequence = Sequence([])
    ds.ViewCodeSequence = Sequence([code])
    ds.AcquisitionContextSequence = Sequence([])
    ds.BreastImplantPresent = ds.PartialView = "NO"


def _pixels(ds: Dataset, image: np.ndarray, bits: int) -> None:
    ds.ImageType, ds.DerivationDescription = ["DERIVED", "PRIMARY"], "Simulated from a numerical phantom"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = image.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, bits, bits - 1, 0
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape, ds.LossyImageCompression, ds.BurnedInAnnotation = "IDENTITY", "00", "NO"
    full = 2**bits
    ds.WindowCenter, ds.WindowWidth = [full // 2, round(0.4 * full)], [full, round(0.7 * full)]
    ds.WindowCenterWidthExplanation, ds.VOILUTFunction = ["FULL", "CONTRAST"], "LINEAR"
    ds.PixelData = image.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
