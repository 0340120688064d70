"""Numbers, spacing and identity from the tags of a DICOM dataset."""

import math

from pydicom import Dataset
from pydicom.multival import MultiValue

from scripts.common.text import printable
from scripts.data.reader.errors import MammogramReadError, PathLike, check_file
from scripts.data.reader.plausible import Candidates, Spacing

VIEW_CODES = {"R-10242": "CC", "399162004": "CC", "R-10226": "MLO", "399368009": "MLO"}  # CID 4014, SNOMED RT and CT
TAGS = {"patient_id": "PatientID", "study_uid": "StudyInstanceUID", "series_uid": "SeriesInstanceUID"}
TAGS |= {"sop_uid": "SOPInstanceUID", "manufacturer": "Manufacturer"}  # name in the reader's metadata -> keyword
IDENTITY = ("laterality", "view", *TAGS)


def numbers(path: PathLike, dataset: Dataset, keyword: str) -> list[float]:
    """The values of an element as finite floats (else MammogramReadError); [] if it is absent or empty."""
    try:
        value = dataset.get(keyword)
        if isinstance(value, str):  # written under a VR of text
            value = value.split("\\") if value.strip() else None
        values = [] if value is None else value if isinstance(value, MultiValue | list) else [value]
        got = [float(number) for number in values]
    except (TypeError, ValueError) as error:
        raise MammogramReadError(path, f"unreadable {keyword} ({error})", "numbers") from error
    check_file(path, all(map(math.isfinite, got)), f"{keyword} = {got}", "finite numbers")
    return got


def whole_number(path: PathLike, dataset: Dataset, keyword: str, default: int = 0) -> int:
    """The one whole number of an element, `default` if it is absent or empty (else MammogramReadError)."""
    values = numbers(path, dataset, keyword)
    one = len(values) <= 1 and all(value == int(value) for value in values)
    check_file(path, one, f"{keyword} = {values}", "one whole number")
    return int(values[0]) if values else default


def text(dataset: Dataset, keyword: str) -> str:
    """An element as stripped, `printable` text; "" if it is absent."""
    value = dataset.get(keyword)
    if value is None:
        return ""
    words = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)
    return printable(words.strip())


def spacing_candidates(path: PathLike, dataset: Dataset) -> Candidates:
    """Spacings in the tags, best first: in the breast, at the detector, of the film scanner."""

    def lenient(keyword: str) -> list[float]:
        try:
            return numbers(path, dataset, keyword)
        except MammogramReadError:
            return [math.nan, math.nan]

    def pair(keyword: str) -> Spacing | None:
        values = lenient(keyword)
        return (values[0], values[1]) if len(values) == 2 else None

    detector, source = pair("ImagerPixelSpacing"), "ImagerPixelSpacing"
    magnification = lenient("EstimatedRadiographicMagnificationFactor")
    if detector and magnification and 1.0 <= magnification[0] <= 4.0:
        detector = (detector[0] / magnification[0], detector[1] / magnification[0])
        source = "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor"
    in_breast, scanned = ((name, pair(name)) for name in ("PixelSpacing", "NominalScannedPixelSpacing"))
    return [in_breast, (source, detector), scanned]


def laterality(dataset: Dataset) -> str:
    """ "L", "R", or "" where the tags do not say."""
    names = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    groups = [group for name in names for group in dataset.get(name) or []]
    places = [dataset, *(place for group in groups for place in group.get("FrameAnatomySequence") or [])]
    keywords = ("ImageLaterality", "Laterality", "FrameLaterality")
    sides = (text(place, keyword).upper()[:1] for keyword in keywords for place in places)
    return next((side for side in sides if side in ("L", "R")), "")


def view(dataset: Dataset) -> str:
    """ "CC", "MLO", another ViewPosition, the meaning of another view code, or ""."""
    if position := text(dataset, "ViewPosition").upper():
        return position
    for item in dataset.get("ViewCodeSequence") or []:
        if name := VIEW_CODES.get(text(item, "CodeValue")) or text(item, "CodeMeaning"):
            return name
    orientation = text(dataset, "PatientOrientation").upper()
    return orientation if orientation in ("CC", "MLO") else ""  # CBIS-DDSM writes the view there


def identity(dataset: Dataset) -> dict[str, str]:
    """The identifying tags under the names of `IDENTITY`, "" where absent."""
    tags = {name: text(dataset, keyword) for name, keyword in TAGS.items()}
    return {"laterality": laterality(dataset), "view": view(dataset)} | tags
