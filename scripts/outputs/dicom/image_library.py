"""What reports tell of the images that they are about: TID 4020 (CAD report), TID 1600 to 1603 (measurements)."""

from pydicom import Dataset
from pydicom.sr.coding import Code

from scripts.outputs.dicom.codes import BREASTS, DCM, SIDES, UCUM, VIEWS
from scripts.outputs.dicom.items import ACQUISITION, CONTAINS, code, container, date, image_item, number, text
from scripts.outputs.dicom.mammogram import Mammogram


def cad_entry(image: Mammogram) -> Dataset:
    """An entry of a CAD report's library, TID 4020."""
    return _entry(image, BREASTS)


def measured_image(image: Mammogram) -> Dataset:
    """The library of a measurement report about one image."""
    return container(CONTAINS, DCM.ImageLibrary, container(CONTAINS, DCM.ImageLibraryGroup, _entry(image, SIDES)))


def _entry(image: Mammogram, sides: dict[str, Code]) -> Dataset:
    header, context = image.header, []
    if image.laterality in sides:
        context.append(code(ACQUISITION, DCM.ImageLaterality, sides[image.laterality]))
    if image.view in VIEWS:
        context.append(code(ACQUISITION, DCM.ImageView, VIEWS[image.view]))
    if header.PatientOrientation:
        context.append(text(ACQUISITION, DCM.PatientOrientationRow, header.PatientOrientation[0]))
        context.append(text(ACQUISITION, DCM.PatientOrientationColumn, header.PatientOrientation[1]))
    if header.StudyDate:
        context.append(date(ACQUISITION, DCM.StudyDate, header.StudyDate))
    if image.report is not None:
        down, across = image.report["spacing_mm"]
        context.append(number(ACQUISITION, DCM.HorizontalPixelSpacing, across, UCUM.Millimeter))
        context.append(number(ACQUISITION, DCM.VerticalPixelSpacing, down, UCUM.Millimeter))
    return image_item(CONTAINS, header, *context)
