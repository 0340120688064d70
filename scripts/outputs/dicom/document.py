"""What all DICOM results share: UIDs, series, equipment, dates, writing."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom import Dataset

from scripts.common.files import write_atomically
from scripts.common.provenance import bundle_version
from scripts.outputs.dicom.mammogram import Mammogram
from scripts.outputs.dicom.tracking import derived_uid

MANUFACTURER = "mammography_microcalcification_segmentation"
MODEL = "MONAI bundle"
#: Output -> (series number, description); images of these series are the results of one mammogram each.
SERIES = {
    "segmentation": (9101, "Microcalcifications: mask"),
    "segmentation_labelmap": (9102, "Microcalcifications: one segment each"),
    "report_sr": (9103, "Microcalcifications: measurements"),
    "cad_sr": (9104, "Microcalcifications: CAD report"),
    "follow_up_sr": (9105, "Microcalcifications: follow-up"),
}


@contextmanager
def any_patient_name() -> Iterator[None]:
    """A patient's name without "^" is valid (PS3.5 6.2), and repeated as it is: highdicom's warning would show it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"The string .* is unlikely to represent the intended person name")
        yield


def instance(output: str, images: Sequence[Mammogram]) -> dict[str, Any]:
    """Arguments of a highdicom class about series, instance and equipment; all UIDs follow from images and findings."""
    number, description = SERIES[output]
    digests = [image.digest for image in images]
    return {
        "series_instance_uid": derived_uid("series", output, *digests),
        "series_number": number,
        "series_description": description,
        "sop_instance_uid": derived_uid("instance", output, *digests),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL,
        "software_versions": bundle_version(),
        "device_serial_number": bundle_version(),
    }


def write(path: Path, dataset: Dataset, now: datetime | None = None) -> Path:
    """Write a data set atomically as of `now`, the only part that another run writes otherwise."""
    stamp(dataset, now or datetime.now())
    return write_atomically(path, lambda temporary: dataset.save_as(temporary, enforce_file_format=True))


def stamp(dataset: Dataset, now: datetime) -> None:
    """Dates and times of a result."""
    day, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    dataset.InstanceCreationDate = dataset.ContentDate = dataset.SeriesDate = day
    dataset.InstanceCreationTime = dataset.ContentTime = dataset.SeriesTime = time
    for equipment in dataset.get("ContributingEquipmentSequence", []):  # highdicom itself
        equipment.ContributionDateTime = day + time
